//! `obsteward tasks give-up`.

use clap::Args;

use super::verb::{ask, revision, task_of};
use crate::cli::client::Client;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::lines::{self, result_line};
use crate::cli::output::{Format, Output};
use crate::cli::table::flat;
use crate::proto::json::Json;
use crate::proto::v1;

/// Arguments of `tasks give-up`.
#[derive(Debug, Args)]
pub struct GiveUpArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
    /// Refused unless the task is at this revision [default: the one it is at now]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    if_revision: Option<i64>,
}

/// A warning of a closed task; what it leaves behind without its code.
fn told(warning: &v1::TaskWarning) -> String {
    match warning.code.as_str() {
        "EFFECT_STAYS" | "LEFT_BEHIND" => format!("left behind: {}", flat(&warning.text)),
        _ => format!("warning: {}", lines::warning(warning)),
    }
}

/// What is left behind is shown as warnings.
pub async fn run(args: GiveUpArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let if_revision = revision(client, args.task, args.if_revision).await?;
    let request = v1::GiveUpTaskRequest { task_id: args.task, if_revision: Some(if_revision), reason: client.reason() };
    let call = async || client.tasks().give_up_task(request.clone()).await;
    let task = task_of(ask(client, output, "give up task", args.task, call).await?.task)?;
    match output.format {
        Format::Text => {
            output.line(&result_line(&task))?;
            for warning in &task.warnings {
                output.note(&told(warning));
            }
        }
        Format::Json => output.document(&Json(&task))?,
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_told_apart_from_what_was_warned_of_before() {
        let told = |code: &str, text: &str| {
            super::told(&v1::TaskWarning { subtask_id: 7, code: code.to_owned(), text: text.to_owned() })
        };
        assert_eq!(
            told("LEFT_BEHIND", "there is no process of 10.0.0.2:2882"),
            "left behind: there is no process of 10.0.0.2:2882"
        );
        assert_eq!(told("EFFECT_STAYS", "this was done: a: b"), "left behind: this was done: a: b");
        assert_eq!(told("SUBTASK_SKIPPED", "step 1 counts as done"), "warning: SUBTASK_SKIPPED: step 1 counts as done");
    }
}
