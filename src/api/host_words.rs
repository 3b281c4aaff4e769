//! How hosts are reached, and ids of servers, in the words of the command line and of the web console. Pure.

use std::net::IpAddr;

use crate::domain::ids::{ServerAddr, ServerId};
use crate::domain::ssh::{InvalidSsh, SshDestination, SshLogin};
use crate::proto::v1;
use crate::store::inventory::{DefaultHost, HostRoute};

/// Reads `ip=none`, `ip=local`, `ip=grpc:host:port` or `ip=ssh:[user@]host[:port]`.
pub fn parse_host(text: &str) -> Result<v1::Host, String> {
    let wrong = || {
        format!(
            "{text:?} is not a host, write ip=none, ip=local, ip=grpc:host:port or ip=ssh:[user@]host[:port], for example \
             10.0.0.2=local"
        )
    };
    let (ip, way) = text.split_once('=').ok_or_else(wrong)?;
    let svr_ip = ip.parse::<IpAddr>().map_err(|_| wrong())?.to_string();
    if way == "none" {
        return Ok(v1::Host { svr_ip, ..Default::default() });
    }
    if way == "local" {
        return Ok(v1::Host { svr_ip, transport: v1::HostTransport::Local as i32, ..Default::default() });
    }
    if let Some(destination) = way.strip_prefix("ssh:") {
        let destination: SshDestination = destination.parse().map_err(|error: InvalidSsh| error.to_string())?;
        let (transport, ssh_destination) = (v1::HostTransport::Ssh as i32, destination.to_string());
        return Ok(v1::Host { svr_ip, transport, ssh_destination, ..Default::default() });
    }
    let agent_address = way.strip_prefix("grpc:").ok_or_else(wrong)?.to_owned();
    let (host, port) = agent_address.rsplit_once(':').ok_or_else(wrong)?;
    // An IPv6 address without brackets would lose its last group to the port.
    let unbracketed = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || unbracketed || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(wrong());
    }
    Ok(v1::Host { svr_ip, transport: v1::HostTransport::Grpc as i32, agent_address, ..Default::default() })
}

/// Reads `local`, `grpc:PORT`, `ssh` or `ssh:[USER@][:PORT]`.
pub fn parse_default_host(text: &str) -> Result<v1::DefaultHost, String> {
    let wrong = || {
        format!("{text:?} is not a way to hosts, write local, grpc:PORT or ssh:[USER@][:PORT], for example grpc:7001")
    };
    if text == "local" {
        return Ok(v1::DefaultHost { transport: v1::HostTransport::Local as i32, ..Default::default() });
    }
    if let Some(login) = if text == "ssh" { Some("") } else { text.strip_prefix("ssh:") } {
        let SshLogin { user, port } = login.parse().map_err(|error: InvalidSsh| error.to_string())?;
        return Ok(v1::DefaultHost {
            transport: v1::HostTransport::Ssh as i32,
            ssh_user: user.map(|user| user.to_string()).unwrap_or_default(),
            ssh_port: port.map(|port| i32::from(port.get())),
            ..Default::default()
        });
    }
    let port = text.strip_prefix("grpc:").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let agent_port = Some(i32::from(port.ok_or_else(wrong)?));
    Ok(v1::DefaultHost { transport: v1::HostTransport::Grpc as i32, agent_port, ..Default::default() })
}

/// As [`parse_host`] reads it.
pub fn host_words(svr_ip: &str, route: &HostRoute) -> String {
    match route {
        HostRoute::None => format!("{svr_ip}=none"),
        HostRoute::Local => format!("{svr_ip}=local"),
        HostRoute::Grpc { address } => format!("{svr_ip}=grpc:{address}"),
        HostRoute::Ssh(destination) => format!("{svr_ip}=ssh:{destination}"),
    }
}

/// As [`parse_default_host`] reads it; empty: hosts without a route of their own cannot be reached.
pub fn default_host_words(host: &DefaultHost) -> String {
    match host {
        DefaultHost::None => String::new(),
        DefaultHost::Local => "local".to_owned(),
        DefaultHost::Grpc { port } => format!("grpc:{port}"),
        DefaultHost::Ssh(login) => format!("ssh:{login}"),
    }
}

