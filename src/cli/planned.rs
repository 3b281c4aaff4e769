//! What a stop and a restart have in common: the plan is shown first, and where a check blocks it, the command ends there.

use std::time::Duration;

use clap::Args;
use uuid::Uuid;

use super::accept::AcceptedDocument;
use super::begin::BeginArgs;
use super::client::{CLUSTER_TIMEOUT, Client};
use super::exit::Exit;
use super::failure::Failure;
use super::on_server::OnServer;
use super::output::{Format, Output};
use super::plan::{Heading, is_whole, place, plan_lines};
use super::watching::Watching;
use super::{times, words};
use crate::clock::Clock;
use crate::proto::json::Json;
use crate::proto::v1;

/// Options of `stop` and `restart`.
#[derive(Debug, Args)]
pub struct StopOptions {
    /// Go on where a check warns or blocks overridably; every check is still made and every override recorded
    #[arg(long)]
    pub force: bool,
    /// Accept a risk by name: QUORUM_LOSS, CLUSTER_UNREACHABLE, PERMANENT_OFFLINE for a hold, SERVICE_LOSS for a whole cluster;
    /// may be given more than once
    #[arg(long = "accept-risk", value_name = "RISK", value_parser = words::parse_risk)]
    pub accept_risks: Vec<v1::Risk>,
    /// Freeze each server (MINOR FREEZE) before its process is ended, so that it has less to replay when it comes back
    #[arg(long)]
    pub freeze: bool,
    /// Wait so long, at most an hour, until no client has a session or an open transaction on a server, before its process is
    /// ended; what is left then is a warning
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    pub drain: Option<Duration>,
    /// The process is never ended later than this from now [default: the server's, two hours]
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    pub expire_in: Option<Duration>,
    /// UUID of this request: repeating it gets the same task [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<Uuid>,
    /// Only show the plan of the stop; exit code 3 when it blocks
    #[arg(long, conflicts_with_all = ["watch", "request_id", "expire_in"])]
    pub plan: bool,
    /// When it begins.
    #[command(flatten)]
    pub begin: BeginArgs,
    /// How far the task is followed.
    #[command(flatten)]
    pub watching: Watching,
}

impl StopOptions {
    pub fn risks(&self) -> Vec<i32> {
        self.accept_risks.iter().map(|risk| *risk as i32).collect()
    }

    /// End of the consent, from now.
    pub fn expire_time(&self, clock: &Clock) -> Option<prost_types::Timestamp> {
        self.expire_in.map(|expire_in| times::to_proto(clock.now().plus(expire_in)))
    }

    /// How long clients are waited for.
    pub fn drain(&self) -> Option<prost_types::Duration> {
        self.drain.and_then(|drain| drain.try_into().ok())
    }

    /// UUID of the request: the given one, or a new one.
    pub fn request_id(&self) -> String {
        self.request_id.unwrap_or_else(Uuid::new_v4).to_string()
    }
}

/// How the command goes on behind its plan.
pub enum PlanDecision {
    /// The command ends here.
    Over(Exit),
    /// The plan was shown, and the request is sent.
    Proceed(v1::StopPlan),
}

/// Asks for the plan, shows it, and says whether that was all.
pub async fn plan_first(
    verb: &'static str,
    on: &OnServer,
    kind: v1::StopType,
    options: &StopOptions,
    client: &Client,
    output: &Output,
) -> Result<PlanDecision, Failure> {
    let (cluster_id, server_id) = on.ids(client).await?;
    let request = v1::PlanStopServerRequest {
        cluster_id,
        server_id,
        force: options.force,
        accept_risks: options.risks(),
        r#type: kind as i32,
        freeze_before_stop: options.freeze,
    };
    let plan = client.call("plan stop server", CLUSTER_TIMEOUT, client.servers().plan_stop_server(request)).await?.plan;
    let plan = planned(plan)?;
    on.is(&plan.address)?;
    decide(verb, plan, options, output)
}

