//! Tasks and events in words: the line of an event, the rows of a live list, the line of a result. Pure.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::proto::v1;
use crate::proto::v1::task_event::Kind;

use super::error::ErrorDoc;
use super::style::{Mark, Paint};
use super::table::{flat, padded};
use super::view::{Phase, TaskView, phase};
use super::{times, words};

/// Width of the names: the longest of a stop is 24.
const NAME: usize = 26;
/// Marks of a running subtask, one per frame.
const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// An event as one line, with the view as of before or after it (only names are taken from there).
pub fn event_line(view: &TaskView, event: &v1::TaskEvent) -> String {
    let (name, what) = event_words(view, event);
    format!("{}  {}  {}", times::shown(event.event_time.as_ref()), padded(&flat(&name), NAME), flat(&what))
}

fn event_words(view: &TaskView, event: &v1::TaskEvent) -> (String, String) {
    let whole = || view.name(0);
    match &event.kind {
        Some(Kind::Created(created)) => match &created.task {
            Some(task) => (
                task.name.clone(),
                format!(
                    "accepted as task {} by {}{}: {}",
                    event.task_id,
                    task.creator,
                    because(&task.reason),
                    target(task)
                ),
            ),
            None => (whole(), format!("accepted as task {}", event.task_id)),
        },
        Some(Kind::TaskTransition(transition)) => {
            let (from, to) = (words::task_state(transition.from), words::task_state(transition.to));
            (whole(), format!("{from} -> {to}{}", error_suffix(transition.error.as_ref())))
        }
        Some(Kind::SubtaskTransition(transition)) => {
            let known = view.subtask(transition.subtask_id).map(|subtask| view.name(subtask.id));
            (known.unwrap_or_else(|| transition.name.clone()), subtask_words(transition))
        }
        Some(Kind::IntentRecorded(intent)) => (
            view.name(intent.subtask_id),
            format!("intent {}: {} at {}", intent.intent, intent.description, intent.endpoint),
        ),
        Some(Kind::IntentSettled(intent)) => {
            let outcome = words::intent_outcome(intent.outcome);
            let said = if intent.message.is_empty() { String::new() } else { format!(": {}", intent.message) };
            (view.name(intent.subtask_id), format!("intent {} {outcome}{said}", intent.intent))
        }
        Some(Kind::ContextRecorded(recorded)) => {
            let mut values: Vec<_> = recorded.context.iter().map(|(key, value)| format!("{key}={value}")).collect();
            values.sort();
            let values = if values.is_empty() { "what its steps need".to_owned() } else { values.join(" ") };
            (view.name(recorded.subtask_id), format!("recorded {values}"))
        }
        Some(Kind::Override(item)) => (
            whole(),
            format!(
                "{} overridden by {} ({}): {}",
                item.check,
                words::overridden_by(item.overridden_by()),
                item.principal,
                item.evidence
            ),
        ),
        Some(Kind::Adopted(adopted)) => {
            (whole(), format!("taken over by {} (fence {})", adopted.executor, adopted.fence))
        }
        Some(Kind::VerbRequested(verb)) => (
            view.name(verb.subtask_id.unwrap_or_default()),
            format!("{} asked for by {}{}", words::verb(verb.verb), verb.principal, because(&verb.reason)),
        ),
        Some(Kind::Approved(approved)) => {
            let by = approved.approval.as_ref().map(|approval| approval.principal.as_str()).unwrap_or_default();
            (whole(), format!("approved by {by}{}", because(&approved.reason)))
        }
        Some(Kind::ApprovalEnded(ended)) => (whole(), format!("{}{}", approval_end(ended), because(&ended.reason))),
        Some(Kind::Warning(warning)) => {
            (view.name(warning.subtask_id), format!("warning {}: {}", warning.code, warning.text))
        }
        None => (whole(), format!("event {} of a kind that this version does not know", event.revision)),
    }
}

/// Why an approval does not hold any more.
pub fn approval_end(ended: &v1::ApprovalEnd) -> String {
    let by = flat(&ended.principal);
    match ended.why() {
        v1::ApprovalEndReason::Unspecified => format!("the approval of {by} does not hold any more"),
        v1::ApprovalEndReason::Withdrawn => format!("the approval was withdrawn by {by}"),
        v1::ApprovalEndReason::PlanChanged => format!("the plan has changed since {by} approved it"),
        v1::ApprovalEndReason::ApproverNotPermitted => {
            format!("the approval of {by} ended, who may not act on the cluster any more")
        }
        v1::ApprovalEndReason::Expired => format!("the approval of {by} expired before the task began"),
    }
}

