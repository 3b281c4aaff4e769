//! `obsteward agent --stdio`: serves one caller on standard input and output, as ssh starts it, and ends with its caller.
//!
//! The first process on a state directory keeps the record and serves. Others that are started meanwhile find it at a
//! socket in that directory and only forward their caller to it: all callers share one agent, one record and one set of
//! tickets, and none waits for another. The first process stays until the last of them has gone, and a stop that has
//! begun is carried to its end.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, stream};
use rustix::net::sockopt::socket_peercred;
use thiserror::Error;
use tokio::io::DuplexStream;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::calls::Calls;
use crate::agent::clients::Clients;
use crate::agent::command::LAST_CALLS;
use crate::agent::files::FileError;
use crate::agent::grpc::{self, ServeError};
use crate::agent::service::{Agent, LONGEST_GRACE};
use crate::agent::settings::{AgentConfig, KILL_WAIT};
use crate::agent::signal::own_uid;
use crate::clock::monotonic_now;

/// Socket at which the first process accepts the callers of the others.
const SOCKET: &str = "agent.sock";
/// Longest wait for a record that is locked: until its holder accepts connections, or has ended.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_LOOK: Duration = Duration::from_millis(20);
/// Longest wait for the first bytes from the holder of the record; an agent speaks first.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// An agent that nobody has called for this long ends, and its ssh with it. Longer than any ticket is valid.
const IDLE: Duration = Duration::from_secs(60);
/// Longest stop, with its looks: how long calls may go on when every caller has gone.
const LONGEST_CALL: Duration = LONGEST_GRACE.saturating_add(KILL_WAIT).saturating_add(Duration::from_secs(30));
/// Longest wait until the last answers are written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of a connection that wait between two copies.
const BUFFER: usize = 64 << 10;

#[derive(Debug, Error)]
pub enum StdioError {
    /// Standard input is a terminal: a person tries it.
    #[error("--stdio is for the ssh of the obsteward server, and standard input or output is a terminal")]
    Terminal,
    #[error("the agent's record cannot be opened: {0}")]
    State(#[from] FileError),
    /// The record is held by an agent that accepts no other callers.
    #[error(
        "{0} is locked by an agent that does not share it, such as `obsteward agent` as a service of this host: reach the \
         host through that one (grpc), or end it"
    )]
    Kept(PathBuf),
    #[error("cannot listen on {path}: {error}")]
    Socket { path: PathBuf, error: io::Error },
    /// Standard input and output, or what carries them.
    #[error("standard input and output cannot be served: {0}")]
    Wire(io::Error),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Serves until the standard input ends or nobody calls any more, then until every call that has begun has ended.
pub async fn serve(config: AgentConfig) -> Result<(), StdioError> {
    if io::stdin().is_terminal() || io::stdout().is_terminal() {
        return Err(StdioError::Terminal);
    }
    let wire = Wire::take().map_err(StdioError::Wire)?;
    let opened = tokio::task::spawn_blocking(move || open(&config)).await;
    match opened.map_err(|error| StdioError::Wire(io::Error::other(error)))?? {
        Opened::Own { agent, listener, path } => {
            let served = serve_all(agent.clone(), listener, wire).await;
            // While the record is still ours: the next one has a socket of its own there.
            let _ = std::fs::remove_file(path);
            drop(agent);
            served
        }
        Opened::Shared { first, stream } => {
            wire.carry(stream, first).map_err(StdioError::Wire)?.cancelled().await;
            Ok(())
        }
    }
}

/// What was found in the state directory.
enum Opened {
    /// Nobody: the record is ours.
    Own { agent: Agent, listener: std::os::unix::net::UnixListener, path: PathBuf },
    /// Another agent, which has begun to speak; `first` is what it said so far.
    Shared { first: Vec<u8>, stream: UnixStream },
}

/// Opens the record, or connects to the process that holds it. Blocks.
fn open(config: &AgentConfig) -> Result<Opened, StdioError> {
    let path = config.state_directory.join(SOCKET);
    let deadline = monotonic_now() + LOCK_WAIT;
    loop {
        match Agent::new(config.clone()) {
            Ok(agent) => {
                let socket = |error| StdioError::Socket { path: path.clone(), error };
                // Left behind by one that was killed.
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(socket(error)),
                    _ => {}
                }
                let listener = std::os::unix::net::UnixListener::bind(&path).map_err(socket)?;
                listener.set_nonblocking(true).map_err(socket)?;
                return Ok(Opened::Own { agent, listener, path });
            }
            Err(FileError::Locked { path: locked }) => {
                if let Ok((first, stream)) = connect_to_holder(&path) {
                    return Ok(Opened::Shared { first, stream });
                }
                if monotonic_now() >= deadline {
                    return Err(StdioError::Kept(locked));
                }
                std::thread::sleep(LOCK_LOOK);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Connects to the holder of the record. Nothing is read from our caller before the holder has spoken: it may be about
/// to end, and then the caller's bytes must still be there for the next attempt.
fn connect_to_holder(path: &Path) -> io::Result<(Vec<u8>, UnixStream)> {
    let mut stream = UnixStream::connect(path)?;
    if !is_trusted(&stream) {
        return Err(io::Error::other("it is somebody else's"));
    }
    stream.set_read_timeout(Some(FIRST_WORD))?;
    let mut first = vec![0; 1024];
    let length = stream.read(&mut first)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    first.truncate(length);
    stream.set_read_timeout(None)?;
    Ok((first, stream))
}

/// Whether the peer of a socket is root or our own user.
fn is_trusted(stream: impl AsFd) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid.is_root() || peer.uid.as_raw() == own_uid())
}

/// Standard input and output, as files of our own.
struct Wire {
    input: File,
    output: File,
}

impl Wire {
    /// From here on, whoever prints writes to standard error, and children inherit nothing of it.
    fn take() -> io::Result<Self> {
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        rustix::stdio::dup2_stdout(io::stderr())?;
        Ok(Self { input, output })
    }

    /// Carries `first` and all that comes from a connection to the output, and the input to the connection, each on a thread
    /// of its own: reads that block cannot be cancelled and must not hold the end of the runtime. The token is cancelled
    /// when the output has ended.
    fn carry(self, stream: UnixStream, first: Vec<u8>) -> io::Result<CancellationToken> {
        let Self { mut input, mut output } = self;
        let (mut to, mut from) = (stream.try_clone()?, stream);
        let written = CancellationToken::new();
        let ended = written.clone().drop_guard();
        std::thread::Builder::new().name("input".to_owned()).spawn(move || {
            let _ = copy(&mut input, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        })?;
        std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            let _ = output.write_all(&first).and_then(|()| copy(&mut from, &mut output));
            let _ = from.shutdown(Shutdown::Both);
            drop((output, ended));
        })?;
        Ok(written)
    }
}

