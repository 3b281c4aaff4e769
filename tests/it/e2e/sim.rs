//! The simulated cluster against its own promises, through a real client and real processes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder, Row};
use obsteward::sim::{Fault, FaultKind, Kind, Signal, SimCluster, SimOptions, SimServerInfo};

type ServerRow = (String, u16, i64, String, String, String, Option<String>);

const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> SimOptions {
    SimOptions::quick(env!("CARGO_BIN_EXE_obsteward"))
}

async fn start() -> SimCluster {
    SimCluster::start(options()).await.unwrap()
}

async fn try_connect(server: &SimServerInfo, password: &str) -> Result<Conn, Error> {
    let options = OptsBuilder::default()
        .ip_or_hostname(server.ip.clone())
        .tcp_port(server.sql_port)
        .user(Some("root@sys"))
        .pass(Some(password))
        .db_name(Some("oceanbase"))
        .prefer_socket(false);
    Conn::new(options).await
}

async fn connect(cluster: &SimCluster, id: i64) -> Conn {
    try_connect(&cluster.server(id).unwrap(), "").await.unwrap()
}

fn stop_sql(cluster: &SimCluster, id: i64) -> String {
    let server = cluster.server(id).unwrap();
    format!("ALTER SYSTEM STOP SERVER '{}' ZONE '{}'", server.address(), server.zone)
}

/// The error number of an answer that must be one.
fn number(result: Result<(), Error>) -> u16 {
    match result {
        Err(Error::Server(error)) => error.code,
        other => panic!("not an error of the server: {other:?}"),
    }
}

fn gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

async fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.is_ok()
}

