//! Observers on simulated hosts: where they are installed, and their processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use obsteward::domain::host::{ObserverIdentity, ObserverTarget};
use obsteward::domain::ids::ServerAddr;
use obsteward::sim::InProcessCluster;
use tokio::sync::watch;

/// An observer as it is installed on a host.
#[derive(Clone)]
pub struct Installation {
    pub target: ObserverTarget,
    pub home: String,
    pub cluster: InProcessCluster,
    /// Its id in its cluster.
    pub server: i64,
}

impl Installation {
    /// Of a server of a cluster, with the process that the cluster knows of it.
    pub fn of(cluster: &InProcessCluster, server: i64) -> (Self, Option<u32>) {
        cluster.look(|core, _| {
            let found = core.cluster.server(server).unwrap();
            let target = ObserverTarget {
                address: ServerAddr::new(found.ip.parse().unwrap(), found.rpc_port).unwrap(),
                sql_port: found.sql_port,
                cluster_name: core.cluster.name.clone(),
                ob_cluster_id: core.cluster.id,
            };
            let home = found.home.display().to_string();
            let installation = Self { target, home, cluster: cluster.clone(), server };
            (installation, found.process.as_ref().map(|process| process.pid))
        })
    }
}

/// A process of an installation, from its launch on.
pub struct Process {
    pub identity: ObserverIdentity,
    listens: AtomicBool,
    stopped: Mutex<Stopped>,
    /// How it ended, in words.
    end: watch::Sender<Option<String>>,
}

/// Whether SIGSTOP holds a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    No,
    Yes,
    /// And SIGTERM waits for SIGCONT.
    WithSigterm,
}

impl Process {
    /// One that does not listen yet.
    pub fn new(identity: ObserverIdentity) -> Arc<Self> {
        Arc::new(Self {
            identity,
            listens: AtomicBool::new(false),
            stopped: Mutex::new(Stopped::No),
            end: watch::Sender::new(None),
        })
    }

    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    pub fn listens(&self) -> bool {
        self.listens.load(Ordering::SeqCst)
    }

    pub fn end(&self) -> Option<String> {
        self.end.borrow().clone()
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.end.subscribe().wait_for(Option::is_some).await;
    }

    pub fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    pub fn begins_to_listen(&self) {
        self.listens.store(true, Ordering::SeqCst);
    }

    /// SIGSTOP.
    pub fn stop(&self) {
        let mut stopped = self.stopped.lock().unwrap();
        *stopped = match *stopped {
            Stopped::No | Stopped::Yes => Stopped::Yes,
            Stopped::WithSigterm => Stopped::WithSigterm,
        };
    }

    /// SIGCONT; returns whether it hears SIGTERM now.
    pub fn goes_on(&self) -> bool {
        let mut stopped = self.stopped.lock().unwrap();
        std::mem::replace(&mut *stopped, Stopped::No) == Stopped::WithSigterm
    }

    /// SIGTERM comes; returns whether it is heard now.
    pub fn hears_sigterm(&self) -> bool {
        let mut stopped = self.stopped.lock().unwrap();
        match *stopped {
            Stopped::No => true,
            Stopped::Yes | Stopped::WithSigterm => {
                *stopped = Stopped::WithSigterm;
                false
            }
        }
    }

    /// It ends now; false: it had ended before.
    pub fn ends(&self, how: &str) -> bool {
        self.end.send_if_modified(|end| {
            let lives = end.is_none();
            if lives {
                *end = Some(how.to_owned());
            }
            lives
        })
    }
}
