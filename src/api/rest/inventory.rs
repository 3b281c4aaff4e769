//! Clusters, zones and servers (docs/ocp-v2.md#clusters-zones-and-servers).

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::inputs::Inputs;
use crate::api::rest::inventory_body::{self, Contents};
use crate::api::rest::parsed_request::ParsedRequest;
use crate::api::rest::state::RestState;
use crate::api::rest::task_page::PageBody;
use crate::domain::ids::{ClusterId, ServerId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::domain::status::ClusterStatus;
use crate::service::views::{ClusterView, PageOf, ServerView};
use crate::service::{Caller, ClusterSelection, ClustersPage, GetCluster, GetServer, ListServers};
use crate::store::Page;
use crate::store::inventory::ClusterOrder;

/// Servers of a cluster that one answer holds: more than a cluster has.
const MOST_SERVERS: u32 = 10_000;
/// What a page of clusters is sorted by.
const ORDERS: &[(&str, ClusterOrder)] = &[("id", ClusterOrder::Id), ("name", ClusterOrder::Name)];
/// Statuses that OCP documents and that no cluster is in here: none of its operations is.
const NEVER_SHOWN: [&str; 9] =
    ["CREATING", "DELETING", "STARTING", "RESTARTING", "STOPPING", "TAKINGOVER", "MOVINGOUT", "SWITCHOVER", "FAILOVER"];

struct List {
    selection: ClusterSelection,
    none: bool,
    page: Page<ClusterOrder>,
    number: u32,
    size: u32,
}

pub async fn clusters(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let List { selection, none, page, number, size } = clusters_arguments(request.inputs)?;
    let found = if none {
        PageOf { items: Vec::new(), total: 0 }
    } else {
        state.call(&request.caller, Ok(ClustersPage { selection, page })).await?
    };
    let contents = found.items.iter().map(|view| inventory_body::cluster(&state.format.timestamps, view, None));
    Reply::data(&PageBody::new(contents.collect(), found.total, number, size))
}

fn clusters_arguments(mut inputs: Inputs) -> Result<List, Failure> {
    let name_part = inputs.query_name("name");
    let known = "RUNNING, STOPPED, OPERATING, UNAVAILABLE and OCP's other statuses of clusters";
    let statuses: Vec<Option<ClusterStatus>> = inputs.query_words("status", known, |word| {
        let never = NEVER_SHOWN.contains(&word);
        word.parse().ok().map(Some).or_else(|| never.then_some(None))
    });
    let (page, number, size) = inputs.page(ORDERS, (ClusterOrder::Id, false));
    let shown: Vec<ClusterStatus> = statuses.iter().copied().flatten().collect();
    let none = shown.is_empty() && !statuses.is_empty();
    inputs.finish(List { selection: ClusterSelection { name_part, statuses: shown }, none, page, number, size })
}

/// One cluster with its zones and servers.
pub async fn cluster(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let id = cluster_id(request.inputs, "id")?;
    let (view, servers) = known(state, &request.caller, id).await?;
    Reply::data(&inventory_body::cluster(&state.format.timestamps, &view, Some(&servers)))
}

/// The zones of a cluster.
pub async fn zones(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let id = cluster_id(request.inputs, "id")?;
    let (view, servers) = known(state, &request.caller, id).await?;
    Reply::data(&Contents { contents: inventory_body::zones(&state.format.timestamps, &view, &servers) })
}

/// The servers of a cluster, of one region or IDC when named.
pub async fn servers(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let mut inputs = request.inputs;
    let (region, idc) = (inputs.query_name("regionName"), inputs.query_name("idcName"));
    let id = cluster_id(inputs, "id")?;
    let (view, servers) = known(state, &request.caller, id).await?;
    let lies = |server: &&ServerView| {
        let zone = view.zones.iter().map(|(zone, _)| zone).find(|zone| zone.name == server.row.zone);
        let of = |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|wanted| is == Some(wanted));
        of(&region, zone.map(|zone| zone.region.as_str())) && of(&idc, zone.map(|zone| zone.idc.as_str()))
    };
    list(state, &view, servers.iter().filter(lies))
}

/// The servers of a zone.
pub async fn zone_servers(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let mut inputs = request.inputs;
    let text = inputs.path_text("zoneName").unwrap_or_default();
    let zone: Option<ZoneName> = inputs.parsed("zoneName", &text, text.parse());
    let named = if inputs.path_text("clusterId").is_some() { "clusterId" } else { "id" };
    let id = inputs.path_id(named, ClusterId::new);
    let (Some(zone), Some(id)) = (zone, id) else { return Err(inputs.failure()) };
    inputs.finish(())?;
    let (view, servers) = known(state, &request.caller, id).await?;
    if !view.zones.iter().any(|(row, _)| row.name == zone) {
        return Err(Refusal::ZoneNotFound { cluster: id, zone }.into());
    }
    list(state, &view, servers.iter().filter(|server| server.row.zone == zone))
}

/// One server, its process looked at.
pub async fn server(state: &RestState, request: ParsedRequest) -> Result<Reply, Failure> {
    let ParsedRequest { caller, mut inputs, .. } = request;
    let (cluster, server) = (inputs.path_id("id", ClusterId::new), inputs.path_id("serverId", ServerId::new));
    let (Some(cluster), Some(server)) = (cluster, server) else { return Err(inputs.failure()) };
    inputs.finish(())?;
    let found = state.call(&caller, Ok(GetServer { cluster, server })).await?;
    let view = state.call(&caller, Ok(GetCluster::Id(cluster))).await?;
    Reply::data(&inventory_body::server(&state.format.timestamps, &view, &found))
}

fn list<'a>(
    state: &RestState,
    view: &ClusterView,
    servers: impl Iterator<Item = &'a ServerView>,
) -> Result<Reply, Failure> {
    let contents = servers.map(|server| inventory_body::server(&state.format.timestamps, view, server));
    Reply::data(&Contents { contents: contents.collect() })
}

/// A cluster as last recorded, with its servers.
async fn known(state: &RestState, caller: &Caller, id: ClusterId) -> Result<(ClusterView, Vec<ServerView>), Failure> {
    let view = state.call(caller, Ok(GetCluster::Id(id))).await?;
    let asked = ListServers { cluster: id, zone: None, above: None, limit: MOST_SERVERS };
    let servers = state.call(caller, Ok(asked)).await?;
    Ok((view, servers))
}

fn cluster_id(mut inputs: Inputs, name: &str) -> Result<ClusterId, Failure> {
    match inputs.path_id(name, ClusterId::new) {
        Some(id) => inputs.finish(id),
        None => Err(inputs.failure()),
    }
}
