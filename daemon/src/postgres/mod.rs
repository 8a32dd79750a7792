//! The PostgreSQL beneath the store: the private server in the data directory, and the set-up of any database.

mod cut_off;
pub mod data_dir;
pub mod embedded;
pub mod hosts;
pub mod inspect;
pub mod setup;
