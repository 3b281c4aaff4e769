//! `obsteward demo --walk rolling`: every server of the simulated cluster is restarted, one after the other, while a client goes on
//! writing and a second operator asks for a stop. Afterwards the cluster's own record says whether any log stream ever was
//! without a majority.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio_util::sync::CancellationToken;

use super::{LEFT_TO_STOP, Stage};
use crate::cli::client::{Client, READ_TIMEOUT};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::follow::{FollowOptions, follow};
use crate::cli::output::Output;
use crate::clock::monotonic_now;
use crate::proto::v1;
use crate::proto::v1::rollout_scope::Scope;
use crate::sim::Kind;

/// Between two writes of the client.
const WRITE_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for the answer to one.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the client saw.
#[derive(Clone, Copy, Debug, Default)]
struct Writes {
    done: u64,
    /// Answered with an error or not at all; the next goes to another server.
    failed: u64,
    servers: usize,
}

pub(super) async fn walk(
    stage: &Stage,
    client: &Client,
    cluster_id: i64,
    output: &Output,
) -> Result<(Exit, Option<i64>), Failure> {
    let began = monotonic_now();
    let request = v1::StartRolloutRequest {
        cluster_id,
        scope: Some(v1::RolloutScope { scope: Some(Scope::All(v1::AllServers {})) }),
        action: v1::RolloutAction::Restart.into(),
        ..v1::StartRolloutRequest::default()
    };
    let task = client.change("start rollout", READ_TIMEOUT, client.rollouts().start_rollout(request)).await?.task;
    let task = task.unwrap_or_default();
    output.note("a client writes meanwhile, and a second operator asks for a stop:");
    let stop = v1::StopServerRequest { cluster_id, server_id: LEFT_TO_STOP, ..v1::StopServerRequest::default() };
    match client.servers().stop_server(stop).await {
        Ok(_) => output.note("  the second stop was accepted, which must not be"),
        Err(refused) => output.note(&format!("  refused: {}", refused.message())),
    }
    let endpoints: Vec<(String, u16)> =
        stage.cluster.servers().iter().map(|server| (server.ip.clone(), server.sql_port)).collect();
    let over = CancellationToken::new();
    let writing = tokio::spawn(write(endpoints, over.clone()));
    let options = FollowOptions { progress: true, ..FollowOptions::default() };
    let followed = follow(client, output, task.id, options).await;
    over.cancel();
    let writes = writing.await.unwrap_or_default();
    let followed = followed?;
    let lost = stage.cluster.recorded(Kind::MajorityLost);
    let ended = stage.cluster.recorded(Kind::ProcessEnded).len();
    output.note(&format!(
        "{ended} processes were ended in {:.1} s; {}",
        monotonic_now().duration_since(began).as_secs_f64(),
        match lost.first() {
            None => "by the cluster's own record no log stream ever was without a majority".to_owned(),
            Some(lost) => format!("A MAJORITY WAS LOST: {}", lost.text),
        }
    ));
    let Writes { done, failed, servers } = writes;
    output.note(&format!(
        "the client wrote {done} rows over {servers} servers; sessions that broke and were opened elsewhere: {failed}"
    ));
    let exit = if lost.is_empty() { followed.exit } else { Exit::TaskFailed };
    Ok((exit, Some(task.id)))
}

/// Writes until it is over; whenever that fails, to the next server.
async fn write(endpoints: Vec<(String, u16)>, over: CancellationToken) -> Writes {
    let mut writes = Writes::default();
    let mut used = std::collections::BTreeSet::new();
    for (ip, port) in endpoints.iter().cycle() {
        let options = OptsBuilder::default().ip_or_hostname(ip).tcp_port(*port).user(Some("root@app"));
        let session = async {
            let mut session = tokio::time::timeout(WRITE_TIMEOUT, Conn::new(options.prefer_socket(false))).await??;
            used.insert(ip);
            loop {
                let write = session.query_drop("INSERT INTO walk VALUES (1)");
                tokio::time::timeout(WRITE_TIMEOUT, write).await??;
                writes.done += 1;
                tokio::time::sleep(WRITE_PAUSE).await;
            }
            #[expect(unreachable_code, reason = "says what the error is")]
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        };
        tokio::select! {
            _ = session => writes.failed += 1,
            () = over.cancelled() => break,
        }
        tokio::time::sleep(WRITE_PAUSE).await;
    }
    writes.servers = used.len();
    writes
}
