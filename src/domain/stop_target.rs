//! What of a cluster is to be stopped, as the rules over a reading see it. Pure.

use std::collections::BTreeSet;
use std::fmt;

use crate::domain::ids::{ServerAddr, ZoneName};
use crate::domain::reading::{ClusterReading, ServerReading};

/// What is to be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopTarget {
    /// With STOP SERVER.
    Server(ServerAddr),
    /// With STOP ZONE: every server of it.
    Zone(ZoneName),
}

impl From<ServerAddr> for StopTarget {
    fn from(addr: ServerAddr) -> Self {
        Self::Server(addr)
    }
}

impl StopTarget {
    pub fn includes(&self, server: &ServerReading) -> bool {
        match self {
            Self::Server(addr) => server.addr == *addr,
            Self::Zone(zone) => server.zone == *zone,
        }
    }

    /// Its servers; those that a reading does not know are not among them.
    pub fn servers<'a>(&'a self, reading: &'a ClusterReading) -> impl Iterator<Item = &'a ServerReading> {
        reading.servers.iter().filter(|server| self.includes(server))
    }

    /// The addresses whose replicas no longer count. A server that is to be stopped is among them even if the reading does not
    /// know it.
    pub fn addresses(&self, reading: &ClusterReading) -> BTreeSet<ServerAddr> {
        let named = match self {
            Self::Server(addr) => Some(*addr),
            Self::Zone(_) => None,
        };
        self.servers(reading).map(|server| server.addr).chain(named).collect()
    }

    /// The zone that is touched; `None`: that of a server which the reading does not know.
    pub fn zone<'a>(&'a self, reading: &'a ClusterReading) -> Option<&'a ZoneName> {
        match self {
            Self::Server(addr) => reading.server(addr).map(|server| &server.zone),
            Self::Zone(zone) => Some(zone),
        }
    }

    /// As the root service says it in its refusals (docs/oceanbase.md#stop-zone).
    pub const fn statement(&self) -> &'static str {
        match self {
            Self::Server(_) => "stop server",
            Self::Zone(_) => "stop zone",
        }
    }
}

impl fmt::Display for StopTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(addr) => addr.fmt(formatter),
            Self::Zone(zone) => write!(formatter, "zone {zone}"),
        }
    }
}
