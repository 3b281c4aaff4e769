//! All that the coordinator knows, behind one lock: the cluster, the faults, the record, sessions and links. Nothing
//! here waits; whoever holds the lock gives it back before an await.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::advance;
use super::fault::{Fault, FaultId, FaultKind, Faults, Scope};
use super::link::ToObserver;
use super::options::SimOptions;
use super::record::{Kind, RecordEntry, Recorded};
use super::rules;
use super::state::Cluster;
use super::statement::{Command, parse};
use super::time::{self, Micros};

/// What the parts of a run share.
pub struct Shared {
    core: Mutex<Core>,
    /// Something was written to the record, or time went on.
    pub changed: Notify,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    pub options: SimOptions,
    pub directory: PathBuf,
    /// The directory is ours to remove.
    pub temporary: bool,
    /// The coordinator's name in the abstract socket space.
    pub socket: String,
    pub token: String,
}

pub struct Core {
    pub cluster: Cluster,
    pub faults: Faults,
    pub record: Vec<Recorded>,
    pub sessions: HashMap<u64, Session>,
    pub next_session: u64,
    pub links: HashMap<i64, Link>,
    /// Processes that somebody is going to start: when, which server.
    pub restarts: Vec<(Micros, i64)>,
}

/// The living connection to an observer process.
pub struct Link {
    pub sender: mpsc::UnboundedSender<ToObserver>,
    /// Holds on to the very process, whatever becomes of its number.
    pub process: Option<OwnedFd>,
    /// Tells this process's link from its successor's.
    pub generation: u64,
}

pub struct Session {
    pub id: u64,
    pub server: i64,
    pub connection: u64,
    pub user: String,
    pub peer: String,
    pub database: Option<String>,
    pub variables: HashMap<String, String>,
    pub since: Micros,
    /// The statement it runs, and how to stop it.
    pub running: Option<(String, CancellationToken)>,
}

impl Shared {
    pub fn new(cluster: Cluster, options: SimOptions, directory: PathBuf, temporary: bool) -> Self {
        let token = uuid::Uuid::new_v4().simple().to_string();
        Self {
            core: Mutex::new(Core {
                cluster,
                faults: Faults::default(),
                record: Vec::new(),
                sessions: HashMap::new(),
                next_session: 3_221_487_617,
                links: HashMap::new(),
                restarts: Vec::new(),
            }),
            changed: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            options,
            directory,
            temporary,
            socket: format!("obsteward-sim-{token}"),
            token,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the core at this moment, then lets waiters look.
    pub fn with<T>(&self, change: impl FnOnce(&mut Core, Micros) -> T) -> T {
        let result = change(&mut self.lock(), time::now());
        self.changed.notify_waiters();
        result
    }
}

impl Link {
    pub fn new(sender: mpsc::UnboundedSender<ToObserver>, pid: u32, generation: u64) -> Self {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        Self { sender, process: pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()), generation }
    }

    pub fn signal(&self, signal: Signal) -> std::io::Result<()> {
        match &self.process {
            Some(process) => Ok(pidfd_send_signal(process, signal)?),
            None => Err(std::io::ErrorKind::NotFound.into()),
        }
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

    pub fn tick(&mut self, now: Micros) {
        for happening in advance::advance(&mut self.cluster, now) {
            self.record_entry(now, happening);
        }
    }

    pub fn inject(&mut self, fault: Fault, now: Micros) -> FaultId {
        let text = serde_json::to_string(&fault).unwrap_or_default();
        let server = fault.server;
        let id = self.faults.add(fault);
        self.record_entry(now, RecordEntry { server, session: None, kind: Kind::FaultInjected, text });
        self.faults_changed(now);
        id
    }

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

    fn faults_changed(&mut self, now: Micros) {
        self.cluster.holds = self.faults.holds();
        for (server, link) in &self.links {
            let _ = link.sender.send(ToObserver::Behave(self.faults.behaviour(*server)));
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
            Ok(Command::Zone { active, force, name }) => self.set_zone(&name, active, force, now),
            Ok(_) => Err(super::errors::SqlRefusal::new(4007, "not supported for a third party")),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = done {
            let text = format!("third party: {sql}: {} {}", refusal.number, refusal.text);
            self.record_entry(now, RecordEntry { server: None, session: None, kind: Kind::PrecheckRefused, text });
        }
    }

    /// Phase B; `session` None: a third party.
    pub fn mark(
        &mut self,
        addresses: &[String],
        zone: Option<&str>,
        operation: rules::StopKind,
        session: Option<u64>,
        now: Micros,
    ) -> Result<(), super::errors::SqlRefusal> {
        for id in rules::mark_stopped(&mut self.cluster, addresses, zone, operation, now)? {
            let text = format!("{operation:?}");
            self.record_entry(now, RecordEntry { server: Some(id), session, kind: Kind::MarkSet, text });
        }
        Ok(())
    }

    pub fn start_servers(
        &mut self,
        addresses: &[String],
        zone: Option<&str>,
        session: Option<u64>,
        now: Micros,
    ) -> Result<(), super::errors::SqlRefusal> {
        for id in rules::start_servers(&mut self.cluster, addresses, zone, now)? {
            let text = "start server".to_owned();
            self.record_entry(now, RecordEntry { server: Some(id), session, kind: Kind::MarkCleared, text });
        }
        Ok(())
    }

    pub fn set_zone(
        &mut self,
        name: &str,
        active: bool,
        force: bool,
        now: Micros,
    ) -> Result<(), super::errors::SqlRefusal> {
        if !active && !rules::stop_zone_precheck(&self.cluster, name, force, now)? {
            return Ok(());
        }
        rules::set_zone_active(&mut self.cluster, name, active, now)?;
        let kind = if active { Kind::ZoneStarted } else { Kind::ZoneStopped };
        self.record_entry(now, RecordEntry { server: None, session: None, kind, text: name.into() });
        Ok(())
    }

    /// Ends a session's connection now.
    pub fn cut(&mut self, session: u64) {
        let Some(session) = self.sessions.get(&session) else { return };
        if let Some((_, running)) = &session.running {
            running.cancel();
        }
        if let Some(link) = self.links.get(&session.server) {
            let _ = link.sender.send(ToObserver::Cut { connection: session.connection });
        }
    }

    pub fn session_of(&self, server: i64, connection: u64) -> Option<u64> {
        let mut sessions = self.sessions.values();
        sessions.find(|session| session.server == server && session.connection == connection).map(|session| session.id)
    }
}
