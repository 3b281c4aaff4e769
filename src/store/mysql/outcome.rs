//! What the rows of a batch say of its writes.

use std::collections::HashMap;
use std::convert::Infallible;

use super::batch::{FIRST_COLUMN, PreparedCommit, answer};
use crate::domain::ids::{ClusterKey, Fence, Principal, Revision, Seq, TaskId};
use crate::store::commit_rules::{CommitFacts, Verdict, judge, reached};
use crate::store::sql::{SqlRow, damaged};
use crate::store::{CommitOutcome, LockRow, StoreError};

/// The rows of a batch, by the number of their write.
pub(super) struct Answers {
    rows: HashMap<i64, Vec<SqlRow>>,
}

impl Answers {
    pub(super) fn of(rows: Vec<SqlRow>) -> Result<Self, StoreError> {
        let mut by_number: HashMap<i64, Vec<SqlRow>> = HashMap::new();
        for row in rows {
            by_number.entry(row.int(0)?).or_default().push(row);
        }
        Ok(Self { rows: by_number })
    }

    fn row(&self, number: usize, kind: &str) -> Option<&SqlRow> {
        self.all(number).iter().find(|row| row.text(1).is_ok_and(|found| found == kind))
    }

    fn all(&self, number: usize) -> &[SqlRow] {
        i64::try_from(number).ok().and_then(|number| self.rows.get(&number)).map(Vec::as_slice).unwrap_or_default()
    }

    fn expected(&self, number: usize, kind: &str) -> Result<&SqlRow, StoreError> {
        self.row(number, kind).ok_or_else(|| damaged(format!("a batch answers no {kind:?} for its write {number}")))
    }

    /// Position of the last event once the batch was written.
    pub(super) fn head(&self) -> Result<Seq, StoreError> {
        let rows = self.rows.get(&-1).map(Vec::as_slice).unwrap_or_default();
        let head = rows.first().ok_or_else(|| damaged("a batch answers no head"))?;
        Ok(Seq::new(head.int(FIRST_COLUMN)?))
    }

    pub(super) fn commit(&self, number: usize, prepared: &PreparedCommit) -> Result<CommitOutcome, StoreError> {
        let commit = &prepared.commit;
        if let Some(row) = self.row(number, answer::COMMITTED) {
            let (seq, fence) = (Seq::new(row.int(FIRST_COLUMN)?), Fence::new(row.int(FIRST_COLUMN + 1)?));
            return Ok(CommitOutcome::Committed { revision: reached(commit), seq, fence });
        }
        let mut facts = Refused::read(self, number, prepared)?;
        let Ok(verdict) = judge(commit, &mut facts);
        match verdict {
            Verdict::Answer(outcome) => Ok(outcome),
            Verdict::Write { .. } => Err(StoreError::Failed(format!(
                "a commit of task {} was not written, and nothing refuses it",
                commit.task
            ))),
        }
    }

    /// Whether a change is written.
    pub(super) fn changed(&self, number: usize) -> Result<bool, StoreError> {
        Ok(self.expected(number, answer::CHANGED)?.int(FIRST_COLUMN)? != 0)
    }

    /// The fence of a lock that was claimed for the replica `me`.
    pub(super) fn claimed(&self, number: usize, seen: Fence, me: i64) -> Result<Option<Fence>, StoreError> {
        let Some(row) = self.row(number, answer::CLAIMED) else { return Ok(None) };
        let (fence, owner) = (Fence::new(row.int(FIRST_COLUMN)?), row.optional_int(FIRST_COLUMN + 1)?);
        Ok((owner == Some(me) && fence == seen.next()).then_some(fence))
    }

    /// The last of the ids that were reserved.
    pub(super) fn reserved(&self, number: usize) -> Result<Option<i64>, StoreError> {
        self.expected(number, answer::RESERVED)?.optional_int(FIRST_COLUMN)
    }
}

/// What a refused commit found.
struct Refused<'a> {
    prepared: &'a PreparedCommit,
    revision: Revision,
    held: Option<Fence>,
    of_cluster: Fence,
    identical: Option<(Seq, Fence)>,
    requests: Vec<(TaskId, String)>,
    locks: HashMap<String, LockRow>,
    frozen: bool,
}

impl<'a> Refused<'a> {
    fn read(answers: &Answers, number: usize, prepared: &'a PreparedCommit) -> Result<Self, StoreError> {
        let PreparedCommit { commit, encoded, .. } = prepared;
        let row = answers.expected(number, answer::REFUSED)?;
        let mut next = FIRST_COLUMN;
        let mut int = || {
            next += 1;
            row.optional_int(next - 1)
        };
        let (revision, held, of_cluster) = (int()?, int()?, int()?);
        let (seq, fence, events) = (int()?, int()?, int()?);
        let identical = match (seq, fence) {
            (Some(seq), Some(fence)) => {
                let same = events == i64::try_from(commit.events.len()).ok()
                    && row.bytes(FIRST_COLUMN + 6)? == encoded.author.as_bytes()
                    && row.bytes(FIRST_COLUMN + 7)? == encoded.bodies;
                same.then_some((Seq::new(seq), Fence::new(fence)))
            }
            _ => None,
        };
        let of_kind = |kind: &'static str| {
            answers.all(number).iter().filter(move |row| row.text(1).is_ok_and(|found| found == kind))
        };
        let request = |row: &SqlRow| Ok((row.id(FIRST_COLUMN, TaskId::new)?, row.owned_text(FIRST_COLUMN + 1)?));
        let requests = of_kind(answer::REQUEST).map(request).collect::<Result<_, StoreError>>()?;
        let lock = |row: &SqlRow| {
            let holder = row.optional_int(FIRST_COLUMN)?.map(TaskId::new).transpose().map_err(damaged)?;
            let lock = LockRow { holder, fence: Fence::new(row.int(FIRST_COLUMN + 1)?) };
            Ok((row.owned_text(FIRST_COLUMN + 2)?, lock))
        };
        let locks = of_kind(answer::LOCK).map(lock).collect::<Result<_, StoreError>>()?;
        Ok(Self {
            prepared,
            revision: Revision::new(revision.unwrap_or_default()),
            held: held.map(Fence::new),
            of_cluster: Fence::new(of_cluster.unwrap_or_default()),
            identical,
            requests,
            locks,
            frozen: of_kind(answer::FROZEN).next().is_some(),
        })
    }
}

impl CommitFacts for Refused<'_> {
    type Error = Infallible;

    fn revision(&mut self) -> Result<Revision, Infallible> {
        Ok(self.revision)
    }

    fn identical(&mut self) -> Result<Option<(Seq, Fence)>, Infallible> {
        Ok(self.identical)
    }

    fn request(&mut self, _: &Principal, _: &str) -> Result<Option<(TaskId, String)>, Infallible> {
        // A commit makes one request at most.
        debug_assert!(self.requests.len() <= 1, "{:?}", self.prepared.commit);
        Ok(self.requests.first().cloned())
    }

    fn held_fence(&mut self) -> Result<Option<Fence>, Infallible> {
        Ok(self.held)
    }

    fn cluster_fence(&mut self) -> Result<Fence, Infallible> {
        Ok(self.of_cluster)
    }

    fn lock(&mut self, cluster: &ClusterKey) -> Result<Option<LockRow>, Infallible> {
        Ok(self.locks.get(cluster.as_str()).cloned())
    }

    fn is_frozen(&mut self, _: &ClusterKey) -> Result<bool, Infallible> {
        // A commit takes one lock at most.
        Ok(self.frozen)
    }
}