/// The same for a zone.
pub async fn plan_zone_first(
    verb: &'static str,
    cluster_id: i64,
    zone: &str,
    options: &StopOptions,
    client: &Client,
    output: &Output,
) -> Result<PlanDecision, Failure> {
    let request = v1::PlanStopZoneRequest {
        cluster_id,
        zone: zone.to_owned(),
        force: options.force,
        accept_risks: options.risks(),
        freeze_before_stop: options.freeze,
    };
    let plan = client.call("plan stop zone", CLUSTER_TIMEOUT, client.zones().plan_stop_zone(request)).await?.plan;
    decide(verb, planned(plan)?, options, output)
}

/// The same for a whole cluster.
pub async fn plan_cluster_first(
    verb: &'static str,
    cluster_id: i64,
    options: &StopOptions,
    client: &Client,
    output: &Output,
) -> Result<PlanDecision, Failure> {
    let request = v1::PlanStopClusterRequest { cluster_id, force: options.force, accept_risks: options.risks() };
    let plan = client.call("plan stop cluster", CLUSTER_TIMEOUT, client.clusters().plan_stop_cluster(request)).await?;
    decide(verb, planned(plan.plan)?, options, output)
}

fn planned(plan: Option<v1::StopPlan>) -> Result<v1::StopPlan, Failure> {
    plan.ok_or_else(|| Failure::Refused("the server answered without a plan, nothing was changed".to_owned()))
}

fn decide(
    verb: &'static str,
    plan: v1::StopPlan,
    options: &StopOptions,
    output: &Output,
) -> Result<PlanDecision, Failure> {
    show(verb, options, &plan, output)?;
    if options.plan {
        return Ok(PlanDecision::Over(if plan.allowed { Exit::Done } else { Exit::Refused }));
    }
    let blocking = plan.checks.iter().filter(|check| blocks(check)).collect::<Vec<_>>();
    if !plan.allowed && !blocking.is_empty() && blocking.iter().all(|check| options.begin.waits_for(check)) {
        output.note("what blocks now is waited for");
        return Ok(PlanDecision::Proceed(plan));
    }
    if !plan.allowed && options.request_id.is_none() {
        return Err(Failure::Refused(blocked(verb, &plan)));
    }
    if !plan.allowed {
        // What blocks may be the very task that this request was accepted as; a new one refuses itself.
        output.note("the plan blocks; the request is sent all the same, as it may have been accepted before");
    }
    Ok(PlanDecision::Proceed(plan))
}

/// The plan is the data of `--plan`; otherwise it is for the person, and the task is the data.
fn show(verb: &'static str, options: &StopOptions, plan: &v1::StopPlan, output: &Output) -> Result<(), Failure> {
    let heading = Heading { verb, freeze: options.freeze || is_whole(plan) };
    match output.format {
        Format::Text if options.plan => output.lines(plan_lines(heading, plan, true, output.paint)),
        Format::Text => {
            output.note(&plan_lines(heading, plan, false, output.note_paint()).join("\n"));
            Ok(())
        }
        Format::Json if options.plan || (!plan.allowed && options.request_id.is_none()) => {
            output.document(&AcceptedDocument { plan: Some(Json(plan)), ..Default::default() })
        }
        Format::Json => Ok(()),
    }
}

pub(super) fn blocks(check: &v1::PlanCheck) -> bool {
    check.verdict() == v1::Verdict::Block && !check.overridden
}

fn blocked(verb: &str, plan: &v1::StopPlan) -> String {
    let names: Vec<_> = plan.checks.iter().filter(|check| blocks(check)).map(|check| check.name.as_str()).collect();
    let names = if names.is_empty() { "a check".to_owned() } else { names.join(", ") };
    format!("the {verb} of {} is blocked by {names}; nothing was changed", place(plan))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A plan of server 2 of cluster 1 in which one of two blocks is overridden.
    pub(in crate::cli) fn plan() -> v1::StopPlan {
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
    fn only_what_really_blocks_is_named() {
        let words = "of 10.0.0.2:2882 is blocked by MAJORITY; nothing was changed";
        assert_eq!(blocked("stop", &plan()), format!("the stop {words}"));
        assert_eq!(blocked("restart", &plan()), format!("the restart {words}"));
    }
}
