//! `obsteward tasks list`.

use clap::Args;

use crate::cli::client::{Client, READ_TIMEOUT};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::lines::short_target;
use crate::cli::listed::Listed;
use crate::cli::output::Output;
use crate::cli::pages;
use crate::cli::resolve::{self, ServerName, parse_server};
use crate::cli::table::Table;
use crate::cli::times;
use crate::cli::words;
use crate::proto::v1;

/// Arguments of `tasks list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only tasks of this cluster, by name or id
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Only tasks of this server, by ip:rpc_port, IP or id (--server is the URL)
    #[arg(long, value_name = "SERVER", requires = "cluster", value_parser = parse_server)]
    ob_server: Option<ServerName>,
    /// Only tasks in this state; may be given more than once
    #[arg(long = "state", value_name = "STATE", value_parser = words::parse_task_state)]
    states: Vec<v1::TaskState>,
    /// Only tasks that this principal created
    #[arg(long, value_name = "PRINCIPAL", default_value = "", hide_default_value = true)]
    creator: String,
    /// Most tasks to list
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub async fn run(args: ListArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = match &args.cluster {
        Some(cluster) => Some(resolve::cluster(client, cluster).await?),
        None => None,
    };
    let server_id = match (cluster_id, &args.ob_server) {
        (Some(cluster_id), Some(server)) => Some(resolve::server(client, cluster_id, server).await?),
        // The arguments let no server stand without its cluster.
        (_, _) => None,
    };
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let states: Vec<i32> = args.states.iter().map(|state| *state as i32).collect();
    let tasks = pages::first(limit, async |page_size, page_token| {
        let (states, creator) = (states.clone(), args.creator.clone());
        let request = v1::ListTasksRequest { cluster_id, server_id, states, creator, page_size, page_token };
        let page = client.call("list tasks", READ_TIMEOUT, client.tasks().list_tasks(request)).await?;
        Ok((page.tasks, page.next_page_token))
    });
    let (tasks, more) = tasks.await?;
    Listed::first("tasks", &tasks, more).show(output, table)
}

fn table(tasks: &[v1::Task]) -> Table {
    let mut table = Table::new(&["ID", "CREATED", "STATE", "CLUSTER", "SERVER", "NAME", "CREATOR"]).with_wide(&[
        "OPERATION",
        "BEGAN",
        "ENDED",
        "REVISION",
        "TRACE",
        "REASON",
    ]);
    for task in tasks {
        let cluster = task.cluster.as_ref().map(|cluster| format!("{} ({})", cluster.name, cluster.id));
        table.row([
            task.id.to_string(),
            times::shown(task.create_time.as_ref()),
            words::task_state(task.state).into_owned(),
            cluster.unwrap_or_default(),
            short_target(task),
            task.name.clone(),
            task.creator.clone(),
            words::task_operation(task.operation).into_owned(),
            times::shown(task.start_time.as_ref()),
            times::shown(task.finish_time.or(task.resting_since).as_ref()),
            task.revision.to_string(),
            task.trace_id.clone(),
            task.reason.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use crate::cli::style::Paint;
    use crate::cli::view::tests::task;
    use crate::proto::v1;

    #[test]
    fn one_line_per_task() {
        assert_eq!(
            super::table(&[task()]).lines(Paint::Plain),
            [
                "ID     CREATED                   STATE    CLUSTER  SERVER         NAME            CREATOR",
                "12345  2026-01-02T03:04:05.678Z  RUNNING  ob (1)   10.0.0.2:2882  Stop OB server  alice",
            ]
        );
    }

    #[test]
    fn wide_says_what_it_does_and_why() {
        let mut task = task();
        task.set_operation(v1::TaskOperation::Rollback);
        (task.resting_since, task.reason) = (task.create_time, "CHG-7".to_owned());
        task.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736".to_owned();
        assert_eq!(
            super::table(&[task]).wide_lines(Paint::Plain)[1].split_once("alice").unwrap().1,
            "    ROLLBACK   -      2026-01-02T03:04:05.678Z  1         4bf92f3577b34da6a3ce929d0e0e4736  CHG-7"
        );
    }
}
