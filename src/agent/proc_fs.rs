//! Reads single facts about processes from `/proc` (or a tree that looks like it). Decides nothing and signals nobody.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// `PF_KTHREAD` in the flags of `/proc/PID/stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// What the kernel appends to the path of an executable whose file was removed.
const DELETED: &str = " (deleted)";

#[derive(Debug, Error)]
pub enum ProcError {
    /// The process (or file) is not there, or no longer.
    #[error("{0} is not there")]
    Gone(PathBuf),
    /// This user may not read it.
    #[error("{0} may not be read, run the agent as the observer's user or as root")]
    Denied(PathBuf),
    #[error("{path} cannot be read: {error}")]
    Unreadable { path: PathBuf, error: String },
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Name of the main thread, at most 15 characters; the process can choose it.
    pub command: String,
    pub state: char,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
    /// Number of threads that have not ended.
    pub threads: u64,
    pub kernel_thread: bool,
}

impl Stat {
    /// Whether nothing of it runs any more: a zombie waits for its parent only, it holds no port and no file. A leader
    /// that ended before its other threads looks like a zombie too, but has more than one thread.
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// Its path, without the kernel's mark of a deleted file.
    pub path: PathBuf,
    /// Whether that file was removed or replaced.
    pub deleted: bool,
    /// `dev:inode`.
    pub inode: String,
}

/// What `/proc/PID/status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Real user id.
    pub uid: u32,
    /// Process id in the innermost pid namespace; 1: the init of a container (or of the host).
    pub innermost_pid: u32,
}

#[derive(Clone, Debug)]
pub struct ProcFs {
    root: PathBuf,
}

