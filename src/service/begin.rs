//! How a new task begins: recorded under its request id and with the lock of its cluster, and given to an owner. A repeat under the
//! same id is answered with the same task.

use uuid::Uuid;

use super::Service;
use super::accept::freeing;
use super::call::Caller;
use super::refusals::{engine_refusal, store_refusal};
use crate::clock::Timestamp;
use crate::domain::beginning::{Admission, BeginRequest, Pending, Rules, admit};
use crate::domain::decide::DEFAULT_CONSENT;
use crate::domain::event::{Phase, TaskCluster, TaskServer, TaskSpec};
use crate::domain::graph::Graph;
use crate::domain::ids::{ClusterId, InvalidName, TaskId};
use crate::domain::refusal::{LockHolder, Refusal};
use crate::domain::status::Risk;
use crate::engine::WriteOutcome;
use crate::operations::definition::{Definition, GraphTimes};
use crate::store::inventory::ClusterRow;
use crate::store::{Author, StoredTask, Write};

/// A request id, and the digest of what is asked for under it.
pub(super) struct RequestKey {
    pub id: Uuid,
    pub digest: String,
}

impl RequestKey {
    /// Records that this caller used it.
    pub(super) fn write(&self, caller: &Caller) -> Write {
        let (principal, request_id) = (caller.principal.clone(), self.id.to_string());
        Write::Request { principal, request_id, digest: self.digest.clone() }
    }
}

/// How the record of a task began.
pub(super) enum Beginning {
    /// This one, or the one that the same request began before.
    Begun(Box<StoredTask>),
    /// Another task holds the cluster.
    LockHeld(TaskId),
    /// Changes are frozen on the cluster.
    Frozen,
}

