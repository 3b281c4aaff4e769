//! The coordinator's side of the links: who registers, who logs in, which statement goes where. Also the tick that
//! moves time on, and starts processes again when somebody else is meant to.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::advance;
use super::core::{Core, Link, Session, Shared};
use super::errors::SqlRefusal;
use super::execute::{End, execute};
use super::fault::{FaultKind, Scope};
use super::link::{Answer, ToCoordinator, ToObserver};
use super::record::{Kind, RecordEntry};
use super::time::{self, Micros};
use super::{SimError, process};

const TICK: Duration = Duration::from_millis(10);

/// Begins to listen for observers.
pub fn listen(shared: &Arc<Shared>) -> Result<(), SimError> {
    let failed = || SimError::io("listen for observers");
    let address = unix::SocketAddr::from_abstract_name(&shared.socket).map_err(failed())?;
    let listener = unix::UnixListener::bind_addr(&address).map_err(failed())?;
    listener.set_nonblocking(true).map_err(failed())?;
    let listener = UnixListener::from_std(listener).map_err(failed())?;
    let accepting = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let mut generation = 0;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = accepting.stop.cancelled() => return,
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
pub fn run(shared: &Arc<Shared>) {
    let ticking = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => tick(&ticking),
                () = ticking.stop.cancelled() => return,
            }
        }
    });
}

fn tick(shared: &Arc<Shared>) {
    let due: Vec<i64> = shared.with(|core, now| {
        excuse(core, now);
        core.tick(now);
        let (due, later) = core.restarts.drain(..).partition(|(at, _)| *at <= now);
        core.restarts = later;
        due.into_iter().map(|(_, server): (Micros, i64)| server).collect()
    });
    for server in due {
        if let Err(error) = process::spawn(shared, server) {
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
async fn link(shared: Arc<Shared>, stream: UnixStream, generation: u64) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let Ok(Some(line)) = lines.next_line().await else { return };
    let Ok(ToCoordinator::Hello { token, server_id }) = serde_json::from_str(&line) else { return };
    if token != shared.token {
        return;
    }
    let Ok(mut begin) = serde_json::to_vec(&begin(&shared, server_id)) else { return };
    begin.push(b'\n');
    if write.write_all(&begin).await.is_err() {
        return;
    }
    let Ok(Some(line)) = lines.next_line().await else { return };
    let Ok(ToCoordinator::Register { token, server_id, pid }) = serde_json::from_str(&line) else { return };
    if token != shared.token {
        return;
    }
    let (sender, mut outgoing) = mpsc::unbounded_channel();
    let link = Link::new(sender, pid, generation);
    let known = shared.with(|core, now| register(core, server_id, pid, link, now));
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
                    hear(&shared, server_id, message);
                }
            }
            () = shared.stop.cancelled(), if !stopping => {
                // the observer sees the end, exits, and with it our side of the stream ends
                stopping = true;
                if write.shutdown().await.is_err() {
                    break;
                }
            }
        }
    }
    exited(pid).await;
    shared.with(|core, now| ended(core, server_id, pid, generation, now));
}

