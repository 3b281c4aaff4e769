//! `obsteward rollout`: shows which servers are taken in which order and what keeps each from it, and otherwise asks for the
//! task.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use uuid::Uuid;

use super::accept::{Accepted, send};
use super::begin::BeginArgs;
use super::client::{CLUSTER_TIMEOUT, Client};
use super::exit::{Exit, Goal};
use super::failure::Failure;
use super::output::{Format, Output};
use super::plan::place;
use super::planned::blocks;
use super::resolve::{self, ServerName, parse_server};
use super::table::flat;
use super::watching::Watching;
use super::{times, words};
use crate::clock::Clock;
use crate::proto::json::Json;
use crate::proto::v1;
use crate::proto::v1::rollout_scope::Scope;

/// Arguments of `rollout`.
#[derive(Debug, Args)]
pub struct RolloutArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// What is done with each server
    #[arg(long, value_enum)]
    action: Action,
    /// Which servers: all, or only those of --zone or --observer
    #[arg(long, value_parser = ["all"], required_unless_present_any = ["zones", "servers"], conflicts_with_all = ["zones", "servers"])]
    scope: Option<String>,
    /// The servers of this zone; may be given more than once
    #[arg(long = "zone", value_name = "ZONE", conflicts_with = "servers")]
    zones: Vec<String>,
    /// This server, by address or id; may be given more than once
    #[arg(long = "observer", value_name = "SERVER", value_parser = parse_server)]
    servers: Vec<ServerName>,
    /// How many servers of one zone are out at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    max_parallel: i32,
    /// How long the cluster must be healthy without a break before the next batch [default: as soon as it is]
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    min_healthy: Option<Duration>,
    /// With how many failed servers the rollout stops; one that failed half-way always stops it
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    stop_after: i32,
    /// Pause behind so many servers, until `tasks resume`
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..))]
    pause_after: i32,
    /// With --action hold: how long each server is held at most [default: as long as the cluster keeps its replicas]
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    hold: Option<Duration>,
    /// No server is taken out later than this from now [default: the server's, 24 hours]
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    deadline: Option<Duration>,
    /// Freeze each server (MINOR FREEZE) before its process is ended
    #[arg(long)]
    freeze: bool,
    /// Wait so long for the sessions and open transactions of each server to end before its process is
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    drain: Option<Duration>,
    /// Go on where a check warns or blocks overridably; every check is still made and every override recorded
    #[arg(long)]
    force: bool,
    /// Accept a risk by name: QUORUM_LOSS, CLUSTER_UNREACHABLE or PERMANENT_OFFLINE; may be given more than once
    #[arg(long = "accept-risk", value_name = "RISK", value_parser = words::parse_risk)]
    accept_risks: Vec<v1::Risk>,
    /// UUID of this request: repeating it gets the same task [default: a new one]
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// Only show the plan; exit code 3 when it blocks
    #[arg(long, conflicts_with_all = ["watch", "request_id", "deadline"])]
    pub(super) plan: bool,
    /// When it begins.
    #[command(flatten)]
    begin: BeginArgs,
    /// How far the task is followed.
    #[command(flatten)]
    watching: Watching,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Stop it and start it again
    Restart,
    /// Stop it, hold it until `tasks complete`, and start it again
    Hold,
}

#[derive(Serialize)]
struct PlanDocument<'a> {
    plan: Json<'a, v1::PlanRolloutResponse>,
}