fn subtask_words(transition: &v1::SubtaskTransition) -> String {
    let (from, to) = (words::subtask_state(transition.from), words::subtask_state(transition.to));
    let mut marks = Vec::new();
    match transition.operation() {
        v1::SubtaskOperation::Unspecified | v1::SubtaskOperation::Execute => {}
        v1::SubtaskOperation::Retry
        | v1::SubtaskOperation::Rollback
        | v1::SubtaskOperation::Skip
        | v1::SubtaskOperation::RollbackSkip
        | v1::SubtaskOperation::Cancel => marks.push(words::subtask_operation(transition.operation).into_owned()),
    }
    if transition.run_time > 1 {
        marks.push(format!("run {}", transition.run_time));
    }
    match effect(transition.effect()) {
        "" => {}
        words => marks.push(words.to_owned()),
    }
    let marks = if marks.is_empty() { String::new() } else { format!("  ({})", marks.join(", ")) };
    format!("{from} -> {to}{marks}{}", error_suffix(transition.error.as_ref()))
}

fn error_suffix(error: Option<&tonic_types::pb::Status>) -> String {
    error.map(|error| format!("  {}", ErrorDoc::from_kept(error).line())).unwrap_or_default()
}

pub fn snapshot_line(task: &v1::Task) -> String {
    let at = task.finish_time.or(task.resting_since).or(task.start_time).or(task.create_time);
    let (name, state) = (padded(&flat(&task.name), NAME), words::task_state(task.state));
    format!("{}  {name}  {state} at revision {}: {}", times::shown(at.as_ref()), task.revision, flat(&target(task)))
}

pub fn progress_line(view: &TaskView, progress: &v1::SubtaskProgress) -> String {
    let at = times::shown(progress.update_time.as_ref());
    let now = times::moment(progress.update_time.as_ref()).unwrap_or_default();
    let held = match stalled_for(progress, now) {
        Some(_) => blocker_lines(progress, 1).into_iter().map(|held| format!(": {held}")).collect(),
        None => String::new(),
    };
    let what = format!("{}{}{held}", counted(progress), in_brackets(&pace(progress, now)));
    format!("{at}  {}  ... {}", padded(&flat(&view.name(progress.subtask_id)), NAME), flat(&what))
}

/// A wait that has not moved for longer than this says so.
pub const STALLED: Duration = Duration::from_secs(30);

/// For how long a wait has not moved, when that is long enough to say it.
pub fn stalled_for(progress: &v1::SubtaskProgress, now: Timestamp) -> Option<Duration> {
    times::moment(progress.stalled_since.as_ref()).map(|since| now.since(since)).filter(|stalled| *stalled >= STALLED)
}

/// How a wait goes on, or does not.
pub fn pace(progress: &v1::SubtaskProgress, now: Timestamp) -> Vec<String> {
    let stalled = stalled_for(progress, now).map(|stalled| format!("nothing moved for {}", times::rough(stalled)));
    let remaining = progress.remaining.and_then(|remaining| Duration::try_from(remaining).ok());
    let remaining = remaining.map(|remaining| format!("about {} more", times::rough(remaining)));
    stalled.into_iter().chain(remaining).collect()
}

fn in_brackets(parts: &[String]) -> String {
    if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) }
}

/// What holds a wait: so many by name, and how many more.
pub fn blocker_lines(progress: &v1::SubtaskProgress, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = progress.blockers.iter().take(most).map(blocker).collect();
    let more = usize::try_from(progress.blocker_count).unwrap_or_default().saturating_sub(lines.len());
    if let Some(last) = lines.last_mut().filter(|_| more > 0) {
        last.push_str(&format!(", and {more} more"));
    }
    lines
}

fn blocker(blocker: &v1::ProgressBlocker) -> String {
    let log_stream = blocker.log_stream_id.map(|log_stream| {
        let tenant = match blocker.tenant_name.as_str() {
            "" => blocker.tenant_id.unwrap_or_default().to_string(),
            name => name.to_owned(),
        };
        format!("LS {log_stream} of tenant {tenant}")
    });
    let server = Some(blocker.server_address.clone()).filter(|server| !server.is_empty());
    let what: Vec<String> = log_stream.into_iter().chain(server).collect();
    format!("{} {}", what.join(" on "), blocker.reason).trim_start().to_owned()
}

