//! Counts what a program syncs to disk, so that a figure shows that nothing was relaxed for it: the program starts itself again with
//! a small library in front of the system's, which counts in a file.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// File that the library counts in.
const COUNTER: &str = "OBSTEWARD_SYNC_COUNTER";

/// Starts this program again with the library, unless it has it. Without a C compiler it goes on without, and counts nothing.
pub fn count_from_here() {
    if std::env::var_os(COUNTER).is_some() {
        return;
    }
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (library, counter) =
        (directory.join("sync_counter.so"), directory.join(format!("syncs-{}", std::process::id())));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/support/sync_counter.c");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    if built.is_ok_and(|status| status.success()) {
        std::fs::write(&counter, [0; 8]).expect("a file below target");
        let program = std::env::current_exe().expect("a program");
        let mut again = Command::new(program);
        again.args(std::env::args_os().skip(1)).env("LD_PRELOAD", library).env(COUNTER, counter);
        panic!("not started again: {}", again.exec());
    }
    eprintln!("no C compiler: syncs are not counted");
}

/// Syncs so far; `None`: they are not counted.
pub fn so_far() -> Option<u64> {
    let mut bytes = [0; 8];
    std::fs::File::open(std::env::var_os(COUNTER)?).ok()?.read_exact(&mut bytes).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

/// Syncs since then, for each of so many.
pub fn for_each(since: Option<u64>, count: usize) -> serde_json::Value {
    let syncs = so_far().zip(since).map(|(now, since)| (now - since) as f64 / count as f64);
    syncs.map_or(serde_json::Value::Null, |syncs| super::rounded(syncs, 3))
}
