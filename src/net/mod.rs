//! How we listen: one kind of listener for both faces, with TLS whose certificates can be swapped, and with bounds for
//! clients that are slow or many. Knows no service. This module may use `config` and `clock`.

pub mod arriving;
pub mod bounds;
pub mod connections;
pub mod http;
pub mod listener;
pub mod opening;
pub mod peer;
pub mod stall;
pub mod tls;
