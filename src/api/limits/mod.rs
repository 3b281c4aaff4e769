//! How much one caller may take: requests in a time, and watches at the same time. Both faces count together.

pub mod rate;
pub mod watches;
