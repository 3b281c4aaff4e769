//! The rules of a commit: whether it is written, and if not, why. Pure: what the store holds is asked through [`CommitFacts`].

use crate::domain::ids::{ClusterKey, Fence, Principal, Revision, Seq, TaskId};
use crate::store::{Author, Commit, CommitOutcome, LockRow, Write};

/// What the rules ask of a store, which must not change meanwhile.
pub trait CommitFacts {
    /// Why the store does not answer.
    type Error;

    /// Of the commit's task; zero when there is no such task.
    fn revision(&mut self) -> Result<Revision, Self::Error>;

    /// Position and fence of this very commit, if it was written before: same task, revisions, author and bytes. Asked only
    /// when the task has reached the commit's last revision.
    fn identical(&mut self) -> Result<Option<(Seq, Fence)>, Self::Error>;

    /// The task of a request, and the digest of its arguments.
    fn request(&mut self, principal: &Principal, request_id: &str) -> Result<Option<(TaskId, String)>, Self::Error>;

    /// The fence of the lock that the commit's task holds.
    fn held_fence(&mut self) -> Result<Option<Fence>, Self::Error>;

    /// The fence of the cluster of the commit's task, whoever holds its lock; zero when there is none.
    fn cluster_fence(&mut self) -> Result<Fence, Self::Error>;

    fn lock(&mut self, cluster: &ClusterKey) -> Result<Option<LockRow>, Self::Error>;

    /// Whether a change freeze covers the cluster.
    fn is_frozen(&mut self, cluster: &ClusterKey) -> Result<bool, Self::Error>;
}

/// What becomes of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is written, under this fence unless it takes a lock, which has the next one.
    Write { fence: Fence },
    /// Nothing is written: this is its outcome.
    Answer(CommitOutcome),
}

/// The last revision of a commit that is written.
pub fn reached(commit: &Commit) -> Revision {
    let count = i64::try_from(commit.events.len()).unwrap_or(i64::MAX);
    Revision::new(commit.after.get().saturating_add(count))
}

/// In this order: what was written before was written; a known request has its task; a stale owner writes nothing; nothing is
/// written over what the author has not read; and of locks only what is one's own or free.
pub fn judge<F: CommitFacts>(commit: &Commit, facts: &mut F) -> Result<Verdict, F::Error> {
    let answer = |outcome| Ok(Verdict::Answer(outcome));
    let (at, reached) = (facts.revision()?, reached(commit));
    if at >= reached
        && let Some((seq, fence)) = facts.identical()?
    {
        return answer(CommitOutcome::Committed { revision: reached, seq, fence });
    }
    for write in &commit.writes {
        if let Write::Request { principal, request_id, .. } = write
            && let Some((task, digest)) = facts.request(principal, request_id)?
        {
            return answer(CommitOutcome::Replayed { task, digest });
        }
    }
    let fence = match &commit.author {
        // A new task holds nothing yet; most acquire their lock a moment later.
        Author::Request { .. } if commit.after == Revision::ZERO => Fence::ZERO,
        Author::Request { .. } => match facts.held_fence()? {
            Some(held) => held,
            None => facts.cluster_fence()?,
        },
        Author::Owner { fence } => match facts.held_fence()? {
            Some(held) if held == *fence => held,
            Some(by) => return answer(CommitOutcome::Fenced { by }),
            None => return answer(CommitOutcome::Fenced { by: facts.cluster_fence()? }),
        },
    };
    if at != commit.after {
        return answer(CommitOutcome::Stale { at });
    }
    for write in &commit.writes {
        match write {
            Write::ReleaseLock { cluster } => {
                let lock = facts.lock(cluster)?;
                if lock.as_ref().and_then(|lock| lock.holder) != Some(commit.task) {
                    return answer(CommitOutcome::Fenced { by: lock.map_or(Fence::ZERO, |lock| lock.fence) });
                }
            }
            Write::AcquireLock { cluster } => {
                if let Some(task) = facts.lock(cluster)?.and_then(|lock| lock.holder)
                    && task != commit.task
                {
                    return answer(CommitOutcome::LockHeld { task });
                }
                if facts.is_frozen(cluster)? {
                    return answer(CommitOutcome::Frozen);
                }
            }
            Write::Request { .. }
            | Write::Audit(_)
            | Write::Log(_)
            | Write::ServerStatus { .. }
            | Write::ZoneStatus { .. }
            | Write::ClusterStatus { .. } => {}
        }
    }
    Ok(Verdict::Write { fence })
}
