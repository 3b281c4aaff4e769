//! The observer process: one simulated OBServer, seen from its host.
//!
//! It listens where a real one does, looks in /proc as a real one does, speaks MySQL and decides nothing: every
//! statement goes to the coordinator. It ends at once when the coordinator is gone, so that nothing is ever left behind.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::process::CommandExt;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::answer::Answer;
use super::fault::Behaviour;
use super::link::{FOREGROUND, SIM_JSON, SimJson, ToCoordinator, ToObserver};
use super::observer_session::serve;
use super::time::{self, SimClock};

/// What `main` calls when the program runs under the name `observer`.
pub fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "observer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> io::Result<()> {
    let home = std::env::current_dir()?;
    let text = std::fs::read_to_string(home.join(SIM_JSON))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", home.join(SIM_JSON).display())))?;
    let config: SimJson = serde_json::from_str(&text)?;
    if std::env::var_os(FOREGROUND).is_none() {
        return daemonise();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(home, config))
}

/// The real observer forks and its parent returns; without fork (which is unsafe) the process starts itself again.
fn daemonise() -> io::Result<()> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "bin/observer".into());
    Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(arguments)
        .env(FOREGROUND, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::OpenOptions::new().create(true).append(true).open("log/observer.log")?)
        .process_group(0)
        .spawn()?;
    Ok(())
}

type FromLink = Lines<BufReader<OwnedReadHalf>>;

/// What the sessions and the link share.
pub struct Observer {
    pub config: SimJson,
    to_coordinator: mpsc::UnboundedSender<ToCoordinator>,
    connections: Mutex<HashMap<u64, mpsc::UnboundedSender<FromCoordinator>>>,
    behaviour: Arc<Mutex<Behaviour>>,
    next: AtomicU64,
}

/// What a session hears.
pub enum FromCoordinator {
    Opened(Option<u64>),
    Answer(Answer),
    Cut,
}

impl Observer {
    pub fn send(&self, message: ToCoordinator) {
        // a closed channel means that the process is about to end
        let _ = self.to_coordinator.send(message);
    }

    /// Whether a client that goes away while its statement runs is noticed.
    pub fn notices_loss(&self) -> bool {
        !self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).client_loss_unnoticed
    }

    fn route(&self, connection: u64, message: FromCoordinator) {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = connections.get(&connection) {
            let _ = session.send(message);
        }
    }
}

async fn run(home: PathBuf, config: SimJson) -> io::Result<()> {
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&config.coordinator)?;
    let link = std::os::unix::net::UnixStream::connect_addr(&address)
        .map_err(|error| io::Error::new(error.kind(), format!("the coordinator is gone: {error}")))?;
    link.set_nonblocking(true)?;
    let (read, mut write) = UnixStream::from_std(link)?.into_split();
    let mut lines = BufReader::new(read).lines();
    if hello(&mut lines, &mut write, &config).await? {
        return Err(last_words(&config));
    }
    let sql = bind(&config.ip, config.sql_port).await?;
    let rpc = bind(&config.ip, config.rpc_port).await?;
    write_files(&home, &config)?;

    let (to_coordinator, outgoing) = mpsc::unbounded_channel();
    let behaviour = Arc::new(Mutex::new(Behaviour::default()));
    let observer = Arc::new(Observer {
        config,
        to_coordinator,
        connections: Mutex::default(),
        behaviour: Arc::clone(&behaviour),
        next: AtomicU64::new(1),
    });
    observer.send(ToCoordinator::Register {
        token: observer.config.token.clone(),
        server_id: observer.config.server_id,
        pid: std::process::id(),
    });
    tokio::spawn(terminate(Arc::clone(&observer), Arc::clone(&behaviour)));
    tokio::spawn(heartbeat(Arc::clone(&observer)));
    tokio::spawn(hold(rpc));
    tokio::spawn(accept(sql, Arc::clone(&observer)));
    // ends with the coordinator, and the process with it
    let result = talk(lines, write, outgoing, &observer, &behaviour).await;
    remove_temporary(&home, &observer.config);
    result
}

async fn bind(ip: &str, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((ip, port))
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {ip}:{port}: {error}")))
}

fn write_files(home: &Path, config: &SimJson) -> io::Result<()> {
    std::fs::write(home.join("run/observer.pid"), format!("{}\n", std::process::id()))?;
    let SimJson { cluster_name, cluster_id, rpc_port, sql_port, zone, ip, .. } = config;
    let text = format!(
        "cluster={cluster_name}\ncluster_id={cluster_id}\nrpc_port={rpc_port}\nmysql_port={sql_port}\n\
         zone={zone}\nlocal_ip={ip}\ndata_dir={}/store\n",
        home.display()
    );
    std::fs::write(home.join("etc/observer.config.bin"), config_record(text.as_bytes())?)
}

/// As an observer writes it: frame, record header, frame, text (`ObServerConfig::serialize`). The checksums are made up
/// of letters, so that they run into the text for a reader that ignores the header.
fn config_record(text: &[u8]) -> io::Result<Vec<u8>> {
    fn frame(content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut framed = vec![1];
        framed.extend((0..4).map(|digit| 0x80 | u8::try_from((length >> (7 * digit)) & 0x7f).unwrap_or_default()));
        framed.push(0);
        framed.extend(content);
        framed
    }
    let data = frame(text);
    let length = u32::try_from(data.len()).map_err(io::Error::other)?.to_be_bytes();
    let mut record = vec![0xBC, 0xDE, 0, 32, 0, 1, b'h', b'c'];
    record.extend([0; 8]);
    record.extend(length);
    record.extend(length);
    record.extend(b"checksum");
    record.extend(data);
    Ok(frame(&record))
}

