//! `obsteward tasks show`.

use clap::Args;

use crate::cli::client::{Client, READ_TIMEOUT};
use crate::cli::error::ErrorDoc;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::lines::{approval_end, blocker_lines, held, next_steps, pace, rollout, target, warning};
use crate::cli::output::{Format, Output};
use crate::cli::style::Paint;
use crate::cli::table::{Table, fields, flat};
use crate::cli::times;
use crate::cli::view::TaskView;
use crate::cli::words;
use crate::clock::Clock;
use crate::proto::json::Json;
use crate::proto::v1;

/// How many of those that hold a subtask are named.
const BLOCKERS: usize = 3;

/// Arguments of `tasks show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
}

/// The exit code is about showing the task, not about its state.
pub async fn run(args: ShowArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let task = get(client, args.task).await?;
    match output.format {
        Format::Text => output.lines(details(task, output.paint))?,
        Format::Json => output.document(&Json(&task))?,
    }
    Ok(Exit::Done)
}

pub async fn get(client: &Client, task_id: i64) -> Result<v1::Task, Failure> {
    let task =
        client.call("get task", READ_TIMEOUT, client.tasks().get_task(v1::GetTaskRequest { task_id })).await?.task;
    task.ok_or_else(|| Failure::NoAnswer("the server answered without a task".to_owned()))
}

fn details(task: v1::Task, paint: Paint) -> Vec<String> {
    let view = TaskView::new(task);
    let task = view.task();
    let mut lines = fields(&head(task));
    lines.push(String::new());
    let mut table = Table::new(&["ID", "SUBTASK", "STATE", "EFFECT", "RUN", "BEGAN", "TOOK", "AFTER", "BY"]);
    for subtask in view.subtasks() {
        table.row(row(subtask));
    }
    lines.extend(table.lines(paint));
    for subtask in view.subtasks() {
        if let Some(error) = &subtask.error {
            let document = ErrorDoc::from_kept(error);
            lines.push(paint.red(&format!("{}: {}", flat(&subtask.name), flat(&document.message))));
            lines.extend(document.detail_lines().iter().map(|line| format!("  {}", flat(line))));
        }
        if let Some(progress) = &subtask.progress {
            // What the server saw then, not what this machine's clock says.
            let now = times::moment(progress.update_time.as_ref()).unwrap_or_default();
            let pace: String = pace(progress, now).iter().map(|part| format!(", {part}")).collect();
            lines.push(format!("{}: {}{pace}", flat(&subtask.name), flat(&progress.message)));
            lines.extend(blocker_lines(progress, BLOCKERS).iter().map(|held| format!("  {}", flat(held))));
        }
    }
    section(&mut lines, "overrides", task.overrides.iter().map(override_line).collect());
    section(&mut lines, "warnings", task.warnings.iter().map(warning).collect());
    section(&mut lines, "context", context(task));
    lines.extend(next_steps(task));
    lines
}

fn head(task: &v1::Task) -> Vec<(&'static str, String)> {
    let moment = |timestamp: &Option<prost_types::Timestamp>| times::rfc3339(timestamp.as_ref()).unwrap_or_default();
    let asked: Vec<_> = task
        .force
        .then(|| "force".to_owned())
        .into_iter()
        .chain(task.freeze_before_stop.then(|| "freeze".to_owned()))
        .chain(task.drain.and_then(|drain| drain.try_into().ok()).map(|drain| format!("drain {}", times::brief(drain))))
        .chain(task.accepted_risks.iter().map(|risk| format!("accepts {}", words::risk(*risk))))
        .collect();
    let verbs: Vec<_> = task.allowed_verbs.iter().map(|verb| words::verb(*verb)).collect();
    vec![
        ("task", format!("{} {}", task.id, task.name)),
        ("state", format!("{} ({})", words::task_state(task.state), words::task_operation(task.operation))),
        ("on", target(task)),
        ("type", stop_type(task)),
        ("asked with", asked.join(", ")),
        ("rollout", task.rollout.as_ref().map(|it| rollout(it, Clock::system().now())).unwrap_or_default()),
        ("holds", held(task)),
        ("waits for", waits_for(task)),
        ("approved by", approved_by(task)),
        ("creator", task.creator.clone()),
        ("reason", task.reason.clone()),
        ("created", moment(&task.create_time)),
        ("began", moment(&task.start_time)),
        ("at rest since", moment(&task.resting_since)),
        ("closed", moment(&task.finish_time)),
        ("consent ends", moment(&task.expire_time)),
        ("revision", task.revision.to_string()),
        ("trace", task.trace_id.clone()),
        ("error", task.error.as_ref().map(|error| ErrorDoc::from_kept(error).line()).unwrap_or_default()),
        ("allowed", verbs.join(", ")),
    ]
}

/// Empty for a task that has begun.
fn waits_for(task: &v1::Task) -> String {
    let Some(pending) = &task.pending else { return String::new() };
    let ended = pending.last_approval_end.as_ref().map(|ended| format!("{}; ", approval_end(ended)));
    let again = pending.next_look_time.map(|at| format!(", looked at again by {}", times::shown(Some(&at))));
    let what = if pending.waits_for.is_empty() { "the first look at it" } else { &pending.waits_for };
    format!("{}{}{}", ended.unwrap_or_default(), flat(what), again.unwrap_or_default())
}