pub async fn run(args: RolloutArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = resolve::cluster(client, &args.cluster).await?;
    let scope = Some(v1::RolloutScope { scope: Some(scope(&args, cluster_id, client).await?) });
    let (action, goal) = match args.action {
        Action::Restart => (v1::RolloutAction::Restart, Goal::Reached),
        Action::Hold => (v1::RolloutAction::Hold, Goal::Held),
    };
    let accept_risks: Vec<i32> = args.accept_risks.iter().map(|risk| *risk as i32).collect();
    let request = v1::PlanRolloutRequest {
        cluster_id,
        scope: scope.clone(),
        force: args.force,
        accept_risks: accept_risks.clone(),
        action: action as i32,
        max_parallel: args.max_parallel,
    };
    let plan = client.call("plan rollout", CLUSTER_TIMEOUT, client.rollouts().plan_rollout(request)).await?;
    match output.format {
        Format::Text if args.plan => output.lines(plan_lines(&plan))?,
        Format::Text => output.note(&plan_lines(&plan).join("\n")),
        Format::Json if args.plan || (!plan.allowed && args.request_id.is_none()) => {
            output.document(&PlanDocument { plan: Json(&plan) })?;
        }
        Format::Json => {}
    }
    if args.plan {
        return Ok(if plan.allowed { Exit::Done } else { Exit::Refused });
    }
    let blocking = plan.plans.iter().flat_map(|plan| &plan.checks).filter(|check| blocks(check)).collect::<Vec<_>>();
    let waits = !blocking.is_empty() && blocking.iter().all(|check| args.begin.waits_for(check));
    if !plan.allowed && !waits && args.request_id.is_none() {
        return Err(Failure::Refused("the rollout is blocked; nothing was changed".to_owned()));
    }
    let request_id = args.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    let request = v1::StartRolloutRequest {
        cluster_id,
        scope,
        request_id: request_id.clone(),
        reason: client.reason(),
        deadline: args.deadline.map(|deadline| times::to_proto(Clock::system().now().plus(deadline))),
        force: args.force,
        accept_risks,
        freeze_before_stop: args.freeze,
        action: action as i32,
        max_parallel: args.max_parallel,
        min_healthy_time: args.min_healthy.map(crate::watch::encode::duration),
        stop_after: args.stop_after,
        pause_after: args.pause_after,
        hold: args.hold.map(crate::watch::encode::duration),
        drain: args.drain.map(crate::watch::encode::duration),
        begin: args.begin.options(),
    };
    let call = async || Ok(client.rollouts().start_rollout(request.clone()).await?.map(|answer| answer.task));
    let task = send(client, output, "start rollout", &request_id, call).await?;
    Accepted { task, plan: None, request_id }.show_until(goal, client, output, args.watching).await
}

async fn scope(args: &RolloutArgs, cluster_id: i64, client: &Client) -> Result<Scope, Failure> {
    if !args.zones.is_empty() {
        return Ok(Scope::Zones(v1::ZoneNames { names: args.zones.clone() }));
    }
    if args.servers.is_empty() {
        return Ok(Scope::All(v1::AllServers {}));
    }
    let mut ids = Vec::new();
    for server in &args.servers {
        ids.push(resolve::server(client, cluster_id, server).await?);
    }
    Ok(Scope::Servers(v1::ServerIds { ids }))
}

/// The order, and what blocks.
fn plan_lines(plan: &v1::PlanRolloutResponse) -> Vec<String> {
    let servers: usize = plan.batches.iter().map(|batch| batch.servers.len()).sum();
    let mut lines = vec![format!("plan: {servers} servers in {} batches", plan.batches.len())];
    for (number, batch) in plan.batches.iter().enumerate() {
        let zone = batch.servers.first().map(|server| flat(&server.zone).to_string()).unwrap_or_default();
        let each: Vec<String> = batch.servers.iter().map(|server| flat(&server.address).to_string()).collect();
        lines.push(format!("  {} {zone}: {}", number + 1, each.join(", ")));
    }
    for stop in &plan.plans {
        let blocks = stop.checks.iter().filter(|check| check.verdict() == v1::Verdict::Block && !check.overridden);
        for check in blocks {
            lines.push(format!("{} is blocked by {}: {}", place(stop), check.name, flat(&check.evidence)));
            if !check.remedy.is_empty() {
                lines.push(format!("    remedy: {}", flat(&check.remedy)));
            }
        }
    }
    lines.push(match plan.allowed {
        true => "verdict: the rollout would begin".to_owned(),
        false => "verdict: the rollout is blocked".to_owned(),
    });
    lines
}
