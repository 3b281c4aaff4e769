//! The promises (docs/promises.md), held against everything that is known of the tasks of one simulated cluster: what
//! the service shows of them, what its clients were told meanwhile, and the cluster's own record of what really
//! happened. For any test that ends, delays, starves or restores something and then asks whether all is as promised: over
//! real processes (`tests/it`) and in the simulated world (`tests/simulation`) alike.
//!
//! ```ignore
//! let mut evidence = Evidence::gather(&clients, &sim, cluster_id).await; // its tasks are at rest or closed
//! evidence.handles.push(task_as_stop_server_returned_it);
//! evidence.watched.push(events_that_a_watcher_saw);
//! evidence.assert_promises();
//! ```
//!
//! | promise | what is looked for |
//! |---|---|
//! | 1 nothing acknowledged is lost | every handle and every event that a client saw is in the log, as it was seen |
//! | 1, 9 the log | revisions 1, 2, 3, …; every transition begins where the one before ended, and the last state is the one shown |
//! | 2 one operator | tasks follow each other, fences only grow, the lock is held by the open task and by no closed one |
//! | 3 no step twice | a session sends one statement, one intent stands behind each statement and each signal |
//! | 5 done, refused, unknown | DONE is in the record, REFUSED and VOID set no mark and ended nothing, a REFUSED task changed nothing; nothing is undone before its horizon |
//! | 6 the gate | a process was ended only while STOP_TIME was set, and no log stream lost its majority by it, unless a risk that allows more was accepted |
//! | 7 the right process | nothing else was marked, ended or sent |
//! | 9 no transition is missed | what a watcher saw is a part of the log, in order and once |

mod acts;
pub mod cases;
pub mod cluster_faults;
pub mod graphs;
mod holds;
pub mod log;
pub mod scenario;

use std::collections::BTreeMap;
use std::time::Duration;

use obsteward::proto::v1;
use obsteward::sim::{Recorded, SimServerInfo};

/// One task.
#[derive(Clone, Debug)]
pub struct TaskEvidence {
    /// As GetTask shows it: the service's own fold of what is stored.
    pub shown: v1::Task,
    /// Every event from the first.
    pub events: Vec<v1::TaskEvent>,
}

/// What is known of one cluster and its tasks.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The servers of the cluster.
    pub servers: Vec<SimServerInfo>,
    /// The cluster's own record, from its beginning.
    pub record: Vec<Recorded>,
    /// Every task of the cluster that the store knows, in the order of acceptance.
    pub tasks: Vec<TaskEvidence>,
    /// The task that holds the cluster; 0: none.
    pub holder: i64,
    /// Tasks as calls returned them: each was on disk when it was returned.
    pub handles: Vec<v1::Task>,
    /// What watchers of one task saw, one list for each watch that was not interrupted.
    pub watched: Vec<Vec<v1::TaskEvent>>,
    /// Processes that the test itself ended.
    pub ended_by_others: Vec<u32>,
    /// The record up to here was caused by tasks that the store does not know any more: a backup was restored.
    pub forgotten_before: u64,
    /// How far the clock of the service was ahead of the cluster's, at most.
    pub clock_ahead: Duration,
    /// How far it was set back, at most.
    pub clock_set_back: Duration,
}

impl Evidence {
    /// Fails with every promise that is broken.
    #[track_caller]
    pub fn assert_promises(&self) {
        let broken = self.broken();
        assert!(broken.is_empty(), "broken promises:\n  {}\n{self:#?}", broken.join("\n  "));
    }

