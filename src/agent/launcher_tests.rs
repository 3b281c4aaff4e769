//! Children that become what they were told to, or say why not.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

/// A launcher that is this test executable, told to run the one ignored test below.
pub fn launcher() -> Launcher {
    Launcher::new(std::env::current_exe().unwrap(), ["--exact", ITSELF, "--ignored", "--nocapture"])
}

const ITSELF: &str = "agent::launcher::tests::be_a_launcher";

/// Not a test: what the child process runs. Run by hand with `--ignored`, it does nothing.
#[test]
#[ignore = "is run by other tests as a process of its own"]
fn be_a_launcher() {
    if std::env::args().any(|argument| argument == ITSELF) {
        exec_child();
    }
}

/// Writes a shell script as a program.
pub fn script(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn orders(home: &Path) -> LaunchSpec {
    LaunchSpec {
        home: home.to_owned(),
        program: "bin/observer".into(),
        name: "bin/observer".to_owned(),
        arguments: vec!["-p".to_owned(), "2881".to_owned()],
        environment: BTreeMap::from([("PATH".to_owned(), "/bin:/usr/bin".to_owned())]),
        output: home.join("output"),
        limits: Limits::new(),
    }
}

async fn end(launched: &Launched) -> String {
    launched.ended.clone().wait_for(Option::is_some).await.unwrap().clone().unwrap()
}

#[tokio::test]
async fn the_child_has_arguments_home_limits_a_session_of_its_own_and_no_more_environment_than_it_was_given() {
    let home = tempfile::tempdir().unwrap();
    script(&home.path().join("bin/observer"), "echo \"$@\" in $PWD; ulimit -Sn; cat /proc/$$/stat; env; cat; exit 3");
    let own = limits::parse(&std::fs::read_to_string("/proc/self/limits").unwrap())["Max open files"];
    let fewer = limits::Limit { soft: Some(77), ..own };
    let orders = LaunchSpec { limits: Limits::from([("Max open files".to_owned(), fewer)]), ..orders(home.path()) };
    std::fs::write(&orders.output, "of an earlier start\n").unwrap();
    let launched = launch(&launcher(), &orders).await.unwrap();
    assert_eq!((end(&launched).await.as_str(), launched.notes.as_slice()), ("exit status: 3", [].as_slice()));
    let output = std::fs::read_to_string(&orders.output).unwrap();
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some(format!("-p 2881 in {}", home.path().canonicalize().unwrap().display()).as_str()));
    assert_eq!(lines.next(), Some("77"));
    // After the name: state, parent, process group, session.
    let stat: Vec<&str> = lines.next().unwrap().rsplit(") ").next().unwrap().split(' ').collect();
    let pid = launched.pid.to_string();
    assert_eq!((stat[2], stat[3]), (pid.as_str(), pid.as_str()), "{stat:?}");
    let mut environment: Vec<&str> = lines.filter(|line| !line.starts_with("_=")).collect();
    environment.sort_unstable();
    let pwd = format!("PWD={}", home.path().canonicalize().unwrap().display());
    assert_eq!(environment, ["PATH=/bin:/usr/bin", pwd.as_str()]);
}

#[tokio::test]
async fn a_hard_limit_that_cannot_be_kept_is_told_and_the_soft_one_holds() {
    let home = tempfile::tempdir().unwrap();
    script(&home.path().join("bin/observer"), "ulimit -Sn");
    // Beyond what the kernel has for anybody.
    let limit = limits::Limit { soft: Some(77), hard: Some(1 << 50) };
    let orders = LaunchSpec { limits: Limits::from([("Max open files".to_owned(), limit)]), ..orders(home.path()) };
    let launched = launch(&launcher(), &orders).await.unwrap();
    assert_eq!(end(&launched).await, "exit status: 0");
    assert!(launched.notes[0].starts_with("Max open files: hard limit "), "{:?}", launched.notes);
    assert_eq!(std::fs::read_to_string(&orders.output).unwrap(), "77\n");
}

#[tokio::test]
async fn a_child_that_cannot_become_it_says_why_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let good = orders(home.path());
    let failed = async |orders: &LaunchSpec, word: &str| {
        let Err(LaunchError::Failed(failure)) = launch(&launcher(), orders).await else { panic!("{word}") };
        assert!(failure.contains(word) && !failure.contains("launched"), "{failure}");
    };
    failed(&good, "bin/observer cannot be executed").await;
    failed(&LaunchSpec { home: home.path().join("gone"), ..good.clone() }, "gone cannot be entered").await;
    failed(&LaunchSpec { output: home.path().join("gone/output"), ..good.clone() }, "gone/output cannot be written")
        .await;
    let endless = limits::Limit { soft: Some(1 << 50), hard: Some(1 << 50) };
    let limits = Limits::from([("Max open files".to_owned(), endless)]);
    failed(&LaunchSpec { limits, ..good.clone() }, "raise the agent's own limit").await;
    let nobody = Launcher::obsteward(home.path().join("no obsteward"));
    let nobody = launch(&nobody, &good).await.unwrap_err();
    assert!(matches!(&nobody, LaunchError::Failed(problem) if problem.contains("no obsteward")), "{nobody:?}");
    let silent = Launcher::new("/bin/true", [] as [&str; 0]);
    assert_eq!(
        launch(&silent, &good).await.unwrap_err(),
        LaunchError::Failed("the child ended without a word".to_owned())
    );
}

#[test]
fn a_host_without_room_is_told_from_one_without_the_program() {
    use rustix::io::Errno;
    let of = |errno: Errno| LaunchError::of(Path::new("/x"), &errno.into());
    for passing in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN] {
        assert!(matches!(of(passing), LaunchError::Exhausted(problem) if problem.starts_with("/x: ")), "{passing}");
    }
    for lasting in [Errno::NOENT, Errno::ACCESS, Errno::NOEXEC] {
        assert!(matches!(of(lasting), LaunchError::Failed(_)), "{lasting}");
    }
}
