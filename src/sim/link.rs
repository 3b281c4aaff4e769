//! What an observer process and the coordinator say to each other: one JSON document per line over a Unix socket.
//! Plain data; both sides use it and nothing else is shared between them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::fault::Behaviour;

/// Where `<home>/etc/sim.json` stands; the coordinator writes it, the observer reads it when it starts.
pub const SIM_JSON: &str = "etc/sim.json";
/// Set by the coordinator on its own children: do not daemonise, the parent waits for you.
pub const FOREGROUND: &str = "OBSTEWARD_SIM_FOREGROUND";

/// What an observer must know beyond its arguments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SimJson {
    /// The coordinator's name in Linux's abstract socket space.
    pub coordinator: String,
    /// Proves that a process belongs to this run.
    pub token: String,
    pub server_id: i64,
    pub ip: String,
    pub cluster_name: String,
    pub cluster_id: i64,
    pub zone: String,
    pub sql_port: u16,
    pub rpc_port: u16,
    pub password: String,
    pub heartbeat_ms: u64,
    /// The run's directory, when it is temporary: the observers of a killed coordinator remove it.
    pub temporary: Option<PathBuf>,
}

/// From the observer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ToCoordinator {
    /// A process starts; it goes on once it was told how.
    Hello {
        token: String,
        server_id: i64,
    },
    /// It serves its ports.
    Register {
        token: String,
        server_id: i64,
        pid: u32,
    },
    Heartbeat,
    /// A client connected; nothing has been said to it yet.
    Open {
        connection: u64,
        peer: String,
    },
    Login {
        connection: u64,
        user: String,
        password_right: bool,
    },
    Statement {
        connection: u64,
        text: String,
    },
    Close {
        connection: u64,
    },
    /// SIGTERM arrived and will be obeyed or not.
    Signal {
        text: String,
    },
}

/// From the coordinator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ToObserver {
    /// The answer to `Hello`.
    Begin {
        dies: bool,
        delay_ms: u64,
    },
    /// `session` None: close the connection without an answer.
    Opened {
        connection: u64,
        session: Option<u64>,
    },
    Answer {
        connection: u64,
        answer: Answer,
    },
    /// Cut the connection now, whatever it is doing.
    Cut {
        connection: u64,
    },
    Behave(Behaviour),
}
