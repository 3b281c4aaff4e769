//! Newtypes for ids, addresses and names. Their constructors are the only way in, so that a value of one of these types
//! is safe to put into a statement, a file name or a key.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// Largest id: programs that read JSON keep integers exactly only up to 2^53.
pub const LARGEST_ID: i64 = (1 << 53) - 1;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidName {
    /// Not in 1..2^53.
    #[error("{0} is not an id (1 to 9007199254740991)")]
    Id(i64),
    /// Not `ip:port`.
    #[error("{0:?} is not an address, write ip:port, for example 10.0.0.2:2882 or [fd00::2]:2882")]
    Address(String),
    #[error("{0:?} is not a zone name, which has 1 to 128 letters, digits, '_', '-' or '.'")]
    Zone(String),
    #[error("{0:?} is not a user name, which has 1 to 64 letters, digits, '_', '-', '.' or '@'")]
    Principal(String),
    #[error("{0:?} is not a role name, which has 1 to 64 capital letters, digits or '_'")]
    Role(String),
    #[error("{0:?} is not the id of an access key, which has 8 to 64 letters and digits")]
    AccessKey(String),
}

macro_rules! positive_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Accepts 1 to 2^53 - 1.
            pub fn new(value: i64) -> Result<Self, InvalidName> {
                if (1..=LARGEST_ID).contains(&value) { Ok(Self(value)) } else { Err(InvalidName::Id(value)) }
            }

            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

positive_id!(
    /// Id under which a cluster is registered here (not OceanBase's `cluster_id` parameter).
    ClusterId
);
positive_id!(
    /// Id under which a server is registered here (not `DBA_OB_SERVERS.ID`).
    ServerId
);
positive_id!(TaskId);
positive_id!(SubtaskId);
positive_id!(
    /// Of one run of the service over a store.
    ReplicaId
);
positive_id!(
    /// Id of a user; OCP's first two are 100, `admin`, and 200, `system` (docs/ocp-v2.md#users).
    UserId
);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(i64);

        impl $name {
            /// Before the first.
            pub const ZERO: Self = Self(0);

            /// Not checked: what we store is never negative.
            pub const fn new(value: i64) -> Self {
                Self(value)
            }

            pub const fn get(self) -> i64 {
                self.0
            }

            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

counter!(
    /// Position of an event among the events of its task, from 1 without gaps.
    Revision
);
counter!(
    /// Position of an event in the store's global order.
    Seq
);
counter!(
    /// Grows with every acquisition and every takeover of a cluster's lock; every write and agent call of an owner carries it.
    Fence
);

/// Address of an OBServer as OceanBase knows it: IP and **RPC** port (2882 by default).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddr {
    ip: IpAddr,
    rpc_port: u16,
}

impl ServerAddr {
    /// Fails for port 0.
    pub fn new(ip: IpAddr, rpc_port: u16) -> Result<Self, InvalidName> {
        if rpc_port == 0 { Err(InvalidName::Address(format!("{ip}:0"))) } else { Ok(Self { ip, rpc_port }) }
    }

    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    pub const fn rpc_port(&self) -> u16 {
        self.rpc_port
    }
}

impl fmt::Display for ServerAddr {
    /// `ip:port`, IPv6 in brackets, as OceanBase's `ObAddr` is written.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip, self.rpc_port).fmt(formatter)
    }
}

impl FromStr for ServerAddr {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let address: SocketAddr = text.parse().map_err(|_| InvalidName::Address(text.to_owned()))?;
        match address {
            // A scope id would be written differently from what OceanBase knows.
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Err(InvalidName::Address(text.to_owned())),
            SocketAddr::V4(_) | SocketAddr::V6(_) => {
                Self::new(address.ip(), address.port()).map_err(|_| InvalidName::Address(text.to_owned()))
            }
        }
    }
}

/// Name of a zone; holds only characters that need no escaping in a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneName(String);

impl ZoneName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for ZoneName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
        if (1..=128).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::Zone(text.to_owned()))
        }
    }
}

/// The physical cluster behind a registration, verified by every session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterIdentity {
    /// The `cluster` parameter.
    pub name: String,
    /// The `cluster_id` parameter.
    pub ob_cluster_id: i64,
    /// When the sys tenant was created, as the cluster writes it: tells two clusters of the same name and id apart.
    pub fingerprint: String,
}

impl ClusterIdentity {
    /// Key of the lock and of the agents' fences: `name#id#fingerprint`.
    pub fn key(&self) -> ClusterKey {
        ClusterKey(format!("{}#{}#{}", self.name, self.ob_cluster_id, self.fingerprint))
    }
}

/// [`ClusterIdentity`] as one text: `name#id#fingerprint`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterKey(String);

impl ClusterKey {
    pub fn from_stored(key: String) -> Self {
        Self(key)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who acts: a user, a service, or `system`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(String);

impl Principal {
    /// Not checked: authentication has proven the name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Principal {
    type Err = InvalidName;

    /// Checks a name that a new user may have.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '@');
        if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::Principal(text.chars().take(64).collect()))
        }
    }
}

macro_rules! short_name {
    ($(#[$doc:meta])* $name:ident, $lengths:expr, $allowed:expr, $error:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $lengths.contains(&text.len()) && text.chars().all($allowed) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName::$error(text.chars().take(64).collect()))
                }
            }
        }
    };
}

short_name!(
    RoleName,
    (1..=64),
    |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_',
    Role
);
short_name!(
    /// OCP's AK. Not a secret.
    AccessKeyId,
    (8..=64),
    |letter: char| letter.is_ascii_alphanumeric(),
    AccessKey
);
