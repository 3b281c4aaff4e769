//! Findings over a directory that looks like `/proc`.

use super::*;
use crate::agent::fake_proc::{FakeProc, FakeProcess, target};
use crate::agent::supervisor::Supervisor;

const RPC: (&str, u64) = ("127.0.1.1:2882", 100);

fn search(fake: &FakeProc, target: &ObserverTarget) -> Search {
    find(&fake.proc(), target, &HostSettings::default()).unwrap()
}

fn listening(pid: u32) -> FakeProcess {
    FakeProcess { sockets: vec![100], ..FakeProcess::observer(pid) }
}

#[track_caller]
fn assert_running(fake: &FakeProc, pid: u32) -> (ObserverIdentity, Option<Supervisor>) {
    let search = search(fake, &target());
    match search.outcome {
        Outcome::Running { identity, around } if identity.pid == pid => {
            (*identity, around.supervisors.into_iter().next())
        }
        _ => panic!("{search:?}"),
    }
}

#[track_caller]
fn assert_ambiguous(fake: &FakeProc, because: &str) {
    let search = search(fake, &target());
    assert_eq!(search.outcome, Outcome::Ambiguous, "{search:?}");
    assert!(search.evidence.contains(because), "{search:?}");
}

#[track_caller]
fn assert_absent(fake: &FakeProc) {
    let search = search(fake, &target());
    assert_eq!(search.outcome, Outcome::Absent, "{search:?}");
}

#[test]
fn the_one_that_proves_everything() {
    let fake = FakeProc::new(&[RPC, ("127.0.1.1:2881", 101)]);
    fake.add(&listening(42));
    let (identity, supervisor) = assert_running(&fake, 42);
    assert_eq!(supervisor, None);
    assert_eq!((identity.boot_id.as_str(), identity.start_ticks, identity.uid), ("boot", 777, 1000));
    assert_eq!((identity.network_namespace.as_str(), identity.cluster_name.as_str()), ("net:[1]", "demo"));
    assert!(identity.executable.ends_with("/ob1/bin/observer") && identity.home.ends_with("/ob1"));
    let search = search(&fake, &target());
    assert!(search.rpc_port_open && search.sql_port_open);
}

#[test]
fn several_observers_on_one_machine() {
    let fake = FakeProc::new(&[RPC, ("127.0.1.2:2882", 200), ("0.0.0.0:3882", 300)]);
    fake.add(&listening(42));
    let second = Some("cluster=demo\ncluster_id=1\nrpc_port=2882\n");
    fake.add(&FakeProcess { home: "ob2", configuration: second, sockets: vec![200], ..FakeProcess::observer(43) });
    let third = Some("cluster=demo\ncluster_id=1\nrpc_port=3882\n");
    fake.add(&FakeProcess { home: "ob3", configuration: third, sockets: vec![300], ..FakeProcess::observer(44) });
    assert_running(&fake, 42);
    fake.remove(42);
    assert_ambiguous(&fake, "127.0.1.1:2882 is held by a process that cannot be identified");
}

#[test]
fn ipv6_and_wildcards() {
    for listener in ["[::]:2882", "[fd00::2]:2882"] {
        let fake = FakeProc::new(&[(listener, 100)]);
        let configuration = Some("cluster=demo\ncluster_id=1\nrpc_port=2882\nlocal_ip=fd00::2\n");
        fake.add(&FakeProcess { configuration, ..listening(42) });
        let target = ObserverTarget { address: "[fd00::2]:2882".parse().unwrap(), ..target() };
        let found = search(&fake, &target);
        assert!(matches!(found.outcome, Outcome::Running { .. }), "{found:?}");
    }
    let fake = FakeProc::new(&[("0.0.0.0:2882", 100)]);
    fake.add(&listening(42));
    assert_running(&fake, 42);
}

#[test]
fn a_removed_executable_is_still_it_and_so_is_one_behind_a_link() {
    let fake = FakeProc::new(&[RPC]);
    fake.add(&FakeProcess { executable: "observer (deleted)", ..listening(42) });
    let (identity, _) = assert_running(&fake, 42);
    assert!(identity.executable.ends_with("bin/observer"), "{identity:?}");

    let fake = FakeProc::new(&[RPC]);
    fake.add(&FakeProcess { executable: "obsteward", ..listening(42) });
    assert_ambiguous(&fake, "is no observer");
    let bin = fake.root().parent().unwrap().join("ob1/bin");
    std::os::unix::fs::symlink(bin.join("obsteward"), bin.join("observer")).unwrap();
    assert_running(&fake, 42);
}

