//! The rows of the views about clients' sessions and transactions, in the order of their columns in `views`.

use super::view_rows::row;
use super::views::{Cell, Rows, SessionRow, Source};

pub fn processlist(source: &Source<'_>) -> Rows {
    let sessions = source.sessions.iter();
    sessions
        .filter_map(|session| {
            let s = source.cluster.server(session.server).filter(|server| server.reachable())?;
            let open = session.transaction;
            let active = session.info.is_some();
            let seconds = (source.now - session.since) / 1_000_000;
            let host = session.peer.split(':').next().unwrap_or_default();
            Some(row![
                s.ip.as_str(),
                s.rpc_port,
                s.sql_port,
                session.id as i64,
                session.user.as_str(),
                session.peer.as_str(),
                session.database.as_deref(),
                session.tenant.as_str(),
                if active { "Query" } else { "Sleep" },
                seconds,
                seconds,
                if active { "ACTIVE" } else { "SLEEP" },
                session.info.as_deref(),
                host,
                open.map_or(0, |open| open.id),
                if open.is_some() { "ACTIVE" } else { "" },
            ])
        })
        .collect()
}

/// A transaction that has written did so in one log stream of its tenant.
pub fn transaction_participants(source: &Source<'_>) -> Rows {
    let cluster = source.cluster;
    let row = |session: &SessionRow| {
        let open = session.transaction.filter(|open| open.wrote)?;
        let scheduler = cluster.server(session.server)?;
        let tenant = cluster.tenants.iter().find(|tenant| tenant.name == session.tenant)?;
        let ls = cluster.log_streams.iter().filter(|ls| ls.tenant == tenant.id).max_by_key(|ls| ls.id)?;
        let leader = ls.leader.and_then(|leader| cluster.server(leader)).filter(|leader| leader.reachable())?;
        Some(row![
            tenant.id,
            leader.ip.as_str(),
            leader.rpc_port,
            session.id as i64,
            // with the quotation marks of the kernel
            format!("\"{}:{}\"", scheduler.ip, scheduler.rpc_port),
            "LOCAL",
            open.id,
            ls.id,
            Cell::time(open.since),
            "ACTIVE",
            "START",
            "LEADER",
        ])
    };
    source.sessions.iter().filter_map(row).collect()
}
