//! What the engine does, in the log and in the trace of the request that made its task. A task remembers that trace, so that what is
//! done after a restart, or at another replica, belongs to it too.
//!
//! Each execution of a subtask here is a span below the request's: the request has ended by then, and so has its span, which a span of
//! the whole task would not have before days are over, or never, if the process dies.

use tracing::{Span, error_span, field, info_span};

use crate::domain::event::SubtaskState;
use crate::domain::ids::SubtaskId;
use crate::domain::task::{Subtask, Task};
use crate::telemetry::traces::{self, SPAN};

/// Around the lines that the log has of a task. At this level whatever the filter says: lines of any level bear the trace.
pub(super) fn lines_of_task(task: &Task) -> Span {
    match task.spec.trace {
        None => error_span!(parent: None, "task", id = task.spec.id.get()),
        Some(trace) => error_span!(parent: None, "task", id = task.spec.id.get(), trace_id = %trace.trace_id()),
    }
}

/// Around the lines that it has of a subtask.
pub(super) fn lines_of_subtask(subtask: Option<&Subtask>) -> Span {
    subtask.map_or_else(Span::none, |Subtask { spec, .. }| {
        error_span!("subtask", id = spec.id.get(), step = spec.name.as_str())
    })
}

/// An execution of a subtask, in the trace of its task.
pub(super) fn of_execution(task: &Task, id: SubtaskId) -> Span {
    let Ok(subtask) = task.subtask(id) else { return Span::none() };
    let span = info_span!(
        target: SPAN,
        "subtask",
        otel.name = subtask.spec.name.as_str(),
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
        obsteward.task.id = task.spec.id.get(),
        obsteward.task.name = task.spec.graph.operation.name.as_str(),
        obsteward.cluster = task.spec.cluster.name.as_str(),
        obsteward.subtask.id = id.get(),
        obsteward.subtask.kind = subtask.spec.kind.as_str(),
        obsteward.subtask.operation = subtask.operation.as_str(),
        obsteward.subtask.run_time = subtask.run_time,
        obsteward.subtask.state = field::Empty,
    );
    if !span.is_disabled()
        && let Some(trace) = task.spec.trace
    {
        traces::follow(&span, &trace.to_string());
    }
    span
}

/// Says how it ended. Of an error its reason only: its words may name more than a trace should.
pub(super) fn executed(span: &Span, task: &Task, id: SubtaskId) {
    let Ok(subtask) = task.subtask(id) else { return };
    span.record("obsteward.subtask.state", subtask.state.as_str());
    if subtask.state == SubtaskState::Failed {
        span.record("otel.status_code", "ERROR");
        if let Some(error) = &subtask.error {
            span.record("otel.status_description", error.reason.as_str());
        }
    }
}

/// A commit of a task's events in the store.
pub(super) fn of_commit(task: &Task, events: usize) -> Span {
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    info_span!(target: SPAN, "commit", obsteward.task.id = task.spec.id.get(), obsteward.commit.events = events)
}
