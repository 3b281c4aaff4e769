//! What the store keeps, as a value: it outlives every life of the service, holds what was committed, and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use obsteward::clock::monotonic_now;
use obsteward::domain::change_freeze::ChangeFreeze;
use obsteward::domain::event::{Event, Phase, StoredEvent};
use obsteward::domain::ids::{ClusterId, ClusterKey, Fence, Principal, ReplicaId, Revision, Seq, TaskId};
use obsteward::domain::store_home::StoreTenant;
use obsteward::domain::task::Task;
use obsteward::store::commit_rules::{CommitFacts, Verdict, judge, reached};
use obsteward::store::inventory::{
    ClusterObservation, ClusterRow, HostRoute, NewCluster, ServerObservation, ServerRow, ZoneRow,
};
use obsteward::store::replicas::{OwnedTask, ReplicaRow};
use obsteward::store::{Author, Commit, CommitOutcome, LockRow, LogLine, Write};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::store_writer::Told;

/// Shared and cheap to clone.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Content>>);

#[derive(Default)]
pub struct Content {
    /// Every event, in the order of its position.
    pub log: Vec<StoredEvent>,
    pub tasks: BTreeMap<TaskId, StoredLog>,
    pub locks: BTreeMap<String, LockRow>,
    /// By principal and request id: the task, and the digest of what was asked.
    pub requests: BTreeMap<(String, String), (TaskId, String)>,
    pub lines: Vec<(TaskId, LogLine)>,
    pub cluster: Option<StoredCluster>,
    /// The tenant that holds all this, where it is one.
    pub store_tenant: Option<StoreTenant>,
    /// Of a shared store: its replicas, by the keys of clusters which of them drives the task that holds the lock, and how often
    /// one has left or was buried.
    pub replicas: Vec<ReplicaRow>,
    pub owners: BTreeMap<String, ReplicaId>,
    pub ownership: i64,
    /// When changes of everything were frozen and thawed: how many events were written before, and whether they are frozen since.
    pub freezes: Vec<(usize, bool)>,
    frozen: Option<ChangeFreeze>,
    /// When each event was written, in the order of the log.
    pub written: Vec<Instant>,
    /// Each fence that was given.
    pub claims: Vec<Claimed>,
    last_id: i64,
    /// How many commits were written.
    commits: watch::Sender<usize>,
    /// Position of the last event and how often a replica has left, told to whoever would look for them again and again.
    news: Told<(Seq, i64)>,
}

/// A lock was taken for a task, or claimed by another owner.
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    pub at: Instant,
    pub task: TaskId,
    pub fence: Fence,
    pub owner: Option<ReplicaId>,
}

/// A task with its log.
pub struct StoredLog {
    pub task: Task,
    pub events: Vec<StoredEvent>,
    commits: Vec<StoredCommit>,
}

impl StoredLog {
    /// How many commits were written behind a revision.
    pub fn commits_after(&self, revision: i64) -> usize {
        self.commits.iter().filter(|commit| commit.reached.get() > revision).count()
    }

    /// Position of the last event.
    pub fn seq(&self) -> Seq {
        self.events.last().map_or(Seq::ZERO, |event| event.seq)
    }
}

/// A commit as it was written, by which its exact repeat is recognised.
struct StoredCommit {
    reached: Revision,
    author: Author,
    events: Vec<Event>,
    seq: Seq,
    fence: Fence,
}

/// The inventory: one cluster.
#[derive(Clone)]
pub struct StoredCluster {
    pub row: ClusterRow,
    pub zones: Vec<ZoneRow>,
    pub servers: Vec<ServerRow>,
    pub hosts: Vec<(String, HostRoute)>,
}

impl Disk {
    pub fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }
}

impl Content {
    pub fn head(&self) -> Seq {
        self.log.last().map_or(Seq::ZERO, |event| event.seq)
    }

    /// Follows how many commits were written.
    pub fn commits(&self) -> watch::Receiver<usize> {
        self.commits.subscribe()
    }

