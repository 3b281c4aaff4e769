//! Ends or stops this process at a failpoint, as `kill -9` or `kill -STOP` would. For the failpoints of the store and of the engine.

use rustix::process::{Signal, getpid, kill_process};

/// SIGKILL: nothing is flushed, and no destructor runs.
pub(crate) fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

/// SIGSTOP: nothing of the process goes on before somebody sends it SIGCONT.
pub(crate) fn freeze() {
    let _ = kill_process(getpid(), Signal::STOP);
}
