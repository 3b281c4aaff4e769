//! The coordinator's side of the links: which process registers, which statement goes where. Also the tick that moves time
//! on, and starts processes again when somebody else is meant to.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::core::{Beginning, Core, Observers, Shared};
use super::errors::SqlRefusal;
use super::execute::{End, execute};
use super::fault::Faults;
use super::link::{ToCoordinator, ToObserver};
use super::options::SimOptions;
use super::record::{Kind, RecordEntry};
use super::state::Cluster;
use super::time::{self, Micros, SimClock};
use super::{SimError, process};

const TICK: Duration = Duration::from_millis(10);

/// What the parts of a run share: the cluster, and its observers' processes.
pub struct Run {
    pub shared: Arc<Shared>,
    pub links: Arc<Links>,
    pub tasks: TaskTracker,
    pub options: SimOptions,
    pub directory: PathBuf,
    /// The directory is ours to remove.
    pub temporary: bool,
    /// The coordinator's name in the abstract socket space.
    pub socket: String,
    pub token: String,
    /// Processes that somebody is going to start: when, which server.
    restarts: Mutex<Vec<(Micros, i64)>>,
}

/// The links to the observers, by server. Where both are locked, the cluster is first.
#[derive(Default)]
pub struct Links(Mutex<BTreeMap<i64, Link>>);

/// The living connection to an observer process.
struct Link {
    sender: mpsc::UnboundedSender<ToObserver>,
    /// Holds on to the very process, whatever becomes of its number.
    process: Option<OwnedFd>,
    /// Tells this process's link from its successor's.
    generation: u64,
}

impl Run {
    pub fn new(cluster: Cluster, options: SimOptions, directory: PathBuf, temporary: bool) -> Self {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let links = Arc::new(Links::default());
        let observers = Box::new(Arc::clone(&links));
        Self {
            shared: Arc::new(Shared::new(cluster, SimClock::System, Some(observers))),
            links,
            tasks: TaskTracker::new(),
            options,
            directory,
            temporary,
            socket: format!("obsteward-sim-{token}"),
            token,
            restarts: Mutex::default(),
        }
    }
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Link>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, server: i64, message: ToObserver) {
        if let Some(link) = self.lock().get(&server) {
            let _ = link.sender.send(message);
        }
    }

    /// Signals the process of a server; an error when there is none.
    pub fn signal(&self, server: i64, signal: Signal) -> Result<(), SimError> {
        let links = self.lock();
        let link = links.get(&server).ok_or(SimError::NoSuchServer(server))?;
        link.signal(signal).map_err(SimError::io(format!("signal server {server}")))
    }

    pub fn kill_all(&self) {
        for link in self.lock().values() {
            let _ = link.signal(Signal::KILL);
        }
    }
}

impl Observers for Arc<Links> {
    fn cut(&self, server: i64, connection: u64) {
        self.send(server, ToObserver::Cut { connection });
    }

    fn faults_changed(&self, faults: &Faults) {
        for (server, link) in self.lock().iter() {
            let _ = link.sender.send(ToObserver::Behave(faults.behaviour(*server)));
        }
    }
}

impl Link {
    fn new(sender: mpsc::UnboundedSender<ToObserver>, pid: u32, generation: u64) -> Self {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        Self { sender, process: pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()), generation }
    }

    fn signal(&self, signal: Signal) -> std::io::Result<()> {
        match &self.process {
            Some(process) => Ok(pidfd_send_signal(process, signal)?),
            None => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

/// Begins to listen for observers.
pub fn listen(run: &Arc<Run>) -> Result<(), SimError> {
    let failed = || SimError::io("listen for observers");
    let address = unix::SocketAddr::from_abstract_name(&run.socket).map_err(failed())?;
    let listener = unix::UnixListener::bind_addr(&address).map_err(failed())?;
    listener.set_nonblocking(true).map_err(failed())?;
    let listener = UnixListener::from_std(listener).map_err(failed())?;
    let accepting = Arc::clone(run);
    run.tasks.spawn(async move {
        let mut generation = 0;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = accepting.shared.stop.cancelled() => return,
            };
            if let Ok((stream, _)) = accepted {
                generation += 1;
                accepting.tasks.spawn(link(Arc::clone(&accepting), stream, generation));
            }
        }
    });
    Ok(())
}

/// Begins to let time pass; before, a server that is not up yet would count as lost.
pub fn run(run: &Arc<Run>) {
    let ticking = Arc::clone(run);
    run.tasks.spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => tick(&ticking),
                () = ticking.shared.stop.cancelled() => return,
            }
        }
    });
}

fn tick(run: &Arc<Run>) {
    let due: Vec<i64> = run.shared.with(|core, now| {
        excuse(core, now);
        core.tick(now);
        let mut restarts = run.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, later) = restarts.drain(..).partition(|(at, _)| *at <= now);
        *restarts = later;
        due.into_iter().map(|(_, server): (Micros, i64)| server).collect()
    });
    for server in due {
        if let Err(error) = process::spawn(run, server) {
            tracing::warn!(server, %error, "cannot start the observer again");
        }
    }
}

/// On a busy machine heartbeats come late, from processes that are well: that must not look like a fault.
fn excuse(core: &mut Core, now: Micros) {
    let interval = time::micros(core.cluster.durations.heartbeat_interval);
    for server in &mut core.cluster.servers {
        let late = now - server.last_heartbeat > 2 * interval;
        if late && server.process.as_ref().is_some_and(|found| process::runs(found.pid)) {
            server.last_heartbeat = now - interval;
        }
    }
}

