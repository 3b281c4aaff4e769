//! A whole store, row by row, from one database to another, and a look at whether what it holds fits together. Both work on one
//! moment of it.

mod check;
mod copy;
mod places;
mod restored;
mod tables;

pub use check::{Finding, Report};
pub(super) use copy::{Rows, copy};
pub use places::{Place, check_store, migrate, restored};
pub(super) use restored::LOST_IDS;
pub use restored::StoreIdChange;
