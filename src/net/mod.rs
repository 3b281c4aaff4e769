//! How we listen: one kind of listener for both faces and the agent, with TLS whose certificates can be swapped, and with
//! bounds for clients that are slow or many; and TLS of connections that we open. Knows no service. This module may use
//! `config` and `clock`.

pub mod announced;
pub mod arriving;
pub mod bounds;
pub mod certificate;
pub mod client_tls;
pub mod connections;
pub mod http;
pub mod listener;
pub mod opening;
pub mod peer;
pub mod proxies;
pub mod stall;
pub mod tls;
