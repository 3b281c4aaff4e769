//! One client connection of an observer process: handshake, then commands, each answered by the coordinator.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;

use super::answer::Answer;
use super::link::ToCoordinator;
use super::observer::{FromCoordinator, Observer};
use super::wire::{self, Output};

/// Serves until the client leaves or the coordinator cuts the connection.
pub async fn serve(
    observer: &Observer,
    connection: u64,
    stream: TcpStream,
    mut coordinator: UnboundedReceiver<FromCoordinator>,
) -> io::Result<()> {
    let Some(FromCoordinator::Opened(Some(session))) = coordinator.recv().await else { return Ok(()) };
    let (mut read, mut write) = split(stream);
    if !log_in(observer, connection, session, &mut read, &mut write, &mut coordinator).await? {
        return Ok(());
    }
    let mut idle_limit = None;
    loop {
        let mut sequence = 0;
        let packet = tokio::select! {
            () = idle(idle_limit) => return Ok(()),
            packet = wire::read_packet(&mut read, &mut sequence) => packet?,
            message = coordinator.recv() => match message {
                // an answer that nobody waits for any more belongs to a statement that was cut
                Some(FromCoordinator::Answer(_) | FromCoordinator::Opened(_)) => continue,
                Some(FromCoordinator::Cut) | None => return Ok(()),
            },
        };
        let Some(packet) = packet else { return Ok(()) };
        let Some((command, body)) = packet.split_first() else { return Ok(()) };
        let body = String::from_utf8_lossy(body).into_owned();
        let mut output = Output::new(sequence);
        match *command {
            wire::COM_QUIT => return Ok(()),
            wire::COM_PING | wire::COM_RESET_CONNECTION => output.ok(0),
            wire::COM_SET_OPTION | wire::COM_FIELD_LIST => output.eof(),
            wire::COM_QUERY | wire::COM_INIT_DB => {
                let text = if *command == wire::COM_QUERY { body } else { format!("USE `{body}`") };
                idle_limit = wait_timeout(&text).or(idle_limit);
                observer.send(ToCoordinator::Statement { connection, text });
                match answer(observer, &mut read, &mut coordinator).await? {
                    Some(answer) => output.answer(&answer),
                    None => return Ok(()),
                }
            }
            _ => output.error(1235, "0A000", "this command is not supported by the simulated observer"),
        }
        output.send(&mut write).await?;
    }
}

/// Sessions are looked at so often (seen at the engine, docs/oceanbase.md#sessions-that-are-idle).
const IDLE_CHECK_PERIOD: Duration = Duration::from_secs(5);

/// Until a session that is silent is closed.
pub(super) async fn idle(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit + IDLE_CHECK_PERIOD).await,
        None => std::future::pending().await,
    }
}

/// What a statement sets `wait_timeout` to.
pub(super) fn wait_timeout(statement: &str) -> Option<Duration> {
    let lower = statement.trim_start().to_ascii_lowercase();
    let value = lower.strip_prefix("set ")?.split_once("wait_timeout")?.1.trim_start().strip_prefix('=')?;
    let digits: String = value.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_secs)
}

/// The coordinator's answer; None when the connection is cut or the client goes away meanwhile.
async fn answer(
    observer: &Observer,
    read: &mut (impl AsyncRead + Unpin),
    coordinator: &mut UnboundedReceiver<FromCoordinator>,
) -> io::Result<Option<Answer>> {
    use tokio::io::AsyncReadExt;
    let mut early = [0_u8; 1];
    tokio::select! {
        biased;
        message = coordinator.recv() => Ok(match message {
            Some(FromCoordinator::Answer(answer)) => Some(answer),
            _ => None,
        }),
        // MySQL clients do not send while they wait, so this is the end of the stream
        _ = read.read(&mut early), if observer.notices_loss() => Ok(None),
    }
}

async fn log_in(
    observer: &Observer,
    connection: u64,
    session: u64,
    read: &mut (impl AsyncRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
    coordinator: &mut UnboundedReceiver<FromCoordinator>,
) -> io::Result<bool> {
    let nonce = nonce();
    let mut output = Output::new(0);
    output.handshake(session, &nonce);
    output.send(write).await?;
    let mut sequence = 0;
    let Some(packet) = wire::read_packet(read, &mut sequence).await? else { return Ok(false) };
    let Some(mut login) = wire::parse_login(&packet) else { return Ok(false) };
    if login.other_plugin {
        let mut output = Output::new(sequence);
        output.switch_plugin(&nonce);
        output.send(write).await?;
        let Some(packet) = wire::read_packet(read, &mut sequence).await? else { return Ok(false) };
        login.scramble = packet;
    }
    let password_right = wire::password_right(&login.scramble, &nonce, &observer.config.password);
    observer.send(ToCoordinator::Login { connection, user: login.user, password_right });
    let Some(mut verdict) = answer(observer, read, coordinator).await? else { return Ok(false) };
    if let (Answer::Done { .. }, Some(database)) = (&verdict, login.database) {
        observer.send(ToCoordinator::Statement { connection, text: format!("USE `{database}`") });
        let Some(used) = answer(observer, read, coordinator).await? else { return Ok(false) };
        verdict = used;
    }
    let mut output = Output::new(sequence);
    output.answer(&verdict);
    output.send(write).await?;
    Ok(matches!(verdict, Answer::Done { .. }))
}

/// Twenty bytes without zero, as the protocol wants them.
fn nonce() -> [u8; 20] {
    let mut nonce = [0; 20];
    let (a, b) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    for (byte, random) in nonce.iter_mut().zip(a.as_bytes().iter().chain(b.as_bytes())) {
        *byte = random % 93 + 33;
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_timeout_is_read_from_the_statement_that_sets_it() {
        let seconds = |statement: &str| wait_timeout(statement).map(|limit| limit.as_secs());
        assert_eq!(seconds("SET ob_query_timeout = 10000000, wait_timeout = 5, time_zone = '+00:00'"), Some(5));
        assert_eq!((seconds("SET time_zone = '+00:00'"), seconds("SELECT @@wait_timeout")), (None, None));
    }
}