fn approved_by(task: &v1::Task) -> String {
    let until = |approval: &v1::TaskApproval| times::shown(approval.expire_time.as_ref());
    let words = |approval: &v1::TaskApproval| format!("{}, until {}", flat(&approval.principal), until(approval));
    task.approval.as_ref().map(words).unwrap_or_default()
}

/// Empty for a task that stops nothing.
fn stop_type(task: &v1::Task) -> String {
    match task.stop_type() {
        v1::StopType::Unspecified => String::new(),
        v1::StopType::Process | v1::StopType::Service => words::stop_type(task.stop_type).into_owned(),
    }
}

fn row(subtask: &v1::Subtask) -> [String; 9] {
    let took = times::moment(subtask.start_time.as_ref())
        .zip(times::moment(subtask.finish_time.as_ref()))
        .map_or_else(|| "-".to_owned(), |(began, ended)| times::brief(ended.since(began)));
    let upstreams: Vec<_> = subtask.upstreams.iter().map(ToString::to_string).collect();
    let effect = match subtask.effect() {
        v1::Effect::Unspecified => "-".to_owned(),
        v1::Effect::None | v1::Effect::Done | v1::Effect::AlreadySo => words::effect(subtask.effect).into_owned(),
    };
    [
        subtask.id.to_string(),
        subtask.name.clone(),
        state(subtask),
        effect,
        subtask.run_time.to_string(),
        times::shown(subtask.start_time.as_ref()),
        took,
        if upstreams.is_empty() { "-".to_owned() } else { upstreams.join(",") },
        subtask.executor.clone(),
    ]
}

/// The state, with what is done with the subtask where that is not its execution.
fn state(subtask: &v1::Subtask) -> String {
    let word = words::subtask_state(subtask.state);
    match subtask.operation() {
        v1::SubtaskOperation::Unspecified | v1::SubtaskOperation::Execute | v1::SubtaskOperation::Retry => {
            word.into_owned()
        }
        v1::SubtaskOperation::Rollback
        | v1::SubtaskOperation::Skip
        | v1::SubtaskOperation::RollbackSkip
        | v1::SubtaskOperation::Cancel => format!("{word} ({})", words::subtask_operation(subtask.operation)),
    }
}

fn override_line(item: &v1::Override) -> String {
    format!("{} by {} ({}): {}", item.check, words::overridden_by(item.overridden_by()), item.principal, item.evidence)
}

fn context(task: &v1::Task) -> Vec<String> {
    task.context.iter().map(|(key, value)| format!("{key} = {value}")).collect()
}

fn section(lines: &mut Vec<String>, title: &str, content: Vec<String>) {
    if !content.is_empty() {
        lines.push(format!("{title}:"));
        lines.extend(content.iter().map(|line| format!("  {}", flat(line))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::view::tests::{at, stuck, task};

    #[test]
    fn subtasks_stand_in_execution_order_with_everything_around() {
        let mut task = task();
        task.set_state(v1::TaskState::Failed);
        task.resting_since = at(9);
        task.allowed_verbs = vec![v1::TaskVerb::Retry as i32, v1::TaskVerb::GiveUp as i32];
        task.subtasks[2].set_state(v1::SubtaskState::Successful);
        task.subtasks[2].set_operation(v1::SubtaskOperation::Skip);
        task.set_stop_type(v1::StopType::Process);
        task.context.insert("zone_name".to_owned(), "zone2".to_owned());
        task.warnings.push(v1::TaskWarning {
            subtask_id: 10,
            code: "PROCESS_STATE_UNKNOWN".to_owned(),
            text: "host silent".to_owned(),
        });
        task.overrides.push(v1::Override {
            check: "LOG_IN_SYNC".to_owned(),
            evidence: "9 s behind".to_owned(),
            overridden_by: v1::OverriddenBy::Force as i32,
            principal: "alice".to_owned(),
        });
        let text = details(task, Paint::Plain).join("\n");
        let places: Vec<_> = ["Prepare stop observer", "Stop server", "Wait observer stop"]
            .iter()
            .map(|name| text.find(name).unwrap())
            .collect();
        assert!(places.is_sorted(), "{text}");
        for part in [
            "type:           PROCESS",
            "SUCCESSFUL (SKIP)",
            "allowed:        RETRY, GIVE_UP",
            "at rest since:  2026-01-02T03:04:14.678Z",
            "  LOG_IN_SYNC by force (alice): 9 s behind",
            "  PROCESS_STATE_UNKNOWN: host silent",
            "context:\n  zone_name = zone2",
            "obsteward tasks give-up 12345",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_running_subtask_says_how_it_goes_on_and_what_holds_it() {
        let mut task = task();
        task.subtasks[0].set_state(v1::SubtaskState::Running);
        task.subtasks[0].progress = Some(stuck());
        let text = details(task, Paint::Plain).join("\n");
        let said = "Stop server: 17 of 40 leaders still on zone2, nothing moved for 45 s\n  \
            LS 1001 of tenant app on 10.0.0.2:2882 has no other replica in sync\n  10.0.0.2:2882 is ACTIVE, and 15 more";
        assert!(text.contains(said), "{text}");
    }
}
