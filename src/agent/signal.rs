//! Signals through a pidfd: what is signalled is the process that was held when it was identified, never a later one that
//! got its number.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::agent::machine::HeldProcess;

/// A process held by a pidfd: its number may be given to another process, this handle does not follow.
#[derive(Debug)]
pub struct ProcessHandle {
    pidfd: AsyncFd<OwnedFd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalOutcome {
    Delivered,
    Gone,
}

impl ProcessHandle {
    /// Holds the process that has this number now; `None`: there is none. Identify it after this, not before.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        match pidfd_open(number(pid)?, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Some(Self { pidfd: watch(pidfd)? })),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn send(&self, signal: Signal) -> io::Result<SignalOutcome> {
        match pidfd_send_signal(self.pidfd.get_ref(), signal) {
            Ok(()) => Ok(SignalOutcome::Delivered),
            Err(Errno::SRCH) => Ok(SignalOutcome::Gone),
            Err(error) => Err(error.into()),
        }
    }
}

impl HeldProcess for ProcessHandle {
    fn terminate(&self) -> io::Result<SignalOutcome> {
        self.send(Signal::TERM)
    }

    fn kill(&self) -> io::Result<SignalOutcome> {
        self.send(Signal::KILL)
    }

    async fn ended_within(&self, limit: Duration) -> bool {
        // An error of the wait is no end: the caller goes on as if it still ran.
        matches!(tokio::time::timeout(limit, self.pidfd.readable()).await, Ok(Ok(_)))
    }
}

/// Whether the system would let us signal this number; `Err`: why not.
pub fn permitted(pid: u32) -> io::Result<()> {
    test_kill_process(number(pid)?).map_err(io::Error::from)
}

pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[allow(deprecated, reason = "its replacement is unsafe; what that asks for, a constant descriptor, OwnedFd has")]
fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

fn number(pid: u32) -> io::Result<Pid> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("{pid} is not a process id"));
    // 1 and below never are observers that we may signal.
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw).ok_or_else(invalid)
}
