//! The end of this process at a failpoint, as `kill -9` ends it. For the failpoints of the store and of the engine.

use rustix::process::{Signal, getpid, kill_process};

/// SIGKILL: nothing is flushed, and nothing runs any more.
pub(crate) fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}