#[test]
fn absent_only_when_proven() {
    let fake = FakeProc::new(&[]);
    assert_absent(&fake);
    fake.add(&FakeProcess { state: 'Z', hollow: true, ..FakeProcess::observer(42) });
    assert_absent(&fake);
    let elsewhere = ObserverTarget { address: "10.9.9.9:2882".parse().unwrap(), ..target() };
    let found = search(&fake, &elsewhere);
    assert_eq!(found.outcome, Outcome::Ambiguous, "{found:?}");
    assert!(found.evidence.contains("no address of this host"));
    let knowledge = HostSettings { addresses: vec![elsewhere.address.ip()], ..HostSettings::default() };
    assert_eq!(find(&fake.proc(), &elsewhere, &knowledge).unwrap().outcome, Outcome::Absent);
    fake.remove(1);
    assert_ambiguous(&fake, "hidepid");
}

#[test]
fn what_cannot_be_read_is_not_absent() {
    let fake = FakeProc::new(&[RPC]);
    assert_ambiguous(&fake, "opened by uid 1000");

    let fake = FakeProc::new(&[]);
    let hollow = FakeProcess { hollow: true, ..FakeProcess::observer(42) };
    fake.add(&hollow);
    assert_ambiguous(&fake, "too little can be read");
    fake.remove(42);
    fake.add(&FakeProcess { arguments: vec!["bin/observer", "-P", "3882"], ..hollow.clone() });
    assert_absent(&fake);
    fake.remove(42);
    fake.add(&FakeProcess { arguments: vec!["/usr/sbin/other"], ..hollow });
    assert_absent(&fake);
}

#[test]
fn a_match_in_part_is_ambiguous() {
    let fake = FakeProc::new(&[]);
    fake.add(&FakeProcess::observer(42));
    assert_ambiguous(&fake, "does not listen");

    for (configuration, because) in [
        ("cluster=other\nrpc_port=2882\n", "of another cluster"),
        ("cluster=demo\ncluster_id=2\n", "of another cluster"),
        ("cluster=demo\nlocal_ip=127.0.1.9\n", "was configured for another"),
        ("zone=z\n", "does not say of which cluster"),
        ("cluster=demo\ncluster=other\n", "does not say of which cluster"),
    ] {
        let fake = FakeProc::new(&[RPC]);
        fake.add(&FakeProcess { configuration: Some(configuration), ..listening(42) });
        assert_ambiguous(&fake, because);
    }
}

#[test]
fn a_second_observer_of_the_home_is_ambiguous_and_a_stranger_is_not() {
    let fake = FakeProc::new(&[RPC]);
    fake.add(&listening(42));
    fake.add(&FakeProcess { home: "ob9", configuration: Some("cluster=x\n"), ..FakeProcess::observer(43) });
    fake.add(&FakeProcess { home: "ob8", configuration: None, ..FakeProcess::observer(44) });
    assert_running(&fake, 42);
    fake.add(&FakeProcess::observer(45));
    assert_ambiguous(&fake, "does not listen");
    fake.remove(45);
    fake.add(&FakeProcess { arguments: vec!["bin/observer", "-n", "other"], ..FakeProcess::observer(45) });
    assert_ambiguous(&fake, "same home");
    fake.remove(45);
    fake.add(&listening(45));
    assert_ambiguous(&fake, "matches: pid 45");
}

#[test]
fn a_child_that_inherited_the_socket_is_no_doubt() {
    let fake = FakeProc::new(&[RPC]);
    fake.add(&listening(42));
    fake.add(&FakeProcess { executable: "sh", arguments: vec!["sh"], ..listening(43) });
    assert_running(&fake, 42);
    fake.remove(42);
    assert_ambiguous(&fake, "is no observer");
}

#[test]
fn the_observer_of_another_pod_is_another() {
    let mut fake = FakeProc::new(&[]);
    fake.namespace(2, &[("0.0.0.0:2882", 100)]);
    let other = Some("cluster=other\ncluster_id=1\n");
    fake.add(&FakeProcess { namespace: 2, configuration: other, ..listening(42) });
    assert_absent(&fake);
    fake.namespace(3, &[("0.0.0.0:2882", 300)]);
    fake.add(&FakeProcess { namespace: 3, home: "ob2", sockets: vec![300], ..FakeProcess::observer(43) });
    let (identity, _) = assert_running(&fake, 43);
    assert_eq!(identity.network_namespace, "net:[3]");
    assert!(search(&fake, &target()).rpc_port_open);
}

#[test]
fn a_reused_pid_is_another_process() {
    let fake = FakeProc::new(&[RPC]);
    fake.add(&listening(42));
    let (before, _) = assert_running(&fake, 42);
    fake.remove(42);
    fake.add(&FakeProcess { start_ticks: 778, ..listening(42) });
    let (after, _) = assert_running(&fake, 42);
    assert_ne!(before, after);
}