impl ProcFs {
    /// The tree at `root`, usually `/proc`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn boot_id(&self) -> Result<String, ProcError> {
        Ok(self.text(&self.root.join("sys/kernel/random/boot_id"))?.trim().to_owned())
    }

    /// Whether it is the tree that this machine's kernel shows, and not one that looks like it.
    pub fn is_this_machine(&self) -> bool {
        self.root == Path::new("/proc")
    }

    /// Every process, in the order of their ids.
    pub fn pids(&self) -> Result<Vec<u32>, ProcError> {
        let mut pids: Vec<u32> =
            names(&self.root)?.iter().filter_map(|name| name.to_str().and_then(|name| name.parse().ok())).collect();
        pids.sort_unstable();
        Ok(pids)
    }

    /// Our own process id as this tree sees it.
    pub fn own_pid(&self) -> Result<u32, ProcError> {
        let path = self.root.join("self");
        let link = link(&path)?;
        link.to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| ProcError::Unreadable { path, error: format!("{} is not a pid", link.display()) })
    }

    pub fn stat(&self, pid: u32) -> Result<Stat, ProcError> {
        let path = self.path(pid, "stat");
        let text = self.text(&path)?;
        parse_stat(&text).ok_or_else(|| ProcError::Unreadable { path, error: format!("unexpected text {text:?}") })
    }

    /// The same of one that has not ended.
    pub fn running(&self, pid: u32) -> Result<Stat, ProcError> {
        let stat = self.stat(pid)?;
        if stat.has_ended() { Err(ProcError::Gone(self.path(pid, "stat"))) } else { Ok(stat) }
    }

    pub fn executable(&self, pid: u32) -> Result<Executable, ProcError> {
        let path = self.path(pid, "exe");
        let target = link(&path)?;
        let metadata = fs::metadata(&path).map_err(|error| classify(&path, &error))?;
        let text = target.to_string_lossy();
        let (target, deleted) = match text.strip_suffix(DELETED) {
            Some(stripped) => (PathBuf::from(stripped), true),
            None => (target, false),
        };
        Ok(Executable { path: target, deleted, inode: format!("{}:{}", metadata.dev(), metadata.ino()) })
    }

    /// `dev:inode` of a file below the working directory, seen from the process's own mount namespace.
    pub fn inode_below_home(&self, pid: u32, file: &str) -> Option<String> {
        let metadata = fs::metadata(self.path(pid, "cwd").join(file)).ok()?;
        Some(format!("{}:{}", metadata.dev(), metadata.ino()))
    }

    /// Working directory.
    pub fn home(&self, pid: u32) -> Result<PathBuf, ProcError> {
        link(&self.path(pid, "cwd"))
    }

    /// Reads a file below the working directory, seen from the process's own mount namespace, up to `limit` bytes.
    pub fn read_below_home(&self, pid: u32, file: &str, limit: u64) -> Result<Vec<u8>, ProcError> {
        let path = self.path(pid, "cwd").join(file);
        read_up_to(&path, limit).map_err(|error| classify(&path, &error))
    }

    /// Arguments, the program's name first.
    pub fn arguments(&self, pid: u32) -> Result<Vec<String>, ProcError> {
        let path = self.path(pid, "cmdline");
        let bytes = read_up_to(&path, u64::MAX).map_err(|error| classify(&path, &error))?;
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect())
    }

    pub fn owner(&self, pid: u32) -> Result<Owner, ProcError> {
        let path = self.path(pid, "status");
        let text = self.text(&path)?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let uid = field("Uid:").and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok());
        let inner = field("NSpid:").and_then(|rest| rest.split_whitespace().last()).and_then(|word| word.parse().ok());
        match uid {
            // Without NSpid (a kernel without pid namespaces) the outer id is the only one.
            Some(uid) => Ok(Owner { uid, innermost_pid: inner.unwrap_or(pid) }),
            None => Err(ProcError::Unreadable { path, error: "it has no Uid line".to_owned() }),
        }
    }

    /// Network namespace, as the kernel names it.
    pub fn network_namespace(&self, pid: u32) -> Result<String, ProcError> {
        Ok(link(&self.path(pid, "ns/net"))?.to_string_lossy().into_owned())
    }

    /// Mount namespace, as the kernel names it.
    pub fn mount_namespace(&self, pid: u32) -> Result<String, ProcError> {
        Ok(link(&self.path(pid, "ns/mnt"))?.to_string_lossy().into_owned())
    }

    /// Resource limits, as `/proc/PID/limits` writes them.
    pub fn limits(&self, pid: u32) -> Result<String, ProcError> {
        self.text(&self.path(pid, "limits"))
    }

    /// An environment variable that the process was started with.
    pub fn variable(&self, pid: u32, name: &str) -> Result<Option<String>, ProcError> {
        let environment = self.text(&self.path(pid, "environ"))?;
        let mut variables = environment.split('\0').filter_map(|variable| variable.split_once('='));
        Ok(variables.find(|(own, _)| *own == name).map(|(_, value)| value.to_owned()))
    }

    /// Identifies the table of sockets that a process sees; unlike the namespace's name everybody may read it.
    pub fn network_key(&self, pid: u32) -> Result<(u64, u64), ProcError> {
        let path = self.path(pid, "net/tcp");
        let metadata = fs::metadata(&path).map_err(|error| classify(&path, &error))?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Reads the lines of a table below `/proc/PID/net` until one is not wanted; none when this kernel does not have it.
    pub fn network_table_while(
        &self,
        pid: u32,
        name: &str,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<(), ProcError> {
        let path = self.path(pid, "net").join(name);
        let mut read = || -> io::Result<()> {
            let mut lines = io::BufReader::new(fs::File::open(&path)?);
            let mut line = Vec::new();
            while io::BufRead::read_until(&mut lines, b'\n', &mut line)? > 0 && wanted(&String::from_utf8_lossy(&line))
            {
                line.clear();
            }
            Ok(())
        };
        match read().map_err(|error| classify(&path, &error)) {
            Err(ProcError::Gone(_)) => Ok(()),
            other => other,
        }
    }

    /// A table below `/proc/PID/net`, empty when this kernel does not have it (no IPv6).
    pub fn network_table(&self, pid: u32, name: &str) -> Result<String, ProcError> {
        match self.text(&self.path(pid, "net").join(name)) {
            Err(ProcError::Gone(_)) => Ok(String::new()),
            other => other,
        }
    }

    /// Inodes of the sockets that a process has open.
    pub fn socket_inodes(&self, pid: u32) -> Result<Vec<u64>, ProcError> {
        let directory = self.path(pid, "fd");
        let mut inodes = Vec::new();
        for name in names(&directory)? {
            match link(&directory.join(name)) {
                Ok(target) => inodes.extend(socket_inode(&target)),
                // Closed since the directory was read.
                Err(ProcError::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(inodes)
    }

    /// Cgroups, as `/proc/PID/cgroup` writes them; empty on a kernel without.
    pub fn cgroups(&self, pid: u32) -> Result<String, ProcError> {
        match self.text(&self.path(pid, "cgroup")) {
            Err(ProcError::Gone(_)) => Ok(String::new()),
            other => other,
        }
    }

    /// Where a file of a process stands.
    pub fn path(&self, pid: u32, name: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(name)
    }

    fn text(&self, path: &Path) -> Result<String, ProcError> {
        let bytes = read_up_to(path, u64::MAX).map_err(|error| classify(path, &error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Most of what the kernel tells of a process fits in here: it is asked twice, and not first how long a file is that has no length.
const USUAL_LENGTH: usize = 4096;

fn read_up_to(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(USUAL_LENGTH);
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn names(directory: &Path) -> Result<Vec<std::ffi::OsString>, ProcError> {
    let entries = fs::read_dir(directory).map_err(|error| classify(directory, &error))?;
    entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(|error| classify(directory, &error))).collect()
}

fn link(path: &Path) -> Result<PathBuf, ProcError> {
    fs::read_link(path).map_err(|error| classify(path, &error))
}

fn socket_inode(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn classify(path: &Path, error: &io::Error) -> ProcError {
    // A process that ends while it is read gives ESRCH.
    if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) {
        ProcError::Gone(path.to_owned())
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        ProcError::Denied(path.to_owned())
    } else {
        ProcError::Unreadable { path: path.to_owned(), error: error.to_string() }
    }
}

/// The name stands in parentheses and may itself hold spaces and parentheses: fields are counted after the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let (_, command) = head.split_once('(')?;
    // The third field comes first.
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let [flags, threads, start_ticks] = [fields.nth(9 - 4), fields.nth(20 - 10), fields.nth(22 - 21)];
    let number = |field: Option<&str>| field?.parse::<u64>().ok();
    Some(Stat {
        command: command.to_owned(),
        state,
        kernel_thread: number(flags)? & KERNEL_THREAD != 0,
        threads: number(threads)?,
        start_ticks: number(start_ticks)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_parentheses_in_the_name() {
        let text = "42 (a) (b c)) S 1 2 3 4 5 4194560 7 8 9 10 11 12 13 14 15 16 9 0 777 1 2";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.command.as_str(), stat.state, stat.threads, stat.start_ticks), ("a) (b c)", 'S', 9, 777));
        assert!(!stat.kernel_thread && !stat.has_ended());
    }

    #[test]
    fn a_leader_that_ended_before_its_threads_has_not_ended() {
        let stat = |threads| Stat { command: "x".into(), state: 'Z', start_ticks: 1, threads, kernel_thread: false };
        assert!(stat(1).has_ended());
        assert!(!stat(2).has_ended());
    }

    #[test]
    fn reads_ourselves() {
        let proc = ProcFs::new("/proc");
        let pid = proc.own_pid().unwrap();
        assert_eq!(pid, std::process::id());
        assert!(!proc.boot_id().unwrap().is_empty());
        assert!(proc.pids().unwrap().contains(&pid));
        assert!(!proc.stat(pid).unwrap().has_ended());
        assert!(!proc.executable(pid).unwrap().deleted);
        assert!(proc.owner(pid).is_ok() && proc.network_namespace(pid).is_ok() && proc.socket_inodes(pid).is_ok());
    }
}
