//! Tells others what people wait for: webhooks that follow the log of events, and silences at an Alertmanager while a server is out
//! of service. Each target has a task of its own, which waits for nobody else and for which nobody waits: one that hangs or refuses
//! is tried again from the log, and its state is kept and shown.
//!
//! Pure: [`message`] (what becomes a notification, and what it says), [`signature`], [`backoff`], [`reminders`], [`silences`] and
//! [`endpoint`]. The edge: [`courier`] and [`silencer`], over [`http_client`]. May use `store`, `domain`, `clock`, `net` and
//! `config`; knows no engine and no service.

pub mod backoff;
pub mod courier;
pub mod endpoint;
pub mod http_client;
pub mod message;
pub mod reminders;
pub mod signature;
pub mod silencer;
pub mod silences;
mod standing;
pub mod targets;

use std::sync::Arc;

pub use courier::{Courier, Webhook};
pub use silencer::{Alertmanager, Silencer};
pub use targets::{DescribedTarget, NotificationTargets, TargetKind, TargetView};

/// Whether this replica is the one that tells the target of this number: several share them out.
pub type Share = Arc<dyn Fn(i64) -> bool + Send + Sync>;

/// The number of a target among those that replicas share out: the same in every version of the program (FNV-1a of its name).
pub fn number_of(target: &str) -> i64 {
    let mixed = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    target.bytes().fold(0xcbf2_9ce4_8422_2325, mixed).cast_signed()
}