#[test]
fn supervisors() {
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let unit = "0::/system.slice/oceanbase.service\n".to_owned();
    let supervised = |process: FakeProcess| {
        let fake = FakeProc::new(&[RPC]);
        fake.add(&process);
        assert_running(&fake, 42).1.map(|supervisor| supervisor.name)
    };
    let by_unit = supervised(FakeProcess { cgroup: unit.clone(), ..listening(42) });
    assert_eq!(by_unit.as_deref(), Some("systemd unit oceanbase.service"));
    let container = format!("12:pids:/docker/{ID}\n0::/docker/{ID}\n");
    let by_container = supervised(FakeProcess { cgroup: container.clone(), ..listening(42) });
    assert_eq!(by_container, Some(format!("container {ID}")));
    let init = supervised(FakeProcess { innermost_pid: Some(1), cgroup: "0::/\n".to_owned(), ..listening(42) });
    assert_eq!(init.as_deref(), Some("the container whose init it is"));

    // The agent (process 2) in the same container: not what keeps the observer, unless it is started in the foreground.
    let fake = FakeProc::new(&[RPC]);
    std::fs::write(fake.root().join("2/cgroup"), &container).unwrap();
    fake.add(&FakeProcess { cgroup: container.clone(), ..listening(42) });
    assert_eq!(assert_running(&fake, 42).1, None);
    fake.remove(42);
    let arguments = vec!["bin/observer", "--nodaemon"];
    fake.add(&FakeProcess { cgroup: container, arguments, ..listening(42) });
    assert!(assert_running(&fake, 42).1.unwrap().name.contains("--nodaemon"));
}

/// One way in which observers and obshells are set up on a host.
struct Layout {
    observer: &'static str,
    /// Cgroup and arguments behind the program's name.
    obshells: Vec<(&'static str, Vec<&'static str>)>,
}

const SESSION: &str = "0::/user.slice/user-1000.slice/session-3.scope\n";
const PACKAGE: &str = "0::/system.slice/oceanbase.service\n";

/// What is found of a layout: the supervisors' names, and what is beside.
fn around(layout: &Layout, safe_units: &[&str]) -> (Vec<String>, Vec<String>, Vec<bool>) {
    let fake = FakeProc::new(&[RPC]);
    fake.add(&FakeProcess { cgroup: layout.observer.to_owned(), ..listening(42) });
    for (number, (cgroup, rest)) in (0..).zip(&layout.obshells) {
        let arguments = std::iter::once("/home/ob1/bin/obshell").chain(rest.iter().copied()).collect();
        let cgroup = (*cgroup).to_owned();
        let program = FakeProcess { executable: "obshell", arguments, cgroup, ..FakeProcess::observer(50 + number) };
        fake.add(&program);
    }
    fake.write("ob1", "run/obshell.pid", "50\n");
    fake.write("ob1", "run/daemon.pid", "51\n");
    let safe_units = safe_units.iter().map(|unit| (*unit).to_owned()).collect();
    let found = find(&fake.proc(), &target(), &HostSettings { safe_units, ..HostSettings::default() }).unwrap();
    let Outcome::Running { around, .. } = found.outcome else { panic!("{found:?}") };
    for seen in &around.beside {
        assert!(found.evidence.contains(seen), "{}", found.evidence);
    }
    let safe = around.supervisors.iter().map(|supervisor| supervisor.safe).collect();
    (around.supervisors.into_iter().map(|supervisor| supervisor.name).collect(), around.beside, safe)
}

fn plain() -> (Vec<String>, Vec<String>, Vec<bool>) {
    (vec![], vec![], vec![])
}

#[test]
fn an_obshell_beside_an_observer_as_obd_starts_it_is_no_supervisor() {
    let address = ["--ip", "127.0.1.1", "--port", "2886"];
    let with = |first| std::iter::once(first).chain(address).collect::<Vec<_>>();
    let obd = Layout { observer: SESSION, obshells: vec![(SESSION, with("server")), (SESSION, with("daemon"))] };
    let (supervisors, beside, _) = around(&obd, &[]);
    assert_eq!((supervisors, beside.len()), (vec![], 2));
    assert!(beside[0].starts_with("obshell (pid 50) runs in its home"), "{beside:?}");
    // A login whose processes stay in the unit of its daemon, and an order that is none.
    let ssh = "0::/system.slice/sshd.service\n";
    let told_not_to = Layout { observer: ssh, obshells: vec![(ssh, vec!["server", "--ob=false"])] };
    assert_eq!(around(&told_not_to, &[]).1.len(), 1);
    // The file alone, and its program, say nothing.
    assert_eq!(around(&Layout { observer: SESSION, obshells: vec![] }, &[]), plain());
}

