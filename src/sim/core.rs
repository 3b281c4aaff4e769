//! All that is known of a cluster, behind one lock: its state, the faults, the record and the sessions. Nothing here knows
//! processes or sockets, and nothing waits; whoever holds the lock gives it back before an await.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::errors::SqlRefusal;
use super::fault::{Fault, FaultId, FaultKind, Faults, Scope};
use super::record::{Kind, RecordEntry, Recorded};
use super::sessions::Session;
use super::state::{Cluster, SYS_LS, SYS_TENANT};
use super::statement::{Command, parse};
use super::time::{Micros, SimClock};
use super::{advance, rules};

/// What the parts of a cluster share.
pub struct Shared {
    core: Mutex<Core>,
    pub clock: SimClock,
    /// Something was written to the record, or time went on.
    pub changed: Notify,
    pub stop: CancellationToken,
}

/// A simulated cluster as data, with what may be done to it at a moment.
pub struct Core {
    pub cluster: Cluster,
    pub faults: Faults,
    /// What really happened, from the beginning.
    pub record: Vec<Recorded>,
    pub sessions: BTreeMap<u64, Session>,
    pub(super) next_session: u64,
    pub(super) next_transaction: i64,
    /// None: a client is connected to the cluster itself.
    pub(super) observers: Option<Box<dyn Observers>>,
}

/// The observers' processes, where there are some between clients and cluster. They are told under the lock.
pub trait Observers: Send {
    /// Cut this connection now, whatever it is doing.
    fn cut(&self, server: i64, connection: u64);
    /// The faults may want other behaviour of processes.
    fn faults_changed(&self, faults: &Faults);
}

/// How a process that somebody starts comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// It writes why into its log and ends, before it listens.
    Dies,
    ServesAfter(Duration),
}

