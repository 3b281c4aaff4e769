//! Requests about clusters, translated into the service's arguments with everything that is wrong collected. Passwords are
//! never repeated in what is wrong.

use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroU16;

use secrecy::SecretString;

use crate::api::grpc::fields::{Fields, LONGEST_NAME, LONGEST_USERNAME, MOST_ENDPOINTS, MOST_HOSTS, shortened};
use crate::api::grpc::page::{Listing, Paging};
use crate::domain::ids::{ClusterId, ServerAddr, ServerId};
use crate::domain::refusal::Refusal;
use crate::domain::ssh::SshLogin;
use crate::proto::v1;
use crate::proto::v1::get_cluster_request::By;
use crate::service::{FreezeChanges, GetCluster, ListClusters, RegisterCluster, ThawChanges, UpdateCluster};
use crate::store::inventory::{DefaultHost, HostRoute};

/// Login when none is given.
pub const DEFAULT_USERNAME: &str = "root@sys";

pub fn register_cluster(request: v1::RegisterClusterRequest) -> Result<RegisterCluster, Refusal> {
    let mut fields = Fields::default();
    let endpoints = endpoints(&mut fields, request.endpoints);
    let username = fields.text("username", request.username, LONGEST_USERNAME);
    let username = if username.is_empty() { DEFAULT_USERNAME.to_owned() } else { username };
    let password = SecretString::from(fields.secret("password", request.password));
    let expected_name = fields.text("expected_name", request.expected_name, LONGEST_NAME);
    let expected_name = (!expected_name.is_empty()).then_some(expected_name);
    let cluster = fields.optional_id("cluster_id", request.cluster_id, ClusterId::new);
    let server_ids = server_ids(&mut fields, &request.server_ids);
    let hosts = hosts(&mut fields, &request.hosts);
    let default_host = default_host(&mut fields, request.default_host);
    fields.finish(RegisterCluster {
        endpoints,
        username,
        password,
        expected_name,
        cluster,
        server_ids,
        hosts,
        default_host,
    })
}

/// UpdateCluster: only what the mask names is looked at.
pub fn update_cluster(request: v1::UpdateClusterRequest) -> Result<UpdateCluster, Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.id("cluster_id", request.cluster_id, ClusterId::new);
    let paths = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    if paths.is_empty() {
        fields.wrong(
            "update_mask",
            "is required, name what to change: endpoints, username, password, hosts, default_host",
        );
    }
    let known = ["endpoints", "username", "password", "hosts", "default_host"];
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| !known.contains(&path.as_str())) {
        let path = shortened(path);
        fields.wrong(
            format!("update_mask.paths[{index}]"),
            format!("{path:?} cannot be changed, name some of {}", known.join(", ")),
        );
    }
    let masked = |path: &str| paths.iter().any(|one| one == path);
    let endpoints = masked("endpoints").then(|| endpoints(&mut fields, request.endpoints));
    let username = masked("username").then(|| {
        if request.username.is_empty() {
            fields.wrong("username", format!("is required, for example {DEFAULT_USERNAME}"));
        }
        fields.text("username", request.username, LONGEST_USERNAME)
    });
    let password = masked("password").then(|| SecretString::from(fields.secret("password", request.password)));
    let hosts = masked("hosts").then(|| hosts(&mut fields, &request.hosts));
    let default_host = masked("default_host").then(|| default_host(&mut fields, request.default_host));
    let Some(cluster) = cluster else { return Err(fields.refusal()) };
    fields.finish(UpdateCluster { cluster, endpoints, username, password, hosts, default_host })
}

pub fn get_cluster(request: v1::GetClusterRequest) -> Result<GetCluster, Refusal> {
    let mut fields = Fields::default();
    let by = match request.by {
        Some(By::ClusterId(id)) => fields.id("cluster_id", id, ClusterId::new).map(GetCluster::Id),
        Some(By::Name(name)) if !name.is_empty() => Some(GetCluster::Name(fields.text("name", name, LONGEST_NAME))),
        Some(By::Name(_)) | None => {
            fields.wrong("cluster_id", "is required unless name is given");
            None
        }
    };
    let Some(by) = by else { return Err(fields.refusal()) };
    fields.finish(by)
}

