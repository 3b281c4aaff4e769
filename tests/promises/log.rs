//! The log of one task by itself: numbered without gaps, and every transition where the one before left off. Written from
//! the messages, apart from the service's own fold, which it is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind;

use super::{TaskEvidence, graphs, holds, is_of_whole_cluster};

/// What the events of a task come to.
#[derive(Clone, Debug, Default)]
struct Fold {
    revision: i64,
    state: v1::TaskState,
    subtasks: BTreeMap<i64, (v1::SubtaskState, i32)>,
    upstreams: BTreeMap<i64, Vec<i64>>,
    /// Names of the subtasks, and on which servers they act.
    about: BTreeMap<i64, (String, Option<i64>)>,
    /// Outcome of each intent so far.
    intents: BTreeMap<i32, Option<v1::IntentOutcome>>,
    /// Whether it is of a whole cluster.
    whole: bool,
    goes_back: bool,
    /// Subtasks that somebody had passed over.
    skipped: BTreeSet<i64>,
    /// Servers that an intent was recorded for which was not refused.
    touched: BTreeMap<i32, i64>,
}

pub fn is_closed(state: v1::TaskState) -> bool {
    use v1::TaskState as S;
    matches!(state, S::Successful | S::RolledBack | S::Refused | S::GivenUp)
}

/// The fence under which the owner wrote an event, where it says so.
pub fn fence(event: &v1::TaskEvent) -> Option<i64> {
    match event.kind.as_ref()? {
        Kind::IntentRecorded(intent) => Some(intent.fence),
        Kind::Adopted(adopted) => Some(adopted.fence),
        _ => None,
    }
}

/// Everything that is wrong with the log of a task, which calls have returned as these; `set_back`: how far the clock of the
/// service was set back, at most.
pub fn check(task: &TaskEvidence, handles: &[&v1::Task], set_back: Duration, broken: &mut Vec<String>) {
    let id = task.shown.id;
    for event in task.events.iter().filter(|event| event.task_id != id) {
        broken.push(format!("9: an event of task {} is in the log of task {id}", event.task_id));
    }
    for pair in task.events.windows(2).filter(|pair| pair[1].seq <= pair[0].seq) {
        broken.push(format!("9: seq {} of task {id} comes after {}", pair[1].seq, pair[0].seq));
    }
    let mut agreed = 0;
    let folded = Fold::of(&task.events, |fold| {
        for handle in handles.iter().filter(|handle| handle.revision == fold.revision) {
            match fold.agrees(handle) {
                Ok(()) => agreed += 1,
                Err(why) => broken.push(format!("1: task {id} was returned as its log does not say: {why}")),
            }
        }
    });
    if folded.is_ok() && agreed < handles.len() {
        broken.push(format!("1: task {id} was returned at a revision that its log does not have"));
    }
    undone_behind_horizon(task, set_back, broken);
    holds::check(task, set_back, broken);
    match folded {
        Err(why) => broken.push(format!("1: the log of task {id} does not fold: {why}")),
        Ok(fold) => {
            if let Err(why) = fold.agrees(&task.shown) {
                broken.push(format!("1: task {id} is shown as its log does not say: {why}"));
            }
            if fold.state == v1::TaskState::Refused && fold.intents.values().any(|outcome| !happened_not(*outcome)) {
                broken.push(format!("5: task {id} is REFUSED and had an effect or may have one: {:?}", fold.intents));
            }
            let open = |outcome: &Option<v1::IntentOutcome>| outcome.is_none();
            if fold.state == v1::TaskState::Successful && fold.intents.values().any(open) {
                broken.push(format!("5: task {id} is SUCCESSFUL with an intent that nothing is said of"));
            }
        }
    }
}

/// Nothing is undone while it may still happen.
fn undone_behind_horizon(task: &TaskEvidence, set_back: Duration, broken: &mut Vec<String>) {
    let mut goes_back = false;
    let mut open: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for event in &task.events {
        match &event.kind {
            Some(Kind::TaskTransition(moved)) => goes_back = moved.operation() == v1::TaskOperation::Rollback,
            Some(Kind::IntentRecorded(intent)) if goes_back => {
                let now = event.event_time.as_ref().map_or(0, micros) + i64::try_from(set_back.as_micros()).unwrap();
                let mut before =
                    open.iter().filter(|(_, (subtask, until))| *subtask == intent.subtask_id && *until > now);
                if let Some((number, _)) = before.next() {
                    let (id, intent) = (task.shown.id, intent.intent);
                    broken.push(format!(
                        "5: intent {intent} of task {id} undoes intent {number}, which may still happen"
                    ));
                }
            }
            Some(Kind::IntentRecorded(intent)) => {
                let until = intent.horizon.as_ref().map_or(0, micros);
                open.insert(intent.intent, (intent.subtask_id, until));
            }
            Some(Kind::IntentSettled(settled)) if settled.outcome() != v1::IntentOutcome::Unknown => {
                open.remove(&settled.intent);
            }
            _ => {}
        }
    }
}

