//! Requests about zones, translated into the service's arguments with everything that is wrong collected.

use crate::api::grpc::fields::Fields;
use crate::api::grpc::validate::{request_id, risks};
use crate::domain::ids::{ClusterId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::service::{OnZone, PlanStopZone, RestartZone, StartZone, StopZone};

pub fn stop_zone(request: v1::StopZoneRequest) -> Result<StopZone, Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.id("cluster_id", request.cluster_id, ClusterId::new);
    let zone: Option<ZoneName> = fields.parse("zone", &request.zone);
    let accepted_risks = risks(&mut fields, &request.accept_risks);
    let request_id = request_id(&mut fields, &request.request_id);
    let expire_time = fields.moment("expire_time", request.expire_time);
    let (Some(cluster), Some(zone)) = (cluster, zone) else { return Err(fields.refusal()) };
    fields.finish(StopZone(OnZone {
        cluster,
        zone,
        request_id,
        repeat_by_arguments: false,
        force: request.force,
        accepted_risks,
        freeze_before_stop: request.freeze_before_stop,
        expire_time,
    }))
}

pub fn start_zone(request: v1::StartZoneRequest) -> Result<StartZone, Refusal> {
    let v1::StartZoneRequest { cluster_id, zone, request_id, reason } = request;
    let asked = v1::StopZoneRequest { cluster_id, zone, request_id, reason, ..Default::default() };
    stop_zone(asked).map(|StopZone(asked)| StartZone(asked))
}

/// RestartZone: asked as a stop is.
pub fn restart_zone(request: v1::RestartZoneRequest) -> Result<RestartZone, Refusal> {
    let v1::RestartZoneRequest {
        cluster_id,
        zone,
        request_id,
        reason,
        expire_time,
        force,
        accept_risks,
        freeze_before_stop,
    } = request;
    let asked = v1::StopZoneRequest {
        cluster_id,
        zone,
        request_id,
        reason,
        expire_time,
        force,
        accept_risks,
        freeze_before_stop,
    };
    stop_zone(asked).map(|StopZone(asked)| RestartZone(asked))
}

/// PlanStopZone: asked as the stop is.
pub fn plan_stop_zone(request: v1::PlanStopZoneRequest) -> Result<PlanStopZone, Refusal> {
    let v1::PlanStopZoneRequest { cluster_id, zone, force, accept_risks, freeze_before_stop } = request;
    let asked = v1::StopZoneRequest { cluster_id, zone, force, accept_risks, freeze_before_stop, ..Default::default() };
    let StopZone(OnZone { cluster, zone, force, accepted_risks, freeze_before_stop, .. }) = stop_zone(asked)?;
    Ok(PlanStopZone { cluster, zone, force, accepted_risks, freeze_before_stop })
}
