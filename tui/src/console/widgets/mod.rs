//! What screens and dialogs are made of: tables, pages, lines of text, and the drawing of what is untrusted.

pub mod columns;
pub mod diff;
pub mod document;
pub mod draw;
pub mod filter;
pub mod input;
pub mod list;
pub mod page;
pub mod step;
pub mod table;
pub mod textarea;
pub mod time;
pub mod trend;
