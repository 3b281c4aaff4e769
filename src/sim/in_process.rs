//! A simulated cluster without processes or sockets, for tests that are a whole world in one process: clients hold its sessions
//! as values, and somebody else plays hosts and processes. It lives under tokio's paused time and is cheap to make.
//!
//! Two runs that ask the same at the same moments of one thread get the same answers and the same record.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::answer::Answer;
use super::bootstrap;
use super::core::{Beginning, Core, Shared};
use super::execute::{End, execute};
use super::fault::{Behaviour, Fault, FaultId};
use super::observer_session::{idle, wait_timeout};
use super::options::SimOptions;
use super::record::{Kind, RecordEntry};
use super::time::{Micros, SimClock};

/// Shared and cheap to clone.
#[derive(Clone)]
pub struct InProcessCluster(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    password: String,
    /// Where both are locked, the cluster is first.
    silence: Mutex<Silence>,
}

/// Processes that are there and do nothing, as after SIGSTOP.
#[derive(Default)]
struct Silence {
    frozen: BTreeSet<i64>,
    /// Sessions there whose client has gone.
    left: Vec<u64>,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotOpened {
    /// There is no such server, or no process of it.
    NobodyListens,
    /// The process is frozen: there is no answer while it is.
    NoAnswer,
    /// The connection was closed without an answer.
    Closed,
    /// `number` as it travels.
    Refused { number: u16, text: String },
}

/// A client's session at one server. To drop it is to go away, as a client does whose connection is lost.
pub struct ClientSession {
    cluster: InProcessCluster,
    id: u64,
    server: i64,
    idle_limit: Option<Duration>,
    /// Ends the session when it is silent for as long.
    silence: Option<JoinHandle<()>>,
}

impl InProcessCluster {
    /// A cluster whose servers all run and serve; `address` gives the nth server's, from 1. Network and executable of the
    /// options do not matter, and nothing is written to their directory.
    pub fn new(options: &SimOptions, address: impl Fn(u8) -> Ipv4Addr, clock: SimClock) -> Self {
        let now = clock.now();
        let directory = options.directory.as_deref().unwrap_or(Path::new("/"));
        let mut cluster = bootstrap::bootstrap(options, directory, address, now);
        cluster.list_root_service();
        let ids: Vec<i64> = cluster.servers.iter().map(|server| server.id).collect();
        let shared = Arc::new(Shared::new(cluster, clock, None));
        shared.with(|core, now| {
            for id in ids {
                core.process_started(id, 1000 + id as u32, now);
            }
            core.cluster.all_serve(now);
        });
        Self(Arc::new(Inner { shared, password: options.password.clone(), silence: Mutex::default() }))
    }

    /// Changes whatever is to be changed, at this moment.
    pub fn with<T>(&self, change: impl FnOnce(&mut Core, Micros) -> T) -> T {
        self.0.shared.with(change)
    }

    pub fn look<T>(&self, look: impl FnOnce(&Core, Micros) -> T) -> T {
        look(&self.0.shared.lock(), self.0.shared.clock.now())
    }

    /// Moves time on to this moment: heartbeats of the processes that are not frozen, and what follows for the cluster. To be
    /// called a few times within a heartbeat's patience (half a second or three heartbeats).
    pub fn tick(&self) {
        self.with(|core, now| {
            let silence = self.silence();
            for server in &mut core.cluster.servers {
                if server.process.is_some() && !silence.frozen.contains(&server.id) {
                    server.last_heartbeat = now;
                }
            }
            drop(silence);
            core.tick(now);
        });
    }

    pub fn inject(&self, fault: impl Into<Fault>) -> FaultId {
        self.with(|core, now| core.inject(fault.into(), now))
    }

    /// None: all faults.
    pub fn clear(&self, fault: Option<FaultId>) {
        self.with(|core, now| core.clear(fault, now));
    }

    /// A third party's statement, at once: START|STOP|FORCE STOP|ISOLATE SERVER, START|STOP ZONE.
    pub fn third_party(&self, sql: &str) {
        self.with(|core, now| core.third_party(sql, now));
    }

    /// The root service moves to another server.
    pub fn fail_over(&self) {
        self.with(Core::fail_over);
    }

    /// Ends every session now, as with a network that breaks for a moment.
    pub fn cut_sessions(&self) {
        self.with(Core::cut_sessions);
    }

    /// Connects a client at a server and logs it in. `client` names the client's process and may be any text.
    pub fn open(&self, server: i64, client: &str, user: &str, password: &str) -> Result<ClientSession, NotOpened> {
        self.with(|core, now| {
            if core.cluster.server(server).is_none_or(|server| server.process.is_none()) {
                return Err(NotOpened::NobodyListens);
            }
            if self.is_frozen(server) {
                return Err(NotOpened::NoAnswer);
            }
            let id = core.open(server, 0, client.into(), now).ok_or(NotOpened::Closed)?;
            let done = core.log_in(server, Some(id), user, password == self.0.password, now);
            if let Err(refusal) = done {
                core.close(id, now);
                return Err(NotOpened::Refused { number: refusal.on_wire().0, text: refusal.text });
            }
            Ok(ClientSession { cluster: self.clone(), id, server, idle_limit: None, silence: None })
        })
    }

    /// A client's process ended: all its sessions are lost.
    pub fn lose_client(&self, client: &str) {
        self.with(|core, now| {
            let own = core.sessions.values().filter(|session| session.peer == client).map(|session| session.id);
            for id in own.collect::<Vec<_>>() {
                self.leave(core, id, now);
            }
        });
    }

    /// Somebody starts the process of a server.
    pub fn process_begins(&self, server: i64) -> Beginning {
        self.with(|core, now| core.process_begins(server, now))
    }

