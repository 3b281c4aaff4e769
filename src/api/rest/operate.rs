//! `POST /api/v2/ob/clusters/{id}/servers/{serverId}/stop`, `/start` and others (docs/ocp-v2.md#the-stop-call), and the same of
//! zones and of whole clusters: parameters in the query or in the body, the answer in the shape that is configured.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use uuid::Uuid;

use crate::access::signature::content_digest_matches;
use crate::api::grpc::fields::shortened;
use crate::api::headers::{must_be_json, once};
use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::inputs::{Inputs, shown};
use crate::api::rest::parsed_request::ParsedRequest;
use crate::api::rest::state::RestState;
use crate::api::rest::task_body;
use crate::domain::beginning::BeginRequest;
use crate::domain::clients::LONGEST_DRAIN;
use crate::domain::ids::{ClusterId, ServerId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::domain::status::{Risk, StopType};
use crate::service::{
    Caller, FamilyCall, OnCluster, OnServer, OnZone, Operate, RestartServer, StartCluster, StartZone, StopServer,
};

/// Header whose UUID makes a repeat of the request get the same task.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Records the task that stops a server, and answers with it.
pub async fn stop(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let (caller, arguments) =
        with_body(request, |inputs, headers| stop_arguments(inputs, headers, &state.risks, stop_type));
    let stored = state.call(&caller, arguments).await?;
    task_body::accepted(state, &stored)
}

/// Asks for an operation by the server alone, and answers with its task.
pub async fn on_server<C: FamilyCall<Family = Operate>>(
    state: &RestState,
    request: ParsedRequest,
    asked: fn(OnServer) -> C,
) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, headers, .. } = request;
    let stored = state.call(&caller, on_server_arguments(inputs, &headers).map(asked)).await?;
    task_body::accepted(state, &stored)
}

/// Records the task that restarts a server, and answers with it.
pub async fn restart(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let (caller, arguments) = with_body(request, |inputs, headers| {
        stop_arguments(inputs, headers, &state.risks, |_| StopType::Process).map(RestartServer)
    });
    let stored = state.call(&caller, arguments).await?;
    task_body::accepted(state, &stored)
}

/// Asks for an operation that stops a zone, and answers with its task.
pub async fn stop_zone<C: FamilyCall<Family = Operate>>(
    state: &RestState,
    request: ParsedRequest,
    asked: fn(OnZone) -> C,
) -> Result<Reply, Failure> {
    let (caller, arguments) = with_body(request, |mut inputs, headers| {
        let (force, freeze_before_stop) = (inputs.flag("force"), inputs.flag("freezeServer"));
        let drain = drain(&mut inputs);
        let accepted_risks = risks(&mut inputs, Risk::OF_PART);
        let zone = OnZone {
            force: force.unwrap_or(false),
            accepted_risks,
            freeze_before_stop: freeze_before_stop.unwrap_or(false),
            drain,
            begin: begin(&mut inputs),
            ..zone_arguments(inputs, headers)?
        };
        may_accept(&zone.accepted_risks, &state.risks)?;
        Ok(zone)
    });
    let stored = state.call(&caller, arguments.map(asked)).await?;
    task_body::accepted(state, &stored)
}

/// Records the task that starts a zone, and answers with it.
pub async fn start_zone(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, headers, .. } = request;
    let stored = state.call(&caller, zone_arguments(inputs, &headers).map(StartZone)).await?;
    task_body::accepted(state, &stored)
}

/// Of an operation that overrides nothing.
fn zone_arguments(mut inputs: Inputs, headers: &HeaderMap) -> Result<OnZone, Failure> {
    let cluster = inputs.path_id("id", ClusterId::new);
    let text = inputs.path_text("zoneName").unwrap_or_default();
    let zone: Option<ZoneName> = inputs.parsed("zoneName", &text, text.parse());
    let request_id = request_id(&mut inputs, headers);
    let (Some(cluster), Some(zone)) = (cluster, zone) else { return Err(inputs.failure()) };
    inputs.finish(OnZone {
        cluster,
        zone,
        request_id,
        repeat_by_arguments: request_id.is_none(),
        force: false,
        accepted_risks: Vec::new(),
        freeze_before_stop: false,
        drain: Duration::ZERO,
        expire_time: None,
        begin: BeginRequest::default(),
    })
}

