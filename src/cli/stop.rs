//! `obsteward stop`: shows what a stop would meet, stops there when a check blocks, and otherwise asks for the task.

use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use uuid::Uuid;

use super::client::{Client, QUICK, SLOW, bounded};
use super::exit::Exit;
use super::failure::Failure;
use super::follow::{FollowOptions, follow};
use super::json::server::{PlanDoc, StopDoc};
use super::json::task::TaskDoc;
use super::output::{Format, Output};
use super::plan::plan_lines;
use super::resolve::{self, ServerName, parse_server};
use super::retry::{Backoff, is_lost};
use super::{lines, times, words};
use crate::clock::{Clock, monotonic_now};
use crate::domain::ids::LARGEST_ID;
use crate::proto::v1;

/// How long a request whose answer was lost is repeated.
const REPEAT_FOR: Duration = Duration::from_secs(60);

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER", required_unless_present = "cluster_id")]
    cluster: Option<String>,
    /// Server, by ip:rpc_port, IP or id
    #[arg(value_name = "SERVER", required_unless_present = "server_id", value_parser = parse_server)]
    server: Option<ServerName>,
    /// Cluster, by id
    #[arg(
        long,
        value_name = "ID",
        requires = "server_id",
        conflicts_with_all = ["cluster", "server"],
        value_parser = value_parser!(i64).range(1..=LARGEST_ID)
    )]
    cluster_id: Option<i64>,
    /// Server, by id
    #[arg(
        long,
        value_name = "ID",
        requires = "cluster_id",
        conflicts_with_all = ["cluster", "server"],
        value_parser = value_parser!(i64).range(1..=LARGEST_ID)
    )]
    server_id: Option<i64>,
    /// Go on where a check warns or blocks overridably; every check is still made and every override recorded
    #[arg(long)]
    force: bool,
    /// Accept a risk by name: QUORUM_LOSS or CLUSTER_UNREACHABLE; may be given more than once
    #[arg(long = "accept-risk", value_name = "RISK", value_parser = words::parse_risk)]
    accept_risks: Vec<v1::Risk>,
    /// What is stopped: the service and then the process, or only the service
    #[arg(long = "type", value_enum, default_value_t = Kind::Process)]
    kind: Kind,
    /// Freeze the server (MINOR FREEZE) before its process is ended, so that it has less to replay when it comes back
    #[arg(long)]
    freeze: bool,
    /// The process is never ended later than this from now [default: the server's, two hours]
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    expire_in: Option<Duration>,
    /// UUID of this request: repeating it gets the same task [default: a new one]
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// Only show the plan; exit code 3 when it blocks
    #[arg(long, conflicts_with_all = ["watch", "request_id", "expire_in"])]
    plan: bool,
    /// Follow the task to its end
    #[arg(long)]
    watch: bool,
    /// With --watch: stop following after this time, with exit code 4; the task goes on
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = times::parse_duration)]
    timeout: Option<Duration>,
}

/// Kind of stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The service, then the process
    Process,
    /// The service only; the process keeps running
    Service,
}

impl Kind {
    const fn to_proto(self) -> v1::StopType {
        match self {
            Self::Process => v1::StopType::Process,
            Self::Service => v1::StopType::Service,
        }
    }
}