/// Tells the coordinator that a process starts; returns whether it must end at once.
async fn hello(lines: &mut FromLink, write: &mut OwnedWriteHalf, config: &SimJson) -> io::Result<bool> {
    let hello = ToCoordinator::Hello { token: config.token.clone(), server_id: config.server_id };
    let gone = || io::Error::other("the coordinator is gone");
    let mut line = serde_json::to_vec(&hello)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    match lines.next_line().await? {
        Some(line) => match serde_json::from_str(&line)? {
            ToObserver::Begin { dies, delay_ms } => tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(delay_ms)) => Ok(dies),
                _ = lines.next_line() => Err(gone()),
            },
            _ => Err(io::Error::other("the coordinator speaks before its turn")),
        },
        None => Err(gone()),
    }
}

/// As a real one logs a data directory that it cannot use; standard error is its log.
fn last_words(config: &SimJson) -> io::Error {
    let time = time::format(SimClock::System.now(), 0);
    let SimJson { ip, rpc_port, .. } = config;
    for line in [
        format!("INFO  [SERVER] init (ob_server.cpp:210) [observer] [T0] start to init observer(addr=\"{ip}:{rpc_port}\")"),
        "ERROR [STORAGE] init (ob_server_log_block_mgr.cpp:118) [observer] [T0] log disk space is almost full(ret=-4184)"
            .to_owned(),
        "ERROR [SERVER] init (ob_server.cpp:512) [observer] [T0] failed to init observer(ret=-4184, ret=\"OB_SERVER_OUTOF_DISK_SPACE\")"
            .to_owned(),
    ] {
        let _ = writeln!(io::stderr(), "[{time}] {line}");
    }
    io::Error::other("[SERVER] observer init fail, ret=-4184")
}

/// The link to the coordinator, both ways, until one side ends.
async fn talk(
    mut lines: FromLink,
    mut write: OwnedWriteHalf,
    mut outgoing: mpsc::UnboundedReceiver<ToCoordinator>,
    observer: &Observer,
    behaviour: &Mutex<Behaviour>,
) -> io::Result<()> {
    loop {
        tokio::select! {
            message = outgoing.recv() => {
                let Some(message) = message else { return Ok(()) };
                let mut line = serde_json::to_vec(&message)?;
                line.push(b'\n');
                if write.write_all(&line).await.is_err() {
                    return Ok(());
                }
            }
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { return Ok(()) };
                match serde_json::from_str(&line)? {
                    ToObserver::Begin { .. } => {}
                    ToObserver::Opened { connection, session } => {
                        observer.route(connection, FromCoordinator::Opened(session));
                    }
                    ToObserver::Answer { connection, answer } => {
                        observer.route(connection, FromCoordinator::Answer(answer));
                    }
                    ToObserver::Cut { connection } => observer.route(connection, FromCoordinator::Cut),
                    ToObserver::Behave(new) => {
                        *behaviour.lock().unwrap_or_else(PoisonError::into_inner) = new;
                    }
                }
            }
        }
    }
}

async fn heartbeat(observer: Arc<Observer>) {
    let mut beat = tokio::time::interval(Duration::from_millis(observer.config.heartbeat_ms.max(10)));
    loop {
        beat.tick().await;
        observer.send(ToCoordinator::Heartbeat);
    }
}

/// Packaged observers raise SIGKILL on themselves when SIGTERM comes: there is no graceful way out.
async fn terminate(observer: Arc<Observer>, behaviour: Arc<Mutex<Behaviour>>) {
    let Ok(mut signals) = signal(SignalKind::terminate()) else { return };
    while signals.recv().await.is_some() {
        let Behaviour { ignore_sigterm, exit_after_ms, .. } =
            behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if ignore_sigterm {
            observer.send(ToCoordinator::Signal { text: "SIGTERM ignored".into() });
            continue;
        }
        tokio::time::sleep(Duration::from_millis(exit_after_ms)).await;
        // as `raise(SIGKILL)` in ob_signal_handle.cpp
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// The RPC port: open, and nothing more can be asked of it.
async fn hold(listener: TcpListener) {
    let mut held = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        held.push(stream);
        if held.len() > 256 {
            held.remove(0);
        }
    }
}

async fn accept(listener: TcpListener, observer: Arc<Observer>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = observer.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::unbounded_channel();
        observer.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, sender);
        observer.send(ToCoordinator::Open { connection, peer: peer.to_string() });
        tokio::spawn(session(Arc::clone(&observer), connection, stream, receiver));
    }
}

async fn session(
    observer: Arc<Observer>,
    connection: u64,
    stream: TcpStream,
    receiver: mpsc::UnboundedReceiver<FromCoordinator>,
) {
    let _ = stream.set_nodelay(true);
    let _ = serve(&observer, connection, stream, receiver).await;
    observer.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection);
    observer.send(ToCoordinator::Close { connection });
}

/// A coordinator that was killed cannot tidy up, so every observer that outlives it does.
fn remove_temporary(home: &Path, config: &SimJson) {
    let Some(root) = &config.temporary else { return };
    let ours = root.file_name().is_some_and(|name| name.to_string_lossy().starts_with("obsteward-sim-"));
    if ours && home.starts_with(root) {
        // another observer may be at it too
        for _ in 0..3 {
            if std::fs::remove_dir_all(root).is_ok() {
                return;
            }
        }
    }
}