impl Shared {
    pub fn new(cluster: Cluster, clock: SimClock, observers: Option<Box<dyn Observers>>) -> Self {
        Self {
            core: Mutex::new(Core {
                cluster,
                faults: Faults::default(),
                record: Vec::new(),
                sessions: BTreeMap::new(),
                next_session: 3_221_487_617,
                next_transaction: 0,
                observers,
            }),
            clock,
            changed: Notify::new(),
            stop: CancellationToken::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the core at this moment, then lets waiters look.
    pub fn with<T>(&self, change: impl FnOnce(&mut Core, Micros) -> T) -> T {
        let result = change(&mut self.lock(), self.clock.now());
        self.changed.notify_waiters();
        result
    }
}

impl Core {
    /// Writes a line of the record, and does what faults wait for it.
    pub fn record_entry(&mut self, now: Micros, happening: RecordEntry) {
        let RecordEntry { server, session, kind, text } = happening;
        let sequence = self.record.len() as u64 + 1;
        let recorded = Recorded { sequence, at: now, server, session, kind, text };
        let armed = self.faults.observe(&recorded);
        self.record.push(recorded);
        if armed {
            self.faults_changed(now);
        }
    }

    pub(super) fn record_all(&mut self, now: Micros, happened: Vec<RecordEntry>) {
        for happening in happened {
            self.record_entry(now, happening);
        }
    }

    pub fn tick(&mut self, now: Micros) {
        let happened = advance::advance(&mut self.cluster, now);
        self.record_all(now, happened);
    }

    pub fn inject(&mut self, fault: Fault, now: Micros) -> FaultId {
        let text = serde_json::to_string(&fault).unwrap_or_default();
        let server = fault.server;
        let id = self.faults.add(fault);
        self.record_entry(now, RecordEntry { server, session: None, kind: Kind::FaultInjected, text });
        self.faults_changed(now);
        id
    }

    /// None: all faults.
    pub fn clear(&mut self, id: Option<FaultId>, now: Micros) {
        match id {
            Some(id) => {
                self.faults.clear(id);
            }
            None => self.faults.active.clear(),
        }
        let text = id.map_or("all".to_owned(), |id| id.to_string());
        self.record_entry(now, RecordEntry { server: None, session: None, kind: Kind::FaultCleared, text });
        self.faults_changed(now);
    }

    /// A fault that happens now, if one applies.
    pub fn take(&mut self, now: Micros, scope: &Scope<'_>, want: impl Fn(&FaultKind) -> bool) -> Option<FaultKind> {
        let kind = self.faults.take(scope, want)?;
        let text = serde_json::to_string(&kind).unwrap_or_default();
        self.record_entry(
            now,
            RecordEntry { server: Some(scope.endpoint), session: None, kind: Kind::FaultUsed, text },
        );
        Some(kind)
    }

    /// A fault that meets any statement: Refused, Hang or Slow.
    pub fn statement_fault(&mut self, scope: &Scope<'_>, now: Micros) -> Option<FaultKind> {
        let wanted =
            |kind: &FaultKind| matches!(kind, FaultKind::Refused { .. } | FaultKind::Hang | FaultKind::Slow { .. });
        self.take(now, scope, wanted)
    }

    fn faults_changed(&mut self, now: Micros) {
        self.cluster.holds = self.faults.holds();
        if let Some(observers) = &self.observers {
            observers.faults_changed(&self.faults);
        }
        let anywhere = Scope::endpoint(0);
        let third = |kind: &FaultKind| matches!(kind, FaultKind::ThirdParty { .. });
        while let Some(FaultKind::ThirdParty { sql }) = self.faults.take(&anywhere, third) {
            self.third_party(&sql, now);
        }
    }

    /// Somebody else's statement, all at once: precheck without repeating, mark, no wait.
    pub fn third_party(&mut self, sql: &str, now: Micros) {
        let done = match parse(sql) {
            Ok(Command::StartServers { addresses, zone }) => self.start_servers(&addresses, zone.as_deref(), None, now),
            Ok(Command::StopServers { operation, addresses, zone }) => {
                rules::stop_precheck(&self.cluster, &addresses, operation, now)
                    .and_then(|_| self.mark(&addresses, zone.as_deref(), operation, None, now))
            }
            Ok(Command::Zone { active, force, name }) => self.set_zone(&name, active, force, None, now),
            Ok(_) => Err(SqlRefusal::new(4007, "not supported for a third party")),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = done {
            let text = format!("third party: {sql}: {} {}", refusal.number, refusal.text);
            self.record_entry(now, RecordEntry { server: None, session: None, kind: Kind::PrecheckRefused, text });
        }
    }

    /// Phase B; `session` None: a third party.
    pub(super) fn mark(
        &mut self,
        addresses: &[String],
        zone: Option<&str>,
        operation: rules::StopKind,
        session: Option<u64>,
        now: Micros,
    ) -> Result<(), SqlRefusal> {
        for id in rules::mark_stopped(&mut self.cluster, addresses, zone, operation, now)? {
            let text = format!("{operation:?}");
            self.record_entry(now, RecordEntry { server: Some(id), session, kind: Kind::MarkSet, text });
        }
        Ok(())
    }

    pub(super) fn start_servers(
        &mut self,
        addresses: &[String],
        zone: Option<&str>,
        session: Option<u64>,
        now: Micros,
    ) -> Result<(), SqlRefusal> {
        for id in rules::start_servers(&mut self.cluster, addresses, zone, now)? {
            let text = "start server".to_owned();
            self.record_entry(now, RecordEntry { server: Some(id), session, kind: Kind::MarkCleared, text });
        }
        Ok(())
    }

    pub(super) fn set_zone(
        &mut self,
        name: &str,
        active: bool,
        force: bool,
        session: Option<u64>,
        now: Micros,
    ) -> Result<(), SqlRefusal> {
        if !active && !rules::stop_zone_precheck(&self.cluster, name, force, now)? {
            return Ok(());
        }
        let was = self.cluster.zone(name).map(|zone| zone.active);
        rules::set_zone_active(&mut self.cluster, name, active, now)?;
        if was == Some(active) {
            return Ok(());
        }
        let kind = if active { Kind::ZoneStarted } else { Kind::ZoneStopped };
        self.record_entry(now, RecordEntry { server: None, session, kind, text: name.into() });
        Ok(())
    }

    /// The root service moves to another living server.
    pub fn fail_over(&mut self, now: Micros) {
        let cluster = &mut self.cluster;
        let is_root = |ls: &super::state::LogStream| (ls.tenant, ls.id) == (SYS_TENANT, SYS_LS);
        let Some(index) = cluster.log_streams.iter().position(is_root) else { return };
        let ls = &cluster.log_streams[index];
        let able = |id: &&i64| {
            Some(**id) != ls.leader
                && cluster.server(**id).is_some_and(|server| server.reachable() && server.stop_time == 0)
        };
        let Some(successor) = ls.members.iter().find(able).copied() else { return };
        self.lead(index, Some(successor), now);
    }

    /// A log stream is led there from now on, and wants to be; None: by nobody.
    pub(super) fn lead(&mut self, index: usize, leader: Option<i64>, now: Micros) {
        let ls = &mut self.cluster.log_streams[index];
        ls.preferred = leader.unwrap_or(ls.preferred);
        let mut happened = Vec::new();
        advance::lead(&mut self.cluster, index, leader, now, &mut happened);
        self.record_all(now, happened);
    }

    /// A log stream in words, with its other members that are gone, and how many microseconds ago the last of them was lost.
    fn others_down(&self, ls: &super::state::LogStream, server: i64, now: Micros) -> String {
        let others = ls.members.iter().filter(|id| **id != server && !self.cluster.reachable(**id));
        let lost =
            others.clone().filter_map(|id| self.cluster.server(*id)).map(|server| server.unreachable_since).max();
        let others = others.map(i64::to_string).collect::<Vec<_>>().join(" ");
        let ago = now - lost.unwrap_or_default();
        format!("tenant {} log stream {}, others {others} lost before {ago}", ls.tenant, ls.id)
    }

    /// Somebody starts the process of a server.
    pub fn process_begins(&mut self, server: i64, now: Micros) -> Beginning {
        let about_start = |kind: &FaultKind| matches!(kind, FaultKind::DiesAtStart | FaultKind::StartsSlowly { .. });
        match self.take(now, &Scope::endpoint(server), about_start) {
            None => Beginning::ServesAfter(Duration::ZERO),
            Some(FaultKind::StartsSlowly { delay_ms }) => Beginning::ServesAfter(Duration::from_millis(delay_ms)),
            Some(_) => Beginning::Dies,
        }
    }

    /// It serves its ports from now on; false: there is no such server.
    pub fn process_started(&mut self, server: i64, pid: u32, now: Micros) -> bool {
        if self.cluster.server(server).is_none() {
            return false;
        }
        advance::process_started(&mut self.cluster, server, pid, now);
        self.record_entry(now, RecordEntry::at(server, Kind::ProcessStarted, format!("pid {pid}")));
        true
    }

    /// It is no more, and its sessions with it. Returns how long after this somebody starts it again, if somebody does.
    pub fn process_ended(&mut self, server: i64, pid: u32, now: Micros) -> Option<Duration> {
        self.sessions.retain(|_, session| {
            if session.server == server {
                session.interrupt();
            }
            session.server != server
        });
        let had: Vec<bool> = self.cluster.log_streams.iter().map(|ls| self.cluster.has_majority(ls)).collect();
        advance::process_ended(&mut self.cluster, server, now);
        self.record_entry(now, RecordEntry::at(server, Kind::ProcessEnded, format!("pid {pid}")));
        let lost = self.cluster.log_streams.iter().zip(had).filter(|(ls, had)| *had && !self.cluster.has_majority(ls));
        for text in lost.map(|(ls, _)| self.others_down(ls, server, now)).collect::<Vec<_>>() {
            self.record_entry(now, RecordEntry::at(server, Kind::MajorityLost, text));
        }
        let restarts = |kind: &FaultKind| matches!(kind, FaultKind::RestartAfterExit { .. });
        match self.take(now, &Scope::endpoint(server), restarts) {
            Some(FaultKind::RestartAfterExit { delay_ms }) => Some(Duration::from_millis(delay_ms)),
            _ => None,
        }
    }
}
