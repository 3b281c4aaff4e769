//! How we listen: one kind of listener for both faces and the agent, with TLS whose certificates can be swapped, and with
//! bounds for clients that are slow or many; health and reflection, which every gRPC listener has; and TLS of connections that
//! we open. Knows no service. This module may use `config` and `clock`.

pub mod body_deadline;
pub mod bounds;
pub mod certificate;
pub mod client_tls;
pub mod connections;
pub mod descriptors;
pub mod draining_body;
pub mod health;
pub mod http;
pub mod in_flight;
pub mod listener;
pub mod peer;
pub mod preface_timeout;
pub mod proxies;
pub mod proxy_protocol;
pub mod reflection;
pub mod streams;
pub mod tls;
pub mod unauthenticated;
pub mod write_timeout;
