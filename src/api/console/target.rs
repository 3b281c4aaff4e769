//! What an operation is asked for on, as the address of its page names it: a server, a zone or a whole cluster.

use crate::api::console::ConsoleState;
use crate::api::console::fields::{Fields, encoded};
use crate::api::console::visit::Visit;
use crate::domain::call::Call;
use crate::domain::ids::{ClusterId, ServerId, ZoneName};
use crate::domain::refusal::Refusal;
use crate::service::{GetCluster, ListServers};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Server(ClusterId, ServerId),
    Zone(ClusterId, ZoneName),
    Cluster(ClusterId),
}

impl Target {
    /// From the parameters of a path.
    pub fn read(path: &Fields) -> Result<Self, Refusal> {
        let cluster = path.cluster("cluster")?;
        // A blank in their place is no address of the whole cluster.
        if path.exact("server").is_some() {
            return Ok(Self::Server(cluster, path.server("server")?));
        }
        if path.exact("zone").is_some() {
            let zone = path.parsed::<ZoneName>("zone", "a name of a zone")?;
            return Ok(Self::Zone(cluster, zone.ok_or_else(|| Refusal::field("zone", "is missing"))?));
        }
        Ok(Self::Cluster(cluster))
    }

    pub const fn cluster(&self) -> ClusterId {
        match self {
            Self::Server(cluster, _) | Self::Zone(cluster, _) | Self::Cluster(cluster) => *cluster,
        }
    }

    /// Under which its pages stand.
    pub fn path(&self) -> String {
        match self {
            Self::Server(cluster, server) => format!("/clusters/{cluster}/servers/{server}"),
            Self::Zone(cluster, zone) => format!("/clusters/{cluster}/zones/{}", encoded(zone.as_str())),
            Self::Cluster(cluster) => format!("/clusters/{cluster}"),
        }
    }

    /// By which people know it, and which they type to confirm: an address or a name, as recorded.
    pub async fn name(&self, state: &ConsoleState, visit: &Visit) -> Result<String, Refusal> {
        let (guarded, caller) = (&state.console.guarded, &visit.caller);
        match self {
            Self::Server(cluster, server) => {
                let call = ListServers { cluster: *cluster, zone: None, above: None, limit: u32::MAX };
                let servers = guarded.call(caller, call).await?;
                let found = servers.into_iter().find(|view| view.row.id == *server);
                let gone = Refusal::ServerNotFound { cluster: *cluster, server: *server };
                found.map(|view| view.row.addr.to_string()).ok_or(gone)
            }
            Self::Zone(cluster, zone) => {
                let view = guarded.call(caller, GetCluster::Id(*cluster)).await?;
                let known = view.zones.iter().any(|(row, _)| row.name == *zone);
                let gone = Refusal::ZoneNotFound { cluster: *cluster, zone: zone.clone() };
                if known { Ok(zone.to_string()) } else { Err(gone) }
            }
            Self::Cluster(cluster) => Ok(guarded.call(caller, GetCluster::Id(*cluster)).await?.row.identity.name),
        }
    }

    /// The field in which that is typed.
    pub const fn typed_field(&self) -> &'static str {
        match self {
            Self::Server(..) => "address",
            Self::Zone(..) | Self::Cluster(_) => "name",
        }
    }

    /// What its start needs.
    pub const fn start(&self) -> Call {
        match self {
            Self::Server(..) => Call::StartServer,
            Self::Zone(..) => Call::StartZone,
            Self::Cluster(_) => Call::StartCluster,
        }
    }

    /// What its plan needs.
    pub const fn plan(&self) -> Call {
        match self {
            Self::Server(..) => Call::PlanStopServer,
            Self::Zone(..) => Call::PlanStopZone,
            Self::Cluster(_) => Call::PlanStopCluster,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_says_what_is_meant() {
        let of = |pairs: &[(&str, &str)]| {
            Target::read(&Fields::of(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))))
        };
        for (pairs, path) in [
            (&[("cluster", "1"), ("server", "2")][..], "/clusters/1/servers/2"),
            (&[("cluster", "1"), ("zone", "zone_1")], "/clusters/1/zones/zone_1"),
            (&[("cluster", "1")], "/clusters/1"),
        ] {
            assert_eq!(of(pairs).unwrap().path(), path);
        }
        for blank in ["", " "] {
            assert!(of(&[("cluster", "1"), ("zone", blank)]).is_err(), "it is no cluster");
            assert!(of(&[("cluster", "1"), ("server", blank)]).is_err(), "it is no cluster");
        }
        assert!(of(&[("cluster", "x")]).is_err() && of(&[("cluster", "1"), ("zone", &"z".repeat(200))]).is_err());
    }
}
