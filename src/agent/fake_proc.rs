//! For tests: a directory that looks like `/proc`, and values that fit to it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::agent::configuration;
use crate::agent::proc_fs::ProcFs;
use crate::domain::host::{CallerFence, ObserverIdentity, ObserverTarget};
use crate::domain::ids::{ClusterKey, Fence};

/// Observer 127.0.1.1:2882 of cluster demo.
pub fn target() -> ObserverTarget {
    ObserverTarget {
        address: "127.0.1.1:2882".parse().unwrap(),
        sql_port: 2881,
        cluster_name: "demo".to_owned(),
        ob_cluster_id: 1,
    }
}

/// Store `store-a` on the demo cluster.
pub fn fence(fence: i64) -> CallerFence {
    CallerFence {
        store_id: "store-a".to_owned(),
        cluster: ClusterKey::from_stored("demo#1#x".to_owned()),
        fence: Fence::new(fence),
    }
}

pub fn identity() -> ObserverIdentity {
    ObserverIdentity {
        boot_id: "boot".to_owned(),
        pid: 42,
        start_ticks: 777,
        executable: "/home/ob/bin/observer".to_owned(),
        executable_inode: "1:2".to_owned(),
        home: "/home/ob".to_owned(),
        uid: 1000,
        network_namespace: "net:[1]".to_owned(),
        cluster_name: "demo".to_owned(),
    }
}

#[derive(Clone, Debug)]
pub struct FakeProcess {
    pub pid: u32,
    pub arguments: Vec<&'static str>,
    pub executable: &'static str,
    pub home: &'static str,
    pub configuration: Option<&'static str>,
    pub sockets: Vec<u64>,
    pub cgroup: String,
    pub state: char,
    pub start_ticks: u64,
    pub innermost_pid: Option<u32>,
    /// Leaves out `exe`, `cwd`, `fd` and `ns`, as a process that is ending looks.
    pub hollow: bool,
    pub namespace: u64,
}

impl FakeProcess {
    /// An observer of cluster demo in `/ob1` whose configuration states everything.
    pub fn observer(pid: u32) -> Self {
        Self {
            pid,
            arguments: vec!["bin/observer", "-p", "2881"],
            executable: "observer",
            home: "ob1",
            configuration: Some("cluster=demo\ncluster_id=1\nrpc_port=2882\nlocal_ip=127.0.1.1\n"),
            sockets: vec![],
            cgroup: "0::/user.slice/user-1000.slice/session-3.scope\n".to_owned(),
            state: 'S',
            start_ticks: 777,
            innermost_pid: None,
            hollow: false,
            namespace: 1,
        }
    }
}

pub struct FakeProc {
    directory: tempfile::TempDir,
    listeners: Vec<(u64, Vec<(SocketAddr, u64)>)>,
}

impl FakeProc {
    /// With an init, and the agent itself as process 2, in namespace 1 with these listeners.
    pub fn new(listeners: &[(&str, u64)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("proc");
        fs::create_dir_all(root.join("sys/kernel/random")).unwrap();
        fs::write(root.join("sys/kernel/random/boot_id"), "boot\n").unwrap();
        symlink("2", root.join("self")).unwrap();
        let mut fake = Self { directory, listeners: Vec::new() };
        fake.namespace(1, listeners);
        for pid in [1, 2] {
            let name = "other";
            let mut process = FakeProcess::observer(pid);
            (process.executable, process.home, process.configuration) = (name, name, None);
            process.arguments = vec![name];
            fake.add(&process);
        }
        fake
    }

    /// Sets the listeners of a namespace; call it before its processes are added.
    pub fn namespace(&mut self, number: u64, listeners: &[(&str, u64)]) {
        let listeners = listeners.iter().map(|(address, inode)| (address.parse().unwrap(), *inode)).collect();
        self.listeners.push((number, listeners));
        let net = self.directory.path().join(format!("net{number}"));
        fs::create_dir_all(&net).unwrap();
        let (mut tcp, mut tcp6) = ("head\n".to_owned(), "head\n".to_owned());
        for (at, (address, inode)) in self.listeners.last().unwrap().1.iter().enumerate() {
            let (table, hex) = match address {
                SocketAddr::V4(v4) => (&mut tcp, words(&v4.ip().octets())),
                SocketAddr::V6(v6) => (&mut tcp6, words(&v6.ip().octets())),
            };
            table.push_str(&format!("{at}: {hex}:{:04X} 0:0 0A 0:0 00:0 0 1000 0 {inode} 1\n", address.port()));
        }
        fs::write(net.join("tcp"), tcp).unwrap();
        fs::write(net.join("tcp6"), tcp6).unwrap();
    }

    pub fn add(&self, process: &FakeProcess) {
        let directory = self.root().join(process.pid.to_string());
        let home = self.directory.path().join(process.home);
        let executable = home.join("bin").join(process.executable);
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::create_dir_all(home.join("etc")).unwrap();
        fs::create_dir_all(home.join("run")).unwrap();
        fs::create_dir_all(directory.join("ns")).unwrap();
        fs::write(&executable, "program").unwrap();
        if let Some(configuration) = process.configuration {
            fs::write(home.join("etc/observer.config.bin"), configuration::file(configuration, true)).unwrap();
        }
        let FakeProcess { pid, state, start_ticks, .. } = process;
        let comm = Path::new(process.arguments[0]).file_name().unwrap().to_str().unwrap();
        let stat = format!("{pid} ({comm}) {state} 1 2 3 4 5 0 7 8 9 10 11 12 13 14 15 16 1 0 {start_ticks} 1\n");
        fs::write(directory.join("stat"), stat).unwrap();
        fs::write(directory.join("cmdline"), process.arguments.join("\0") + "\0").unwrap();
        let inner = process.innermost_pid.map_or_else(|| pid.to_string(), |inner| format!("{pid}\t{inner}"));
        fs::write(directory.join("status"), format!("Name:\tx\nUid:\t1000\t1000\t1000\t1000\nNSpid:\t{inner}\n"))
            .unwrap();
        fs::write(directory.join("cgroup"), &process.cgroup).unwrap();
        symlink(self.directory.path().join(format!("net{}", process.namespace)), directory.join("net")).unwrap();
        if !process.hollow {
            symlink(&executable, directory.join("exe")).unwrap();
            symlink(&home, directory.join("cwd")).unwrap();
            symlink(format!("net:[{}]", process.namespace), directory.join("ns/net")).unwrap();
            fs::create_dir_all(directory.join("fd")).unwrap();
            symlink("/dev/null", directory.join("fd/0")).unwrap();
            for (number, inode) in process.sockets.iter().enumerate() {
                symlink(format!("socket:[{inode}]"), directory.join(format!("fd/{}", number + 3))).unwrap();
            }
        }
    }

    pub fn remove(&self, pid: u32) {
        fs::remove_dir_all(self.root().join(pid.to_string())).unwrap();
    }

    pub fn write(&self, home: &str, file: &str, text: &str) {
        fs::write(self.directory.path().join(home).join(file), text).unwrap();
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("proc")
    }

    pub fn proc(&self) -> ProcFs {
        ProcFs::new(self.root())
    }
}

fn words(octets: &[u8]) -> String {
    octets.chunks(4).map(|word| format!("{:08X}", u32::from_ne_bytes(word.try_into().unwrap()))).collect()
}