/// ListClusters; the limit is one more than the page.
pub fn list_clusters(request: v1::ListClustersRequest) -> Result<(ListClusters, Paging), Refusal> {
    let mut fields = Fields::default();
    let name = fields.text("name", request.name, LONGEST_NAME);
    let size = fields.page_size(request.page_size, 50);
    let listing = Listing::new("clusters", &[&name]);
    let above = listing.position(&mut fields, &request.page_token);
    let above = above.and_then(|above| fields.id("page_token", above, ClusterId::new));
    let name = (!name.is_empty()).then_some(name);
    fields.finish((ListClusters { name, above, limit: size + 1 }, Paging { listing, size }))
}

/// SyncCluster and DeregisterCluster.
pub fn cluster_id(id: i64) -> Result<ClusterId, Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.id("cluster_id", id, ClusterId::new);
    cluster.ok_or_else(|| fields.refusal())
}

fn endpoints(fields: &mut Fields, endpoints: Vec<String>) -> Vec<String> {
    if endpoints.is_empty() {
        fields.wrong("endpoints", "is required, give host:sql_port of at least one server, for example 10.0.0.2:2881");
    }
    if endpoints.len() > MOST_ENDPOINTS {
        fields.wrong("endpoints", format!("has {} values, at most {MOST_ENDPOINTS} are allowed", endpoints.len()));
        return endpoints;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let field = format!("endpoints[{index}]");
        fields.endpoint(field.clone(), endpoint);
        if endpoints[..index].contains(endpoint) {
            fields.wrong(field, "is given twice, give it once");
        }
    }
    endpoints
}

fn server_ids(fields: &mut Fields, given: &[v1::ServerIdAssignment]) -> Vec<(ServerAddr, ServerId)> {
    if given.len() > MOST_HOSTS {
        fields.wrong("server_ids", format!("has {} values, at most {MOST_HOSTS} are allowed", given.len()));
        return Vec::new();
    }
    let (mut addrs, mut ids, mut assigned) = (HashSet::new(), HashSet::new(), Vec::new());
    for (index, one) in given.iter().enumerate() {
        let addr: Option<ServerAddr> = fields.parse(format!("server_ids[{index}].address"), &one.address);
        let id = fields.id(format!("server_ids[{index}].server_id"), one.server_id, ServerId::new);
        let (Some(addr), Some(id)) = (addr, id) else { continue };
        if !addrs.insert(addr) {
            fields.wrong(format!("server_ids[{index}].address"), format!("{addr} is given twice, give it once"));
        }
        if !ids.insert(id) {
            fields.wrong(format!("server_ids[{index}].server_id"), format!("{id} is given to two servers"));
        }
        assigned.push((addr, id));
    }
    assigned
}

fn hosts(fields: &mut Fields, given: &[v1::Host]) -> Vec<(String, HostRoute)> {
    if given.len() > MOST_HOSTS {
        fields.wrong("hosts", format!("has {} values, at most {MOST_HOSTS} are allowed", given.len()));
        return Vec::new();
    }
    let (mut seen, mut routes) = (HashSet::new(), Vec::new());
    for (index, host) in given.iter().enumerate() {
        let Ok(ip) = host.svr_ip.parse::<IpAddr>() else {
            let given = shortened(&host.svr_ip);
            fields
                .wrong(format!("hosts[{index}].svr_ip"), format!("{given:?} is not an IP, write for example 10.0.0.2"));
            continue;
        };
        if !seen.insert(ip) {
            fields.wrong(format!("hosts[{index}].svr_ip"), format!("{ip} is given twice, give it once"));
        }
        if let Some(route) = route(fields, &format!("hosts[{index}]"), host) {
            routes.push((ip.to_string(), route));
        }
    }
    routes
}