/// Asks for an operation that stops a whole cluster, and answers with its task.
pub async fn stop_cluster<C: FamilyCall<Family = Operate>>(
    state: &RestState,
    request: ParsedRequest,
    asked: fn(OnCluster) -> C,
) -> Result<Reply, Failure> {
    let (caller, arguments) = with_body(request, |mut inputs, headers| {
        let force = inputs.flag("force").unwrap_or(false);
        let accepted_risks = risks(&mut inputs, Risk::OF_CLUSTER);
        let begin = begin(&mut inputs);
        let cluster = OnCluster { force, accepted_risks, begin, ..cluster_arguments(inputs, headers)? };
        may_accept(&cluster.accepted_risks, &state.risks)?;
        Ok(cluster)
    });
    let stored = state.call(&caller, arguments.map(asked)).await?;
    task_body::accepted(state, &stored)
}

/// Records the task that starts a whole cluster, and answers with it.
pub async fn start_cluster(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, inputs, headers, .. } = request;
    let stored = state.call(&caller, cluster_arguments(inputs, &headers).map(StartCluster)).await?;
    task_body::accepted(state, &stored)
}

/// Of an operation that overrides nothing.
fn cluster_arguments(mut inputs: Inputs, headers: &HeaderMap) -> Result<OnCluster, Failure> {
    let cluster = inputs.path_id("id", ClusterId::new);
    let request_id = request_id(&mut inputs, headers);
    let Some(cluster) = cluster else { return Err(inputs.failure()) };
    inputs.finish(OnCluster {
        cluster,
        expected_name: None,
        request_id,
        repeat_by_arguments: request_id.is_none(),
        force: false,
        accepted_risks: Vec::new(),
        expire_time: None,
        begin: BeginRequest::default(),
    })
}

/// The arguments of a request that may have a body.
fn with_body<T>(
    request: ParsedRequest,
    arguments: impl FnOnce(Inputs, &HeaderMap) -> Result<T, Failure>,
) -> (Caller, Result<T, Failure>) {
    let ParsedRequest { mut caller, mut inputs, headers, body, .. } = request;
    let arguments = match must_be_json(&headers, &body).and_then(|()| whole(&headers, &body)) {
        Ok(()) => {
            inputs.read_body(&body);
            caller.reason = inputs.body_reason(caller.reason);
            arguments(inputs, &headers)
        }
        Err(refusal) => Err(refusal.into()),
    };
    (caller, arguments)
}

/// The digest that a body was sent with must be its own.
fn whole(headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let name = HeaderName::from_static("content-md5");
    match once(headers, &name, "Content-MD5")? {
        Some(digest) if !content_digest_matches(digest.as_bytes(), body) => {
            Err(Refusal::field("Content-MD5", "is not the digest of the body, send the body again"))
        }
        Some(_) | None => Ok(()),
    }
}

fn stop_type(inputs: &mut Inputs) -> StopType {
    let stop_type = inputs.word("type", "STOP_PROCESS, STOP_SERVICE", |word| word.parse().ok());
    stop_type.unwrap_or(StopType::Process)
}

