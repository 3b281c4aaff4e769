//! `obsteward watch`: one task to its end, every task of a cluster or of all as lines, or all of them at a glance on a terminal.

mod blocks;
mod board;
mod lines;
mod many;
mod screen;

use std::time::Duration;

use clap::Args;
use futures::{FutureExt, StreamExt};

use super::client::Client;
use super::exit::Exit;
use super::failure::Failure;
use super::follow::{FollowOptions, follow};
use super::output::Output;
use super::resume::{Message, StreamOpening};
use super::{resolve, times};
use crate::proto::v1;

/// Arguments of `watch`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").args(["task", "cluster", "all"])))]
pub struct WatchArgs {
    /// Id of the task to follow; on a terminal, without it and --cluster or --all: all tasks at a glance
    #[arg(value_name = "TASK_ID")]
    task: Option<i64>,
    /// Follow every task of this cluster, by name or id, a line for each event
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Follow every task that you may see, a line for each event
    #[arg(long)]
    all: bool,
    /// Show only the events after this revision of the task
    #[arg(long, value_name = "REVISION", requires = "task", value_parser = clap::value_parser!(i64).range(0..))]
    after_revision: Option<i64>,
    /// Show the events after this position instead of the open tasks first
    #[arg(long, value_name = "SEQ", conflicts_with = "task", value_parser = clap::value_parser!(i64).range(0..))]
    after_seq: Option<i64>,
    /// Go on while the task rests (failed or cancelled), until it is closed
    #[arg(long, requires = "task")]
    until_closed: bool,
    /// Leave out progress
    #[arg(long)]
    no_progress: bool,
    /// End after this time: with exit code 5 for a task, 0 for many
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    timeout: Option<Duration>,
}

pub async fn run(args: WatchArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    if let Some(task_id) = args.task {
        let options = FollowOptions {
            seed: None,
            after_revision: args.after_revision,
            until_closed: args.until_closed,
            progress: !args.no_progress,
            timeout: args.timeout,
            ..FollowOptions::default()
        };
        return Ok(follow(client, output, task_id, options).await?.exit);
    }
    let cluster_id = match &args.cluster {
        Some(cluster) => Some(resolve::cluster(client, cluster).await?),
        None => None,
    };
    let open = opening(client, cluster_id, !args.no_progress);
    let at_a_glance = args.cluster.is_none() && !args.all && args.after_seq.is_none();
    if at_a_glance && output.live && screen::can_be_drawn_on() {
        return board::show(client, output, open, args.timeout).await;
    }
    let again = match &args.cluster {
        Some(cluster) => format!("obsteward watch --cluster {cluster}"),
        None => "obsteward watch --all".to_owned(),
    };
    lines::follow_all(client, output, open, args.after_seq, args.timeout, &again).await
}

/// Opens the stream of many tasks, at its beginning or behind a position.
fn opening(
    client: &Client,
    cluster_id: Option<i64>,
    progress: bool,
) -> impl FnMut(Option<i64>) -> StreamOpening<Message> + use<> {
    let tasks = client.tasks();
    move |after_seq| {
        let mut tasks = tasks.clone();
        let request = v1::WatchTasksRequest { cluster_id, after_seq, progress };
        async move {
            let stream = tasks.watch_tasks(request).await?.into_inner();
            Ok(stream.map(|message| message.map(Message::from)).boxed())
        }
        .boxed()
    }
}
