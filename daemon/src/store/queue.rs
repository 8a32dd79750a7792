//! The queue: which deliveries are due, who works on them, and every step of a delivery's life. Nothing else writes the
//! tables `due`, `undelivered`, `delivery` and `integration_stat`, but for `forget_waits`, the function of the schema that
//! lifts what waits for a pause.
//!
//! `enqueue` brings new leads in, `successors` updates, each in the order of its lead; `claim` takes due rows for the lanes that
//! have room, `finish` records what became of them, `give_back` returns what was not begun; `hold`, `release` and `unskip`
//! keep and free, `retry`, `push` and `sweep` bring back through `requeue`; `unwritten` ends what cannot be
//! recorded; `erase` and `removal` take away, and `health` is how lanes fare. `daemons` knows who
//! lives, `orphans` takes over the claims of those that died, `stranded` looks whether
//! every delivery stands where its state says.

pub mod claim;
mod claimed;
pub mod daemons;
pub(in crate::store) mod enqueue;
pub(in crate::store) mod erase;
pub mod finish;
mod give_back;
pub(in crate::store) mod health;
pub mod hold;
mod isolate;
pub(in crate::store) mod lift;
mod line;
mod orphans;
pub mod push;
pub mod release;
pub(in crate::store) mod removal;
pub(in crate::store) mod requeue;
pub mod retry;
pub mod stranded;
pub(in crate::store) mod successors;
pub mod sweep;
pub(in crate::store) mod undelivered;
pub mod unskip;
mod unwritten;