    /// The process listens from now on; false: there is no such server.
    pub fn process_started(&self, server: i64, pid: u32) -> bool {
        self.with(|core, now| core.process_started(server, pid, now))
    }

    /// The process is no more. Returns how long after this somebody starts it again, if somebody does. Nothing happens when the
    /// server's process is another one by now.
    pub fn process_ended(&self, server: i64, pid: u32) -> Option<Duration> {
        self.with(|core, now| {
            let process = core.cluster.server(server).and_then(|server| server.process.as_ref());
            if process.is_none_or(|process| process.pid != pid) {
                return None;
            }
            self.silence().frozen.remove(&server);
            core.process_ended(server, pid, now)
        })
    }

    /// How the process of a server treats SIGTERM and clients that go away.
    pub fn behaviour(&self, server: i64) -> Behaviour {
        self.0.shared.lock().faults.behaviour(server)
    }

    /// A process heard SIGTERM and does not obey.
    pub fn sigterm_ignored(&self, server: i64) {
        self.with(|core, now| core.record_entry(now, RecordEntry::at(server, Kind::Signal, "SIGTERM ignored")));
    }

    /// The process stops to do anything, as with SIGSTOP: it sends no heartbeats and answers nobody.
    pub fn freeze(&self, server: i64) {
        self.with(|_, _| self.silence().frozen.insert(server));
    }

    /// It goes on, as with SIGCONT.
    pub fn thaw(&self, server: i64) {
        self.with(|core, now| {
            let mut silence = self.silence();
            silence.frozen.remove(&server);
            let (left, elsewhere) = silence
                .left
                .drain(..)
                .partition(|id: &u64| core.sessions.get(id).is_some_and(|session| session.server == server));
            silence.left = elsewhere;
            drop(silence);
            for id in left {
                self.leave(core, id, now);
            }
        });
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.0.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_frozen(&self, server: i64) -> bool {
        self.silence().frozen.contains(&server)
    }

    /// Returns when the process is not frozen.
    pub async fn thawed(&self, server: i64) {
        loop {
            let changed = self.0.shared.changed.notified();
            if !self.is_frozen(server) {
                return;
            }
            changed.await;
        }
    }

    /// The client of a session has gone. A statement that nobody watches ends its session itself.
    fn leave(&self, core: &mut Core, id: u64, now: Micros) {
        let Some(session) = core.sessions.get_mut(&id) else { return };
        session.left = true;
        let server = session.server;
        if self.is_frozen(server) {
            self.silence().left.push(id);
        } else if session.running.is_none() || !core.faults.behaviour(server).client_loss_unnoticed {
            core.close(id, now);
        }
    }

    /// Runs a statement of a session, then ends the session if it was cut or its client has gone.
    async fn run(self, id: u64, server: i64, text: String, mut client: oneshot::Sender<Option<End>>) {
        self.thawed(server).await;
        let mut end = None;
        // a client that gave up meanwhile is noticed first
        if !client.is_closed() {
            end = execute(Arc::clone(&self.0.shared), id, text).await;
            tokio::select! {
                biased;
                () = self.thawed(server) => {}
                () = client.closed() => {}
            }
        }
        self.with(|core, now| {
            let session = core.sessions.get(&id);
            let cut = end == Some(End::Cut) || session.is_some_and(|session| session.cut);
            let left = client.is_closed() || session.is_some_and(|session| session.left);
            if cut {
                end = Some(End::Cut);
            }
            if cut || (left && !self.is_frozen(server)) {
                core.close(id, now);
            }
        });
        let _ = client.send(end);
    }
}

impl ClientSession {
    /// What `CONNECTION_ID()` says.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The server that it is connected to.
    pub fn server(&self) -> i64 {
        self.server
    }

    /// Whether the server still has it.
    pub fn is_open(&self) -> bool {
        self.cluster.0.shared.lock().sessions.contains_key(&self.id)
    }

    pub fn cluster(&self) -> &InProcessCluster {
        &self.cluster
    }

    /// Sends a statement and waits for its end; None: the connection was lost meanwhile. To give up waiting is to go away, once
    /// the session is dropped.
    pub async fn execute(&mut self, text: &str) -> Option<End> {
        self.end_silence();
        self.idle_limit = wait_timeout(text).or(self.idle_limit);
        let (client, answer) = oneshot::channel();
        tokio::spawn(self.cluster.clone().run(self.id, self.server, text.to_owned(), client));
        let end = answer.await.ok().flatten();
        self.used();
        end
    }

    /// Its `wait_timeout` counts from now: something was asked that is not executed here.
    pub fn used(&mut self) {
        self.end_silence();
        let Some(limit) = self.idle_limit else { return };
        let (cluster, id, server) = (self.cluster.clone(), self.id, self.server);
        self.silence = Some(tokio::spawn(async move {
            idle(Some(limit)).await;
            cluster.thawed(server).await;
            cluster.with(|core, now| core.close(id, now));
        }));
    }

    fn end_silence(&mut self) {
        if let Some(silence) = self.silence.take() {
            silence.abort();
        }
    }

    /// [`ClientSession::execute`] for statements without rows: an error has its number as it travels, and its text. None: the
    /// connection was lost.
    pub async fn command(&mut self, text: &str) -> Option<Result<(), (u16, String)>> {
        match self.execute(text).await? {
            End::Answer(Answer::Done { .. } | Answer::Rows { .. }) => Some(Ok(())),
            End::Answer(Answer::Error { number, text, .. }) => Some(Err((number, text))),
            End::Cut => None,
        }
    }
}

impl Drop for ClientSession {
    fn drop(&mut self) {
        self.end_silence();
        self.cluster.with(|core, now| self.cluster.leave(core, self.id, now));
    }
}

#[cfg(test)]
#[path = "in_process_test.rs"]
mod tests;