/// One observer process, from its first message to its end.
async fn link(run: Arc<Run>, stream: UnixStream, generation: u64) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let Ok(Some(line)) = lines.next_line().await else { return };
    let Ok(ToCoordinator::Hello { token, server_id }) = serde_json::from_str(&line) else { return };
    if token != run.token {
        return;
    }
    let begin = match run.shared.with(|core, now| core.process_begins(server_id, now)) {
        Beginning::Dies => ToObserver::Begin { dies: true, delay_ms: 0 },
        Beginning::ServesAfter(delay) => ToObserver::Begin { dies: false, delay_ms: delay.as_millis() as u64 },
    };
    let Ok(mut begin) = serde_json::to_vec(&begin) else { return };
    begin.push(b'\n');
    if write.write_all(&begin).await.is_err() {
        return;
    }
    let Ok(Some(line)) = lines.next_line().await else { return };
    let Ok(ToCoordinator::Register { token, server_id, pid }) = serde_json::from_str(&line) else { return };
    if token != run.token {
        return;
    }
    let (sender, mut outgoing) = mpsc::unbounded_channel();
    let link = Link::new(sender, pid, generation);
    let known = run.shared.with(|core, now| register(&run.links, core, server_id, pid, link, now));
    if !known {
        return;
    }
    let mut stopping = false;
    loop {
        tokio::select! {
            message = outgoing.recv(), if !stopping => {
                let Some(mut line) = message.and_then(|message| serde_json::to_vec(&message).ok()) else { break };
                line.push(b'\n');
                if write.write_all(&line).await.is_err() {
                    break;
                }
            }
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { break };
                if let Ok(message) = serde_json::from_str(&line) {
                    hear(&run, server_id, message);
                }
            }
            () = run.shared.stop.cancelled(), if !stopping => {
                // the observer sees the end, exits, and with it our side of the stream ends
                stopping = true;
                if write.shutdown().await.is_err() {
                    break;
                }
            }
        }
    }
    exited(pid).await;
    run.shared.with(|core, now| ended(&run, core, server_id, pid, generation, now));
}

/// The link ends a little before the process does; its ports are closed when it has.
async fn exited(pid: u32) {
    for _ in 0..1000 {
        if process::gone(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn register(links: &Links, core: &mut Core, server: i64, pid: u32, link: Link, now: Micros) -> bool {
    if core.cluster.server(server).is_none() {
        return false;
    }
    let _ = link.sender.send(ToObserver::Behave(core.faults.behaviour(server)));
    links.lock().insert(server, link);
    core.process_started(server, pid, now)
}

fn ended(run: &Run, core: &mut Core, server: i64, pid: u32, generation: u64, now: Micros) {
    let mut links = run.links.lock();
    // a successor may have registered already
    if links.get(&server).is_none_or(|link| link.generation != generation) {
        return;
    }
    links.remove(&server);
    drop(links);
    if let Some(delay) = core.process_ended(server, pid, now) {
        let at = now + time::micros(delay);
        run.restarts.lock().unwrap_or_else(PoisonError::into_inner).push((at, server));
    }
}

fn hear(run: &Arc<Run>, server: i64, message: ToCoordinator) {
    let (shared, links) = (&run.shared, &run.links);
    match message {
        ToCoordinator::Hello { .. } | ToCoordinator::Register { .. } => {}
        ToCoordinator::Heartbeat => shared.with(|core, now| {
            if let Some(server) = core.cluster.server_mut(server) {
                server.last_heartbeat = now;
            }
        }),
        ToCoordinator::Open { connection, peer } => shared.with(|core, now| {
            let session = core.open(server, connection, peer, now);
            links.send(server, ToObserver::Opened { connection, session });
        }),
        ToCoordinator::Login { connection, user, password_right } => shared.with(|core, now| {
            let session = core.session_of(server, connection);
            let done = core.log_in(server, session, &user, password_right, now);
            let answer = done.map_or_else(|refusal: SqlRefusal| refusal.answer(), |()| Answer::Done { affected: 0 });
            links.send(server, ToObserver::Answer { connection, answer });
        }),
        ToCoordinator::Statement { connection, text } => {
            let Some(session) = shared.with(|core, _| core.session_of(server, connection)) else { return };
            let running = Arc::clone(run);
            run.tasks.spawn(async move {
                let stop = running.shared.stop.clone();
                let end = tokio::select! {
                    end = execute(Arc::clone(&running.shared), session, text) => end,
                    () = stop.cancelled() => None,
                };
                running.shared.with(|_, _| match end {
                    Some(End::Answer(answer)) => {
                        running.links.send(server, ToObserver::Answer { connection, answer });
                    }
                    Some(End::Cut) => running.links.send(server, ToObserver::Cut { connection }),
                    None => {}
                });
            });
        }
        ToCoordinator::Close { connection } => shared.with(|core, now| {
            if let Some(id) = core.session_of(server, connection) {
                core.close(id, now);
            }
        }),
        ToCoordinator::Signal { text } => {
            shared.with(|core, now| core.record_entry(now, RecordEntry::at(server, Kind::Signal, text)));
        }
    }
}
