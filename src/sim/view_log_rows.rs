//! The rows of the views about log streams and their replicas, in the order of their columns in `views`.

use super::state::{Cluster, LogStream, Replica, SYS_TENANT, Server};
use super::view_rows::{row, yes};
use super::views::{Cell, Rows, Source};

/// Every replica with its server, in a stable order.
fn each_replica(cluster: &Cluster) -> impl Iterator<Item = (&LogStream, &Replica, &Server)> {
    cluster.log_streams.iter().flat_map(move |ls| {
        ls.replicas.iter().filter_map(move |replica| Some((ls, replica, cluster.server(replica.server)?)))
    })
}

pub fn ls_locations(source: &Source<'_>) -> Rows {
    each_replica(source.cluster)
        .map(|(ls, _, s)| {
            let leads = ls.leader == Some(s.id);
            let created = Cell::time(ls.created);
            row![
                created.clone(),
                created,
                ls.tenant,
                ls.id,
                s.ip.as_str(),
                s.rpc_port,
                s.sql_port,
                s.zone.as_str(),
                if leads { "LEADER" } else { "FOLLOWER" },
                leads.then(|| ls.member_list(source.cluster)),
                leads.then_some(ls.paxos_replica_number),
                "FULL",
                leads.then_some(""),
                "FALSE",
            ]
        })
        .collect()
}

pub fn ls_meta(source: &Source<'_>) -> Rows {
    each_replica(source.cluster)
        .map(|(ls, _, s)| {
            let leads = ls.leader == Some(s.id);
            let members = if leads { ls.member_list(source.cluster) } else { String::new() };
            let (role, number) = if leads { (1_i64, ls.paxos_replica_number) } else { (2, -1) };
            row![
                ls.tenant,
                ls.id,
                s.ip.as_str(),
                s.rpc_port,
                s.sql_port,
                role,
                members,
                if leads { ls.proposal_id } else { 0 },
                0_i64,
                "NORMAL",
                number,
                s.zone.as_str(),
            ]
        })
        .collect()
}

pub fn cdb_ob_ls(source: &Source<'_>) -> Rows {
    let row = |ls: &LogStream| row![ls.tenant, ls.id, ls.status.as_str(), "", ls.tenant, 1_i64];
    source.cluster.log_streams.iter().map(row).collect()
}

pub fn ls_status(source: &Source<'_>) -> Rows {
    let row = |ls: &LogStream| row![ls.tenant, ls.id, ls.status.as_str(), 1_i64, ls.tenant, ""];
    source.cluster.log_streams.iter().map(row).collect()
}

/// Rows come from the servers themselves: those that do not answer have none.
pub fn log_stat(source: &Source<'_>) -> Rows {
    let (cluster, now) = (source.cluster, source.now);
    each_replica(cluster)
        .filter(|(_, _, server)| server.reachable())
        .map(|(ls, replica, s)| {
            let leads = ls.leader == Some(s.id);
            let (begin, end) = (ls.created, cluster.replica_end(ls, replica, now));
            let in_sync = cluster.leader_end(ls, now) - end <= 5_000_000;
            let lsn = |micros: i64| (micros - ls.created).max(0) / 10;
            let degraded: Vec<String> =
                ls.degraded.iter().filter_map(|id| cluster.server(*id)).map(|s| format!("{}:1", s.address())).collect();
            row![
                ls.tenant,
                ls.id,
                s.ip.as_str(),
                s.rpc_port,
                if leads { "LEADER" } else { "FOLLOWER" },
                ls.proposal_id,
                format!("{{proposal_id:{}, config_seq:1}}", ls.proposal_id),
                if cluster.tenant(ls.tenant).is_some_and(|t| t.role == "STANDBY") { "RAW_WRITE" } else { "APPEND" },
                ls.member_list(cluster),
                ls.paxos_replica_number,
                yes(in_sync),
                0_i64,
                0_i64,
                begin * 1000,
                lsn(end),
                end * 1000,
                lsn(end),
                end * 1000,
                if cluster.arbitrates(ls.tenant) { "127.0.0.1:5882" } else { "" },
                degraded.join(","),
                "",
            ]
        })
        .collect()
}

pub fn ls_info(source: &Source<'_>) -> Rows {
    each_replica(source.cluster)
        .filter(|(_, _, server)| server.reachable())
        .map(|(ls, replica, s)| {
            let (checkpoint, readable) = (replica.checkpoint, source.cluster.replica_end(ls, replica, source.now));
            row![
                s.ip.as_str(),
                s.rpc_port,
                ls.tenant,
                ls.id,
                "FULL",
                "NORMAL",
                100_i64,
                readable * 1000,
                "FALSE",
                checkpoint * 1000,
                (checkpoint - ls.created).max(0) / 10,
                0_i64,
                0_i64,
                checkpoint * 1000,
            ]
        })
        .collect()
}

pub fn core_meta(source: &Source<'_>) -> Rows {
    each_replica(source.cluster)
        .filter(|(ls, _, _)| ls.tenant == SYS_TENANT)
        .map(|(ls, _, s)| {
            let role = if ls.leader == Some(s.id) { 1_i64 } else { 2 };
            row![ls.tenant, s.ip.as_str(), s.rpc_port, s.sql_port, role, s.zone.as_str()]
        })
        .collect()
}
