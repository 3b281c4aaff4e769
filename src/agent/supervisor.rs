//! Who would start a process again, or end others with it, when it is ended: found from its cgroup, from being the init of
//! a container, and from obshell's traces in its home. Never from the parent pid: an observer daemonises.
//!
//! A cgroup shared with the agent itself says nothing: the agent sits in the same unit or container (a demo, a test, an
//! observer that the agent started), and that unit lives on while the agent does. The init of a container is the
//! exception: its end is the container's end.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::agent::declared::Declared;
use crate::agent::proc_fs::{Owner, ProcError, ProcFs};

/// Units in which processes are merely left behind by a login or a timer; ending one of them restarts nothing.
const STARTERS: &[&str] = &["ssh.service", "sshd.service", "cron.service", "crond.service", "atd.service"];
/// Files in which obshell notes the ids of its two processes.
const OBSHELL_PID_FILES: &[&str] = &["run/obshell.pid", "run/daemon.pid"];
/// A pid file holds a number.
const PID_FILE_LIMIT: u64 = 64;
/// What to list to have it counted as safe that an observer stays in the foreground for somebody.
pub const FOREGROUND: &str = "nodaemon";
/// Shortest prefix of a container's id that people use.
const SHORT_CONTAINER_ID: usize = 12;

/// Somebody who watches over a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// Who, for example `systemd unit oceanbase.service`.
    pub name: String,
    /// What to write into the agent's configuration to have it counted as safe.
    pub unit: String,
    /// Whether the configuration does so.
    pub safe: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Keeper {
    Unit(String),
    Container(String),
}

/// The process that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its id.
    pub pid: u32,
    /// Its user and innermost id.
    pub owner: Owner,
    /// What it says of itself.
    pub declared: &'a Declared,
}

/// The supervisors of a process, those that are not safe first.
pub fn find(
    proc: &ProcFs,
    subject: Subject<'_>,
    own_pid: u32,
    safe_units: &[String],
) -> Result<Vec<Supervisor>, ProcError> {
    let keepers = keepers(&proc.cgroups(subject.pid)?);
    let own = keepers_of_agent(proc, own_pid)?;
    let mut found = Vec::new();
    if subject.owner.innermost_pid == 1 {
        found.push(supervisor("the container whose init it is".to_owned(), "init".to_owned(), safe_units));
    }
    for keeper in keepers.iter().filter(|keeper| !own.contains(keeper)) {
        found.push(match keeper {
            Keeper::Unit(unit) => supervisor(format!("systemd unit {unit}"), unit.clone(), safe_units),
            Keeper::Container(id) => supervisor(format!("container {id}"), id.clone(), safe_units),
        });
    }
    // In a container the agent's own: whoever started it in the foreground waits for it, and ends with it.
    let in_container = keepers.iter().any(|keeper| matches!(keeper, Keeper::Container(_)));
    if subject.declared.foreground && in_container {
        let name = "whoever started it with --nodaemon in this container".to_owned();
        found.push(supervisor(name, FOREGROUND.to_owned(), safe_units));
    }
    let noted = |file: &str| proc.read_below_home(subject.pid, file, PID_FILE_LIMIT).ok();
    found.extend(obshell(proc, noted, safe_units));
    found.sort_by_key(|supervisor| supervisor.safe);
    Ok(found)
}

/// The obshell that watches over a home of which no observer runs.
pub fn of_home(proc: &ProcFs, home: &Path, safe_units: &[String]) -> Option<Supervisor> {
    let noted = |file: &str| {
        let mut bytes = Vec::new();
        File::open(home.join(file)).ok()?.take(PID_FILE_LIMIT).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    obshell(proc, noted, safe_units)
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

fn keepers_of_agent(proc: &ProcFs, own_pid: u32) -> Result<Vec<Keeper>, ProcError> {
    Ok(keepers(&proc.cgroups(own_pid)?))
}

fn supervisor(name: String, unit: String, safe_units: &[String]) -> Supervisor {
    let safe = is_safe(&unit, safe_units);
    Supervisor { name, unit, safe }
}

/// One keeper per hierarchy, without repeats.
fn keepers(cgroups: &str) -> Vec<Keeper> {
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

/// The innermost unit or container of a path.
fn keeper(path: &str) -> Option<Keeper> {
    for part in path.rsplit('/') {
        if let Some(id) = container_id(part) {
            return Some(Keeper::Container(id.to_owned()));
        }
        // The manager of a user's own units, which holds them all.
        let user_manager = part.starts_with("user@");
        if part.ends_with(".service") && !user_manager {
            return Some(Keeper::Unit(part.to_owned()));
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

/// A living obshell of the home whose files `noted` reads. Its mere program file says nothing: packages bring it along.
fn obshell(proc: &ProcFs, noted: impl Fn(&str) -> Option<Vec<u8>>, safe_units: &[String]) -> Option<Supervisor> {
    OBSHELL_PID_FILES.iter().find_map(|file| {
        let text = noted(file)?;
        let noted: u32 = std::str::from_utf8(&text).ok()?.trim().parse().ok()?;
        let stat = proc.stat(noted).ok()?;
        let arguments = proc.arguments(noted).unwrap_or_default();
        let is_obshell =
            stat.command.contains("obshell") || arguments.first().is_some_and(|name| name.contains("obshell"));
        let found = || supervisor(format!("obshell (pid {noted})"), "obshell".to_owned(), safe_units);
        (is_obshell && !stat.has_ended()).then(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn units_and_containers_in_cgroup_paths() {
        let unit = |name: &str| Some(Keeper::Unit(name.to_owned()));
        let container = Some(Keeper::Container(ID.to_owned()));
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
