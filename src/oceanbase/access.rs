//! How a cluster is reached, and what it must prove. Plain data.

use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;

use super::error::{ClusterError, ErrorClass};
use crate::domain::ids::{ClusterIdentity, ServerAddr, ZoneName};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name or IP, without brackets.
    pub host: String,
    /// SQL port, 2881 by default.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    /// `host:port`, IPv6 in brackets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = ClusterError;

    fn from_str(text: &str) -> Result<Self, ClusterError> {
        let wrong = || ClusterError::permanent(format!("{text:?} is not an endpoint, write host:port"));
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

#[derive(Clone, Debug)]
pub struct ClusterAccess {
    /// As an operator gave them; any of them may answer, each an observer or an OBProxy.
    pub endpoints: Vec<Endpoint>,
    /// A user of the sys tenant with ALTER SYSTEM, for example `root@sys`; `root@sys#cluster` for an OBProxy that serves
    /// several clusters.
    pub username: String,
    pub password: SecretString,
}

impl ClusterAccess {
    /// The name for an observer: it takes everything behind `@` as the tenant, and `#cluster` is for OBProxy alone
    /// (docs/oceanbase.md#login-names).
    pub fn direct_username(&self) -> &str {
        self.username.split_once('#').map_or(self.username.as_str(), |(name, _)| name)
    }

    /// The cluster that the name asks OBProxy for (`root@sys#cluster`, also with `:cluster_id` behind it).
    pub fn cluster_name(&self) -> Option<&str> {
        self.username.split_once('#').map(|(_, cluster)| cluster.split(':').next().unwrap_or(cluster))
    }
}

/// What a session must prove before anything else is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The cluster; `None` while it is being registered.
    pub identity: Option<ClusterIdentity>,
    /// The server that is to be acted on, with its `DBA_OB_SERVERS.ID`.
    pub target: Option<(ServerAddr, i64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Avoid {
    /// Not this server while another endpoint is left.
    pub server: Option<ServerAddr>,
    /// Not this zone while another endpoint is left.
    pub zone: Option<ZoneName>,
    /// Not this server, even if it is the last: the gate never asks the target about itself.
    pub never: Option<ServerAddr>,
}

impl Avoid {
    /// The error of an endpoint that leads to the server that must not be asked.
    pub fn permits(&self, server: &ServerAddr, endpoint: &Endpoint) -> Result<(), ClusterError> {
        if self.never.as_ref() != Some(server) {
            return Ok(());
        }
        let message = format!("{endpoint}: leads to {server}, which must not be asked about itself");
        Err(ClusterError::new(ErrorClass::Unreachable, message).at(endpoint))
    }
}

/// A server of the last sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownServer {
    pub addr: ServerAddr,
    pub sql_port: u16,
    pub zone: ZoneName,
    /// Whether its STATUS was ACTIVE.
    pub active: bool,
}

impl KnownServer {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { host: self.addr.ip().to_string(), port: self.sql_port }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_a_proxy_is_taken_apart() {
        let taken_apart = |username: &str| {
            let access = ClusterAccess { endpoints: vec![], username: username.to_owned(), password: "".into() };
            (access.direct_username().to_owned(), access.cluster_name().map(ToOwned::to_owned))
        };
        assert_eq!(taken_apart("root@sys"), ("root@sys".to_owned(), None));
        assert_eq!(taken_apart("root@sys#prod"), ("root@sys".to_owned(), Some("prod".to_owned())));
        assert_eq!(taken_apart("root@sys#prod:7"), ("root@sys".to_owned(), Some("prod".to_owned())));
    }

    #[test]
    fn endpoints_are_read_as_they_are_written() {
        for text in ["10.0.0.1:2881", "[fd00::1]:2881", "db.example.org:2881"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in ["", "10.0.0.1", ":2881", "h:0", "h:x"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
