//! Watching: every transition is encoded once and shared by all watchers. This module may use `store`, `domain`, `clock` and
//! `proto`; it decides nothing and changes nothing.

pub mod encode;
mod encode_event;
mod encoded;
mod hub;
mod log;
mod many;
mod ring;
mod stream;
mod watch_timer;

pub use encode_event::{TaskFacts, event};
pub use encoded::Encoded;
pub use hub::Hub;
pub use log::{ReadLog, read_log};
pub use many::{WatchTasks, watch_tasks};
pub use stream::{Until, WatchTask, watch_task};
pub use watch_timer::{BOOKMARK_PERIOD, WatchAuthorizer};
