//! Requests about whole clusters that are to be stopped and started, translated into the service's arguments with everything that is
//! wrong collected.

use crate::api::grpc::fields::{Fields, LONGEST_NAME};
use crate::api::grpc::validate::{begin, request_id, risks};
use crate::domain::ids::ClusterId;
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::proto::v1;
use crate::service::{OnCluster, PlanStopCluster, RestartCluster, StartCluster, StopCluster};

/// The calls that stop a cluster, which are asked alike.
macro_rules! stops_cluster {
    ($($call:ident($request:ident) -> $asked:ident;)+) => {$(
        pub fn $call(request: v1::$request) -> Result<$asked, Refusal> {
            let mut fields = Fields::default();
            let accepted_risks = risks(&mut fields, &request.accept_risks, Risk::OF_CLUSTER);
            let expire_time = fields.moment("expire_time", request.expire_time);
            let force = request.force;
            let asked =
                on_cluster(fields, request.cluster_id, request.expected_name, &request.request_id, request.begin)?;
            Ok($asked(OnCluster { force, accepted_risks, expire_time, ..asked }))
        }
    )+};
}

stops_cluster! {
    stop_cluster(StopClusterRequest) -> StopCluster;
    restart_cluster(RestartClusterRequest) -> RestartCluster;
}

pub fn start_cluster(request: v1::StartClusterRequest) -> Result<StartCluster, Refusal> {
    let v1::StartClusterRequest { cluster_id, expected_name, request_id, begin, .. } = request;
    on_cluster(Fields::default(), cluster_id, expected_name, &request_id, begin).map(StartCluster)
}

/// Without consent to anything.
fn on_cluster(
    mut fields: Fields,
    cluster: i64,
    expected: String,
    request: &str,
    options: Option<v1::BeginOptions>,
) -> Result<OnCluster, Refusal> {
    let begin = begin(&mut fields, options);
    let cluster = fields.id("cluster_id", cluster, ClusterId::new);
    let expected_name = Some(fields.text("expected_name", expected, LONGEST_NAME)).filter(|name| !name.is_empty());
    let request_id = request_id(&mut fields, request);
    let Some(cluster) = cluster else { return Err(fields.refusal()) };
    fields.finish(OnCluster {
        cluster,
        expected_name,
        request_id,
        repeat_by_arguments: false,
        force: false,
        accepted_risks: Vec::new(),
        expire_time: None,
        begin,
    })
}

/// PlanStopCluster: asked as the stop is.
pub fn plan_stop_cluster(request: v1::PlanStopClusterRequest) -> Result<PlanStopCluster, Refusal> {
    let v1::PlanStopClusterRequest { cluster_id, force, accept_risks } = request;
    let asked = v1::StopClusterRequest { cluster_id, force, accept_risks, ..Default::default() };
    let StopCluster(OnCluster { cluster, force, accepted_risks, .. }) = stop_cluster(asked)?;
    Ok(PlanStopCluster { cluster, force, accepted_risks })
}
