//! Clients of one server: their sessions and open transactions, tenant by tenant. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Longest time for which a stop may wait for clients.
pub const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// A session of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSession {
    pub tenant: String,
    /// It runs a statement.
    pub active: bool,
    /// Its open transaction.
    pub transaction: Option<i64>,
}

/// What the clients of one tenant have on a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantClients {
    pub tenant: String,
    pub sessions: usize,
    /// Sessions that run a statement.
    pub active: usize,
    /// Open transactions, also those that no session holds any more.
    pub transactions: usize,
}

/// What clients have on a server: the tenants that have anything, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerClients(pub Vec<TenantClients>);

impl ServerClients {
    /// `transactions`: tenant and id of those that have written; the sessions name their own, too.
    pub fn of(sessions: &[ClientSession], transactions: impl IntoIterator<Item = (String, i64)>) -> Self {
        let mut open: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        let of_sessions = sessions.iter().filter_map(|session| Some((session.tenant.clone(), session.transaction?)));
        for (tenant, transaction) in of_sessions.chain(transactions) {
            open.entry(tenant).or_default().insert(transaction);
        }
        let names: BTreeSet<&String> = sessions.iter().map(|session| &session.tenant).chain(open.keys()).collect();
        let tenant = |name: &String| {
            let of_tenant = || sessions.iter().filter(|session| session.tenant == *name);
            TenantClients {
                tenant: name.clone(),
                sessions: of_tenant().count(),
                active: of_tenant().filter(|session| session.active).count(),
                transactions: open.get(name).map_or(0, BTreeSet::len),
            }
        };
        Self(names.into_iter().map(tenant).collect())
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ServerClients {
    /// `2 sessions and 1 open transaction of tenant app, 1 session of tenant test`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("no session and no open transaction");
        }
        let words = |one: &TenantClients| {
            let parts = [(one.sessions, "session"), (one.transactions, "open transaction")];
            let parts = parts.into_iter().filter(|(count, _)| *count > 0);
            let parts = parts.map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }));
            format!("{} of tenant {}", parts.collect::<Vec<_>>().join(" and "), one.tenant)
        };
        formatter.write_str(&self.0.iter().map(words).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_counted_once_and_also_without_its_session() {
        let session =
            |tenant: &str, transaction| ClientSession { tenant: tenant.to_owned(), active: false, transaction };
        let sessions = [session("test", None), session("app", Some(7)), session("app", None)];
        let written = [("app".to_owned(), 7), ("app".to_owned(), 7), ("report".to_owned(), 7)];
        let clients = ServerClients::of(&sessions, written);
        assert_eq!(
            clients.to_string(),
            "2 sessions and 1 open transaction of tenant app, 1 open transaction of tenant report, 1 session of tenant test"
        );
        assert!(ServerClients::of(&[], []).is_empty());
    }
}
