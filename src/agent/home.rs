//! Which home an observer is started in: the one that it was seen running in, or one that the operator named, and only if
//! that home's own configuration says that it is this observer's. Looks only.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::agent::candidate::{CONFIGURATION, CONFIGURATION_LIMIT};
use crate::agent::declared::Declared;
use crate::agent::launches::Launch;
use crate::agent::refusal::AgentRefusal;
use crate::domain::host::ObserverTarget;

/// The home of `target`, proven, without links in its path.
pub fn choose(launch: Option<&Launch>, named: &[PathBuf], target: &ObserverTarget) -> Result<PathBuf, AgentRefusal> {
    let mut proven: Vec<PathBuf> = Vec::new();
    let mut others: Vec<String> = Vec::new();
    let mut remembered = None;
    if let Some(launch) = launch {
        match prove(&launch.home, target) {
            Ok(home) => proven.push(home),
            Err(problem) => remembered = Some((launch.home.clone(), problem)),
        }
    }
    for home in named {
        match prove(home, target) {
            Ok(home) if proven.contains(&home) => {}
            Ok(home) => proven.push(home),
            Err(problem) => others.push(format!("{} {problem}", home.display())),
        }
    }
    let mut proven = proven.into_iter();
    match (proven.next(), proven.next(), remembered) {
        (Some(only), None, _) => Ok(only),
        (Some(first), Some(second), _) => {
            let homes = [first, second].into_iter().chain(proven);
            let homes: Vec<String> = homes.map(|home| home.display().to_string()).collect();
            Err(AgentRefusal::HomeAmbiguous { target: told(target), homes: homes.join(", ") })
        }
        (None, _, Some((home, problem))) => {
            Err(AgentRefusal::HomeMismatch { target: told(target), home: home.display().to_string(), problem })
        }
        (None, _, None) => Err(AgentRefusal::HomeUnknown { target: told(target), looked_at: others.join("; ") }),
    }
}

fn told(target: &ObserverTarget) -> String {
    format!("{} of cluster {}", target.address, target.cluster_name)
}

/// The real path of a home whose configuration says that it is the target's; `Err`: what it is instead.
fn prove(home: &Path, target: &ObserverTarget) -> Result<PathBuf, String> {
    let mut bytes = Vec::new();
    let read =
        File::open(home.join(CONFIGURATION)).and_then(|file| file.take(CONFIGURATION_LIMIT).read_to_end(&mut bytes));
    read.map_err(|error| format!("has no {CONFIGURATION} that can be read ({error})"))?;
    let mut declared = Declared::default();
    declared.add_configuration(&bytes);
    if !declared.is_exactly(target) {
        return Err(format!("is not its home by its {CONFIGURATION}: {declared}"));
    }
    home.canonicalize().map_err(|error| format!("cannot be found again ({error})"))
}

/// Refuses a home of another user than ours, or whose executable cannot be run.
pub fn usable(home: &Path, executable: &Path, own_uid: u32) -> Result<(), AgentRefusal> {
    let owner = fs::metadata(home).map(|metadata| metadata.uid());
    match owner {
        Ok(owner) if owner == own_uid => {}
        Ok(owner) => {
            let reason = format!(
                "{} belongs to uid {owner} and the agent runs as uid {own_uid}: run the agent as the observer's user",
                home.display()
            );
            return Err(AgentRefusal::NotPermitted { reason });
        }
        Err(error) => {
            return Err(AgentRefusal::NotPermitted {
                reason: format!("{} cannot be looked at: {error}", home.display()),
            });
        }
    }
    let path = home.join(executable);
    let missing = |problem: String| AgentRefusal::ProgramMissing { path: path.display().to_string(), problem };
    let metadata = fs::metadata(&path).map_err(|error| missing(error.to_string()))?;
    if !metadata.is_file() {
        return Err(missing("it is no file".to_owned()));
    }
    rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).map_err(|error| missing(format!("not executable: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::fake_proc::target;

    fn home(root: &Path, name: &str, configuration: &str) -> PathBuf {
        let home = root.join(name);
        fs::create_dir_all(home.join("etc")).unwrap();
        fs::write(home.join(CONFIGURATION), format!("\0\u{1}{configuration}\0")).unwrap();
        home
    }

    const RIGHT: &str = "cluster=demo\ncluster_id=1\nrpc_port=2882\nlocal_ip=127.0.1.1\n";

    #[test]
    fn one_home_that_says_so_is_the_one() {
        let root = tempfile::tempdir().unwrap();
        let right = home(root.path(), "right", RIGHT);
        let neighbour = home(root.path(), "neighbour", "cluster=demo\nrpc_port=2882\nlocal_ip=127.0.1.2\n");
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&right, &link).unwrap();
        let chosen = choose(None, &[neighbour, link, right.clone()], &target());
        assert_eq!(chosen, Ok(right.canonicalize().unwrap()));
    }

    #[test]
    fn none_or_several_are_refused_with_what_they_are() {
        let root = tempfile::tempdir().unwrap();
        let other = home(root.path(), "other", "cluster=other\nrpc_port=2882\n");
        let unknown = choose(None, &[other, root.path().join("gone")], &target()).unwrap_err();
        assert_eq!(unknown.reason(), "HOME_UNKNOWN");
        let words = unknown.to_string();
        assert!(words.contains("--home") && words.contains("cluster other") && words.contains("gone"), "{words}");
        assert_eq!(choose(None, &[], &target()).unwrap_err().reason(), "HOME_UNKNOWN");

        let (one, two) = (home(root.path(), "1", RIGHT), home(root.path(), "2", "cluster=demo\nrpc_port=2882\n"));
        let several = choose(None, &[one.clone(), two], &target()).unwrap_err();
        assert_eq!(several.reason(), "HOME_AMBIGUOUS");
        assert!(several.to_string().contains(one.to_str().unwrap()), "{several}");
    }

    #[test]
    fn another_users_home_and_one_without_a_program_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let own = crate::agent::signal::own_uid();
        let home = home(root.path(), "home", RIGHT);
        let program = Path::new("bin/observer");
        let reason = |uid| usable(&home, program, uid).unwrap_err().reason().to_owned();
        assert_eq!(reason(own + 1), "NOT_PERMITTED");
        assert_eq!(reason(own), "PROGRAM_MISSING");
        fs::create_dir_all(home.join(program)).unwrap();
        assert_eq!(reason(own), "PROGRAM_MISSING");
        fs::remove_dir(home.join(program)).unwrap();
        fs::write(home.join(program), "").unwrap();
        assert_eq!(reason(own), "PROGRAM_MISSING");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(home.join(program), executable).unwrap();
        assert_eq!(usable(&home, program, own), Ok(()));
    }
}