    /// Follows the position of the last event and how often a replica has left.
    pub fn news(&self) -> watch::Receiver<(Seq, i64)> {
        self.news.follow()
    }

    pub fn tell_news(&self) {
        self.news.raise((self.head(), self.ownership));
    }

    pub fn reserve(&mut self, count: u32) -> i64 {
        let first = self.last_id + 1;
        self.last_id += i64::from(count);
        first
    }

    /// The open task that moves or rests, if there is one.
    pub fn open(&self) -> Option<&Task> {
        let open = |task: &&Task| matches!(task.state.phase(), Phase::Moving | Phase::AtRest);
        self.tasks.values().map(|stored| &stored.task).find(open)
    }

    pub const fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    pub const fn frozen(&self) -> Option<&ChangeFreeze> {
        self.frozen.as_ref()
    }

    /// False: it is so already.
    pub fn freeze(&mut self, freeze: Option<ChangeFreeze>) -> bool {
        if self.frozen.is_some() == freeze.is_some() {
            return false;
        }
        self.freezes.push((self.log.len(), freeze.is_some()));
        self.frozen = freeze;
        true
    }

    /// Tasks that move.
    pub fn moving(&self) -> Vec<OwnedTask> {
        let moving = self.tasks.values().map(|stored| &stored.task).filter(|task| task.state.phase() == Phase::Moving);
        let owned = |task: &Task| {
            let cluster = task.spec.cluster.key.clone();
            let fence = self.lock_of(&cluster)?.fence;
            let owner = self.owners.get(cluster.as_str()).copied();
            Some(OwnedTask { task: task.spec.id, cluster, fence, owner })
        };
        moving.filter_map(owned).collect()
    }

    pub fn lock_of(&self, cluster: &ClusterKey) -> Option<&LockRow> {
        self.locks.get(cluster.as_str())
    }

    fn fence_held_by(&self, task: TaskId) -> Option<Fence> {
        self.locks.values().find(|lock| lock.holder == Some(task)).map(|lock| lock.fence)
    }

    /// The next fence of the lock that a task holds, for this replica, while it has the one that was seen. A claim that is repeated has
    /// succeeded if it did before.
    pub fn claim(&mut self, owned: &OwnedTask, me: Option<ReplicaId>) -> Option<Fence> {
        let OwnedTask { task, cluster, fence: seen, owner: _ } = owned;
        let lock = self.locks.get_mut(cluster.as_str()).filter(|lock| lock.holder == Some(*task))?;
        if lock.fence == *seen {
            lock.fence = seen.next();
            self.owned_by(cluster, me);
            self.claims.push(Claimed { at: monotonic_now(), task: *task, fence: seen.next(), owner: me });
        }
        let (fence, owner) = (self.lock_of(cluster)?.fence, self.owners.get(cluster.as_str()).copied());
        (owner == me && fence == seen.next()).then_some(fence)
    }

    fn owned_by(&mut self, cluster: &ClusterKey, owner: Option<ReplicaId>) {
        match owner {
            Some(owner) => _ = self.owners.insert(cluster.as_str().to_owned(), owner),
            None => _ = self.owners.remove(cluster.as_str()),
        }
    }

    /// Wholly or not at all.
    pub fn commit(&mut self, commit: Commit, me: Option<ReplicaId>) -> CommitOutcome {
        assert_eq!(commit.invalid_because(), None, "{commit:?}");
        let Ok(verdict) = judge(&commit, &mut Facts { content: self, commit: &commit });
        let mut fence = match verdict {
            Verdict::Write { fence } => fence,
            Verdict::Answer(outcome) => return outcome,
        };
        for write in &commit.writes {
            if let Write::AcquireLock { cluster } = write {
                let free = LockRow { holder: None, fence: Fence::ZERO };
                let lock = self.locks.entry(cluster.as_str().to_owned()).or_insert(free);
                if lock.holder.is_none() {
                    lock.fence = lock.fence.next();
                }
                lock.holder = Some(commit.task);
                fence = lock.fence;
                self.owned_by(cluster, me);
                self.claims.push(Claimed { at: monotonic_now(), task: commit.task, fence, owner: me });
            }
        }
        let reached = reached(&commit);
        self.append(commit, fence, reached)
    }

