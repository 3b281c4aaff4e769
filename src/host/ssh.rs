//! The connection to an agent that ssh starts: one child process for each connection, its standard input and output
//! carry the bytes. The child ends with the connection, and the connection with the child. Even a service that is
//! killed leaves no child behind: the child's standard input ends then, and with it the agent on the other side.

use std::fmt::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::clock::monotonic_now;
use crate::domain::printable::is_invisible;
use crate::domain::ssh::SshDestination;
use crate::host::connection::ByteStream;
use crate::host::ssh_client::SshClient;
use crate::host::ssh_error::{SshError, last_words};

/// What logging in, a shell and the start of an agent may take beyond the time for connecting. An agent waits two
/// seconds for a record that is locked, and says so; a search ends after ten.
const AGENT: Duration = Duration::from_secs(4);
/// How long ssh may take to end, and its messages to arrive, once its output has ended.
const ENDING: Duration = Duration::from_secs(1);
/// After a failed attempt searches do not connect again for this long, however often a task makes them: hosts block
/// clients that do.
const RETRY_BACKOFF: Duration = Duration::from_secs(1);
/// How an agent begins: the first frame of an HTTP/2 server, SETTINGS, which is shorter than 64 KiB.
const FRAME_HEAD: usize = 9;
/// Bytes of the child's messages that are kept while it connects.
const LONGEST_SAID: usize = 8 << 10;
/// Longest line of an agent's log that is passed on.
const LONGEST_LINE: usize = 2 << 10;
/// Size of a copy buffer, in bytes.
const BUFFER: usize = 64 << 10;

#[derive(Debug)]
pub struct SshTransport {
    destination: SshDestination,
    client: Arc<SshClient>,
    failed: Mutex<Option<(Instant, SshError)>>,
}

impl SshTransport {
    pub const fn to(destination: SshDestination, client: Arc<SshClient>) -> Self {
        Self { destination, client, failed: Mutex::new(None) }
    }

    pub const fn destination(&self) -> &SshDestination {
        &self.destination
    }

    /// The same as [`SshTransport::open`], but a caller that tries again at once gets the error of the last attempt.
    pub async fn open_with_backoff(&self) -> Result<Box<dyn ByteStream>, SshError> {
        match self.recent_failure() {
            Some(error) => Err(error),
            None => self.open().await,
        }
    }

    /// Starts ssh and waits for the first bytes of the agent.
    pub async fn open(&self) -> Result<Box<dyn ByteStream>, SshError> {
        // On a task of its own: its caller may be dropped half way, and then nobody would end the child.
        let (destination, client) = (self.destination.clone(), Arc::clone(&self.client));
        let opening = AbortOnDropHandle::new(tokio::spawn(async move { open(&destination, &client).await }));
        let opened = opening.await.unwrap_or_else(|error| Err(SshError::Other(error.to_string())));
        let failed = opened.as_ref().err().map(|error| (monotonic_now(), error.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        Ok(Box::new(opened?))
    }

    fn recent_failure(&self) -> Option<SshError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, error) = failed.as_ref()?;
        (monotonic_now().duration_since(*at) < RETRY_BACKOFF).then(|| error.clone())
    }
}

/// The child with its pipes.
struct Ssh {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    errors: ChildStderr,
}

async fn open(destination: &SshDestination, client: &SshClient) -> Result<DuplexStream, SshError> {
    let mut ssh = Ssh::start(destination, client)?;
    let mut said = Vec::new();
    let limit = client.connect_timeout() + AGENT;
    let begun = tokio::select! {
        begun = timeout(limit, begin(&mut ssh.output)) => begun,
        never = keep(&mut ssh.errors, &mut said) => match never {},
    };
    match begun {
        Ok(Begun::Agent(first)) => {
            let (near, far) = tokio::io::duplex(BUFFER);
            tokio::spawn(carry(ssh, first, far, destination.to_string()));
            Ok(near)
        }
        Ok(Begun::Other(text)) => {
            ssh.end().await;
            Err(SshError::Rubbish(last_words(&String::from_utf8_lossy(&text))))
        }
        Ok(Begun::Ended) => {
            let ended = tokio::select! {
                ended = timeout(ENDING, ssh.child.wait()) => ended,
                never = keep(&mut ssh.errors, &mut said) => match never {},
            };
            // What was written before the end may still be on its way.
            let _ = timeout(ENDING, ssh.errors.take(LONGEST_SAID as u64).read_to_end(&mut said)).await;
            let code = ended.ok().and_then(Result::ok).and_then(|status| status.code());
            Err(SshError::ended(code, &String::from_utf8_lossy(&said), client.agent()))
        }
        Err(_) => {
            ssh.end().await;
            Err(SshError::Late { limit, said: last_words(&String::from_utf8_lossy(&said)) })
        }
    }
}