/// Runs the command.
pub async fn run(args: StopArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let (cluster_id, server_id) = target(&args, client).await?;
    let request = v1::PlanStopServerRequest {
        cluster_id,
        server_id,
        force: args.force,
        accept_risks: args.accept_risks.iter().map(|risk| *risk as i32).collect(),
        r#type: args.kind.to_proto() as i32,
        freeze_before_stop: args.freeze,
    };
    let plan = client.call("plan stop server", SLOW, client.servers().plan_stop_server(request)).await?.plan;
    let plan =
        plan.ok_or_else(|| Failure::Refused("the server answered without a plan, nothing was stopped".to_owned()))?;
    same_server(&args, &plan)?;
    show_plan(&args, &plan, output)?;
    if args.plan {
        return Ok(if plan.allowed { Exit::Done } else { Exit::Refused });
    }
    if !plan.allowed && args.request_id.is_none() {
        return Err(Failure::Refused(blocked(&plan)));
    }
    if !plan.allowed {
        // What blocks may be the very task that this request was accepted as; a new one refuses itself.
        output.note("the plan blocks; the request is sent all the same, as it may have been accepted before");
    }
    let request = stop_request(&args, &plan, &Clock::system());
    let task = send(client, output, &request).await?;
    match output.format {
        Format::Text => output.line(&format!("task {} {}: {}", task.id, task.name, lines::target(&task)))?,
        Format::Json => {
            let request_id = Some(request.request_id.clone());
            let document = StopDoc { plan: PlanDoc::from(&plan), request_id, task: Some(TaskDoc::from(&task)) };
            if args.watch { output.json_line(&document)? } else { output.document(&document)? }
        }
    }
    if !args.watch {
        if output.format == Format::Text {
            output.note(&format!("follow it with: obsteward watch {}", task.id));
        }
        return Ok(Exit::Done);
    }
    let task_id = task.id;
    let options = FollowOptions { seed: Some(task), progress: true, timeout: args.timeout, ..FollowOptions::default() };
    Ok(follow(client, output, task_id, options).await?.exit)
}

async fn target(args: &StopArgs, client: &Client) -> Result<(i64, i64), Failure> {
    match (args.cluster_id, args.server_id, &args.cluster, &args.server) {
        (Some(cluster_id), Some(server_id), _, _) => Ok((cluster_id, server_id)),
        (_, _, Some(cluster), Some(server)) => {
            let cluster_id = resolve::cluster(client, cluster).await?;
            Ok((cluster_id, resolve::server(client, cluster_id, server).await?))
        }
        (_, _, _, _) => {
            Err(Failure::Usage("name the cluster and the server: obsteward stop CLUSTER SERVER".to_owned()))
        }
    }
}

/// Between the look-up and the plan an id could have come to mean another server.
fn same_server(args: &StopArgs, plan: &v1::StopPlan) -> Result<(), Failure> {
    match &args.server {
        Some(ServerName::Address(address)) if address.to_string() != plan.address => Err(Failure::Refused(format!(
            "{address} was asked for, but the plan is for {}, nothing was stopped",
            plan.address
        ))),
        Some(ServerName::Address(_) | ServerName::Ip(_) | ServerName::Id(_)) | None => Ok(()),
    }
}

/// The plan is the data of `--plan`; otherwise it is for the person, and the task is the data.
fn show_plan(args: &StopArgs, plan: &v1::StopPlan, output: &Output) -> Result<(), Failure> {
    match output.format {
        Format::Text if args.plan => output.lines(plan_lines(plan, true, output.paint)),
        Format::Text => {
            output.note(&plan_lines(plan, false, output.note_paint()).join("\n"));
            Ok(())
        }
        Format::Json if args.plan || (!plan.allowed && args.request_id.is_none()) => {
            output.document(&StopDoc { plan: PlanDoc::from(plan), request_id: None, task: None })
        }
        Format::Json => Ok(()),
    }
}

fn blocked(plan: &v1::StopPlan) -> String {
    let blocks = |check: &&v1::PlanCheck| check.verdict() == v1::Verdict::Block && !check.overridden;
    let names: Vec<_> = plan.checks.iter().filter(blocks).map(|check| check.name.as_str()).collect();
    let names = if names.is_empty() { "a check".to_owned() } else { names.join(", ") };
    format!("the stop of {} is blocked by {names}; nothing was changed", plan.address)
}

fn stop_request(args: &StopArgs, plan: &v1::StopPlan, clock: &Clock) -> v1::StopServerRequest {
    v1::StopServerRequest {
        cluster_id: plan.cluster_id,
        server_id: plan.server_id,
        force: args.force,
        accept_risks: args.accept_risks.iter().map(|risk| *risk as i32).collect(),
        r#type: args.kind.to_proto() as i32,
        request_id: args.request_id.unwrap_or_else(Uuid::new_v4).to_string(),
        // What the person was shown is what is stopped, or nothing.
        expected_server: plan.address.clone(),
        expire_time: args.expire_in.map(|expire_in| times::to_proto(clock.now().plus(expire_in))),
        freeze_before_stop: args.freeze,
    }
}

