//! What the agent must not forget, on disk before it acts:
//! - the highest fence per store and cluster, and which store operates a cluster;
//! - every StopObserver and StartObserver call by its token before it acts, and its answer after;
//! - when observers of a cluster were ended, for the limit of one per minute.
//!
//! One small file, replaced whole. What is in memory is never ahead of the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::files::{self, FileError};
use crate::agent::refusal::AgentRefusal;
use crate::agent::trust::Trusted;
use crate::clock::{Clock, Timestamp};
use crate::domain::host::{CallerFence, ObserverIdentity};
use crate::domain::ids::Fence;

const FILE: &str = "ledger.json";
const LOCK: &str = "ledger.lock";
/// Calls that are remembered: a token is repeated within minutes, and this is months of ends.
const CALLS_KEPT: usize = 2_000;
/// Ends per cluster that are remembered; the limit looks at the last minute only.
const ENDS_KEPT: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Ended after SIGTERM.
    Terminated {
        evidence: String,
    },
    /// Ended after SIGKILL.
    Killed {
        evidence: String,
    },
    AlreadyGone {
        evidence: String,
    },
    /// Signalled, and still there at the end of the wait.
    StillThere {
        evidence: String,
    },
    /// Nothing was signalled or started.
    Refused {
        reason: String,
        message: String,
    },
    Started {
        #[serde(with = "IdentityRecord")]
        identity: ObserverIdentity,
        listens: bool,
        evidence: String,
    },
    /// Ran before, nothing was started.
    AlreadyRunning {
        #[serde(with = "IdentityRecord")]
        identity: ObserverIdentity,
        evidence: String,
    },
    Died {
        evidence: String,
        last_log_lines: Vec<String>,
    },
    /// Was started, and neither the observer nor its end could be found.
    Unclear {
        evidence: String,
    },
}

impl fmt::Display for Answer {
    /// For our log, without what the observer wrote into its own.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answer, words) = match self {
            Self::Terminated { evidence } => ("terminated", evidence),
            Self::Killed { evidence } => ("killed", evidence),
            Self::AlreadyGone { evidence } => ("already gone", evidence),
            Self::StillThere { evidence } => ("still there", evidence),
            Self::Refused { reason, message } => (reason.as_str(), message),
            Self::Started { evidence, .. } => ("started", evidence),
            Self::AlreadyRunning { evidence, .. } => ("already running", evidence),
            Self::Died { evidence, .. } => ("died", evidence),
            Self::Unclear { evidence } => ("unclear", evidence),
        };
        write!(formatter, "{answer}: {words}")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ObserverIdentity")]
struct IdentityRecord {
    boot_id: String,
    pid: u32,
    start_ticks: u64,
    executable: String,
    executable_inode: String,
    home: String,
    uid: u32,
    network_namespace: String,
    cluster_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    New,
    /// Begun, and either running or cut off by a crash.
    WithoutAnswer,
    Answered(Answer),
}

