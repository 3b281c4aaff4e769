//! The rules, as pure functions over plain types. Nothing here does I/O, reads a clock or knows a protocol.

pub mod admission;
pub mod allowed;
pub mod attempt;
pub mod blocker;
pub mod build_version;
pub mod call;
pub mod catch_up;
pub mod clients;
pub mod decide;
pub mod edges;
pub mod effect;
pub mod event;
pub mod facts;
pub mod freeze;
pub mod gate;
pub mod graph;
pub mod health;
pub mod hold;
pub mod host;
pub mod ids;
pub mod permission;
pub mod precheck;
pub mod printable;
pub mod reading;
pub mod reason;
pub mod refusal;
pub mod rollout;
pub mod shown;
pub mod ssh;
pub mod status;
pub mod stop_target;
pub mod store_home;
pub mod task;
pub mod words;

pub use words::UnknownWord;