/// What a process of a server is told to do at its start.
fn begin(shared: &Shared, server: i64) -> ToObserver {
    let about_start = |kind: &FaultKind| matches!(kind, FaultKind::DiesAtStart | FaultKind::StartsSlowly { .. });
    match shared.with(|core, now| core.take(now, &Scope::endpoint(server), about_start)) {
        Some(FaultKind::StartsSlowly { delay_ms }) => ToObserver::Begin { dies: false, delay_ms },
        fault => ToObserver::Begin { dies: fault.is_some(), delay_ms: 0 },
    }
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

fn register(core: &mut Core, server: i64, pid: u32, link: Link, now: Micros) -> bool {
    if core.cluster.server(server).is_none() {
        return false;
    }
    let _ = link.sender.send(ToObserver::Behave(core.faults.behaviour(server)));
    core.links.insert(server, link);
    advance::process_started(&mut core.cluster, server, pid, now);
    core.record_entry(now, RecordEntry::at(server, Kind::ProcessStarted, format!("pid {pid}")));
    true
}

fn ended(core: &mut Core, server: i64, pid: u32, generation: u64, now: Micros) {
    // a successor may have registered already
    if core.links.get(&server).is_none_or(|link| link.generation != generation) {
        return;
    }
    core.links.remove(&server);
    core.sessions.retain(|_, session| {
        if let (true, Some((_, running))) = (session.server == server, &session.running) {
            running.cancel();
        }
        session.server != server
    });
    advance::process_ended(&mut core.cluster, server, now);
    core.record_entry(now, RecordEntry::at(server, Kind::ProcessEnded, format!("pid {pid}")));
    let restart = core.take(now, &Scope::endpoint(server), |kind| matches!(kind, FaultKind::RestartAfterExit { .. }));
    if let Some(FaultKind::RestartAfterExit { delay_ms }) = restart {
        core.restarts.push((now + time::micros(Duration::from_millis(delay_ms)), server));
    }
}

fn hear(shared: &Arc<Shared>, server: i64, message: ToCoordinator) {
    match message {
        ToCoordinator::Hello { .. } | ToCoordinator::Register { .. } => {}
        ToCoordinator::Heartbeat => shared.with(|core, now| {
            if let Some(server) = core.cluster.server_mut(server) {
                server.last_heartbeat = now;
            }
        }),
        ToCoordinator::Open { connection, peer } => shared.with(|core, now| open(core, server, connection, peer, now)),
        ToCoordinator::Login { connection, user, password_right } => shared.with(|core, now| {
            let answer = log_in(core, server, connection, &user, password_right, now);
            if let Some(link) = core.links.get(&server) {
                let _ = link.sender.send(ToObserver::Answer { connection, answer });
            }
        }),
        ToCoordinator::Statement { connection, text } => {
            let Some(session) = shared.with(|core, _| core.session_of(server, connection)) else { return };
            let running = Arc::clone(shared);
            shared.tasks.spawn(async move {
                let stop = running.stop.clone();
                let end = tokio::select! {
                    end = execute(Arc::clone(&running), session, text) => end,
                    () = stop.cancelled() => None,
                };
                running.with(|core, _| answer(core, server, connection, end));
            });
        }
        ToCoordinator::Close { connection } => shared.with(|core, now| {
            let Some(id) = core.session_of(server, connection) else { return };
            if let Some(Session { running: Some((_, running)), .. }) = core.sessions.remove(&id) {
                running.cancel();
            }
            let happening =
                RecordEntry { server: Some(server), session: Some(id), kind: Kind::SessionClosed, text: String::new() };
            core.record_entry(now, happening);
        }),
        ToCoordinator::Signal { text } => {
            shared.with(|core, now| core.record_entry(now, RecordEntry::at(server, Kind::Signal, text)));
        }
    }
}

fn answer(core: &mut Core, server: i64, connection: u64, end: Option<End>) {
    let Some(link) = core.links.get(&server) else { return };
    let message = match end {
        Some(End::Answer(answer)) => ToObserver::Answer { connection, answer },
        Some(End::Cut) => ToObserver::Cut { connection },
        None => return,
    };
    let _ = link.sender.send(message);
}

fn open(core: &mut Core, server: i64, connection: u64, peer: String, now: Micros) {
    let refused = core.take(now, &Scope::endpoint(server), |kind| matches!(kind, FaultKind::RefuseConnections));
    let session = if refused.is_some() {
        None
    } else {
        core.next_session += 1;
        let id = core.next_session;
        core.sessions.insert(
            id,
            Session {
                id,
                server,
                connection,
                user: String::new(),
                peer,
                database: None,
                variables: super::show::default_variables(),
                since: now,
                running: None,
            },
        );
        Some(id)
    };
    if let Some(link) = core.links.get(&server) {
        let _ = link.sender.send(ToObserver::Opened { connection, session });
    }
}

/// `root` or `root@sys`: everything behind `@` is the tenant, so that `root@sys#cluster` names one that does not exist. Every
/// observer has a hidden sys tenant and no other.
fn log_in(core: &mut Core, server: i64, connection: u64, user: &str, password_right: bool, now: Micros) -> Answer {
    let session = core.session_of(server, connection);
    let refusal = login_refusal(core, server, user, password_right, now);
    let kind = if refusal.is_some() { Kind::LoginRefused } else { Kind::SessionOpened };
    core.record_entry(now, RecordEntry { server: Some(server), session, kind, text: user.into() });
    match refusal {
        Some(refusal) => refusal.answer(),
        None => {
            if let Some(session) = session.and_then(|id| core.sessions.get_mut(&id)) {
                session.user = user.into();
            }
            Answer::Done { affected: 0 }
        }
    }
}

fn login_refusal(core: &mut Core, server: i64, user: &str, password_right: bool, now: Micros) -> Option<SqlRefusal> {
    let scope = Scope::endpoint(server);
    let (name, tenant) = user.split_once('@').unwrap_or((user, "sys"));
    let denied = || {
        let using = if password_right { "NO" } else { "YES" };
        SqlRefusal::new(1045, format!("Access denied for user '{name}'@'xxx.xxx.xxx.xxx' (using password: {using})"))
    };
    let about_login = |kind: &FaultKind| matches!(kind, FaultKind::LoginRefused | FaultKind::TenantNotInServer);
    match core.take(now, &scope, about_login) {
        Some(FaultKind::LoginRefused) => return Some(denied()),
        Some(_) => return Some(SqlRefusal::new(5150, "Tenant not in this server")),
        None => {}
    }
    let starting = core.cluster.server(server).is_some_and(|server| {
        let delay = time::micros(core.cluster.durations.start_service);
        !server.in_service() && server.process.as_ref().is_some_and(|process| now - process.since < delay)
    });
    let exists = tenant.eq_ignore_ascii_case("sys") || core.cluster.tenants.iter().any(|known| known.name == tenant);
    if starting {
        Some(SqlRefusal::new(8001, "Server is initializing"))
    } else if exists && !tenant.eq_ignore_ascii_case("sys") {
        Some(SqlRefusal::new(5150, "Tenant not in this server"))
    } else if !exists || name != "root" || !password_right {
        Some(denied())
    } else {
        None
    }
}
