//! Tasks that this replica writes: how they and their subtasks go, and the effects that are sent for them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Histograms, declare, declare_seconds};

/// From a refusal in the precheck to a rollout over a weekend.
const TASK_BUCKETS: [f64; 14] =
    [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 172_800.0];
const SUBTASK_BUCKETS: [f64; 13] = [0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 7200.0];
/// A statement has seconds, the end of a process its grace.
const EFFECT_BUCKETS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct TransitionLabels {
    task: String,
    state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct TaskLabels {
    task: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct SubtaskLabels {
    subtask: String,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct EffectLabels {
    subtask: String,
    outcome: &'static str,
}

#[derive(Clone, Debug)]
pub struct TaskMetrics {
    transitions: Family<TransitionLabels, Counter>,
    tasks: Histograms<TaskLabels>,
    subtasks: Histograms<SubtaskLabels>,
    effects: Histograms<EffectLabels>,
    taken_over: Counter,
}

impl Default for TaskMetrics {
    fn default() -> Self {
        Self {
            transitions: Family::default(),
            tasks: Histograms::new_with_constructor(|| Histogram::new(TASK_BUCKETS)),
            subtasks: Histograms::new_with_constructor(|| Histogram::new(SUBTASK_BUCKETS)),
            effects: Histograms::new_with_constructor(|| Histogram::new(EFFECT_BUCKETS)),
            taken_over: Counter::default(),
        }
    }
}

impl TaskMetrics {
    /// `task`: the name of its operation.
    pub fn moved(&self, task: &str, state: &'static str) {
        self.transitions.get_or_create(&TransitionLabels { task: task.to_owned(), state }).inc();
    }

    pub fn closed(&self, task: &str, outcome: &'static str, took: Duration) {
        self.tasks.get_or_create(&TaskLabels { task: task.to_owned(), outcome }).observe(took.as_secs_f64());
    }

    /// An execution has ended; `subtask`: the kind of its step.
    pub fn executed(&self, subtask: &str, operation: &'static str, outcome: &'static str, took: Duration) {
        let labels = SubtaskLabels { subtask: subtask.to_owned(), operation, outcome };
        self.subtasks.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// An effect was sent, and this is what its answer says of it.
    pub fn acted(&self, subtask: &str, outcome: &'static str, took: Duration) {
        self.effects.get_or_create(&EffectLabels { subtask: subtask.to_owned(), outcome }).observe(took.as_secs_f64());
    }

    pub fn taken_over(&self) {
        self.taken_over.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { transitions, tasks, subtasks, effects, taken_over } = self;
        let help = "Tasks that came into a state, written by this replica";
        declare(registry, "obsteward_task_transitions", help, transitions.clone());
        let help = "Tasks that were closed, from their acceptance";
        declare_seconds(registry, "obsteward_task_duration", help, tasks.clone());
        let help = "Executions of subtasks that ended";
        declare_seconds(registry, "obsteward_subtask_duration", help, subtasks.clone());
        let help =
            "Effects that were sent, until their answer; of an UNKNOWN one a later look tells whether it happened";
        declare_seconds(registry, "obsteward_effect_duration", help, effects.clone());
        let help = "Tasks that this replica took over, from an earlier process, another replica or an executor that broke down";
        declare(registry, "obsteward_tasks_taken_over", help, taken_over.clone());
    }
}