/// Of a stop, or of a restart, which has one kind only.
fn stop_arguments(
    mut inputs: Inputs,
    headers: &HeaderMap,
    permitted: &[Risk],
    stop_type: impl FnOnce(&mut Inputs) -> StopType,
) -> Result<StopServer, Failure> {
    let (cluster, server) = server(&mut inputs);
    let force = inputs.flag("force").unwrap_or(false);
    let stop_type = stop_type(&mut inputs);
    let freeze_before_stop = inputs.flag("freezeServer").unwrap_or(false);
    if freeze_before_stop && stop_type == StopType::Service {
        // Ignoring it would let the caller believe that the server was frozen.
        inputs.wrong(
            "freezeServer",
            true.into(),
            "is only possible with type STOP_PROCESS, which ends the process: leave it out or false",
        );
    }
    let drain = drain(&mut inputs);
    if !drain.is_zero() && stop_type == StopType::Service {
        inputs.wrong(
            "drainSeconds",
            drain.as_secs().into(),
            "is only possible with type STOP_PROCESS, which ends the process: leave it out or 0",
        );
    }
    let accepted = risks(&mut inputs, Risk::OF_PART);
    let begin = begin(&mut inputs);
    let request_id = request_id(&mut inputs, headers);
    let (Some(cluster), Some(server)) = (cluster, server) else { return Err(inputs.failure()) };
    let asked = inputs.finish(StopServer {
        cluster,
        server,
        force,
        accepted_risks: accepted,
        stop_type,
        freeze_before_stop,
        hold_until: None,
        drain,
        request_id,
        repeat_by_arguments: request_id.is_none(),
        expected_server: None,
        expire_time: None,
        begin,
    })?;
    may_accept(&asked.accepted_risks, permitted)?;
    Ok(asked)
}

fn on_server_arguments(mut inputs: Inputs, headers: &HeaderMap) -> Result<OnServer, Failure> {
    let (cluster, server) = server(&mut inputs);
    let request_id = request_id(&mut inputs, headers);
    let (Some(cluster), Some(server)) = (cluster, server) else { return Err(inputs.failure()) };
    let repeat_by_arguments = request_id.is_none();
    inputs.finish(OnServer {
        cluster,
        server,
        request_id,
        repeat_by_arguments,
        expected_server: None,
        begin: BeginRequest::default(),
    })
}

/// What may not begin now waits, which OCP's programs do not know: they are refused.
fn begin(inputs: &mut Inputs) -> BeginRequest {
    BeginRequest { not_before: None, queue: inputs.flag("queue").unwrap_or(false) }
}

fn server(inputs: &mut Inputs) -> (Option<ClusterId>, Option<ServerId>) {
    (inputs.path_id("id", ClusterId::new), inputs.path_id("serverId", ServerId::new))
}

fn drain(inputs: &mut Inputs) -> Duration {
    inputs.seconds("drainSeconds", LONGEST_DRAIN).unwrap_or_default()
}

/// `of`: those that can be accepted for what is asked.
fn risks(inputs: &mut Inputs, of: &[Risk]) -> Vec<Risk> {
    let known = |word: &str| word.parse::<Risk>().ok().filter(|risk| of.contains(risk));
    inputs.words("acceptRisks", &Risk::names(of), known).unwrap_or_default()
}

fn may_accept(risks: &[Risk], permitted: &[Risk]) -> Result<(), Refusal> {
    if risks.iter().all(|risk| permitted.contains(risk)) {
        return Ok(());
    }
    Err(Refusal::RiskNotAcceptedHere { setting: "rest.accepted_risks" })
}

fn request_id(inputs: &mut Inputs, headers: &HeaderMap) -> Option<Uuid> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let value = values.next()?;
    if values.next().is_some() {
        inputs.wrong("Idempotency-Key", serde_json::Value::Null, "is given more than once, give it once");
        return None;
    }
    let text = value.to_str().unwrap_or_default();
    // Hyphenated only: one id has one spelling.
    let id = Some(text).filter(|text| text.len() == 36).and_then(|text| Uuid::parse_str(text).ok());
    let id = id.filter(|id| !id.is_nil());
    if id.is_none() {
        let given = shortened(text);
        let advice = "write one as 123e4567-e89b-42d3-a456-426614174000, or leave the header out";
        inputs.wrong("Idempotency-Key", shown(text), format!("{given:?} is not a UUID, {advice}"));
    }
    id
}
