//! `obsteward tasks plan` and `approve`: the second person.

use clap::Args;
use serde::Serialize;

use super::verb::{ask, show, task_of};
use crate::cli::client::{CLUSTER_TIMEOUT, Client};
use crate::cli::exit::{Exit, Goal};
use crate::cli::failure::Failure;
use crate::cli::lines::target;
use crate::cli::output::{Format, Output};
use crate::cli::plan::{Heading, plan_lines};
use crate::cli::style::Paint;
use crate::cli::watching::Watching;
use crate::proto::json::Json;
use crate::proto::v1;

/// Arguments of `tasks plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
}

/// Arguments of `tasks approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Id of the task
    #[arg(value_name = "TASK_ID")]
    task: i64,
    /// Refused unless its plan has this digest, from `tasks plan` [default: that of the plan which is shown now]
    #[arg(long, value_name = "DIGEST")]
    plan_digest: Option<String>,
    /// How far it is followed.
    #[command(flatten)]
    watching: Watching,
}

#[derive(Serialize)]
struct PlanDocument<'a>(Json<'a, v1::PlanTaskResponse>);

pub async fn plan(args: PlanArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let planned = planned(args.task, client).await?;
    match output.format {
        Format::Json => output.document(&PlanDocument(Json(&planned)))?,
        Format::Text => output.lines(lines(&planned, true, output.paint))?,
    }
    Ok(if planned.plans.iter().all(|plan| plan.allowed) { Exit::Done } else { Exit::Refused })
}

/// What is approved is what is shown, or what was shown before.
pub async fn approve(args: ApproveArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let ApproveArgs { task: task_id, plan_digest, watching } = args;
    let plan_digest = match plan_digest {
        Some(digest) => digest,
        None => {
            let planned = planned(task_id, client).await?;
            output.note(&lines(&planned, false, output.note_paint()).join("\n"));
            planned.plan_digest
        }
    };
    let request = v1::ApproveTaskRequest { task_id, plan_digest, if_revision: None, reason: client.reason() };
    let call = async || client.tasks().approve_task(request.clone()).await;
    let task = task_of(ask(client, output, "approve task", task_id, call).await?.task)?;
    let before = task.revision - 1;
    show(client, output, task, "is approved", before, watching, Goal::Reached).await
}

async fn planned(task_id: i64, client: &Client) -> Result<v1::PlanTaskResponse, Failure> {
    let request = v1::PlanTaskRequest { task_id };
    client.call("plan task", CLUSTER_TIMEOUT, client.tasks().plan_task(request)).await
}

fn lines(planned: &v1::PlanTaskResponse, whole: bool, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(task) = &planned.task {
        let because = if task.reason.is_empty() { String::new() } else { format!(" ({})", task.reason) };
        lines.push(format!("task {} {}: {}, asked for by {}{because}", task.id, task.name, target(task), task.creator));
        for plan in &planned.plans {
            lines.extend(plan_lines(Heading { verb: "stop", freeze: task.freeze_before_stop }, plan, whole, paint));
        }
    }
    lines.push(format!("plan digest: {}", planned.plan_digest));
    lines
}