fn counted(progress: &v1::SubtaskProgress) -> String {
    // A message that counts by itself ("17 of 40 leaders") needs no second count.
    match (progress.done, progress.total) {
        (Some(done), Some(total)) if !progress.message.contains(&total.to_string()) => {
            format!("{} ({done}/{total})", progress.message)
        }
        (_, _) => progress.message.clone(),
    }
}

/// What a task acts on: `10.0.0.2:2882 (zone2) of cluster ob`, `zone2 of cluster ob`.
pub fn target(task: &v1::Task) -> String {
    let part = match &task.target {
        Some(v1::task::Target::Server(server)) => format!("{} ({})", server.address, server.zone),
        Some(v1::task::Target::Zone(_) | v1::task::Target::WholeCluster(_)) | None => short_target(task),
    };
    match &task.cluster {
        Some(cluster) if part.is_empty() => format!("cluster {}", cluster.name),
        Some(cluster) => format!("{part} of cluster {}", cluster.name),
        None => part,
    }
}

/// The part of its cluster that a task acts on, in one word; empty when it is all of it.
pub fn short_target(task: &v1::Task) -> String {
    match &task.target {
        Some(v1::task::Target::Server(server)) => server.address.clone(),
        Some(v1::task::Target::Zone(zone)) => zone.name.clone(),
        Some(v1::task::Target::WholeCluster(v1::WholeCluster {})) | None => String::new(),
    }
}

/// The live list: the task, then its subtasks in execution order.
pub fn rows(view: &TaskView, now: Timestamp, frame: usize, paint: Paint) -> Vec<String> {
    let task = view.task();
    let elapsed = between(task.create_time.as_ref(), task.finish_time.or(task.resting_since).as_ref(), now);
    let state = paint_task_state(task.state(), &words::task_state(task.state), paint);
    // What changes stands first: a narrow terminal cuts the end off.
    let back = if going_back(task) { " (rollback)" } else { "" };
    let mut rows =
        vec![format!("task {}  {state}  {elapsed:>6}  {}{back}  {}", task.id, flat(&task.name), flat(&target(task)))];
    rows.extend(view.subtasks().map(|subtask| subtask_row(view, subtask, now, frame, paint)));
    rows
}

fn subtask_row(view: &TaskView, subtask: &v1::Subtask, now: Timestamp, frame: usize, paint: Paint) -> String {
    let word = padded(&words::subtask_state(subtask.state), 10);
    let name = padded(&flat(&view.name(subtask.id)), NAME);
    let spinner = FRAMES[frame % FRAMES.len()];
    let elapsed = between(subtask.start_time.as_ref(), subtask.finish_time.as_ref(), now);
    let (mark, word, timed, detail) = match subtask.state() {
        v1::SubtaskState::Unspecified | v1::SubtaskState::Pending => match undone(view, subtask) {
            Some(what) => (paint.green("↩"), paint.dim(&word), true, what),
            None => (paint.dim("·"), paint.dim(&word), false, String::new()),
        },
        v1::SubtaskState::Ready => (paint.dim("○"), paint.dim(&word), false, String::new()),
        v1::SubtaskState::Running => (paint.yellow(spinner), paint.yellow(&word), true, running(view, subtask, now)),
        v1::SubtaskState::Canceling => (paint.yellow("!"), paint.yellow(&word), true, running(view, subtask, now)),
        v1::SubtaskState::Failed => {
            let why = subtask.error.as_ref().map(|error| ErrorDoc::from_kept(error).line()).unwrap_or_default();
            (paint.red("✗"), paint.red(&word), true, why)
        }
        v1::SubtaskState::Successful => {
            let skipped = subtask.operation() == v1::SubtaskOperation::Skip;
            let what = if skipped { "skipped" } else { effect(subtask.effect()) };
            (paint.green("✓"), paint.green(&word), true, what.to_owned())
        }
    };
    let elapsed = if timed { elapsed } else { String::new() };
    let again = if subtask.run_time > 1 { format!("run {}  ", subtask.run_time) } else { String::new() };
    format!("{mark} {name}  {word}  {elapsed:>6}  {again}{}", flat(&detail)).trim_end().to_owned()
}

const fn effect(effect: v1::Effect) -> &'static str {
    match effect {
        // Steps that only look or write records have none, which is nothing to tell.
        v1::Effect::Unspecified | v1::Effect::None | v1::Effect::Done => "",
        v1::Effect::AlreadySo => "was so already",
    }
}