    fn append(&mut self, commit: Commit, fence: Fence, reached: Revision) -> CommitOutcome {
        self.commits.send_modify(|commits| *commits += 1);
        let mut seq = self.head();
        let mut revision = commit.after;
        for event in &commit.events {
            seq = Seq::new(seq.get() + 1);
            revision = revision.next();
            let stored = StoredEvent { seq, task: commit.task, revision, fence, event: event.clone() };
            self.log.push(stored.clone());
            self.written.push(monotonic_now());
            match self.tasks.get_mut(&commit.task) {
                Some(known) => {
                    known.task.apply(event).expect("a commit that folds");
                    known.events.push(stored);
                }
                None => {
                    let task = Task::begin(event).expect("a task begins with its creation");
                    let log = StoredLog { task, events: vec![stored], commits: Vec::new() };
                    self.tasks.insert(commit.task, log);
                }
            }
        }
        for write in &commit.writes {
            self.apply(commit.task, write);
        }
        let stored = self.tasks.get_mut(&commit.task).expect("a task that was just written");
        // Nobody drives a task at rest. What has not begun has no lock: whoever drives the one that has it goes on.
        let key = stored.task.spec.cluster.key.as_str();
        let of_another = self.locks.get(key).and_then(|lock| lock.holder).is_some_and(|holder| holder != commit.task);
        if stored.task.state.phase() != Phase::Moving && !of_another {
            self.owners.remove(key);
        }
        let Commit { author, events, .. } = commit;
        stored.commits.push(StoredCommit { reached, author, events, seq, fence });
        self.tell_news();
        CommitOutcome::Committed { revision: reached, seq, fence }
    }

    fn apply(&mut self, task: TaskId, write: &Write) {
        match write {
            Write::AcquireLock { .. } | Write::Audit(_) => {}
            Write::ReleaseLock { cluster } => {
                if let Some(lock) = self.locks.get_mut(cluster.as_str()) {
                    lock.holder = None;
                }
                self.owners.remove(cluster.as_str());
            }
            Write::Request { principal, request_id, digest } => {
                self.requests.insert((principal.to_string(), request_id.clone()), (task, digest.clone()));
            }
            Write::Log(lines) => self.lines.extend(lines.iter().map(|line| (task, line.clone()))),
            Write::ServerStatus { server, status } => {
                let servers = self.cluster.iter_mut().flat_map(|cluster| &mut cluster.servers);
                servers.filter(|row| row.id == *server).for_each(|row| row.managed_status = *status);
            }
            Write::ZoneStatus { zone, status, .. } => {
                let zones = self.cluster.iter_mut().flat_map(|cluster| &mut cluster.zones);
                zones.filter(|row| row.name == *zone).for_each(|row| row.managed_status = *status);
            }
            Write::ClusterStatus { status, .. } => {
                if let Some(cluster) = &mut self.cluster {
                    cluster.row.managed_status = *status;
                }
            }
        }
    }

    /// Registers the only cluster.
    pub fn register(&mut self, new: NewCluster) -> ClusterId {
        let id = ClusterId::new(1).unwrap();
        let row = ClusterRow {
            id,
            identity: new.identity,
            endpoints: new.endpoints,
            username: new.username,
            password: new.password,
            default_host: new.default_host,
            managed_status: None,
            observed_at: None,
            sync_error: String::new(),
            lease_time_micros: 0,
            permanent_offline_micros: 0,
        };
        self.cluster = Some(StoredCluster { row, zones: Vec::new(), servers: Vec::new(), hosts: new.hosts });
        self.observe(&new.observation);
        id
    }

