//! Requests about zones, translated into the service's arguments with everything that is wrong collected.

use std::time::Duration;

use crate::api::grpc::fields::Fields;
use crate::api::grpc::validate::{begin, drain, request_id, risks};
use crate::domain::ids::{ClusterId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::proto::v1;
use crate::service::{OnZone, PlanStopZone, RestartZone, StartZone, StopZone};

/// The calls that stop a zone, which are asked alike.
macro_rules! stops_zone {
    ($($call:ident($request:ident) -> $asked:ident;)+) => {$(
        pub fn $call(request: v1::$request) -> Result<$asked, Refusal> {
            let mut fields = Fields::default();
            let accepted_risks = risks(&mut fields, &request.accept_risks, Risk::OF_PART);
            let expire_time = fields.moment("expire_time", request.expire_time);
            let drain = drain(&mut fields, request.drain);
            let (force, freeze_before_stop) = (request.force, request.freeze_before_stop);
            let zone = on_zone(fields, request.cluster_id, &request.zone, &request.request_id, request.begin)?;
            Ok($asked(OnZone { force, accepted_risks, freeze_before_stop, drain, expire_time, ..zone }))
        }
    )+};
}

stops_zone! {
    stop_zone(StopZoneRequest) -> StopZone;
    restart_zone(RestartZoneRequest) -> RestartZone;
}

pub fn start_zone(request: v1::StartZoneRequest) -> Result<StartZone, Refusal> {
    on_zone(Fields::default(), request.cluster_id, &request.zone, &request.request_id, request.begin).map(StartZone)
}

/// Without consent to anything.
fn on_zone(
    mut fields: Fields,
    cluster: i64,
    zone: &str,
    request: &str,
    options: Option<v1::BeginOptions>,
) -> Result<OnZone, Refusal> {
    let begin = begin(&mut fields, options);
    let cluster = fields.id("cluster_id", cluster, ClusterId::new);
    let zone: Option<ZoneName> = fields.parse("zone", zone);
    let request_id = request_id(&mut fields, request);
    let (Some(cluster), Some(zone)) = (cluster, zone) else { return Err(fields.refusal()) };
    fields.finish(OnZone {
        cluster,
        zone,
        request_id,
        repeat_by_arguments: false,
        force: false,
        accepted_risks: Vec::new(),
        freeze_before_stop: false,
        drain: Duration::ZERO,
        expire_time: None,
        begin,
    })
}

/// PlanStopZone: asked as the stop is.
pub fn plan_stop_zone(request: v1::PlanStopZoneRequest) -> Result<PlanStopZone, Refusal> {
    let v1::PlanStopZoneRequest { cluster_id, zone, force, accept_risks, freeze_before_stop } = request;
    let asked = v1::StopZoneRequest { cluster_id, zone, force, accept_risks, freeze_before_stop, ..Default::default() };
    let StopZone(OnZone { cluster, zone, force, accepted_risks, freeze_before_stop, .. }) = stop_zone(asked)?;
    Ok(PlanStopZone { cluster, zone, force, accepted_risks, freeze_before_stop })
}