/// What was undone of a subtask that is pending again; absent for one that waits to be done.
fn undone(view: &TaskView, subtask: &v1::Subtask) -> Option<String> {
    // One that was ready and never ran has no beginning.
    subtask.start_time?;
    match subtask.operation() {
        v1::SubtaskOperation::Rollback | v1::SubtaskOperation::Cancel => Some(match view.undone(subtask.id) {
            None => "undone".to_owned(),
            Some([]) => "nothing to undo".to_owned(),
            Some(done) => format!("undone: {}", done.join("; ")),
        }),
        v1::SubtaskOperation::RollbackSkip => Some("skipped, counts as undone".to_owned()),
        v1::SubtaskOperation::Unspecified
        | v1::SubtaskOperation::Execute
        | v1::SubtaskOperation::Retry
        | v1::SubtaskOperation::Skip => None,
    }
}

/// What a subtask at work waits for.
pub fn running(view: &TaskView, subtask: &v1::Subtask, now: Timestamp) -> String {
    let back = if subtask.operation() == v1::SubtaskOperation::Rollback { "undo: " } else { "" };
    let what = waits_for(view, subtask, now);
    if what.is_empty() { back.trim_end_matches(": ").to_owned() } else { format!("{back}{what}") }
}

fn waits_for(view: &TaskView, subtask: &v1::Subtask, now: Timestamp) -> String {
    match &subtask.progress {
        Some(progress) => {
            let left = times::moment(progress.deadline.as_ref()).map(|deadline| deadline.since(now));
            let mut parts = pace(progress, now);
            parts.extend(left.map(|left| format!("at most {} more", times::brief(left))));
            format!("{}{}", counted(progress), in_brackets(&parts))
        }
        None => view.note(subtask.id).unwrap_or_default().to_owned(),
    }
}

fn between(from: Option<&prost_types::Timestamp>, to: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    match times::moment(from) {
        Some(from) => times::brief(times::moment(to).unwrap_or(now).since(from)),
        None => String::new(),
    }
}

/// `word`, coloured by the state: green, yellow or red.
pub fn paint_task_state(state: v1::TaskState, word: &str, paint: Paint) -> String {
    task_state_mark(state)(paint, word)
}

/// The colour of a state.
pub fn task_state_mark(state: v1::TaskState) -> Mark {
    match state {
        v1::TaskState::Successful => Paint::green,
        v1::TaskState::Failed | v1::TaskState::Cancelled | v1::TaskState::Refused => Paint::red,
        v1::TaskState::Pending | v1::TaskState::Running | v1::TaskState::Canceling => Paint::yellow,
        v1::TaskState::Unspecified | v1::TaskState::RolledBack | v1::TaskState::GivenUp => |_, word| word.to_owned(),
    }
}

/// Whether a task is being undone, or was.
pub fn going_back(task: &v1::Task) -> bool {
    task.operation() == v1::TaskOperation::Rollback
}

/// How a task ended, in one line.
pub fn result_line(task: &v1::Task) -> String {
    format!("task {} {}: {}", task.id, words::task_state(task.state), flat(&outcome(task)))
}

/// Why a task failed or what it holds, or what it did and how long that took.
pub fn outcome(task: &v1::Task) -> String {
    let failed = task.subtasks.iter().find(|subtask| subtask.state() == v1::SubtaskState::Failed);
    let error = task.error.as_ref().or_else(|| failed.and_then(|subtask| subtask.error.as_ref()));
    match error {
        None if !task.held.is_empty() => held(task),
        Some(error) => {
            let back = |subtask: &v1::Subtask| subtask.operation() == v1::SubtaskOperation::Rollback;
            let undo = |subtask: &v1::Subtask| if back(subtask) { "undo of " } else { "" };
            let place = failed.map(|subtask| format!("{}{}: ", undo(subtask), subtask.name)).unwrap_or_default();
            format!("{place}{}", ErrorDoc::from_kept(error).line())
        }
        None => {
            let end = task.finish_time.or(task.resting_since);
            let took = end.map(|end| between(task.create_time.as_ref(), Some(&end), Timestamp::default()));
            let took = took.filter(|took| !took.is_empty()).map(|took| format!(" in {took}")).unwrap_or_default();
            format!("{} {}{took}", task.name, target(task))
        }
    }
}