#[test]
fn an_obshell_that_keeps_the_observer_is_a_supervisor() {
    // Whichever of the two it is, noted or not.
    for at in 0..3 {
        let mut obshells = vec![(SESSION, vec!["server"]), (SESSION, vec!["daemon"]), (SESSION, vec!["server"])];
        obshells[at].1.push("--ob");
        let keeps = Layout { observer: SESSION, obshells };
        let (supervisors, beside, safe) = around(&keeps, &[]);
        assert_eq!(supervisors, [format!("obshell (pid {}, started with --ob)", 50 + at)]);
        assert_eq!((beside.len(), safe), (2, vec![false]));
        assert_eq!(around(&keeps, &["obshell"]).2, [true]);
    }
}

#[test]
fn a_systemd_unit_around_an_obshell_or_the_observer_is_a_supervisor() {
    // As the packages install it: everything in one unit, which is said once.
    let both = Layout { observer: PACKAGE, obshells: vec![(PACKAGE, vec!["server"]), (PACKAGE, vec!["daemon"])] };
    assert_eq!(around(&both, &[]), (vec!["systemd unit oceanbase.service".to_owned()], vec![], vec![false]));
    assert_eq!(around(&both, &["oceanbase"]).2, [true]);
    // The observer was started by hand, its pid file is the unit's none the less.
    let only = Layout { observer: SESSION, obshells: vec![(PACKAGE, vec!["server"])] };
    let (supervisors, beside, safe) = around(&only, &["obshell"]);
    assert_eq!(supervisors, ["systemd unit oceanbase.service around obshell (pid 50)"]);
    assert_eq!((beside, safe), (vec![], vec![false]));
    // obd's autostart.
    let autostart = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/obshell.service\n";
    let autostart = Layout { observer: SESSION, obshells: vec![(autostart, vec!["server"])] };
    assert_eq!(around(&autostart, &[]).0, ["systemd unit obshell.service around obshell (pid 50)"]);
    assert_eq!(around(&autostart, &["obshell"]).2, [true]);
    // The unit is around the observer only.
    let observer = Layout { observer: PACKAGE, obshells: vec![(SESSION, vec!["server"])] };
    let (supervisors, beside, _) = around(&observer, &[]);
    assert_eq!((supervisors, beside.len()), (vec!["systemd unit oceanbase.service".to_owned()], 1));
}

#[test]
fn an_obshell_that_does_not_say_how_it_was_started_is_a_supervisor() {
    let fake = FakeProc::new(&[RPC]);
    fake.add(&listening(42));
    fake.write("ob1", "run/obshell.pid", "50\n");
    let arguments = vec!["obshell"];
    fake.add(&FakeProcess { executable: "obshell", arguments, ..FakeProcess::observer(50) });
    assert_eq!(assert_running(&fake, 42).1, None);
    std::fs::write(fake.root().join("50/cmdline"), "").unwrap();
    assert!(assert_running(&fake, 42).1.unwrap().name.contains("does not say"));
    // Of another user, where little may be read: a directory is no file, whoever asks.
    let fake = FakeProc::new(&[RPC]);
    fake.add(&listening(42));
    fake.write("ob1", "run/obshell.pid", "50\n");
    fake.add(&FakeProcess { executable: "obshell", arguments: vec!["obshell"], ..FakeProcess::observer(50) });
    std::fs::remove_file(fake.root().join("50/cgroup")).unwrap();
    std::fs::create_dir(fake.root().join("50/cgroup")).unwrap();
    assert!(assert_running(&fake, 42).1.unwrap().name.contains("cannot be read"));
}

/// The first process of a daemon ends while it is looked at, and the one that stays was not there when all were listed.
#[test]
fn an_observer_that_becomes_a_daemon_during_the_look_is_seen() {
    let fake = FakeProc::new(&[RPC]);
    let first = fake.root().join("41");
    std::fs::create_dir(&first).unwrap();
    let stat = first.join("stat");
    rustix::fs::mknodat(rustix::fs::CWD, &stat, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Returns when it is being read.
            let mut pipe = std::fs::OpenOptions::new().write(true).open(&stat).unwrap();
            fake.add(&listening(42));
            fake.remove(41);
            std::io::Write::write_all(&mut pipe, b"41 (observer) Z 1 2 3 4 5 0 7 8 9 10 11 12 13 14 15 16 1 0 777 1\n")
                .unwrap();
        });
        assert_running(&fake, 42);
    });
}
