//! Requests for rollouts, translated into the service's arguments with everything that is wrong collected.

use std::time::Duration;

use crate::api::grpc::fields::{Fields, MOST_HOSTS};
use crate::api::grpc::validate::{begin, drain, request_id, risks};
use crate::domain::hold::TIME_TO_START;
use crate::domain::ids::{ClusterId, ServerId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::domain::rollout::RolloutAction;
use crate::domain::status::Risk;
use crate::proto::v1;
use crate::proto::v1::rollout_scope::Scope;
use crate::service::{PlanRollout, RolloutOf, RolloutScope, StartRollout};

/// Longest time that a cluster is to stay healthy between two batches.
const LONGEST_HEALTHY: Duration = Duration::from_secs(24 * 3600);
/// Longest hold; how long a cluster bears one is known only there.
const LONGEST_HOLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// What the requests to start and to plan a rollout have in common.
struct Common {
    cluster: i64,
    scope: Option<v1::RolloutScope>,
    action: i32,
    max_parallel: i32,
    force: bool,
    risks: Vec<i32>,
}

pub fn start_rollout(request: v1::StartRolloutRequest) -> Result<StartRollout, Refusal> {
    let mut fields = Fields::default();
    let of = rollout_of(
        &mut fields,
        Common {
            cluster: request.cluster_id,
            scope: request.scope,
            action: request.action,
            max_parallel: request.max_parallel,
            force: request.force,
            risks: request.accept_risks,
        },
    );
    let min_healthy = fields.time("min_healthy_time", request.min_healthy_time, LONGEST_HEALTHY).unwrap_or_default();
    let stop_after = count(&mut fields, "stop_after", request.stop_after);
    let pause_after = count(&mut fields, "pause_after", request.pause_after);
    let hold = fields.time("hold", request.hold, LONGEST_HOLD).filter(|hold| !hold.is_zero());
    let drain = drain(&mut fields, request.drain);
    let deadline = fields.moment("deadline", request.deadline);
    let request_id = request_id(&mut fields, &request.request_id);
    let begin = begin(&mut fields, request.begin);
    if let Some(of) = &of {
        if of.action == RolloutAction::Restart && hold.is_some() {
            fields.wrong("hold", "is of ROLLOUT_ACTION_HOLD, and the action is ROLLOUT_ACTION_RESTART: leave it out");
        }
        if of.action == RolloutAction::Restart && of.accepted_risks.contains(&Risk::PermanentOffline) {
            fields.wrong("accept_risks", "PERMANENT_OFFLINE is a risk of a hold, and nothing is held: leave it out");
        }
        if hold.is_some_and(|hold| hold < TIME_TO_START / 60) {
            fields.wrong("hold", "is shorter than 10 s; nobody can work in that time");
        }
    }
    let Some(of) = of else { return Err(fields.refusal()) };
    fields.finish(StartRollout {
        of,
        min_healthy,
        stop_after: stop_after.unwrap_or(1),
        pause_after,
        freeze_before_stop: request.freeze_before_stop,
        drain,
        hold,
        deadline,
        request_id,
        begin,
    })
}

pub fn plan_rollout(request: v1::PlanRolloutRequest) -> Result<PlanRollout, Refusal> {
    let mut fields = Fields::default();
    let of = rollout_of(
        &mut fields,
        Common {
            cluster: request.cluster_id,
            scope: request.scope,
            action: request.action,
            max_parallel: request.max_parallel,
            force: request.force,
            risks: request.accept_risks,
        },
    );
    let Some(of) = of else { return Err(fields.refusal()) };
    fields.finish(PlanRollout(of))
}

fn rollout_of(fields: &mut Fields, common: Common) -> Option<RolloutOf> {
    let cluster = fields.id("cluster_id", common.cluster, ClusterId::new);
    let scope = scope(fields, common.scope);
    let action = match fields.known("action", common.action) {
        Some(v1::RolloutAction::Restart) => Some(RolloutAction::Restart),
        Some(v1::RolloutAction::Hold) => Some(RolloutAction::Hold),
        Some(v1::RolloutAction::Unspecified) => {
            fields.wrong("action", "is not given; write ROLLOUT_ACTION_RESTART or ROLLOUT_ACTION_HOLD");
            None
        }
        None => None,
    };
    let max_parallel = count(fields, "max_parallel", common.max_parallel).unwrap_or(1);
    let accepted_risks = risks(fields, &common.risks, Risk::OF_SERVER);
    Some(RolloutOf {
        cluster: cluster?,
        scope: scope?,
        action: action?,
        max_parallel,
        force: common.force,
        accepted_risks,
    })
}

/// `None`: 0, which is as if it were not given.
fn count(fields: &mut Fields, field: &str, value: i32) -> Option<u32> {
    match u32::try_from(value) {
        Ok(0) => None,
        Ok(value) => Some(value),
        Err(_) => {
            fields.wrong(field, format!("{value} is negative; give 1 or more, or leave it out"));
            None
        }
    }
}

fn scope(fields: &mut Fields, scope: Option<v1::RolloutScope>) -> Option<RolloutScope> {
    match scope.and_then(|scope| scope.scope) {
        Some(Scope::All(v1::AllServers {})) => Some(RolloutScope::All),
        Some(Scope::Zones(v1::ZoneNames { names })) => {
            let parse = |fields: &mut Fields, field: String, name: &String| fields.parse::<ZoneName>(field, name);
            each(fields, "scope.zones.names", &names, parse).map(RolloutScope::Zones)
        }
        Some(Scope::Servers(v1::ServerIds { ids })) => {
            let parse = |fields: &mut Fields, field: String, id: &i64| fields.id(&field, *id, ServerId::new);
            each(fields, "scope.servers.ids", &ids, parse).map(RolloutScope::Servers)
        }
        None => {
            fields.wrong("scope", "is not given; name all, zones or servers");
            None
        }
    }
}

/// Every one is read, and none may be there twice; sorted.
fn each<T, P: Ord + std::fmt::Display>(
    fields: &mut Fields,
    field: &str,
    values: &[T],
    parse: impl Fn(&mut Fields, String, &T) -> Option<P>,
) -> Option<Vec<P>> {
    if values.is_empty() {
        fields.wrong(field, "is empty; name at least one, or give the scope all");
        return None;
    }
    if values.len() > MOST_HOSTS {
        fields.wrong(
            field,
            format!("has {} entries, at most {MOST_HOSTS} are allowed; give the scope all", values.len()),
        );
        return None;
    }
    let mut read: Vec<P> = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let Some(value) = parse(fields, format!("{field}[{index}]"), value) else { continue };
        if read.contains(&value) {
            fields.wrong(format!("{field}[{index}]"), format!("{value} is named twice, name it once"));
        } else {
            read.push(value);
        }
    }
    read.sort_unstable();
    Some(read)
}
