//! What the embedded and the shared store have in common: rows to types and back, the rules of a commit, and what each change
//! reads and writes. The databases themselves are in `sqlite` and `mysql`.

pub mod access_change;
pub mod access_read;
pub mod audit;
pub mod change_freezes;
pub mod commit_writes;
pub mod conditions;
pub mod database;
mod ended_session;
pub mod ids;
pub mod inventory_change;
pub mod inventory_read;
pub mod notifications;
pub mod observe;
pub mod statement;
pub mod stores;
pub mod task_read;
pub mod value;

pub use database::{Change, Database, Domain};
pub use statement::{Dialect, Statement};
pub use value::{SqlRow, SqlValue, damaged};
