//! What is known of a world, gathered as it grows, and held against the promises by the checker that the harness of real
//! processes uses (`promises`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use obsteward::domain::event::EventKind;
use obsteward::domain::ids::TaskId;
use obsteward::proto::v1;
use obsteward::sim::{InProcessCluster, SimServerInfo};
use obsteward::store::StoredTask;
use obsteward::watch::{TaskFacts, encode, event};

use crate::disk::Disk;
use crate::promises::{Evidence, TaskEvidence};
use crate::world::BEGINS;

/// An edge that a task or subtask went along, in words: whose, from, to, under which operation.
pub type Edge = (&'static str, &'static str, &'static str, &'static str);

pub struct Witness {
    evidence: Evidence,
    facts: BTreeMap<TaskId, TaskFacts>,
    /// Tasks as calls returned them.
    pub handles: Arc<Mutex<Vec<v1::Task>>>,
    /// What watchers saw.
    pub watched: Vec<Arc<Mutex<Vec<v1::TaskEvent>>>>,
    pub edges: BTreeSet<Edge>,
    record_read: usize,
}

impl Witness {
    pub fn new(cluster: &InProcessCluster) -> Self {
        let servers = cluster.look(|core, _| {
            let info = |server: &obsteward::sim::state::Server| SimServerInfo {
                id: server.id,
                zone: server.zone.clone(),
                ip: server.ip.clone(),
                sql_port: server.sql_port,
                rpc_port: server.rpc_port,
                home: server.home.clone(),
                pid: None,
            };
            core.cluster.servers.iter().map(info).collect()
        });
        let evidence = Evidence {
            servers,
            record: Vec::new(),
            tasks: Vec::new(),
            holder: 0,
            handles: Vec::new(),
            watched: Vec::new(),
            ended_by_others: Vec::new(),
            forgotten_before: 0,
            clock_ahead: Duration::ZERO,
            clock_set_back: Duration::ZERO,
        };
        Self {
            evidence,
            facts: BTreeMap::new(),
            handles: Arc::default(),
            watched: Vec::new(),
            edges: BTreeSet::new(),
            record_read: 0,
        }
    }

    /// A clock of the service went back by so many microseconds, and is so far ahead of the cluster's now.
    pub fn clock_was_set(&mut self, back: i64, ahead: i64) {
        let time = |micros: i64| Duration::from_micros(micros.max(0).unsigned_abs());
        self.evidence.clock_ahead = self.evidence.clock_ahead.max(time(ahead));
        self.evidence.clock_set_back += time(back);
    }

    pub fn ended_by_others(&mut self, pids: impl IntoIterator<Item = u32>) {
        self.evidence.ended_by_others.extend(pids);
    }

    /// Takes in what is new.
    pub fn look(&mut self, disk: &Disk, cluster: &InProcessCluster) {
        // The record before the logs: what is in it has its intent in the log already.
        cluster.look(|core, _| {
            self.evidence.record.extend(core.record[self.record_read..].iter().cloned());
            self.record_read = core.record.len();
        });
        let content = disk.lock();
        for (id, stored) in &content.tasks {
            let known = self.evidence.tasks.iter().position(|task| task.shown.id == id.get());
            let seen = known.map_or(0, |known| self.evidence.tasks[known].events.len());
            if known.is_some() && seen == stored.events.len() {
                continue;
            }
            let facts = self.facts.entry(*id).or_insert_with(|| TaskFacts::of(&stored.task.spec));
            let events = stored.events[seen..].iter();
            let new: Vec<v1::TaskEvent> = events.clone().map(|stored| event(stored, facts)).collect();
            for stored in events {
                match &stored.event.kind {
                    EventKind::TaskStateChanged { from, to, operation, .. } => {
                        self.edges.insert(("task", from.as_str(), to.as_str(), operation.as_str()));
                    }
                    EventKind::SubtaskStateChanged { from, to, operation, .. } => {
                        self.edges.insert(("subtask", from.as_str(), to.as_str(), operation.as_str()));
                    }
                    _ => {}
                }
            }
            let whole = StoredTask { task: stored.task.clone(), seq: stored.seq(), progress: Vec::new() };
            let shown = encode::task(&whole);
            match known {
                Some(known) => {
                    let task = &mut self.evidence.tasks[known];
                    task.events.extend(new);
                    task.shown = shown;
                }
                None => self.evidence.tasks.push(TaskEvidence { shown, events: new }),
            }
        }
        // Ids are in the order of acceptance only as far as requests do not overlap.
        self.evidence.tasks.sort_by_key(|task| task.events.first().map(|event| event.seq));
        let holder = content.locks.values().find_map(|lock| lock.holder);
        self.evidence.holder = holder.map_or(0, TaskId::get);
    }

    /// Every promise that is broken by now.
    pub fn broken(&mut self) -> Vec<String> {
        self.evidence.handles.append(&mut self.handles.lock().unwrap());
        self.evidence.watched.resize(self.watched.len(), Vec::new());
        for (known, seen) in self.evidence.watched.iter_mut().zip(&self.watched) {
            known.extend_from_slice(&seen.lock().unwrap()[known.len()..]);
        }
        self.evidence.broken()
    }

    /// What happened to tasks and in the cluster, in words, with its time from the beginning of the world.
    pub fn lines(&self) -> Vec<(Duration, String)> {
        let since = |micros: i64| Duration::from_micros(u64::try_from(micros - BEGINS).unwrap_or_default());
        let record = self.evidence.record.iter().map(|line| {
            let server = line.server.map(|server| format!(" server {server}")).unwrap_or_default();
            let session = line.session.map(|session| format!(" session {session}")).unwrap_or_default();
            (since(line.at), format!("   cluster:{server}{session} {}: {}", line.kind.name(), line.text))
        });
        let events = self.evidence.tasks.iter().flat_map(|task| &task.events).map(|event| {
            let at = event.event_time.unwrap_or_default();
            let at = since(at.seconds * 1_000_000 + i64::from(at.nanos) / 1000);
            (at, format!("   task {} revision {}: {:?}", event.task_id, event.revision, event.kind))
        });
        record.chain(events).collect()
    }

    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Tasks by what they are called, with those that ended well.
    pub fn tasks(&self) -> BTreeMap<String, (usize, usize)> {
        let mut tasks = BTreeMap::<String, (usize, usize)>::new();
        for task in &self.evidence.tasks {
            let (all, well) = tasks.entry(task.shown.name.clone()).or_default();
            *all += 1;
            *well += usize::from(task.shown.state() == v1::TaskState::Successful);
        }
        tasks
    }
}
