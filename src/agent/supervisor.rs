//! Who would start a process again, or end others with it, when it is ended: found from its cgroup, from being the init of
//! a container, and from the obshell of its home. Never from the parent pid: an observer daemonises.
//!
//! An obshell beside an observer is no supervisor by itself: every deployment of obd has one, and it guards its own
//! server only (docs/oceanbase.md#supervisors). It is one when it was told to keep the observer (`--ob`), or when a
//! systemd unit is around it: that of the packages has the observer's pid file and stops the whole cluster when that
//! process ends, whatever cgroup the observer is in. What cannot be read of it is taken to be the worse case.
//! A cgroup shared with the agent itself says nothing: the agent sits in the same unit or container (a demo, a test, an
//! observer that the agent started), and that unit lives on while the agent does. The init of a container is the
//! exception: its end is the container's end.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::agent::declared::Declared;
use crate::agent::proc_fs::{Owner, ProcError, ProcFs, Stat};

/// Units in which processes are merely left behind by a login or a timer; ending one of them restarts nothing.
const STARTERS: &[&str] = &["ssh.service", "sshd.service", "cron.service", "crond.service", "atd.service"];
/// Files in which obshell notes the ids of its two processes.
const OBSHELL_PID_FILES: &[&str] = &["run/obshell.pid", "run/daemon.pid"];
/// Where its executable stands, below the home.
const OBSHELL_PROGRAM: &str = "bin/obshell";
/// Name of it, and what to list to have it counted as safe.
pub const OBSHELL: &str = "obshell";
/// Argument with which an obshell starts the observer.
const KEEPS_OBSERVER: &str = "--ob";
/// Bytes; a pid file holds a number.
const PID_FILE_LIMIT: u64 = 64;
/// Unit name by which the operator accepts that an observer was started in the foreground.
pub const FOREGROUND: &str = "nodaemon";
/// Shortest prefix of a container's id that people use.
const SHORT_CONTAINER_ID: usize = 12;