impl Service {
    /// The task that was asked for under this id before.
    pub(super) async fn known(&self, caller: &Caller, key: Option<&RequestKey>) -> Result<Option<StoredTask>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        let known = self.store.request(&caller.principal, &key.id.to_string()).await;
        match known.map_err(|error| store_refusal(&error))? {
            Some((task, digest)) => self.replayed(Some(key), task, &digest).await.map(Some),
            None => Ok(None),
        }
    }

    /// The id belongs to this task, and to a request of this digest.
    pub(super) async fn replayed(
        &self,
        key: Option<&RequestKey>,
        task: TaskId,
        digest: &str,
    ) -> Result<StoredTask, Refusal> {
        match key {
            Some(key) if key.digest != digest => Err(Refusal::RequestIdReused { request_id: key.id.to_string(), task }),
            Some(_) | None => self.stored_task(task).await,
        }
    }

    /// Whether a task may begin, which is common to all of them. A change freeze is asked for here only when the caller would wait: the
    /// commit that takes the lock looks itself.
    pub(super) async fn admission(
        &self,
        cluster: &ClusterRow,
        operation: &Definition,
        begin: BeginRequest,
        accepted: &[Risk],
        now: Timestamp,
    ) -> Result<Admission, Refusal> {
        let name = &cluster.identity.name;
        let policy = self.beginnings.policies.of(name);
        let freeze = if begin.queue { self.freeze_of(&cluster.identity.key()).await? } else { None };
        let rules = Rules { policy, freeze: freeze.as_ref(), store_id: self.store.store_id() };
        admit(begin, &rules, accepted, operation.only_starts(), name, now)
    }

    /// The end of a consent when the caller does not say: what may still wait for somebody has that time too.
    pub(super) fn default_consent(
        &self,
        cluster: &ClusterRow,
        pending: Option<&Pending>,
        earliest: Timestamp,
    ) -> Timestamp {
        let approval = pending.filter(|pending| pending.approval);
        let approval = approval.map(|_| self.beginnings.policies.of(&cluster.identity.name).approval_time);
        earliest.plus(DEFAULT_CONSENT + approval.unwrap_or_default())
    }

    /// Records a task that is asked for: with the lock of its cluster, or PENDING. What cannot have the lock now becomes PENDING when
    /// its caller waits for that, and is refused otherwise.
    pub(super) async fn begin_or_queue(
        &self,
        caller: &Caller,
        spec: TaskSpec,
        begin: BeginRequest,
        starts: bool,
        key: Option<&RequestKey>,
        audit: Write,
    ) -> Result<Beginning, Refusal> {
        let now = self.deps.clock.now();
        let spec = self.admitted(spec, begin, starts, now)?;
        let queued = begin.queue.then(|| {
            let store_id = self.store.store_id().to_owned();
            let pending = Pending { store_id, not_before: None, approval: false, starts };
            TaskSpec { pending: Some(pending), ..spec.clone() }
        });
        let (cluster, name) = (spec.cluster.key.clone(), spec.cluster.name.clone());
        match (self.begin_task(caller, now, spec, key, audit.clone()).await?, queued) {
            (Beginning::LockHeld(_) | Beginning::Frozen, Some(queued)) => {
                self.begin_task(caller, self.deps.clock.now(), queued, key, audit).await
            }
            (Beginning::Frozen, None) => match self.freeze_of(&cluster).await? {
                Some(freeze) => Err(Refusal::ChangesFrozen { cluster: name, freeze: Box::new(freeze) }),
                None => Err(Refusal::Unavailable {
                    why: "changes were frozen and thawed meanwhile; ask again".to_owned(),
                    retry_after_millis: 1000,
                }),
            },
            (other, _) => Ok(other),
        }
    }

    /// Until here much was read, and the clock may have been set: what may not begin any more waits, or is refused.
    fn admitted(&self, spec: TaskSpec, begin: BeginRequest, starts: bool, now: Timestamp) -> Result<TaskSpec, Refusal> {
        if spec.pending.is_some() {
            return Ok(spec);
        }
        let name = &spec.cluster.name;
        let rules = Rules { policy: self.beginnings.policies.of(name), freeze: None, store_id: self.store.store_id() };
        Ok(match admit(begin, &rules, &spec.accepted_risks, starts, name, now)? {
            Admission::Begin => spec,
            Admission::Wait { pending, earliest: _ } => TaskSpec { pending: Some(pending), ..spec },
        })
    }

    /// Records a task with its audit record and, unless it is PENDING, with the lock of its cluster.
    async fn begin_task(
        &self,
        caller: &Caller,
        now: Timestamp,
        spec: TaskSpec,
        key: Option<&RequestKey>,
        audit: Write,
    ) -> Result<Beginning, Refusal> {
        let id = spec.id;
        let lock = spec.pending.is_none().then(|| Write::AcquireLock { cluster: spec.cluster.key.clone() });
        let author = Author::Request { principal: caller.principal.clone(), nonce: Uuid::new_v4().to_string() };
        let writes = lock.into_iter().chain([audit]).chain(key.map(|key| key.write(caller))).collect();
        let lease = self.engine.lease();
        match self.engine.create(now, spec, author, writes).await.map_err(|error| engine_refusal(&error))? {
            WriteOutcome::Done { task, fence, seq } => {
                // As committed, whatever it has come to since: its events follow from exactly here.
                let seq = seq.ok_or_else(|| Refusal::Internal { what: format!("task {id} has no place") })?;
                let stored = StoredTask { task: (*task).clone(), seq, progress: Vec::new() };
                if task.state.phase() == Phase::Moving {
                    self.engine.begin(task, fence, lease);
                }
                Ok(Beginning::Begun(Box::new(stored)))
            }
            WriteOutcome::LockHeld(holder) => Ok(Beginning::LockHeld(holder)),
            WriteOutcome::Frozen => Ok(Beginning::Frozen),
            WriteOutcome::Replayed { task, digest } => {
                self.replayed(key, task, &digest).await.map(|stored| Beginning::Begun(Box::new(stored)))
            }
            WriteOutcome::Refused(refusal) => Err(refusal.into()),
            WriteOutcome::Fenced => Err(Refusal::Internal { what: "a new task was fenced".to_owned() }),
        }
    }

    /// The graph of a new task, with ids of its own.
    pub(super) async fn graph(
        &self,
        operation: &Definition,
        batches: &[Vec<TaskServer>],
        times: GraphTimes,
    ) -> Result<(TaskId, Graph), Refusal> {
        let internal = |error: InvalidName| Refusal::Internal { what: error.to_string() };
        let ids = u32::try_from(operation.subtask_count(batches) + 1).unwrap_or(u32::MAX);
        let first = self.store.reserve_ids(ids).await.map_err(|error| store_refusal(&error))?;
        let graph = operation.graph(first + 1, batches, times).map_err(internal)?;
        Ok((TaskId::new(first).map_err(internal)?, graph))
    }

    pub(super) async fn in_progress(&self, cluster: ClusterId, holder: TaskId) -> Result<Refusal, Refusal> {
        let task = self.stored_task(holder).await?.task;
        let holder = LockHolder {
            task: holder,
            name: task.spec.graph.operation.name.clone(),
            state: task.state,
            since: task.create_time,
            by: task.spec.creator.clone(),
            target: task.spec.describe_target(),
            verbs: freeing(&task),
        };
        Ok(Refusal::OperationInProgress { cluster, holder: Box::new(holder) })
    }
}

/// What a new task waits for, and from when on it may begin: its consent counts from there.
pub(super) fn waits_for(admission: Admission, now: Timestamp) -> (Option<Pending>, Timestamp) {
    match admission {
        Admission::Begin => (None, now),
        Admission::Wait { pending, earliest } => (Some(pending), earliest),
    }
}

pub(super) fn task_cluster(cluster: &ClusterRow) -> TaskCluster {
    TaskCluster {
        id: cluster.id,
        name: cluster.identity.name.clone(),
        ob_cluster_id: cluster.identity.ob_cluster_id,
        key: cluster.identity.key(),
    }
}