/// Not [`io::copy`], which has the kernel splice: while that waits for a socket it holds the lock of the pipe behind it, and
/// whoever reads that pipe hangs.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut some = [0; 16 << 10];
    loop {
        match from.read(&mut some) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&some[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Serves our own caller and those that other processes forward.
async fn serve_all(agent: Agent, listener: std::os::unix::net::UnixListener, wire: Wire) -> Result<(), StdioError> {
    // Before anything is written: whoever reads it may send a signal at once.
    let mut signals = Signals::catch().map_err(StdioError::Wire)?;
    let listener = UnixListener::from_std(listener).map_err(StdioError::Wire)?;
    let (ours, theirs) = UnixStream::pair().map_err(StdioError::Wire)?;
    ours.set_nonblocking(true).map_err(StdioError::Wire)?;
    let own = tokio::net::UnixStream::from_std(ours).map_err(StdioError::Wire)?;
    let written = wire.carry(theirs, Vec::new()).map_err(StdioError::Wire)?;
    let (calls, connections, ending) = (Calls::new(), Connections::new(), CancellationToken::new());
    let first = connections.add(own);
    let (accepted, incoming) = mpsc::channel(1);
    let incoming = stream::iter([first]).chain(ReceiverStream::new(incoming)).map(Ok::<_, io::Error>);
    let serving = {
        let ending = ending.clone();
        grpc::serve_over(agent, incoming, Clients::Everybody, calls.clone(), ending.cancelled_owned())
    };
    let accepting = async {
        accept(listener, &connections, &accepted, &calls, &mut signals).await;
        ending.cancel();
    };
    let all = async {
        let (served, ()) = tokio::join!(serving, accepting);
        calls.ended().await;
        served
    };
    let ended = tokio::select! {
        ended = all => ended.map_err(StdioError::Serve),
        () = async { ending.cancelled().await; sleep(LAST_CALLS).await } => Ok(()),
    };
    let _ = timeout(FLUSH_TIMEOUT, written.cancelled()).await;
    ended
}

/// Accepts other callers until there is nothing left to serve: every caller has gone and every call has ended, nobody
/// calls, or the process is told to end. All in one place, so that a process that is about to end accepts nobody.
async fn accept(
    listener: UnixListener,
    connections: &Connections,
    accepted: &mpsc::Sender<DuplexStream>,
    calls: &Calls,
    signals: &mut Signals,
) {
    let most = grpc::bounds().connections;
    loop {
        let nobody_is_left = async {
            connections.ended().await;
            let _ = timeout(LONGEST_CALL, calls.ended()).await;
        };
        tokio::select! {
            stream = listener.accept() => match stream {
                Ok((stream, _)) if is_trusted(&stream) && connections.count() < most => {
                    let _ = accepted.send(connections.add(stream)).await;
                }
                Ok(_) => tracing::warn!("a connection to {SOCKET} was turned away: another user's, or too many"),
                Err(error) => {
                    tracing::warn!(%error, "connections to {SOCKET} cannot be accepted");
                    sleep(LOCK_LOOK).await;
                }
            },
            () = nobody_is_left => return,
            () = calls.idle(IDLE) => return,
            () = signals.end() => return,
        }
    }
}

/// The signals that tell us to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Caught and ignored: the end of a session must not leave half a stop behind.
    _hangup: Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Open connections, each copied by a task of its own.
struct Connections(TaskTracker);

impl Connections {
    fn new() -> Self {
        let open = TaskTracker::new();
        open.close();
        Self(open)
    }

    /// Adds a connection, and returns the end of it that the server reads.
    fn add(&self, mut stream: tokio::net::UnixStream) -> DuplexStream {
        let (near, mut far) = tokio::io::duplex(BUFFER);
        self.0.spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut far).await });
        near
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    async fn ended(&self) {
        self.0.wait().await;
    }
}
