//! What holds a wait: which server, or which log stream of which tenant, and why. Pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::ids::ServerAddr;

/// How many are named; the rest is only counted.
pub const MOST_NAMED: usize = 20;

/// One thing that holds a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    pub tenant_id: Option<i64>,
    /// Empty when it is not known.
    pub tenant_name: String,
    /// `LS_ID`, unique within the tenant.
    pub log_stream: Option<i64>,
    pub server: Option<ServerAddr>,
    /// A predicate (`has no other replica in sync`). What runs on by itself, as the rest of a time, does not belong into it: a
    /// wait that is not counted has moved when this changes.
    pub reason: String,
}

impl Blocker {
    pub fn log_stream(tenant_id: i64, ls_id: i64, reason: impl Into<String>) -> Self {
        let (tenant_id, log_stream) = (Some(tenant_id), Some(ls_id));
        Self { tenant_id, tenant_name: String::new(), log_stream, server: None, reason: reason.into() }
    }

    pub fn server(server: ServerAddr, reason: impl Into<String>) -> Self {
        let (tenant_id, log_stream) = (None, None);
        Self { tenant_id, tenant_name: String::new(), log_stream, server: Some(server), reason: reason.into() }
    }

    #[must_use]
    pub fn on(self, server: ServerAddr) -> Self {
        Self { server: self.server.or(Some(server)), ..self }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(tenant_id), Some(log_stream)) = (self.tenant_id, self.log_stream) {
            write!(formatter, "LS {log_stream} of tenant ")?;
            match self.tenant_name.as_str() {
                "" => write!(formatter, "{tenant_id}")?,
                name => formatter.write_str(name)?,
            }
            if self.server.is_some() {
                formatter.write_str(" on ")?;
            }
        }
        if let Some(server) = self.server {
            server.fmt(formatter)?;
        }
        write!(formatter, " {}", self.reason)
    }
}

/// All that holds a wait: the first of them by name, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blockers {
    first: Vec<Blocker>,
    count: usize,
}

impl Blockers {
    pub fn named(&self) -> &[Blocker] {
        &self.first
    }

    /// As they were named, and counted, elsewhere.
    pub fn of_named(named: Vec<Blocker>, count: usize) -> Self {
        Self { count: count.max(named.len()), first: named }
    }

    pub const fn count(&self) -> usize {
        self.count
    }

    /// Adds the names of tenants that are known.
    #[must_use]
    pub fn with_tenant_names(mut self, names: &BTreeMap<i64, String>) -> Self {
        for blocker in &mut self.first {
            if let Some(name) = blocker.tenant_id.and_then(|id| names.get(&id)) {
                blocker.tenant_name.clone_from(name);
            }
        }
        self
    }

    /// Of this server, where none is named.
    #[must_use]
    pub fn on(mut self, server: ServerAddr) -> Self {
        for blocker in &mut self.first {
            blocker.server.get_or_insert(server);
        }
        self
    }

    /// Adds those of another.
    pub fn append(&mut self, other: &Self) {
        self.count += other.count - other.first.len();
        self.extend(other.first.iter().cloned());
    }
}

impl Extend<Blocker> for Blockers {
    fn extend<I: IntoIterator<Item = Blocker>>(&mut self, blockers: I) {
        for blocker in blockers {
            self.count += 1;
            if self.first.len() < MOST_NAMED {
                self.first.push(blocker);
            }
        }
    }
}

impl FromIterator<Blocker> for Blockers {
    fn from_iter<I: IntoIterator<Item = Blocker>>(blockers: I) -> Self {
        let mut all = Self::default();
        all.extend(blockers);
        all
    }
}

impl From<Blocker> for Blockers {
    fn from(blocker: Blocker) -> Self {
        Self { first: vec![blocker], count: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocker_is_one_sentence() {
        let addr: ServerAddr = "10.0.0.2:2882".parse().unwrap();
        let stuck = Blocker::log_stream(1002, 1001, "has no other replica in sync");
        assert_eq!(stuck.to_string(), "LS 1001 of tenant 1002 has no other replica in sync");
        let names = BTreeMap::from([(1002, "app".to_owned())]);
        let named = Blockers::from(stuck).on(addr).with_tenant_names(&names);
        let said = "LS 1001 of tenant app on 10.0.0.2:2882 has no other replica in sync";
        assert_eq!(named.named()[0].to_string(), said);
        assert_eq!(Blocker::server(addr, "is ACTIVE").to_string(), "10.0.0.2:2882 is ACTIVE");
    }

    #[test]
    fn only_the_first_are_named_and_all_are_counted() {
        let many = |from: i64, to: i64| (from..to).map(|ls| Blocker::log_stream(1, ls, "waits")).collect::<Blockers>();
        let mut all = many(0, 15);
        all.append(&many(15, 50));
        assert_eq!((all.named().len(), all.count()), (MOST_NAMED, 50));
        assert_eq!(all.named().last().unwrap().log_stream, Some(19));
    }
}