/// How far a rollout is: "7 of 12 servers, zone2; about 6 min more".
pub fn rollout(progress: &v1::RolloutProgress, now: Timestamp) -> String {
    let mut words = format!("{} of {} servers", progress.servers_done, progress.servers_total);
    if !progress.zone.is_empty() {
        words.push_str(&format!(", {}", flat(&progress.zone)));
    }
    if progress.servers_passed_over > 0 {
        words.push_str(&format!("; {} passed over", progress.servers_passed_over));
    }
    match (&progress.paused_since, times::moment(progress.estimated_finish_time.as_ref())) {
        (Some(since), _) => {
            let by = match progress.paused_by.as_str() {
                "" => "by itself behind its first servers".to_owned(),
                by => format!("by {}", flat(by)),
            };
            words.push_str(&format!("; paused {by} since {}", times::shown(Some(since))));
        }
        (None, Some(end)) if end > now => {
            words.push_str(&format!("; about {} more", times::rough(end.since(now))));
        }
        // What takes longer than the servers before it is not foretold.
        (None, Some(_) | None) => {}
    }
    words
}

/// What a task holds out of service.
pub fn held(task: &v1::Task) -> String {
    let each = task.held.iter().map(|held| {
        let address = held.server.as_ref().map(|server| flat(&server.address).to_string()).unwrap_or_default();
        format!("{address} is held until {}", times::shown(held.until.as_ref()))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The reason, when one was given.
fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

/// Whether SkipSubtask reaches a subtask now.
fn can_skip(subtask: &v1::Subtask) -> bool {
    subtask.allowed_verbs().any(|verb| verb == v1::TaskVerb::SkipSubtask)
}

pub fn warning(warning: &v1::TaskWarning) -> String {
    format!("{}: {}", warning.code, flat(&warning.text))
}

/// What can be done next with a task that did not succeed; empty when there is nothing to do.
pub fn next_steps(task: &v1::Task) -> Vec<String> {
    let verbs: Vec<v1::TaskVerb> = match (task.allowed_verbs.is_empty(), phase(task.state())) {
        (false, _) => task.allowed_verbs().collect(),
        // Events do not carry the verbs; a task at rest always has these.
        (true, Phase::AtRest) => vec![v1::TaskVerb::Rollback, v1::TaskVerb::GiveUp],
        (true, Phase::Open | Phase::Closed) => Vec::new(),
    };
    let id = task.id;
    // Commands, and what they do.
    let mut steps: Vec<(String, String)> = Vec::new();
    for verb in verbs {
        match verb {
            v1::TaskVerb::Unspecified => {}
            v1::TaskVerb::Retry => steps.push((
                format!("retry {id} --watch"),
                "runs it again from the first step whose result no longer holds".to_owned(),
            )),
            v1::TaskVerb::Rollback => steps.push((
                format!("rollback {id} --watch"),
                if going_back(task) {
                    "goes on with undoing what it did, and frees the cluster".to_owned()
                } else {
                    "undoes what it did, the last first, and frees the cluster".to_owned()
                },
            )),
            v1::TaskVerb::SkipSubtask => {
                let counts = if going_back(task) { "undone" } else { "done" };
                steps.extend(task.subtasks.iter().filter(|subtask| can_skip(subtask)).map(|subtask| {
                    let what = format!("goes on as if {} were {counts}; you answer for that", flat(&subtask.name));
                    (format!("skip {id} {} --watch", subtask.id), what)
                }));
            }
            v1::TaskVerb::Cancel => {
                steps.push((format!("cancel {id}"), "ends what it does; what was done stays as it is".to_owned()));
            }
            v1::TaskVerb::CompleteHold => steps.push((
                format!("complete {id} --watch"),
                "brings back what it holds out of service; the work there is done".to_owned(),
            )),
            v1::TaskVerb::Resume => {
                steps.push((format!("resume {id} --watch"), "goes on with the next servers".to_owned()));
            }
            v1::TaskVerb::Approve => steps.push((
                format!("approve {id}"),
                "shows its plan, and agrees with it; somebody else than who asked for it".to_owned(),
            )),
            v1::TaskVerb::WithdrawApproval => {
                steps.push((format!("withdraw-approval {id}"), "takes its approval back".to_owned()));
            }
            v1::TaskVerb::Pause => {}
            v1::TaskVerb::GiveUp => steps.push((
                format!("give-up {id}"),
                "closes it and frees the cluster; what was done stays as it is".to_owned(),
            )),
        }
    }
    let widest = steps.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let mut lines = Vec::new();
    if phase(task.state()) == Phase::AtRest {
        let cluster = task.cluster.as_ref().map(|cluster| format!(" {}", cluster.name)).unwrap_or_default();
        lines.push(format!("task {id} still holds cluster{cluster}; what you can do next:"));
    }
    lines.extend(steps.iter().map(|(command, what)| format!("  obsteward tasks {command:widest$}  {what}")));
    lines
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
