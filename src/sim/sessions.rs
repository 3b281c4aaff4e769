//! Clients' sessions: how they begin, what refuses them, how they end.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::errors::SqlRefusal;
use super::fault::{FaultKind, Scope};
use super::record::{Kind, RecordEntry};
use super::show::default_variables;
use super::time::{self, Micros};

/// The tenant of a login that names none.
const SYS: &str = "sys";

pub struct Session {
    pub id: u64,
    pub server: i64,
    /// The observer's own number of it, where there are observers.
    pub(super) connection: u64,
    pub user: String,
    pub peer: String,
    pub(super) database: Option<String>,
    /// Those that it has set.
    pub(super) variables: BTreeMap<String, String>,
    pub since: Micros,
    /// The statement it runs, and how to stop it.
    pub(super) running: Option<(String, CancellationToken)>,
    /// It ends with the statement that it runs.
    pub(super) cut: bool,
    /// Its client has gone, and its statement has not noticed.
    pub(super) left: bool,
    pub transaction: Option<Transaction>,
}

/// Ends with its session, if not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    pub id: i64,
    pub since: Micros,
    /// Only what has written has participants.
    pub wrote: bool,
}

/// Name and tenant of a login: `root` is `root@sys`.
fn login(user: &str) -> (&str, &str) {
    user.split_once('@').unwrap_or((user, SYS))
}

impl Session {
    /// The statement that it runs.
    pub fn statement(&self) -> Option<&str> {
        self.running.as_ref().map(|(text, _)| text.as_str())
    }

    /// Ends the statement that it runs.
    pub(super) fn interrupt(&self) {
        if let Some((_, running)) = &self.running {
            running.cancel();
        }
    }

    /// Name of its user, and its tenant.
    pub fn login(&self) -> (&str, &str) {
        login(&self.user)
    }

    pub(super) fn is_of_sys(&self) -> bool {
        self.login().1.eq_ignore_ascii_case(SYS)
    }

    /// All its variables.
    pub(super) fn all_variables(&self) -> BTreeMap<String, String> {
        let mut variables = default_variables();
        variables.extend(self.variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        variables
    }
}

impl Core {
    /// A client connected; None: its connection is closed without an answer.
    pub(super) fn open(&mut self, server: i64, connection: u64, peer: String, now: Micros) -> Option<u64> {
        let refused = self.take(now, &Scope::endpoint(server), |kind| matches!(kind, FaultKind::RefuseConnections));
        if refused.is_some() {
            return None;
        }
        self.next_session += 1;
        let id = self.next_session;
        let session = Session {
            id,
            server,
            connection,
            user: String::new(),
            peer,
            database: None,
            variables: BTreeMap::new(),
            since: now,
            running: None,
            cut: false,
            left: false,
            transaction: None,
        };
        self.sessions.insert(id, session);
        Some(id)
    }

    pub(super) fn log_in(
        &mut self,
        server: i64,
        session: Option<u64>,
        user: &str,
        password_right: bool,
        now: Micros,
    ) -> Result<(), SqlRefusal> {
        let refusal = self.login_refusal(server, user, password_right, now);
        let kind = if refusal.is_some() { Kind::LoginRefused } else { Kind::SessionOpened };
        self.record_entry(now, RecordEntry { server: Some(server), session, kind, text: user.into() });
        match refusal {
            Some(refusal) => Err(refusal),
            None => {
                if let Some(session) = session.and_then(|id| self.sessions.get_mut(&id)) {
                    session.user = user.into();
                }
                Ok(())
            }
        }
    }

    /// `root` or `root@sys`: everything behind `@` is the tenant, so that `root@sys#cluster` names one that does not exist.
    /// Every observer has a hidden sys tenant, and of the others those that have a unit there.
    fn login_refusal(&mut self, server: i64, user: &str, password_right: bool, now: Micros) -> Option<SqlRefusal> {
        let scope = Scope::endpoint(server);
        let (name, tenant) = login(user);
        let denied = || {
            let using = if password_right { "NO" } else { "YES" };
            let text = format!("Access denied for user '{name}'@'xxx.xxx.xxx.xxx' (using password: {using})");
            SqlRefusal::new(1045, text)
        };
        let about_login = |kind: &FaultKind| matches!(kind, FaultKind::LoginRefused | FaultKind::TenantNotInServer);
        match self.take(now, &scope, about_login) {
            Some(FaultKind::LoginRefused) => return Some(denied()),
            Some(_) => return Some(SqlRefusal::new(5150, "Tenant not in this server")),
            None => {}
        }
        let starting = self.cluster.server(server).is_some_and(|server| {
            let delay = time::micros(self.cluster.durations.start_service);
            !server.in_service() && server.process.as_ref().is_some_and(|process| now - process.since < delay)
        });
        let sys = tenant.eq_ignore_ascii_case(SYS);
        let known = self.cluster.tenants.iter().find(|known| known.name == tenant && known.kind == "USER");
        let here = known.is_some_and(|known| {
            self.cluster.units.iter().any(|unit| unit.tenant == known.id && unit.server == server)
        });
        if starting {
            Some(SqlRefusal::new(8001, "Server is initializing"))
        } else if known.is_some() && !here {
            Some(SqlRefusal::new(5150, "Tenant not in this server"))
        } else if !(sys || here) || name != "root" || !password_right {
            Some(denied())
        } else {
            None
        }
    }

    /// BEGIN commits what is open, as in MySQL.
    pub(super) fn begin(&mut self, id: u64, now: Micros) {
        self.next_transaction += 1;
        let transaction = Transaction { id: self.next_transaction, since: now, wrote: false };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.transaction = Some(transaction);
        }
    }

    /// The session is over, and the statement that it runs.
    pub(super) fn close(&mut self, id: u64, now: Micros) {
        let Some(session) = self.sessions.remove(&id) else { return };
        session.interrupt();
        let (server, text) = (Some(session.server), String::new());
        self.record_entry(now, RecordEntry { server, session: Some(id), kind: Kind::SessionClosed, text });
    }

    /// Ends a session's connection now.
    pub(super) fn cut(&mut self, id: u64, now: Micros) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.interrupt();
        session.cut = true;
        match &self.observers {
            Some(observers) => observers.cut(session.server, session.connection),
            None if session.running.is_none() => self.close(id, now),
            None => {}
        }
    }

    /// Ends every session's connection now, as with a network that breaks for a moment.
    pub fn cut_sessions(&mut self, now: Micros) {
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.cut(id, now);
        }
    }

    pub(super) fn session_of(&self, server: i64, connection: u64) -> Option<u64> {
        let mut sessions = self.sessions.values();
        sessions.find(|session| session.server == server && session.connection == connection).map(|session| session.id)
    }
}