/// Reads `ip:rpc_port=ID`.
pub fn parse_server_id(text: &str) -> Result<v1::ServerIdAssignment, String> {
    let wrong = || format!("{text:?} is not an id for a server, write ip:rpc_port=ID, for example 10.0.0.2:2882=17");
    let (address, id) = text.split_once('=').ok_or_else(wrong)?;
    let address: ServerAddr = address.parse().map_err(|_| wrong())?;
    let id = ServerId::new(id.parse().map_err(|_| wrong())?).map_err(|error| error.to_string())?;
    Ok(v1::ServerIdAssignment { address: address.to_string(), server_id: id.get() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(parse_host("10.0.0.2=local").unwrap().transport(), v1::HostTransport::Local);
        let host = parse_host("fd00::2=grpc:[fd00::2]:7001").unwrap();
        assert_eq!((host.svr_ip.as_str(), host.agent_address.as_str()), ("fd00::2", "[fd00::2]:7001"));
        let host = parse_host("fd00::2=ssh:admin@[fd00::2]:22").unwrap();
        assert_eq!((host.transport(), host.ssh_destination.as_str()), (v1::HostTransport::Ssh, "admin@[fd00::2]:22"));
        assert_eq!(parse_host("10.0.0.2=ssh:db-2").unwrap().ssh_destination, "db-2");
        for wrong in [
            "10.0.0.2",
            "x=local",
            "10.0.0.2=ssh",
            "10.0.0.2=ssh:",
            "10.0.0.2=ssh:-oProxyCommand=x",
            "10.0.0.2=ssh:u@h:p",
            "10.0.0.2=grpc:x",
            "10.0.0.2=grpc:fd00::2:7001",
            "10.0.0.2=grpc::1",
        ] {
            assert!(parse_host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn default_hosts() {
        assert_eq!(parse_default_host("local").unwrap().transport(), v1::HostTransport::Local);
        assert_eq!(parse_default_host("grpc:7001").unwrap().agent_port, Some(7001));
        for (text, user, port) in [
            ("ssh", "", None),
            ("ssh:admin@", "admin", None),
            ("ssh::22", "", Some(22)),
            ("ssh:admin@:22", "admin", Some(22)),
        ] {
            let host = parse_default_host(text).unwrap();
            let ssh = (host.transport(), host.ssh_user.as_str(), host.ssh_port);
            assert_eq!(ssh, (v1::HostTransport::Ssh, user, port), "{text}");
        }
        for wrong in ["", "grpc", "grpc:0", "grpc:70000", "grpc:h:1", "ssh:admin", "ssh:22", "ssh:u@h:22", "ssh::0"] {
            assert!(parse_default_host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn routes_are_written_as_they_are_read() {
        let ssh = HostRoute::Ssh("admin@[fd00::2]:22".parse().unwrap());
        let grpc = HostRoute::Grpc { address: "[fd00::2]:7001".to_owned() };
        for route in [HostRoute::None, HostRoute::Local, grpc, ssh] {
            assert!(parse_host(&host_words("fd00::2", &route)).is_ok(), "{route:?}");
        }
        for login in ["", "admin@", ":22", "admin@:22"] {
            let words = default_host_words(&DefaultHost::Ssh(login.parse().unwrap()));
            assert!(parse_default_host(&words).is_ok(), "{words}");
        }
    }

    #[test]
    fn server_ids() {
        let assignment = parse_server_id("10.0.0.2:2882=17").unwrap();
        assert_eq!((assignment.address.as_str(), assignment.server_id), ("10.0.0.2:2882", 17));
        for wrong in ["10.0.0.2:2882", "10.0.0.2=17", "10.0.0.2:2882=0", "10.0.0.2:2882=x"] {
            assert!(parse_server_id(wrong).is_err(), "{wrong}");
        }
    }
}