fn stop_time(cluster: &SimCluster, id: i64) -> i64 {
    cluster.look(|state| state.server(id).unwrap().stop_time)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_shown_as_oceanbase_shows_them() {
    let cluster = start().await;
    let mut conn = connect(&cluster, 2).await;
    let rows: Vec<ServerRow> = conn
        .query("SELECT svr_ip, svr_port, id, zone, with_rootserver, status, stop_time FROM dba_ob_servers ORDER BY id")
        .await
        .unwrap();
    let ip = |n| cluster.server(n).unwrap().ip;
    let row = |n: i64, root: &str| (ip(n), 2882, n, format!("zone{n}"), root.into(), "ACTIVE".into(), None);
    assert_eq!(rows, [row(1, "YES"), row(2, "NO"), row(3, "NO")]);
    // the root service's own statement
    let rows: Vec<Row> = conn
        .query(
            "SELECT a.tenant_id,a.ls_id,b.svr_ip,b.svr_port,b.role,b.proposal_id,b.paxos_member_list,\
             b.paxos_replica_num,b.end_scn FROM oceanbase.__all_virtual_ls_status a LEFT JOIN \
             oceanbase.__all_virtual_log_stat b USING(tenant_id,ls_id) WHERE a.status != 'CREATE_ABORT' \
             ORDER BY tenant_id, ls_id, role",
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 3 * cluster.look(|state| state.log_streams.len()));
    let missing = conn.query_drop("SELECT * FROM nowhere").await;
    assert_eq!(number(missing), 1146);
    conn.disconnect().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_and_login_faults_count() {
    let cluster = SimCluster::start(SimOptions { password: "secret".into(), ..options() }).await.unwrap();
    let server = cluster.server(1).unwrap();
    assert_eq!(number(try_connect(&server, "wrong").await.map(drop)), 1045);
    assert_eq!(number(try_connect(&server, "").await.map(drop)), 1045);
    try_connect(&server, "secret").await.unwrap().disconnect().await.unwrap();
    cluster.inject(Fault::on(FaultKind::TenantNotInServer, 1).times(1));
    assert_eq!(number(try_connect(&server, "secret").await.map(drop)), 5150);
    let fault = cluster.inject(Fault::on(FaultKind::RefuseConnections, 1));
    assert!(try_connect(&server, "secret").await.is_err());
    cluster.clear(fault);
    cluster.inject(Fault::on(FaultKind::WrongIdentity { cluster_name: "other".into(), cluster_id: 7 }, 1));
    let mut conn = try_connect(&server, "secret").await.unwrap();
    let name: Option<String> =
        conn.query_first("SELECT DISTINCT value FROM GV$OB_PARAMETERS WHERE name = 'cluster'").await.unwrap();
    assert_eq!(name.as_deref(), Some("other"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_server_waits_for_the_leaders_and_no_other_zone_follows() {
    let cluster = start().await;
    let mut conn = connect(&cluster, 2).await;
    conn.query_drop("SET SESSION ob_query_timeout = 20000000").await.unwrap();
    conn.query_drop(stop_sql(&cluster, 1)).await.unwrap();
    assert_ne!(stop_time(&cluster, 1), 0);
    assert_eq!(cluster.look(|state| state.leaders_on(&[1])), 0);
    assert_eq!(number(conn.query_drop(stop_sql(&cluster, 2)).await), 4660);
    assert_eq!(stop_time(&cluster, 2), 0);
    // stopping it again is no error and changes nothing
    let before = stop_time(&cluster, 1);
    conn.query_drop(stop_sql(&cluster, 1)).await.unwrap();
    assert_eq!(stop_time(&cluster, 1), before);
    let address = cluster.server(1).unwrap().address();
    conn.query_drop(format!("ALTER SYSTEM START SERVER '{address}'")).await.unwrap();
    assert!(cluster.wait_until(PATIENCE, |state| state.leaders_on(&[1]) > 0).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_inactive_after_its_lease_and_comes_back() {
    let cluster = start().await;
    let server = cluster.server(1).unwrap();
    cluster.kill_process(1, Signal::KILL).unwrap();
    assert!(cluster.wait_recorded(PATIENCE, Kind::ProcessEnded, "").await);
    assert!(tokio::net::TcpStream::connect(server.endpoint()).await.is_err());
    let mut conn = connect(&cluster, 2).await;
    assert!(cluster.wait_recorded(PATIENCE, Kind::ServerOffline, "last_offline_time").await);
    let ended = cluster.recorded(Kind::ProcessEnded)[0].at;
    let offline = cluster.recorded(Kind::ServerOffline)[0].at;
    assert!(offline - ended >= 800_000, "lease 1 s, heartbeat 0.1 s: offline after {} us", offline - ended);
    let status: Option<String> = conn.query_first("SELECT STATUS FROM DBA_OB_SERVERS WHERE ID=1").await.unwrap();
    assert_eq!(status.as_deref(), Some("INACTIVE"));
    assert_eq!(cluster.look(|state| state.leaders_on(&[1])), 0);
    // started as a host agent starts it
    let started = std::process::Command::new("bin/observer").arg("-p").arg("2881").current_dir(&server.home).status();
    assert!(started.unwrap().success());
    assert!(cluster.wait_until(PATIENCE, |s| s.server(1).unwrap().in_service() && s.server(1).unwrap().alive()).await);
    assert_ne!(cluster.server(1).unwrap().pid, server.pid);
    connect(&cluster, 1).await.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_says_nothing_about_the_mark() {
    let cluster = start().await;
    let sql = stop_sql(&cluster, 1);
    let cut = |result: Result<(), Error>| assert!(!matches!(result, Ok(()) | Err(Error::Server(_))), "{result:?}");

    cluster.inject(FaultKind::CutBeforeMark);
    cut(connect(&cluster, 2).await.query_drop(&sql).await);
    assert_eq!(stop_time(&cluster, 1), 0);

    cluster.inject(FaultKind::LateMark { delay_ms: 300 });
    cut(connect(&cluster, 2).await.query_drop(&sql).await);
    assert_eq!(stop_time(&cluster, 1), 0);
    assert!(cluster.wait_recorded(PATIENCE, Kind::MarkSet, "Stop").await);

    let address = cluster.server(1).unwrap().address();
    cluster.third_party(&format!("ALTER SYSTEM START SERVER '{address}'"));
    assert_eq!(stop_time(&cluster, 1), 0);
    cluster.inject(FaultKind::CutAfterMark);
    cut(connect(&cluster, 2).await.query_drop(&sql).await);
    assert_ne!(stop_time(&cluster, 1), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_retried_until_they_pass_or_time_is_over() {
    let cluster = start().await;
    let mut conn = connect(&cluster, 2).await;
    let sql = stop_sql(&cluster, 1);
    let lag = cluster.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 3));
    // The loop ends with the statement's own time, and what it found is never said.
    conn.query_drop("SET SESSION ob_query_timeout = 700000").await.unwrap();
    assert_eq!(number(conn.query_drop(&sql).await), 4012);
    assert!(cluster.recorded(Kind::PrecheckRefused)[0].text.contains("log not sync"));
    assert_eq!(number(conn.query_drop("ALTER SYSTEM STOP ZONE zone1").await), 4012);
    // the session goes, the root service goes on, and the mark comes when the log is in sync
    let mut other = connect(&cluster, 2).await;
    let before = cluster.recorded(Kind::Statement).len();
    let running = tokio::spawn(async move { other.query_drop(&sql).await });
    assert!(wait_for(|| cluster.recorded(Kind::Statement).len() > before).await);
    let id: Option<u64> =
        conn.query_first("SELECT ID FROM GV$OB_PROCESSLIST WHERE INFO LIKE 'ALTER SYSTEM STOP%'").await.unwrap();
    let elsewhere = connect(&cluster, 3).await.query_drop(format!("KILL {}", id.unwrap())).await;
    assert_eq!(number(elsewhere), 1094);
    conn.query_drop(format!("KILL {}", id.unwrap())).await.unwrap();
    assert!(running.await.unwrap().is_err());
    cluster.clear(lag);
    assert!(cluster.wait_recorded(PATIENCE, Kind::MarkSet, "").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_stay_end_in_4652() {
    let cluster = start().await;
    let mut conn = connect(&cluster, 2).await;
    conn.query_drop("SET SESSION ob_query_timeout = 300000").await.unwrap();
    conn.query_drop(r#"SIM FAULT '{"fault":"leader_switch_stuck","server":1}'"#).await.unwrap();
    assert_eq!(number(conn.query_drop(stop_sql(&cluster, 1)).await), 4652);
    assert_ne!(stop_time(&cluster, 1), 0);
    conn.query_drop("SIM CLEAR").await.unwrap();
    assert!(cluster.wait_until(PATIENCE, |state| state.leaders_on(&[1]) == 0).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_tell_the_mark_only_when_they_can() {
    let refused = FaultKind::Refused { number: 4655, text: "zone not active".into() };
    for (fault, error, marked) in [
        (refused, 4655, false),
        (FaultKind::Hang, 4012, false),
        (FaultKind::TimeoutAfterMark, 4012, true),
        (FaultKind::LeaderWaitTimeout, 4652, true),
        (FaultKind::RootServiceFailover { number: Some(4638), marked: false }, 4638, false),
        (FaultKind::RootServiceFailover { number: Some(4038), marked: true }, 4038, true),
    ] {
        let cluster = start().await;
        let mut conn = connect(&cluster, 2).await;
        conn.query_drop("SET SESSION ob_query_timeout = 500000").await.unwrap();
        cluster.inject(Fault::from(fault.clone()).for_statement("ALTER SYSTEM STOP SERVER"));
        conn.query_drop("SELECT 1").await.unwrap();
        assert_eq!(number(conn.query_drop(stop_sql(&cluster, 1)).await), error, "{fault:?}");
        assert_eq!(stop_time(&cluster, 1) != 0, marked, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_of_the_sys_tenant_statements_time_out() {
    let cluster = start().await;
    cluster.kill_process(1, Signal::KILL).unwrap();
    cluster.kill_process(2, Signal::KILL).unwrap();
    assert!(cluster.wait_until(PATIENCE, |state| state.log_streams.iter().all(|ls| ls.leader.is_none())).await);
    let mut conn = connect(&cluster, 3).await;
    conn.query_drop("SET ob_query_timeout = 200000").await.unwrap();
    assert_eq!(number(conn.query_drop("SELECT * FROM DBA_OB_SERVERS").await), 4012);
    assert_eq!(number(conn.query_drop(stop_sql(&cluster, 1)).await), 4012);
    // what the servers themselves know can still be asked
    let rows: Vec<String> = conn.query("SELECT DISTINCT svr_ip FROM GV$OB_LOG_STAT").await.unwrap();
    assert_eq!(rows, [cluster.server(3).unwrap().ip]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minor_freeze_moves_the_checkpoint() {
    let cluster = start().await;
    let mut conn = connect(&cluster, 2).await;
    let server = cluster.server(1).unwrap();
    let sql = format!("SELECT MIN(checkpoint_scn) FROM __all_virtual_ls_info WHERE svr_ip = '{}'", server.ip);
    let before: Option<u64> = conn.query_first(&sql).await.unwrap();
    conn.query_drop(format!("ALTER SYSTEM MINOR FREEZE SERVER = ('{}')", server.address())).await.unwrap();
    assert!(cluster.wait_until(PATIENCE, |s| s.log_streams[0].replica(1).unwrap().freeze.is_none()).await);
    let after: Option<u64> = conn.query_first(&sql).await.unwrap();
    assert!(after > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn third_parties_act_right_after_an_event() {
    let cluster = start().await;
    let address = cluster.server(1).unwrap().address();
    let sql = format!("ALTER SYSTEM START SERVER '{address}'");
    cluster.inject(Fault::from(FaultKind::ThirdParty { sql }).after(Kind::Answered, "select 'now'", 2));
    let mut conn = connect(&cluster, 2).await;
    conn.query_drop(stop_sql(&cluster, 1)).await.unwrap();
    conn.query_drop("SELECT 'now'").await.unwrap();
    assert_ne!(stop_time(&cluster, 1), 0);
    conn.query_drop("SELECT 'now'").await.unwrap();
    assert_eq!(stop_time(&cluster, 1), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_treat_signals_as_they_are_told() {
    let cluster = start().await;
    cluster.inject(Fault::on(FaultKind::IgnoreSigterm, 1));
    cluster.inject(Fault::on(FaultKind::RestartAfterExit { delay_ms: 50 }, 2));
    let before = [cluster.server(1).unwrap().pid.unwrap(), cluster.server(2).unwrap().pid.unwrap()];
    // the statement goes the same way as the behaviour and after it
    connect(&cluster, 1).await.disconnect().await.unwrap();
    cluster.kill_process(1, Signal::TERM).unwrap();
    assert!(cluster.wait_recorded(PATIENCE, Kind::Signal, "SIGTERM ignored").await);
    assert!(!gone(before[0]));
    cluster.kill_process(2, Signal::TERM).unwrap();
    assert!(
        cluster
            .wait_until(PATIENCE, |s| s.server(2).unwrap().process.as_ref().is_some_and(|p| p.pid != before[1]))
            .await
    );
    assert!(wait_for(|| gone(before[1])).await);
    cluster.kill_process(1, Signal::KILL).unwrap();
    assert!(wait_for(|| gone(before[0])).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_stop_with_arbitration_only() {
    let cluster = start().await;
    let mut conn = connect(&cluster, 3).await;
    let sql = stop_sql(&cluster, 1);
    cluster.set_replicas(1002, &[1, 2], false);
    assert_eq!(number(conn.query_drop(&sql).await), 4179);
    cluster.set_replicas(1002, &[1, 2], true);
    let stuck = cluster.inject(FaultKind::ArbitrationStuck);
    assert_eq!(number(conn.query_drop(&sql).await), 4751);
    assert_ne!(stop_time(&cluster, 1), 0);
    cluster.clear(stuck);
    conn.query_drop(&sql).await.unwrap();
    let degraded: Vec<String> = conn
        .query("SELECT DISTINCT degraded_list FROM GV$OB_LOG_STAT WHERE tenant_id = 1002 AND role = 'leader'")
        .await
        .unwrap();
    assert_eq!(degraded, [format!("{}:1", cluster.server(1).unwrap().address())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tests_set_is_what_clients_see() {
    let cluster = start().await;
    let mut conn = connect(&cluster, 2).await;
    let sql = stop_sql(&cluster, 1);
    cluster.set_previous_locality(1002, "FULL{1}@zone1");
    let text = conn.query_drop(&sql).await.unwrap_err().to_string();
    assert!(text.contains("Tenant(1002) locality is changing, stop server not allowed"), "{text}");
    let previous: Option<String> =
        conn.query_first("SELECT previous_locality FROM DBA_OB_TENANTS WHERE tenant_id = 1002").await.unwrap();
    assert_eq!(previous.as_deref(), Some("FULL{1}@zone1"));
    cluster.set_previous_locality(1002, "");
    let leaderless = cluster.remove_leader(1002, 1001);
    conn.query_drop("SET SESSION ob_query_timeout = 700000").await.unwrap();
    assert_eq!(number(conn.query_drop(&sql).await), 4012);
    let text = &cluster.recorded(Kind::PrecheckRefused).last().unwrap().text.clone();
    assert!(text.contains("Tenant(1002) LS(1001) has no leader, stop server not allowed"), "{text}");
    conn.query_drop("SET SESSION ob_query_timeout = 10000000").await.unwrap();
    cluster.clear(leaderless);
    assert!(cluster.wait_until(PATIENCE, |s| s.log_stream(1002, 1001).unwrap().leader.is_some()).await);
    cluster.set_zone_active("zone3", false);
    assert_eq!(number(conn.query_drop(&sql).await), 4660);
    cluster.set_zone_active("zone3", true);
    cluster.set_unit_migration(1002, 2, 3);
    let from: Option<String> = conn
        .query_first("SELECT migrate_from_svr_ip FROM DBA_OB_UNITS WHERE migrate_from_svr_ip IS NOT NULL")
        .await
        .unwrap();
    assert_eq!(from, Some(cluster.server(2).unwrap().ip));
    let added = cluster.add_server("zone3").await.unwrap();
    let count: Option<i64> = conn.query_first("SELECT COUNT(*) FROM DBA_OB_SERVERS").await.unwrap();
    assert_eq!((added, count), (4, Some(4)));
    let root = cluster.look(|state| state.root_service());
    cluster.fail_over();
    assert_ne!(cluster.look(|state| state.root_service()), root);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_process_is_inactive_until_it_goes_on() {
    let cluster = start().await;
    cluster.kill_process(1, Signal::STOP).unwrap();
    assert!(cluster.wait_recorded(PATIENCE, Kind::ServerOffline, "").await);
    assert_eq!(cluster.look(|state| state.leaders_on(&[1])), 0);
    cluster.kill_process(1, Signal::CONT).unwrap();
    assert!(cluster.wait_recorded(PATIENCE, Kind::ServerOnline, "").await);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_dropped_cluster() {
    let cluster = start().await;
    let (directory, servers) = (cluster.directory().to_owned(), cluster.servers());
    drop(cluster);
    assert!(wait_for(|| servers.iter().all(|server| gone(server.pid.unwrap()))).await);
    assert!(wait_for(|| !directory.exists()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_killed_coordinator() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let net = obsteward::sim::NetClaim::any().unwrap().network();
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_obsteward"))
        .args(["sim", "--net", &net.to_string()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut pids = Vec::new();
    while pids.len() < 3 {
        let line = lines.next_line().await.unwrap().expect("a line for each server");
        pids.extend(line.split_whitespace().last().and_then(|pid| pid.parse::<u32>().ok()));
    }
    let home = std::fs::read_link(format!("/proc/{}/cwd", pids[0])).unwrap();
    child.kill().await.unwrap();
    assert!(wait_for(|| pids.iter().all(|pid| gone(*pid))).await);
    assert!(!home.exists());
}