    /// Writes the observed columns; a server or zone that is gone takes its managed status along.
    pub fn observe(&mut self, observation: &ClusterObservation) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.row.observed_at = Some(observation.observed_at);
        cluster.row.sync_error.clear();
        cluster.row.lease_time_micros = observation.lease_time_micros;
        cluster.row.permanent_offline_micros = observation.permanent_offline_micros;
        let zones = std::mem::take(&mut cluster.zones);
        let managed = |name| zones.iter().find(|row| row.name == name).and_then(|row| row.managed_status);
        cluster.zones = observation
            .zones
            .iter()
            .map(|zone| ZoneRow {
                name: zone.name.clone(),
                inner_status: zone.inner_status,
                region: zone.region.clone(),
                idc: zone.idc.clone(),
                managed_status: managed(zone.name.clone()),
            })
            .collect();
        cluster.zones.sort_by(|one, other| one.name.cmp(&other.name));
        let before = std::mem::take(&mut cluster.servers);
        let mut next = before.iter().map(|row| row.id.get()).max().unwrap_or_default();
        let row = |server: &ServerObservation| {
            let same = before.iter().find(|row| row.addr == server.addr && row.ob_server_id == server.ob_server_id);
            let id = same.map(|row| row.id).unwrap_or_else(|| {
                next += 1;
                obsteward::domain::ids::ServerId::new(next).unwrap()
            });
            ServerRow {
                id,
                cluster: cluster.row.id,
                addr: server.addr,
                ob_server_id: server.ob_server_id,
                zone: server.zone.clone(),
                sql_port: server.sql_port,
                managed_status: same.and_then(|row| row.managed_status),
                inner_status: server.inner_status,
                stop_time: server.stop_time,
                start_service_time: server.start_service_time,
                last_offline_time: server.last_offline_time,
                with_rootserver: server.with_rootserver,
                build_version: server.build_version.clone(),
                observed_at: observation.observed_at,
            }
        };
        let mut servers: Vec<ServerRow> = observation.servers.iter().map(row).collect();
        servers.sort_by_key(|row| row.id);
        cluster.servers = servers;
    }
}

/// What the disk holds, for the rules.
struct Facts<'a> {
    content: &'a Content,
    commit: &'a Commit,
}

impl CommitFacts for Facts<'_> {
    type Error = Infallible;

    fn revision(&mut self) -> Result<Revision, Infallible> {
        let stored = self.content.tasks.get(&self.commit.task);
        Ok(stored.map_or(Revision::ZERO, |stored| stored.task.revision))
    }

    fn identical(&mut self) -> Result<Option<(Seq, Fence)>, Infallible> {
        let (commit, reached) = (self.commit, reached(self.commit));
        let same = |known: &&StoredCommit| {
            known.reached == reached && known.author == commit.author && known.events == commit.events
        };
        let known = self.content.tasks.get(&commit.task).and_then(|stored| stored.commits.iter().find(same));
        Ok(known.map(|known| (known.seq, known.fence)))
    }

    fn request(&mut self, principal: &Principal, request_id: &str) -> Result<Option<(TaskId, String)>, Infallible> {
        Ok(self.content.requests.get(&(principal.to_string(), request_id.to_owned())).cloned())
    }

    fn held_fence(&mut self) -> Result<Option<Fence>, Infallible> {
        Ok(self.content.fence_held_by(self.commit.task))
    }

    fn cluster_fence(&mut self) -> Result<Fence, Infallible> {
        let stored = self.content.tasks.get(&self.commit.task);
        let lock = stored.and_then(|stored| self.content.lock_of(&stored.task.spec.cluster.key));
        Ok(lock.map_or(Fence::ZERO, |lock| lock.fence))
    }

    fn is_frozen(&mut self, _: &ClusterKey) -> Result<bool, Infallible> {
        Ok(self.content.is_frozen())
    }

    fn lock(&mut self, cluster: &ClusterKey) -> Result<Option<LockRow>, Infallible> {
        Ok(self.content.lock_of(cluster).cloned())
    }
}
