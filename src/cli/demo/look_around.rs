//! The lines to paste that the demo ends with: REST, gRPC, this program as it was called, SQL. Pure.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{LEFT_TO_STOP, PASSWORD, STOPPED, USER};

#[derive(Clone, Debug)]
pub struct Place {
    /// This program, as it was called.
    pub program: String,
    pub grpc: SocketAddr,
    pub rest: Option<SocketAddr>,
    /// IP and SQL port of a server.
    pub sql: Option<(String, u16)>,
    /// `ip:rpc_port` of a server whose stop must be refused now.
    pub other_zone: String,
    /// The task that stopped a server, if one did.
    pub task: Option<i64>,
}

/// The lines. Each can be pasted by itself; of those that stop or start the same server the first succeeds.
pub fn lines(place: &Place) -> Vec<String> {
    let Place { program, grpc, rest, sql, other_zone, task } = place;
    let curl = format!("curl -u {USER}:{PASSWORD}");
    let basic = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let grpcurl = format!("grpcurl -plaintext -H 'authorization: Basic {basic}'");
    let obsteward = format!("OBSTEWARD_USER={USER} OBSTEWARD_PASSWORD={PASSWORD} {program} --server http://{grpc}");
    let mut lines = vec![format!("\nlook around as {USER}, password {PASSWORD} (end with Ctrl-C):")];
    if let Some(rest) = rest {
        let tasks = format!("http://{rest}/api/v2/tasks/instances");
        let servers = format!("http://{rest}/api/v2/ob/clusters/1/servers");
        lines.push(format!("  {curl} -X POST {servers}/{LEFT_TO_STOP}/stop"));
        lines.extend(task.map(|_| format!("  {curl} -X POST {servers}/{STOPPED}/start")));
        // The service numbers tasks from here; the id of any other is in the answer of its stop.
        let task = task.unwrap_or(100_001);
        lines.extend([format!("  {curl} {tasks}"), format!("  {curl} -N {tasks}/{task}/events")]);
    }
    let servers = "obsteward.v1.ObServerService";
    lines.extend([
        format!("  {grpcurl} {grpc} list"),
        format!("  {grpcurl} {grpc} describe {servers}"),
        format!("  {grpcurl} -d '{{\"cluster_id\": 1}}' {grpc} {servers}/ListServers"),
        format!("  {grpcurl} -d '{{\"cluster_id\": 1, \"server_id\": {LEFT_TO_STOP}}}' {grpc} {servers}/StopServer"),
        format!("  {grpcurl} -d '{{}}' {grpc} obsteward.v1.TaskService/ListTasks"),
        format!("  {grpcurl} -d '{{\"after_seq\": 0}}' {grpc} obsteward.v1.TaskService/WatchTasks"),
        format!("  {obsteward} servers list 1"),
        format!("  {obsteward} stop 1 {other_zone} --plan"),
        format!("  {obsteward} stop 1 {LEFT_TO_STOP} --watch"),
        format!("  {obsteward} tasks list"),
        format!("  {obsteward} audit"),
    ]);
    // The demo's own server, when it has stopped one.
    lines.extend(
        task.map(|_| format!("  {obsteward} start 1 {STOPPED} --watch   # of a stop that failed: rolls it back")),
    );
    if let Some((ip, port)) = sql {
        let mariadb = format!("mariadb -h {ip} -P {port} -u root@sys oceanbase");
        lines.extend([
            format!("  {mariadb} -e 'SELECT svr_ip, zone, status, stop_time FROM DBA_OB_SERVERS'"),
            format!("  {mariadb} -e 'SIM FAULTS'   # more: {program} sim --help"),
        ]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_those_that_people_paste() {
        let place = Place {
            program: "obsteward".to_owned(),
            grpc: "127.0.0.1:50051".parse().unwrap(),
            rest: Some("127.0.0.1:8080".parse().unwrap()),
            sql: Some(("127.0.1.1".to_owned(), 2881)),
            other_zone: "127.0.1.1:2882".to_owned(),
            task: Some(100_001),
        };
        let whole = lines(&place).join("\n");
        for line in [
            "  curl -u admin:demo -X POST http://127.0.0.1:8080/api/v2/ob/clusters/1/servers/2/stop\n",
            "  curl -u admin:demo -X POST http://127.0.0.1:8080/api/v2/ob/clusters/1/servers/5/start\n",
            "  curl -u admin:demo http://127.0.0.1:8080/api/v2/tasks/instances\n",
            "  curl -u admin:demo -N http://127.0.0.1:8080/api/v2/tasks/instances/100001/events\n",
            "  grpcurl -plaintext -H 'authorization: Basic YWRtaW46ZGVtbw==' 127.0.0.1:50051 list\n",
            "  OBSTEWARD_USER=admin OBSTEWARD_PASSWORD=demo obsteward --server http://127.0.0.1:50051 tasks list\n",
        ] {
            assert!(whole.contains(line), "{line} is not in {whole}");
        }
        assert!(whole.contains(" --server http://127.0.0.1:50051 start 1 5 --watch"), "{whole}");
        let without = lines(&Place { rest: None, sql: None, ..place.clone() }).join("\n");
        assert!(!without.contains("curl -u") && !without.contains("mariadb"), "{without}");
        let none_stopped = lines(&Place { task: None, ..place }).join("\n");
        assert!(!none_stopped.contains("start"), "nothing is to be started: {none_stopped}");
    }
}