/// The event with which a task took its cluster; `None`: it never did.
pub fn begun(events: &[v1::TaskEvent]) -> Option<&v1::TaskEvent> {
    let begins = |event: &&v1::TaskEvent| match &event.kind {
        Some(Kind::Created(created)) => {
            created.task.as_ref().is_some_and(|task| task.state() != v1::TaskState::Pending)
        }
        Some(Kind::TaskTransition(moved)) => {
            moved.from() == v1::TaskState::Pending && moved.to() == v1::TaskState::Running
        }
        _ => false,
    };
    events.iter().find(begins)
}

pub fn micros(time: &prost_types::Timestamp) -> i64 {
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1000
}

fn happened_not(outcome: Option<v1::IntentOutcome>) -> bool {
    matches!(outcome, Some(v1::IntentOutcome::Refused | v1::IntentOutcome::Void))
}

impl Fold {
    /// Of the events from the first on; `each`: what it has come to behind each of them.
    fn of(events: &[v1::TaskEvent], mut each: impl FnMut(&Self)) -> Result<Self, String> {
        let mut fold = Self::default();
        for event in events {
            if event.revision != fold.revision + 1 {
                return Err(format!("revision {} follows {}", event.revision, fold.revision));
            }
            fold.revision = event.revision;
            let kind = event.kind.as_ref().ok_or_else(|| format!("revision {} is nothing", event.revision))?;
            fold.apply(kind).map_err(|why| format!("revision {}: {why}", event.revision))?;
            each(&fold);
        }
        Ok(fold)
    }

    fn apply(&mut self, kind: &Kind) -> Result<(), String> {
        if self.revision == 1 {
            let Kind::Created(created) = kind else { return Err("the first event is not the creation".to_owned()) };
            let task = created.task.as_ref().ok_or("it was created as nothing")?;
            self.state = task.state();
            self.subtasks = task.subtasks.iter().map(|one| (one.id, (one.state(), one.run_time))).collect();
            self.upstreams = task.subtasks.iter().map(|one| (one.id, one.upstreams.clone())).collect();
            let about = |one: &v1::Subtask| (one.name.clone(), one.server.as_ref().map(|server| server.id));
            self.whole = is_of_whole_cluster(task);
            self.about = task.subtasks.iter().map(|one| (one.id, about(one))).collect();
            return Ok(());
        }
        if is_closed(self.state) {
            return Err(format!("something happened after it was closed as {:?}", self.state));
        }
        match kind {
            Kind::Created(_) => return Err("it was created a second time".to_owned()),
            Kind::TaskTransition(moved) => {
                if moved.from() != self.state || moved.to() == self.state {
                    return Err(format!("from {:?} to {:?} while {:?}", moved.from(), moved.to(), self.state));
                }
                self.state = moved.to();
                self.goes_back = moved.operation() == v1::TaskOperation::Rollback;
            }
            Kind::SubtaskTransition(moved) => self.move_subtask(moved)?,
            Kind::IntentRecorded(intent) => {
                self.runs(intent.subtask_id)?;
                let next = i32::try_from(self.intents.len()).unwrap() + 1;
                if intent.intent != next {
                    return Err(format!("intent {} where {next} is next", intent.intent));
                }
                let (name, server) = self.about.get(&intent.subtask_id).cloned().unwrap_or_default();
                if name == graphs::HOLD || name == graphs::GATE {
                    return Err(format!("intent {next} is of {name:?}, which only looks"));
                }
                let ends = intent.connection_id.is_none() && intent.description.starts_with("end pid ");
                if self.whole && ends {
                    self.all_are_frozen()
                        .map_err(|why| format!("intent {next} ends a process of the cluster, {why}"))?;
                }
                self.intents.insert(next, None);
                self.touched.extend(server.map(|server| (next, server)));
            }
            Kind::IntentSettled(settled) => match self.intents.get_mut(&settled.intent) {
                Some(outcome @ (None | Some(v1::IntentOutcome::Unknown))) => {
                    *outcome = Some(settled.outcome());
                    if happened_not(*outcome) {
                        self.touched.remove(&settled.intent);
                    }
                }
                other => return Err(format!("intent {} is settled, which is {other:?}", settled.intent)),
            },
            Kind::ContextRecorded(_)
            | Kind::Override(_)
            | Kind::Adopted(_)
            | Kind::VerbRequested(_)
            | Kind::Warning(_) => {}
            Kind::Approved(_) | Kind::ApprovalEnded(_) if self.state == v1::TaskState::Pending => {}
            Kind::Approved(_) | Kind::ApprovalEnded(_) => {
                return Err(format!("its approval changes while it is {:?}", self.state));
            }
        }
        Ok(())
    }