/// A call, as it is recorded before it acts.
#[derive(Clone, Debug)]
pub struct NewCall<'a> {
    pub fence: &'a CallerFence,
    /// Token of the call, chosen by the caller: the same call has it again when it is repeated.
    pub token: &'a str,
    /// What it wants, so that another call of the same name is noticed.
    pub wants: &'a str,
    /// Set when the call is going to end a process.
    pub end: Option<NewEnd<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub struct NewEnd<'a> {
    /// Which process: a second attempt at the same one does not count twice.
    pub process: &'a str,
    /// One end per cluster in this time.
    pub one_end_per: Duration,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    clusters: BTreeMap<String, Cluster>,
    /// Oldest first.
    calls: Vec<RecordedCall>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cluster {
    /// The only store whose calls are accepted for this cluster.
    store_id: String,
    /// Number of the last `agent trust` that this cluster has used up.
    word: u64,
    /// Highest fence by store.
    fences: BTreeMap<String, i64>,
    /// Oldest first.
    ends: Vec<End>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct End {
    at_micros: i64,
    process: String,
    token: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RecordedCall {
    store_id: String,
    token: String,
    wants: String,
    begun_micros: i64,
    answer: Option<Answer>,
}

/// The record, open and locked.
#[derive(Debug)]
pub struct Ledger {
    directory: PathBuf,
    clock: Clock,
    state: Mutex<State>,
    _lock: File,
}

impl Ledger {
    /// Opens or begins the record in `directory`. A damaged one is an error: forgetting it could end a process twice.
    pub fn open(directory: &Path, clock: Clock) -> Result<Self, FileError> {
        files::make_directory(directory)?;
        let lock = files::lock(directory, LOCK, false)?;
        let state = files::read(directory, FILE)?.unwrap_or_default();
        Ok(Self { directory: directory.to_owned(), clock, state: Mutex::new(state), _lock: lock })
    }

    /// Refuses a caller that lost its cluster, and remembers its fence for the next one.
    pub fn admit(&self, fence: &CallerFence) -> Result<(), AgentRefusal> {
        let mut state = self.lock();
        let mut next = state.clone();
        if self.admit_into(&mut next, fence)? {
            self.write(&mut state, next)?;
        }
        Ok(())
    }

    /// What is recorded under the token of a call.
    pub fn recorded(&self, store_id: &str, token: &str, wants: &str) -> Result<Recorded, AgentRefusal> {
        let state = self.lock();
        let Some(call) = state.calls.iter().find(|call| call.store_id == store_id && call.token == token) else {
            return Ok(Recorded::New);
        };
        if call.wants != wants {
            return Err(AgentRefusal::TokenReused { token: token.to_owned() });
        }
        Ok(call.answer.clone().map_or(Recorded::WithoutAnswer, Recorded::Answered))
    }

    /// Records that a new call is about to act: fence, token and, if it will be one, the end. On return it is on disk.
    pub fn begin(&self, call: &NewCall<'_>) -> Result<(), AgentRefusal> {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut next = state.clone();
        self.admit_into(&mut next, call.fence)?;
        let key = call.fence.cluster.as_str();
        if let (Some(cluster), Some(NewEnd { process, one_end_per: period })) = (next.clusters.get_mut(key), call.end) {
            let wait = cluster.ends.iter().filter(|end| end.process != process);
            if let Some(retry_after) = wait.filter_map(|end| rest(end, now, period)).max() {
                return Err(AgentRefusal::TooManyEnds { cluster: key.to_owned(), period, retry_after });
            }
            cluster.ends.push(End {
                at_micros: now.as_micros(),
                process: process.to_owned(),
                token: call.token.to_owned(),
            });
            let surplus = cluster.ends.len().saturating_sub(ENDS_KEPT);
            cluster.ends.drain(..surplus);
        }
        next.calls.push(RecordedCall {
            store_id: call.fence.store_id.clone(),
            token: call.token.to_owned(),
            wants: call.wants.to_owned(),
            begun_micros: now.as_micros(),
            answer: None,
        });
        let surplus = next.calls.len().saturating_sub(CALLS_KEPT);
        next.calls.drain(..surplus);
        self.write(&mut state, next)
    }

    /// Refuses a caller whose cluster was lost since it was admitted. The last look before a signal.
    pub fn still_current(&self, fence: &CallerFence) -> Result<(), AgentRefusal> {
        self.admit_into(&mut self.lock().clone(), fence).map(drop)
    }

    /// Records the answer of a call. One that signalled nothing does not count as an end.
    pub fn answer(&self, fence: &CallerFence, token: &str, answer: Answer) -> Result<(), AgentRefusal> {
        let signalled = match &answer {
            Answer::Terminated { .. } | Answer::Killed { .. } | Answer::StillThere { .. } => true,
            Answer::AlreadyGone { .. }
            | Answer::Refused { .. }
            | Answer::Started { .. }
            | Answer::AlreadyRunning { .. }
            | Answer::Died { .. }
            | Answer::Unclear { .. } => false,
        };
        let mut state = self.lock();
        let mut next = state.clone();
        let known = |call: &&mut RecordedCall| call.store_id == fence.store_id && call.token == token;
        if let Some(call) = next.calls.iter_mut().find(known) {
            call.answer = Some(answer);
        }
        if let Some(cluster) = next.clusters.get_mut(fence.cluster.as_str()) {
            cluster.ends.retain(|end| signalled || end.token != token);
        }
        self.write(&mut state, next)
    }

    /// Returns whether something was changed.
    fn admit_into(&self, state: &mut State, fence: &CallerFence) -> Result<bool, AgentRefusal> {
        let given = fence.fence;
        let trusted = || Trusted::read(&self.directory).map_err(failed);
        let key = fence.cluster.as_str();
        let Some(cluster) = state.clusters.get_mut(key) else {
            let fences = BTreeMap::from([(fence.store_id.clone(), given.get())]);
            let word = trusted()?.latest();
            let cluster = Cluster { store_id: fence.store_id.clone(), word, fences, ends: Vec::new() };
            state.clusters.insert(key.to_owned(), cluster);
            return Ok(true);
        };
        let mut changed = false;
        if cluster.store_id != fence.store_id {
            let Some(word) = trusted()?.granted_after(&fence.store_id, cluster.word) else {
                return Err(AgentRefusal::StoreNotTrusted {
                    cluster: key.to_owned(),
                    given: fence.store_id.clone(),
                    known: cluster.store_id.clone(),
                });
            };
            cluster.word = word;
            cluster.store_id.clone_from(&fence.store_id);
            changed = true;
        }
        let highest = cluster.fences.get(&fence.store_id).copied().map(Fence::new);
        match highest {
            Some(highest) if given < highest => Err(AgentRefusal::Fenced { given, highest }),
            Some(highest) if given == highest => Ok(changed),
            Some(_) | None => {
                cluster.fences.insert(fence.store_id.clone(), given.get());
                Ok(true)
            }
        }
    }

    fn write(&self, state: &mut State, next: State) -> Result<(), AgentRefusal> {
        files::replace(&self.directory, FILE, &next).map_err(failed)?;
        *state = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(error: FileError) -> AgentRefusal {
    AgentRefusal::LedgerFailed { passes: error.passes(), problem: error.to_string() }
}

/// How long an end still counts. One that lies further in the future than the period comes from a clock that was set back,
/// and must not block for hours.
fn rest(end: &End, now: Timestamp, period: Duration) -> Option<Duration> {
    let at = Timestamp::from_micros(end.at_micros);
    if at.since(now) > period {
        return None;
    }
    let rest = at.plus(period).since(now);
    (!rest.is_zero()).then_some(rest)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