impl Ssh {
    fn start(destination: &SshDestination, client: &SshClient) -> Result<Self, SshError> {
        let cannot = |error: String| SshError::Program { program: client.program().display().to_string(), error };
        let mut command = client.to(destination);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Ctrl-C on the terminal of the service is for the service, which closes its connections itself.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| cannot(error.to_string()))?;
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(input), Some(output), Some(errors)) => Ok(Self { child, input, output, errors }),
            _ => Err(cannot("it has no standard input and output".to_owned())),
        }
    }

    async fn end(self) {
        end(self.child).await;
    }
}

/// Ends the child at once and waits for that.
async fn end(mut child: Child) {
    if let Err(error) = child.kill().await {
        tracing::debug!(%error, "ssh could not be ended");
    }
}

/// What the child's output begins with.
enum Begun {
    /// The first bytes of an agent.
    Agent(Vec<u8>),
    /// Something that no agent sends.
    Other(Vec<u8>),
    /// Nothing: the output has ended.
    Ended,
}

async fn begin(output: &mut ChildStdout) -> Begun {
    let mut first = Vec::with_capacity(1024);
    loop {
        match output.read_buf(&mut first).await {
            Ok(0) | Err(_) if first.is_empty() => return Begun::Ended,
            Ok(0) | Err(_) => return Begun::Other(first),
            Ok(_) if !may_be_settings(&first) => return Begun::Other(first),
            Ok(_) if first.len() >= FRAME_HEAD => return Begun::Agent(first),
            Ok(_) => {}
        }
    }
}

/// Whether bytes may be the beginning of a SETTINGS frame: length below 64 KiB, type 4, no flags, stream 0.
fn may_be_settings(bytes: &[u8]) -> bool {
    let expected = [Some(0), None, None, Some(4), Some(0), Some(0), Some(0), Some(0), Some(0)];
    bytes.iter().zip(expected).all(|(byte, expected)| expected.is_none_or(|expected| *byte == expected))
}

/// Collects the messages, up to a bound, and never returns: a full buffer or the end of the stream must not stop the
/// caller's other work.
async fn keep(errors: &mut ChildStderr, said: &mut Vec<u8>) -> std::convert::Infallible {
    let mut some = [0; 1024];
    while let Ok(length @ 1..) = errors.read(&mut some).await {
        let room = LONGEST_SAID.saturating_sub(said.len());
        said.extend_from_slice(&some[..length.min(room)]);
    }
    std::future::pending().await
}

/// Copies bytes in both directions until either end has ended, then ends the child; and the agent's log into ours.
async fn carry(ssh: Ssh, first: Vec<u8>, far: DuplexStream, host: String) {
    let Ssh { child, mut input, mut output, errors } = ssh;
    let (mut from, mut to) = tokio::io::split(far);
    let there = tokio::io::copy(&mut from, &mut input);
    let here = async {
        to.write_all(&first).await?;
        tokio::io::copy(&mut output, &mut to).await
    };
    // Until the end of the stream, which is the child's end: its last messages may tell why.
    tokio::spawn(log(errors, host));
    tokio::select! {
        _ = there => {}
        _ = here => {}
    }
    // The other end is closed before the child is waited for.
    drop((from, to, input, output));
    end(child).await;
}

/// Copies the agent's log into ours, line by line, cutting long lines.
async fn log(mut errors: impl AsyncRead + Unpin, host: String) {
    let (mut line, mut some) = (Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = errors.read(&mut some).await {
        for byte in &some[..length] {
            match byte {
                b'\n' => pass_on(&mut line, &host),
                _ if line.len() < LONGEST_LINE => line.push(*byte),
                _ => {}
            }
        }
    }
    pass_on(&mut line, &host);
}

fn pass_on(line: &mut Vec<u8>, host: &str) {
    let mut text = String::new();
    for letter in String::from_utf8_lossy(line).trim().chars() {
        // Control characters are escaped, so that no terminal acts on them.
        let _ =
            if is_invisible(letter) { write!(text, "{}", letter.escape_unicode()) } else { write!(text, "{letter}") };
    }
    if !text.is_empty() {
        tracing::info!(host, "the agent over ssh says: {text}");
    }
    line.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_known_by_its_first_bytes() {
        let settings = [0, 0, 24, 4, 0, 0, 0, 0, 0, 0, 3];
        for length in 0..=settings.len() {
            assert!(may_be_settings(&settings[..length]), "{length}");
        }
        for other in [&b"Welcome"[..], b"\n", &[0, 0, 24, 1], &[0, 0, 0, 4, 1], &[0, 0, 0, 4, 0, 0, 0, 0, 1]] {
            assert!(!may_be_settings(other), "{other:?}");
        }
    }
}
