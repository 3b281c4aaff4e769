//! What the agent must not forget, kept before it acts:
//! - the highest fence per store and cluster, and which store operates a cluster;
//! - every StopObserver and StartObserver call by its token before it acts, and its answer after;
//! - when observers of a cluster were ended, for the limit of one per minute.
//!
//! The rules are methods of a value, [`LedgerState`]; where the value is kept is a [`Ledger`]'s business.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::answer::Answer;
use crate::agent::refusal::AgentRefusal;
use crate::agent::trust::Trusted;
use crate::clock::Timestamp;
use crate::domain::host::CallerFence;
use crate::domain::ids::Fence;

/// Calls that are remembered: a token is repeated within minutes, and this is months of ends.
const CALLS_KEPT: usize = 2_000;
/// Ends per cluster that are remembered; the limit looks at the last minute only.
const ENDS_KEPT: usize = 64;

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

/// What the operator trusts, read only by a rule that needs it.
pub type ReadTrusted<'a> = &'a dyn Fn() -> Result<Trusted, AgentRefusal>;

/// Whether a rule changed the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    Yes,
    No,
}

/// Where the state is kept.
pub trait Ledger: Send + Sync {
    /// Asks the state.
    fn read<T>(
        &self,
        question: impl FnOnce(&LedgerState, ReadTrusted<'_>) -> Result<T, AgentRefusal>,
    ) -> Result<T, AgentRefusal>;

    /// Changes the state by a rule. On return the change is kept for good; an error means that nothing has changed.
    fn change(
        &self,
        rule: impl FnOnce(&mut LedgerState, Timestamp, ReadTrusted<'_>) -> Result<Changed, AgentRefusal>,
    ) -> Result<(), AgentRefusal>;

    /// Refuses a caller that lost its cluster, and remembers its fence for the next one.
    fn admit(&self, fence: &CallerFence) -> Result<(), AgentRefusal> {
        self.change(|state, _, trusted| state.admit(fence, trusted))
    }

    /// What is recorded under the token of a call.
    fn recorded(&self, store_id: &str, token: &str, wants: &str) -> Result<Recorded, AgentRefusal> {
        self.read(|state, _| state.recorded(store_id, token, wants))
    }

    /// Records that a new call is about to act: fence, token and, if it will be one, the end.
    fn begin(&self, call: &NewCall<'_>) -> Result<(), AgentRefusal> {
        self.change(|state, now, trusted| state.begin(call, now, trusted).map(|()| Changed::Yes))
    }

    /// Refuses a caller whose cluster was lost since it was admitted. The last look before a signal.
    fn still_current(&self, fence: &CallerFence) -> Result<(), AgentRefusal> {
        self.read(|state, trusted| state.admission(fence, trusted).map(drop))
    }

    /// Records the answer of a call.
    fn answer(&self, fence: &CallerFence, token: &str, answer: Answer) -> Result<(), AgentRefusal> {
        self.change(|state, _, _| {
            state.answer(fence, token, answer);
            Ok(Changed::Yes)
        })
    }
}

/// The record as a value. A rule that refuses has changed nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LedgerState {
    clusters: BTreeMap<String, Cluster>,
    /// Oldest first.
    calls: VecDeque<RecordedCall>,
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

/// What has to be remembered of a caller that is admitted.
struct Admission {
    /// Its cluster is operated from its store from now on, which used up this `agent trust`.
    word: Option<u64>,
    /// Its fence is higher than any before.
    higher: bool,
}

impl LedgerState {
    fn admit(&mut self, fence: &CallerFence, trusted: ReadTrusted<'_>) -> Result<Changed, AgentRefusal> {
        let admission = self.admission(fence, trusted)?;
        Ok(self.remember(fence, &admission))
    }

    fn recorded(&self, store_id: &str, token: &str, wants: &str) -> Result<Recorded, AgentRefusal> {
        let Some(call) = self.calls.iter().find(|call| call.is(store_id, token)) else {
            return Ok(Recorded::New);
        };
        if call.wants != wants {
            return Err(AgentRefusal::TokenReused { token: token.to_owned() });
        }
        Ok(call.answer.clone().map_or(Recorded::WithoutAnswer, Recorded::Answered))
    }

    fn begin(&mut self, call: &NewCall<'_>, now: Timestamp, trusted: ReadTrusted<'_>) -> Result<(), AgentRefusal> {
        let NewCall { fence, token, wants, end } = call;
        let admission = self.admission(fence, trusted)?;
        let key = fence.cluster.as_str();
        if let (Some(cluster), Some(NewEnd { process, one_end_per: period })) = (self.clusters.get(key), *end) {
            let others = cluster.ends.iter().filter(|end| end.process != process);
            if let Some(retry_after) = others.filter_map(|end| rest(end, now, period)).max() {
                return Err(AgentRefusal::TooManyEnds { cluster: key.to_owned(), period, retry_after });
            }
        }
        self.remember(fence, &admission);
        let at_micros = now.as_micros();
        if let (Some(cluster), Some(NewEnd { process, .. })) = (self.clusters.get_mut(key), end) {
            cluster.ends.push(End { at_micros, process: (*process).to_owned(), token: (*token).to_owned() });
            let surplus = cluster.ends.len().saturating_sub(ENDS_KEPT);
            cluster.ends.drain(..surplus);
        }
        self.calls.push_back(RecordedCall {
            store_id: fence.store_id.clone(),
            token: (*token).to_owned(),
            wants: (*wants).to_owned(),
            begun_micros: at_micros,
            answer: None,
        });
        self.keep_calls(CALLS_KEPT);
        Ok(())
    }

    /// Forgets all calls but so many of the newest.
    pub fn keep_calls(&mut self, newest: usize) {
        let surplus = self.calls.len().saturating_sub(newest);
        self.calls.drain(..surplus);
    }

    /// Records an answer. A call that signalled nothing does not count as an end.
    fn answer(&mut self, fence: &CallerFence, token: &str, answer: Answer) {
        let signalled = match &answer {
            Answer::Terminated { .. } | Answer::Killed { .. } | Answer::StillThere { .. } => true,
            Answer::AlreadyGone { .. }
            | Answer::Refused { .. }
            | Answer::Started { .. }
            | Answer::AlreadyRunning { .. }
            | Answer::Died { .. }
            | Answer::Unclear { .. } => false,
        };
        // From behind: it began a moment ago.
        if let Some(call) = self.calls.iter_mut().rev().find(|call| call.is(&fence.store_id, token)) {
            call.answer = Some(answer);
        }
        if let Some(cluster) = self.clusters.get_mut(fence.cluster.as_str()) {
            cluster.ends.retain(|end| signalled || end.token != token);
        }
    }

    /// Refuses a caller that lost its cluster, or one from a store that is not trusted.
    fn admission(&self, fence: &CallerFence, trusted: ReadTrusted<'_>) -> Result<Admission, AgentRefusal> {
        let (given, store_id, key) = (fence.fence, &fence.store_id, fence.cluster.as_str());
        let Some(cluster) = self.clusters.get(key) else {
            return Ok(Admission { word: Some(trusted()?.latest()), higher: true });
        };
        let word = if cluster.store_id == *store_id {
            None
        } else {
            let granted = trusted()?.granted_after(store_id, cluster.word);
            Some(granted.ok_or_else(|| AgentRefusal::StoreNotTrusted {
                cluster: key.to_owned(),
                given: store_id.clone(),
                known: cluster.store_id.clone(),
            })?)
        };
        match cluster.fences.get(store_id).copied().map(Fence::new) {
            Some(highest) if given < highest => Err(AgentRefusal::Fenced { given, highest }),
            highest => Ok(Admission { word, higher: highest != Some(given) }),
        }
    }

    fn remember(&mut self, fence: &CallerFence, admission: &Admission) -> Changed {
        let Admission { word, higher } = *admission;
        if word.is_none() && !higher {
            return Changed::No;
        }
        let store_id = &fence.store_id;
        let cluster = self.clusters.entry(fence.cluster.as_str().to_owned()).or_insert_with(|| Cluster {
            store_id: store_id.clone(),
            word: 0,
            fences: BTreeMap::new(),
            ends: Vec::new(),
        });
        if let Some(word) = word {
            cluster.word = word;
            cluster.store_id.clone_from(store_id);
        }
        cluster.fences.insert(store_id.clone(), fence.fence.get());
        Changed::Yes
    }
}

impl RecordedCall {
    fn is(&self, store_id: &str, token: &str) -> bool {
        self.token == token && self.store_id == store_id
    }
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
