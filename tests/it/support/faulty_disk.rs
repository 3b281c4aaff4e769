//! A disk that fails when a test says so, under the real program: a small library in C between the program and libc (unsafe
//! Rust is forbidden here), made by the test that needs it. Only files below one path are on it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// No room: ENOSPC, with half of the first write still written.
    Full,
    /// What is written does not get to the disk for sure: EIO from fsync.
    FailedSync,
    /// Nothing may be changed: EROFS.
    ReadOnly,
}

/// The disk. Programs that are started with [`FaultyDisk::environment`] have it.
pub struct FaultyDisk {
    directory: tempfile::TempDir,
    library: String,
    control: String,
    below: String,
}

impl FaultyDisk {
    /// A disk that is well, with every file whose path begins so.
    pub fn below(path: &Path) -> Self {
        Self::with(path.to_str().unwrap().to_owned())
    }

    /// A disk that is well, with this file alone.
    pub fn of_file(path: &Path) -> Self {
        Self::with(format!("={}", path.to_str().unwrap()))
    }

    fn with(below: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("faulty_disk.c");
        std::fs::write(&source, include_str!("faulty_disk.c")).unwrap();
        let library = directory.path().join("faulty_disk.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let made = compiler.output().unwrap_or_else(|error| panic!("cc: {error}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let disk = Self { library: text(library), control: text(directory.path().join("control")), below, directory };
        disk.is_well();
        disk
    }

    /// What a program must be started with.
    pub fn environment(&self) -> [(&'static str, &str); 3] {
        [("LD_PRELOAD", &self.library), ("FAULTY_DISK_CONTROL", &self.control), ("FAULTY_DISK_BELOW", &self.below)]
    }

    /// It fails from now on.
    pub fn fails(&self, fault: DiskFault) {
        self.fails_after(fault, 0);
    }

    /// It fails once every running program has synced so many times from now, and a program that is started later once that
    /// has: SQLite syncs once for each commit.
    pub fn fails_after(&self, fault: DiskFault, syncs: usize) {
        let word = match fault {
            DiskFault::Full => "full",
            DiskFault::FailedSync => "sync",
            DiskFault::ReadOnly => "readonly",
        };
        self.say(&format!("{word} {syncs}\n"));
    }

    /// Nothing is wrong with it any more.
    pub fn is_well(&self) {
        self.say("well\n");
    }

    /// Whole at every moment: the programs look at it before each call.
    fn say(&self, words: &str) {
        let next = self.directory.path().join("control.next");
        std::fs::write(&next, words).unwrap();
        std::fs::rename(next, &self.control).unwrap();
    }

    /// Every call that it failed so far: its name and the file.
    pub fn failures(&self) -> Vec<String> {
        let lines = std::fs::read_to_string(format!("{}.failures", self.control)).unwrap_or_default();
        lines.lines().map(str::to_owned).collect()
    }
}