    /// Whether a process of a whole cluster may be ended: on the way forward, and behind the freeze of every server.
    fn all_are_frozen(&self) -> Result<(), String> {
        if self.goes_back {
            return Err("while the task rolls back".to_owned());
        }
        let freezes = self.about.iter().filter(|(_, (name, _))| name == graphs::FREEZE);
        let (mut freezes, done) = (freezes.map(|(id, _)| id).peekable(), v1::SubtaskState::Successful);
        if freezes.peek().is_none() {
            return Err("and nothing freezes it".to_owned());
        }
        let open =
            |id: &&i64| self.skipped.contains(*id) || self.subtasks.get(*id).is_none_or(|(state, _)| *state != done);
        match freezes.find(open) {
            Some(id) => Err(format!("and freeze {id} has not succeeded")),
            None => Ok(()),
        }
    }

    fn runs(&self, subtask: i64) -> Result<(), String> {
        use v1::SubtaskState as S;
        match self.subtasks.get(&subtask) {
            Some((S::Running | S::Canceling, _)) => Ok(()),
            other => Err(format!("subtask {subtask} acts while it is {other:?}")),
        }
    }

    fn move_subtask(&mut self, moved: &v1::SubtaskTransition) -> Result<(), String> {
        use v1::SubtaskState as S;
        let id = moved.subtask_id;
        if self.state == v1::TaskState::Pending {
            return Err(format!("subtask {id} moves before the task began"));
        }
        let is = self.subtasks.get(&id).copied().ok_or_else(|| format!("there is no subtask {id}"))?;
        if moved.from() != is.0 || moved.to() == is.0 {
            return Err(format!("subtask {id} from {:?} to {:?} while {:?}", moved.from(), moved.to(), is.0));
        }
        if let Some(gate) = self.sealed_by(id) {
            return Err(format!(
                "subtask {id} moves to {:?} behind the health gate {gate}, which was passed",
                moved.to()
            ));
        }
        let again =
            matches!(moved.from(), S::Failed | S::Successful) && moved.operation() == v1::SubtaskOperation::Retry;
        if moved.run_time != is.1 + i32::from(again) {
            return Err(format!("subtask {id} runs for the {}th time after the {}th", moved.run_time, is.1));
        }
        // An undo goes the other way, also behind a retry that failed further ahead.
        if moved.to() == S::Running && moved.operation() != v1::SubtaskOperation::Rollback {
            let left_out = self.about[&id].0 == graphs::GATE;
            let waits = |up: &i64| {
                let unfinished = self.subtasks.get(up).is_none_or(|(state, _)| *state != S::Successful);
                unfinished && !(left_out && self.is_passed_over(*up))
            };
            if self.upstreams[&id].iter().any(waits) {
                return Err(format!("subtask {id} runs before those that it waits for"));
            }
        }
        if moved.operation() == v1::SubtaskOperation::Skip {
            self.skipped.insert(id);
        }
        self.subtasks.insert(id, (moved.to(), moved.run_time));
        Ok(())
    }

    /// The health gate that was passed and that the subtask is before; the gate itself too.
    fn sealed_by(&self, id: i64) -> Option<i64> {
        let passed = |gate: &i64| {
            let is_gate = self.about.get(gate).is_some_and(|(name, _)| name == graphs::GATE);
            is_gate && self.subtasks.get(gate).is_some_and(|(state, _)| *state == v1::SubtaskState::Successful)
        };
        self.subtasks.keys().copied().find(|gate| passed(gate) && (*gate == id || self.is_before(id, *gate)))
    }

    fn is_before(&self, id: i64, other: i64) -> bool {
        let ups = self.upstreams.get(&other).map(Vec::as_slice).unwrap_or_default();
        ups.iter().any(|up| *up == id || self.is_before(id, *up))
    }

    /// Whether a subtask is of a server that failed before anything was done to it, so that a rollout goes on without it.
    fn is_passed_over(&self, id: i64) -> bool {
        let Some((_, Some(server))) = self.about.get(&id) else { return false };
        let failed = self.subtasks.iter().any(|(one, (state, _))| {
            *state == v1::SubtaskState::Failed && self.about.get(one).is_some_and(|(_, of)| of == &Some(*server))
        });
        failed && !self.touched.values().any(|touched| touched == server)
    }

    /// Whether a task is shown as this says.
    fn agrees(&self, shown: &v1::Task) -> Result<(), String> {
        if (self.revision, self.state) != (shown.revision, shown.state()) {
            let (revision, state) = (shown.revision, shown.state());
            return Err(format!("{state:?} at {revision}, not {:?} at {}", self.state, self.revision));
        }
        let subtasks: BTreeMap<_, _> = shown.subtasks.iter().map(|one| (one.id, (one.state(), one.run_time))).collect();
        if self.subtasks == subtasks { Ok(()) } else { Err(format!("{subtasks:?}, not {:?}", self.subtasks)) }
    }
}
