//! The cluster's own record: what really happened, for people (`SIM RECORD`) and for checkers of invariants.

use serde::{Deserialize, Serialize};

use super::time::Micros;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A statement arrived.
    Statement,
    /// ... and was answered (not yet sent: what a fault does "after" it happens before the client knows).
    Answered,
    SessionOpened,
    SessionClosed,
    SessionKilled,
    LoginRefused,
    ConnectionCut,
    PrecheckRefused,
    MarkSet,
    MarkCleared,
    ZoneStopped,
    ZoneStarted,
    LeaderMoved,
    RootServiceMoved,
    ArbitrationDegraded,
    /// A process ended without which a log stream has no majority.
    MajorityLost,
    MinorFreeze,
    ParameterSet,
    ServerOffline,
    ServerOnline,
    ProcessStarted,
    ProcessEnded,
    Signal,
    FaultInjected,
    FaultUsed,
    FaultCleared,
}

impl Kind {
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// Something that happened, before it has a time and a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordEntry {
    pub server: Option<i64>,
    /// The session it happened in or that asked for it, living or not; None for what nobody here asked for.
    pub session: Option<u64>,
    pub kind: Kind,
    pub text: String,
}

impl RecordEntry {
    pub fn at(server: i64, kind: Kind, text: impl Into<String>) -> Self {
        Self { server: Some(server), session: None, kind, text: text.into() }
    }
}

/// One line of the record. `sequence` counts from 1 without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    pub sequence: u64,
    pub at: Micros,
    /// The server concerned: the endpoint for statements, the marked server for marks.
    pub server: Option<i64>,
    /// The session it happened in or that asked for it, living or not; None for what nobody here asked for.
    pub session: Option<u64>,
    pub kind: Kind,
    pub text: String,
}
