//! Findings over a directory that looks like `/proc`.

use super::*;
use crate::agent::fake_proc::{FakeProc, FakeProcess, target};

const RPC: (&str, u64) = ("127.0.1.1:2882", 100);

fn search(fake: &FakeProc, target: &ObserverTarget) -> Search {
    find(&fake.proc(), target, &Knowledge::default()).unwrap()
}

fn listening(pid: u32) -> FakeProcess {
    FakeProcess { sockets: vec![100], ..FakeProcess::observer(pid) }
}

#[track_caller]
fn assert_running(fake: &FakeProc, pid: u32) -> (ObserverIdentity, Option<Supervisor>) {
    let search = search(fake, &target());
    match search.outcome {
        Outcome::Running { identity, supervisors } if identity.pid == pid => {
            (*identity, supervisors.into_iter().next())
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
    let knowledge = Knowledge { addresses: vec![elsewhere.address.ip()], ..Knowledge::default() };
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
        ("cluster=demo\n\u{1}cluster=other\n", "does not say of which cluster"),
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

    // obshell: a living process that its pid file names; the file alone says nothing.
    let fake = FakeProc::new(&[RPC]);
    fake.add(&listening(42));
    fake.write("ob1", "run/obshell.pid", "50\n");
    assert_eq!(assert_running(&fake, 42).1, None);
    let arguments = vec!["/ob1/bin/obshell", "daemon"];
    fake.add(&FakeProcess { executable: "obshell", arguments, ..FakeProcess::observer(50) });
    assert_eq!(assert_running(&fake, 42).1.unwrap().name, "obshell (pid 50)");

    let knowledge = Knowledge { safe_units: vec!["obshell".to_owned()], ..Knowledge::default() };
    let found = find(&fake.proc(), &target(), &knowledge).unwrap();
    assert!(
        matches!(&found.outcome, Outcome::Running { supervisors, .. } if matches!(supervisors[..], [Supervisor { safe: true, .. }]))
    );
}