/// A service manager, container or obshell that watches over a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// Who, for example `systemd unit oceanbase.service`.
    pub name: String,
    /// What to write into the agent's configuration to have it counted as safe.
    pub unit: String,
    /// Whether it is listed there.
    pub safe: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supervision {
    /// Who watches over it, those that are not safe first.
    pub supervisors: Vec<Supervisor>,
    /// In words, what was seen next to it and has no influence.
    pub beside: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum CgroupOwner {
    Unit(String),
    Container(String),
}

impl CgroupOwner {
    fn supervisor(&self, safe_units: &[String]) -> Supervisor {
        match self {
            Self::Unit(unit) => supervisor(format!("systemd unit {unit}"), unit.clone(), safe_units),
            Self::Container(id) => supervisor(format!("container {id}"), id.clone(), safe_units),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub pid: u32,
    pub owner: Owner,
    pub declared: &'a Declared,
}

/// `obshells`: the processes that are named so.
pub fn find(
    proc: &ProcFs,
    subject: Subject<'_>,
    own_pid: u32,
    obshells: Vec<u32>,
    safe_units: &[String],
) -> Result<Supervision, ProcError> {
    let keepers = keepers(&proc.cgroups(subject.pid)?);
    let own = keepers_of_agent(proc, own_pid)?;
    let mut found = Vec::new();
    if subject.owner.innermost_pid == 1 {
        found.push(supervisor("the container whose init it is".to_owned(), "init".to_owned(), safe_units));
    }
    found.extend(keepers.iter().filter(|keeper| !own.contains(keeper)).map(|keeper| keeper.supervisor(safe_units)));
    // In a container, the agent's own too: whoever started it in the foreground waits for it, and ends with it.
    let in_container = keepers.iter().any(|keeper| matches!(keeper, CgroupOwner::Container(_)));
    if subject.declared.foreground && in_container {
        let name = "whoever started it with --nodaemon in this container".to_owned();
        found.push(supervisor(name, FOREGROUND.to_owned(), safe_units));
    }
    let noted = |file: &str| proc.read_below_home(subject.pid, file, PID_FILE_LIMIT).ok();
    let home = proc.home(subject.pid)?;
    let mut around = beside(proc, &home, noted, obshells, &own, safe_units)?;
    // A unit that is around both is said once.
    around.supervisors.retain(|obshell| found.iter().all(|known: &Supervisor| known.unit != obshell.unit));
    around.supervisors.splice(0..0, found);
    around.supervisors.sort_by_key(|supervisor| supervisor.safe);
    Ok(around)
}

/// The supervisors of a home in which no observer runs.
pub fn of_home(proc: &ProcFs, home: &Path, safe_units: &[String]) -> Result<Supervision, ProcError> {
    let noted = |file: &str| {
        let mut bytes = Vec::new();
        File::open(home.join(file)).ok()?.take(PID_FILE_LIMIT).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    let own = keepers_of_agent(proc, proc.own_pid()?)?;
    let mut obshells = proc.pids()?;
    obshells.retain(|pid| proc.stat(*pid).is_ok_and(|stat| is_named_obshell(&stat)));
    let mut around = beside(proc, home, noted, obshells, &own, safe_units)?;
    around.supervisors.sort_by_key(|supervisor| supervisor.safe);
    Ok(around)
}

/// Whether a process is named as an obshell is.
pub fn is_named_obshell(stat: &Stat) -> bool {
    stat.command.contains(OBSHELL)
}

/// Whether the configuration calls the supervision of a unit harmless.
pub fn is_safe(unit: &str, safe_units: &[String]) -> bool {
    let listed = |safe: &String| {
        safe == unit
            || unit.strip_suffix(".service").is_some_and(|stem| stem == safe)
            || (is_container_id(unit) && safe.len() >= SHORT_CONTAINER_ID && unit.starts_with(safe.as_str()))
    };
    STARTERS.contains(&unit) || safe_units.iter().any(listed)
}

fn keepers_of_agent(proc: &ProcFs, own_pid: u32) -> Result<Vec<CgroupOwner>, ProcError> {
    Ok(keepers(&proc.cgroups(own_pid)?))
}

fn supervisor(name: String, unit: String, safe_units: &[String]) -> Supervisor {
    let safe = is_safe(&unit, safe_units);
    Supervisor { name, unit, safe }
}

/// One keeper per hierarchy, without repeats.
fn keepers(cgroups: &str) -> Vec<CgroupOwner> {
    let mut keepers = Vec::new();
    for line in cgroups.lines() {
        // `hierarchy:controllers:path`
        let Some(keeper) = line.splitn(3, ':').nth(2).and_then(keeper) else { continue };
        if !keepers.contains(&keeper) {
            keepers.push(keeper);
        }
    }
    keepers
}

/// The innermost unit or container of a cgroup path.
fn keeper(path: &str) -> Option<CgroupOwner> {
    for part in path.rsplit('/') {
        if let Some(id) = container_id(part) {
            return Some(CgroupOwner::Container(id.to_owned()));
        }
        // The manager of a user's own units, which holds them all.
        let user_manager = part.starts_with("user@");
        if part.ends_with(".service") && !user_manager {
            return Some(CgroupOwner::Unit(part.to_owned()));
        }
        // Sessions and transient scopes: processes that somebody started and systemd does not start again.
        if part.ends_with(".scope") && part != "init.scope" {
            return None;
        }
    }
    None
}

/// `<id>`, `docker-<id>.scope`, `cri-containerd-<id>.scope`, `kubepods-…:cri-containerd:<id>` and their like.
fn container_id(part: &str) -> Option<&str> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    part.rsplit(['-', ':']).next().filter(|id| is_container_id(id))
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The living obshells of a home: those that its pid files name, which `noted` reads, and of those `named` so the ones whose
/// program is the home's.
/// The mere program file says nothing: packages bring it along.
fn beside(
    proc: &ProcFs,
    home: &Path,
    noted: impl Fn(&str) -> Option<Vec<u8>>,
    named: Vec<u32>,
    own: &[CgroupOwner],
    safe_units: &[String],
) -> Result<Supervision, ProcError> {
    let noted = OBSHELL_PID_FILES.iter().filter_map(|file| {
        let text = noted(file)?;
        std::str::from_utf8(&text).ok()?.trim().parse::<u32>().ok()
    });
    let mut pids: BTreeSet<u32> = noted.filter(|pid| is_obshell(proc, *pid)).collect();
    let program = home.join(OBSHELL_PROGRAM);
    pids.extend(named.into_iter().filter(|pid| is_obshell(proc, *pid) && runs(proc, *pid, &program)));
    let mut around = Supervision::default();
    for pid in pids {
        match keeps(proc, pid, own, safe_units) {
            Ok(supervisors) if supervisors.is_empty() => around.beside.push(format!(
                "obshell (pid {pid}) runs in its home, started without --ob and by no systemd unit: it does not start the \
                 observer again"
            )),
            Ok(supervisors) => around.supervisors.extend(supervisors),
            // The process ended meanwhile.
            Err(ProcError::Gone(_)) => {}
            Err(error) => {
                let name = format!("obshell (pid {pid}), of which it cannot be read how it was started ({error})");
                around.supervisors.push(supervisor(name, OBSHELL.to_owned(), safe_units));
            }
        }
    }
    Ok(around)
}

/// What a living obshell would do to the observer of its home.
fn keeps(proc: &ProcFs, pid: u32, own: &[CgroupOwner], safe_units: &[String]) -> Result<Vec<Supervisor>, ProcError> {
    let mut found = Vec::new();
    let arguments = proc.arguments(pid)?;
    if arguments.is_empty() {
        let name = format!("obshell (pid {pid}), which does not say how it was started");
        found.push(supervisor(name, OBSHELL.to_owned(), safe_units));
    } else if arguments.iter().any(|argument| keeps_observer(argument)) {
        found.push(supervisor(format!("obshell (pid {pid}, started with --ob)"), OBSHELL.to_owned(), safe_units));
    }
    for keeper in keepers(&proc.cgroups(pid)?) {
        // A container is around the observer too, or has nothing to do with it.
        if let CgroupOwner::Unit(unit) = &keeper
            && !STARTERS.contains(&unit.as_str())
            && !own.contains(&keeper)
        {
            found.push(supervisor(format!("systemd unit {unit} around obshell (pid {pid})"), unit.clone(), safe_units));
        }
    }
    Ok(found)
}

/// `--ob`, but not `--ob=false` as its flag parser reads that. A value that the parser would not accept counts as given.
fn keeps_observer(argument: &str) -> bool {
    let Some(value) = argument.strip_prefix(KEEPS_OBSERVER) else { return false };
    match value.strip_prefix('=') {
        Some(value) => !matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False"),
        None => value.is_empty(),
    }
}

fn is_obshell(proc: &ProcFs, pid: u32) -> bool {
    let Ok(stat) = proc.stat(pid) else { return false };
    let named = || proc.arguments(pid).unwrap_or_default().first().is_some_and(|name| name.contains(OBSHELL));
    !stat.has_ended() && (is_named_obshell(&stat) || named())
}

/// Whether a process runs this program; where its executable may not be read, by its own command line.
fn runs(proc: &ProcFs, pid: u32, program: &Path) -> bool {
    match proc.executable(pid) {
        Ok(executable) => executable.path == program,
        Err(_) => {
            let arguments = proc.arguments(pid).unwrap_or_default();
            arguments.first().is_some_and(|name| Path::new(name) == program)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn units_and_containers_in_cgroup_paths() {
        let unit = |name: &str| Some(CgroupOwner::Unit(name.to_owned()));
        let container = Some(CgroupOwner::Container(ID.to_owned()));
        for (path, expected) in [
            ("/".to_owned(), None),
            ("/system.slice/oceanbase.service".to_owned(), unit("oceanbase.service")),
            ("/user.slice/user-1000.slice/session-3.scope".to_owned(), None),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope".to_owned(), None),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/ob.service".to_owned(), unit("ob.service")),
            (format!("/docker/{ID}"), container.clone()),
            (format!("/system.slice/docker-{ID}.scope"), container.clone()),
            (format!("/kubepods.slice/kubepods-burstable.slice/cri-containerd-{ID}.scope"), container.clone()),
            (format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"), container),
            (format!("/docker/{ID}/system.slice/oceanbase.service"), unit("oceanbase.service")),
        ] {
            assert_eq!(keeper(&path), expected, "{path}");
        }
    }

    #[test]
    fn what_obshell_takes_for_an_order_to_keep_the_observer() {
        for said in ["--ob", "--ob=true", "--ob=1", "--ob=what"] {
            assert!(keeps_observer(said), "{said}");
        }
        for other in ["--ob=false", "--ob=0", "--obshell", "ob", "--ip", "/ob1/bin/obshell"] {
            assert!(!keeps_observer(other), "{other}");
        }
    }

    #[test]
    fn what_the_configuration_calls_safe() {
        let safe = |unit: &str, listed: &[&str]| {
            let listed: Vec<String> = listed.iter().map(|unit| (*unit).to_owned()).collect();
            supervisor(String::new(), unit.to_owned(), &listed).safe
        };
        assert!(!safe("oceanbase.service", &[]));
        assert!(safe("oceanbase.service", &["oceanbase"]) && safe("oceanbase.service", &["oceanbase.service"]));
        assert!(!safe("oceanbase.service", &["ocean"]));
        assert!(safe("sshd.service", &[]));
        assert!(safe(ID, &[&ID[..12]]) && !safe(ID, &[&ID[..4]]));
    }
}
