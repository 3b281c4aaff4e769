//! The only place that writes statements which act. Servers and zones are string literals in them
//! (docs/oceanbase.md#grammar-of-alter-system), so they are written from types whose characters need no escaping.

use std::fmt;

use crate::domain::ids::{ServerAddr, ZoneName};

/// A statement that acts on a server or a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// STOP SERVER: precheck, mark, wait for leaders.
    StopServer {
        addr: ServerAddr,
        /// Its zone, checked by the root service (-4631).
        zone: ZoneName,
    },
    /// FORCE STOP SERVER: the same without log sync.
    ForceStopServer { addr: ServerAddr, zone: ZoneName },
    /// START SERVER: clears the mark.
    StartServer { addr: ServerAddr, zone: ZoneName },
    /// STOP ZONE: precheck, mark, wait for the leaders of all its servers.
    StopZone { zone: ZoneName },
    /// FORCE STOP ZONE: the same without log sync.
    ForceStopZone { zone: ZoneName },
    /// START ZONE: clears the mark.
    StartZone { zone: ZoneName },
    /// MINOR FREEZE of one server, so that it has less to replay when it comes back. Without TENANT it is of every tenant
    /// there, sys and META included.
    MinorFreeze { addr: ServerAddr },
}

impl fmt::Display for Statement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StopServer { addr, zone } => write!(formatter, "ALTER SYSTEM STOP SERVER '{addr}' ZONE '{zone}'"),
            Self::ForceStopServer { addr, zone } => {
                write!(formatter, "ALTER SYSTEM FORCE STOP SERVER '{addr}' ZONE '{zone}'")
            }
            Self::StartServer { addr, zone } => write!(formatter, "ALTER SYSTEM START SERVER '{addr}' ZONE '{zone}'"),
            Self::StopZone { zone } => write!(formatter, "ALTER SYSTEM STOP ZONE '{zone}'"),
            Self::ForceStopZone { zone } => write!(formatter, "ALTER SYSTEM FORCE STOP ZONE '{zone}'"),
            Self::StartZone { zone } => write!(formatter, "ALTER SYSTEM START ZONE '{zone}'"),
            Self::MinorFreeze { addr } => write!(formatter, "ALTER SYSTEM MINOR FREEZE SERVER = ('{addr}')"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_written_exactly() {
        let addr: ServerAddr = "10.0.0.2:2882".parse().unwrap();
        let zone: ZoneName = "zone2".parse().unwrap();
        let v6: ServerAddr = "[fd00::2]:2882".parse().unwrap();
        for (statement, text) in [
            (
                Statement::StopServer { addr, zone: zone.clone() },
                "ALTER SYSTEM STOP SERVER '10.0.0.2:2882' ZONE 'zone2'",
            ),
            (
                Statement::ForceStopServer { addr: v6, zone: zone.clone() },
                "ALTER SYSTEM FORCE STOP SERVER '[fd00::2]:2882' ZONE 'zone2'",
            ),
            (Statement::StopZone { zone: zone.clone() }, "ALTER SYSTEM STOP ZONE 'zone2'"),
            (Statement::ForceStopZone { zone: zone.clone() }, "ALTER SYSTEM FORCE STOP ZONE 'zone2'"),
            (Statement::StartZone { zone: zone.clone() }, "ALTER SYSTEM START ZONE 'zone2'"),
            (Statement::StartServer { addr, zone }, "ALTER SYSTEM START SERVER '10.0.0.2:2882' ZONE 'zone2'"),
            (Statement::MinorFreeze { addr }, "ALTER SYSTEM MINOR FREEZE SERVER = ('10.0.0.2:2882')"),
        ] {
            assert_eq!(statement.to_string(), text);
        }
    }
}