fn route(fields: &mut Fields, at: &str, host: &v1::Host) -> Option<HostRoute> {
    let transport: v1::HostTransport = fields.known(format!("{at}.transport"), host.transport)?;
    let (address, destination) = (format!("{at}.agent_address"), format!("{at}.ssh_destination"));
    let empty = "leave it empty or change the transport";
    if transport != v1::HostTransport::Grpc && !host.agent_address.is_empty() {
        fields.wrong(&address, format!("is for HOST_TRANSPORT_GRPC only, {empty}"));
    }
    if transport != v1::HostTransport::Ssh && !host.ssh_destination.is_empty() {
        fields.wrong(&destination, format!("is for HOST_TRANSPORT_SSH only, {empty}"));
    }
    match transport {
        v1::HostTransport::Unspecified => Some(HostRoute::None),
        v1::HostTransport::Local => Some(HostRoute::Local),
        v1::HostTransport::Grpc => {
            fields.endpoint(address, &host.agent_address);
            Some(HostRoute::Grpc { address: host.agent_address.clone() })
        }
        v1::HostTransport::Ssh => fields.parse(destination, &host.ssh_destination).map(HostRoute::Ssh),
    }
}

fn default_host(fields: &mut Fields, given: Option<v1::DefaultHost>) -> DefaultHost {
    let Some(v1::DefaultHost { transport, agent_port, ssh_user, ssh_port }) = given else { return DefaultHost::None };
    let Some(transport) = fields.known("default_host.transport", transport) else { return DefaultHost::None };
    if transport != v1::HostTransport::Grpc && agent_port.is_some() {
        fields.wrong("default_host.agent_port", "is for HOST_TRANSPORT_GRPC only, leave it out");
    }
    if transport != v1::HostTransport::Ssh && !ssh_user.is_empty() {
        fields.wrong("default_host.ssh_user", "is for HOST_TRANSPORT_SSH only, leave it empty");
    }
    if transport != v1::HostTransport::Ssh && ssh_port.is_some() {
        fields.wrong("default_host.ssh_port", "is for HOST_TRANSPORT_SSH only, leave it out");
    }
    match transport {
        v1::HostTransport::Unspecified => DefaultHost::None,
        v1::HostTransport::Local => DefaultHost::Local,
        v1::HostTransport::Grpc => port(fields, "default_host.agent_port", agent_port.unwrap_or_default())
            .map_or(DefaultHost::None, |port| DefaultHost::Grpc { port: port.get() }),
        v1::HostTransport::Ssh => {
            let user = fields.optional("default_host.ssh_user", &ssh_user);
            let port = ssh_port.and_then(|given| port(fields, "default_host.ssh_port", given));
            DefaultHost::Ssh(SshLogin { user, port })
        }
    }
}

fn port(fields: &mut Fields, field: &str, given: i32) -> Option<NonZeroU16> {
    let port = u16::try_from(given).ok().and_then(NonZeroU16::new);
    if port.is_none() {
        fields.wrong(field, format!("{given} is not a port, give 1 to 65535"));
    }
    port
}

/// Whoever is refused because of it is to know why.
pub fn freeze_changes(request: v1::FreezeChangesRequest) -> Result<FreezeChanges, Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.optional_id("cluster_id", request.cluster_id, ClusterId::new);
    if request.reason.trim().is_empty() {
        fields.wrong("reason", "is missing; everybody who is refused because of the freeze reads it");
    }
    fields.finish(FreezeChanges(cluster))
}

pub fn thaw_changes(request: v1::ThawChangesRequest) -> Result<ThawChanges, Refusal> {
    let mut fields = Fields::default();
    let cluster = fields.optional_id("cluster_id", request.cluster_id, ClusterId::new);
    fields.finish(ThawChanges(cluster))
}
