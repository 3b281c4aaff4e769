//! Ends this process at a failpoint, as `kill -9` would. For the failpoints of the store and of the engine.

use rustix::process::{Signal, getpid, kill_process};

/// SIGKILL: nothing is flushed, and no destructor runs.
pub(crate) fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}