    /// Every promise that is broken, in words that begin with its number.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = self.broken_in_logs();
        acts::check(self, &mut broken);
        broken
    }

    /// Those that the logs alone tell of; what was done to the cluster stays in its record and is found later as well.
    pub fn broken_in_logs(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut handles: BTreeMap<i64, Vec<&v1::Task>> = BTreeMap::new();
        for handle in &self.handles {
            handles.entry(handle.id).or_default().push(handle);
        }
        for task in &self.tasks {
            log::check(task, &handles.remove(&task.shown.id).unwrap_or_default(), self.clock_set_back, &mut broken);
        }
        broken.extend(handles.keys().map(|id| format!("1: task {id} was returned and is not there")));
        self.watched(&mut broken);
        self.one_operator(&mut broken);
        broken
    }

    /// Whether a person had a subtask of the task passed over.
    fn has_skipped(&self, id: i64) -> bool {
        use v1::task_event::Kind::SubtaskTransition;
        let task = self.tasks.iter().find(|task| task.shown.id == id);
        task.iter().flat_map(|task| &task.events).any(|event| {
            matches!(&event.kind, Some(SubtaskTransition(moved)) if moved.operation() == v1::SubtaskOperation::Skip)
        })
    }

    /// What watchers saw is in the log, in its order and without a gap.
    fn watched(&self, broken: &mut Vec<String>) {
        for seen in &self.watched {
            for pair in seen.windows(2).filter(|pair| pair[1].revision != pair[0].revision + 1) {
                broken.push(format!(
                    "9: a watcher of task {} saw revision {} after {}",
                    pair[1].task_id, pair[1].revision, pair[0].revision
                ));
            }
            for event in seen {
                let task = self.tasks.iter().find(|task| task.shown.id == event.task_id);
                let at = usize::try_from(event.revision - 1).unwrap_or(usize::MAX);
                if !task.and_then(|task| task.events.get(at)).is_some_and(|known| same(known, event)) {
                    broken.push(format!(
                        "1: a watcher saw revision {} of task {}, which is not in the log like that: {event:?}",
                        event.revision, event.task_id
                    ));
                }
            }
        }
    }

    /// Tasks follow each other, their fences grow, and the lock is the open one's.
    fn one_operator(&self, broken: &mut Vec<String>) {
        let mut before: Option<&TaskEvidence> = None;
        let mut fence = 0;
        // One that waited for its beginning holds the cluster from there on; one that never began never does.
        let mut in_turn: Vec<_> =
            self.tasks.iter().filter_map(|task| log::begun(&task.events).map(|begun| (begun, task))).collect();
        in_turn.sort_by_key(|(begun, _)| begun.seq);
        for (begun, task) in in_turn {
            let id = task.shown.id;
            if let Some(before) = before {
                let (ended, begun) = (before.events.last(), Some(begun));
                let follows = log::is_closed(before.shown.state())
                    && ended.zip(begun).is_some_and(|(ended, begun)| ended.seq < begun.seq);
                if !follows {
                    broken.push(format!("2: task {id} began before task {} was closed", before.shown.id));
                }
            }
            let lowest = fence;
            for (event, under) in task.events.iter().filter_map(|event| Some((event, log::fence(event)?))) {
                let is_adoption = matches!(event.kind, Some(v1::task_event::Kind::Adopted(_)));
                if under < fence || under <= lowest || (is_adoption && under <= fence) {
                    broken.push(format!(
                        "2: revision {} of task {id} is under fence {under}, after {fence}",
                        event.revision
                    ));
                }
                fence = fence.max(under);
            }
            if log::is_closed(task.shown.state()) && self.holder == id {
                broken.push(format!("2: task {id} is {:?} and still holds the cluster", task.shown.state()));
            }
            if !log::is_closed(task.shown.state()) && self.holder != id {
                broken.push(format!(
                    "2: task {id} is {:?}, the cluster is held by {}",
                    task.shown.state(),
                    self.holder
                ));
            }
            before = Some(task);
        }
    }
}

/// Whether a task acts on all servers of its cluster at once; a rollout goes through them.
fn is_of_whole_cluster(task: &v1::Task) -> bool {
    task.rollout.is_none() && matches!(task.target, Some(v1::task::Target::WholeCluster(_)))
}

/// The same event, whatever order the values of its error are encoded in: they are a map.
fn same(known: &v1::TaskEvent, seen: &v1::TaskEvent) -> bool {
    use v1::task_event::Kind::{SubtaskTransition, TaskTransition};
    let bare = |event: &v1::TaskEvent| {
        let mut event = event.clone();
        match &mut event.kind {
            Some(TaskTransition(transition)) => transition.error.iter_mut().for_each(|error| error.details.clear()),
            Some(SubtaskTransition(transition)) => transition.error.iter_mut().for_each(|error| error.details.clear()),
            _ => {}
        }
        event
    };
    known == seen || bare(known) == bare(seen)
}