/// Asks for the task; a lost answer is asked for again with the same id, which gets the same task.
async fn send(client: &Client, output: &Output, request: &v1::StopServerRequest) -> Result<v1::Task, Failure> {
    let mut backoff = Backoff::default();
    let until = monotonic_now() + REPEAT_FOR;
    loop {
        let status = match bounded(QUICK, client.servers().stop_server(request.clone())).await {
            Ok(v1::StopServerResponse { task: Some(task) }) => return Ok(task),
            Ok(v1::StopServerResponse { task: None }) => {
                let id = &request.request_id;
                return Err(Failure::Unknown(format!(
                    "the server answered request {id} without a task, see tasks list"
                )));
            }
            Err(status) => status,
        };
        let pause = backoff.pause(&status);
        if !is_lost(&status) || monotonic_now() + pause >= until {
            let lost = is_lost(&status);
            let mut failure = client.failure("stop server", status);
            if let Failure::Rpc { hint, .. } = &mut failure
                && lost
            {
                *hint = Some(format!(
                    "repeat the command with --request-id {}: if the task was accepted, the same one answers",
                    request.request_id
                ));
            }
            return Err(failure);
        }
        output.note(&format!("no answer yet, asking again with the same request id in {}", times::brief(pause)));
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: StopArgs,
    }

    fn args(line: &str) -> StopArgs {
        Line::try_parse_from(format!("stop {line}").split_whitespace()).unwrap().args
    }

    fn plan() -> v1::StopPlan {
        let check = |name: &str, verdict: v1::Verdict, overridden| v1::PlanCheck {
            name: name.to_owned(),
            verdict: verdict as i32,
            overridden,
            ..Default::default()
        };
        v1::StopPlan {
            cluster_id: 1,
            server_id: 2,
            address: "10.0.0.2:2882".to_owned(),
            checks: vec![
                check("LOG_IN_SYNC", v1::Verdict::Block, true),
                check("MAJORITY", v1::Verdict::Block, false),
                check("ROOT_SERVICE", v1::Verdict::Info, false),
            ],
            ..Default::default()
        }
    }

    #[test]
    fn the_request_is_for_what_was_shown_and_has_an_id() {
        let clock = Clock::system();
        let args = args("ob 2 --force --accept-risk quorum-loss --type service --expire-in 2h");
        let request = stop_request(&args, &plan(), &clock);
        assert_eq!(request.expected_server, "10.0.0.2:2882");
        assert_eq!((request.force, request.r#type()), (true, v1::StopType::Service));
        assert_eq!(request.accept_risks, [v1::Risk::QuorumLoss as i32]);
        assert!(request.request_id.parse::<Uuid>().is_ok());
        let left = times::moment(request.expire_time.as_ref()).unwrap().since(clock.now());
        assert!(left > Duration::from_secs(7100) && left <= Duration::from_secs(7200));
    }

    #[test]
    fn a_given_id_is_kept_and_no_expiry_is_the_servers() {
        let id = "6a1b3c1e-52a7-4b6c-9f6b-0d4d0e0a8f11";
        let request = stop_request(&args(&format!("ob 2 --request-id {id}")), &plan(), &Clock::system());
        assert_eq!((request.request_id.as_str(), request.expire_time), (id, None));
        assert_eq!((request.r#type(), request.freeze_before_stop), (v1::StopType::Process, false));
        assert!(stop_request(&args("ob 2 --freeze"), &plan(), &Clock::system()).freeze_before_stop);
    }

    #[test]
    fn only_what_really_blocks_is_named() {
        assert_eq!(blocked(&plan()), "the stop of 10.0.0.2:2882 is blocked by MAJORITY; nothing was changed");
    }

    #[test]
    fn another_server_than_the_named_one_is_refused() {
        assert!(same_server(&args("ob 10.0.0.2:2882"), &plan()).is_ok());
        assert_eq!(same_server(&args("ob 10.0.0.3:2882"), &plan()).unwrap_err().exit(), Exit::Refused);
    }
}
