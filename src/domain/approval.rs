//! The approval of a task by somebody else than who asked for it: bound to the plan that was shown, and until a moment. Pure.

use std::fmt;

use crate::clock::Timestamp;
use crate::domain::ids::Principal;
use crate::domain::task::Task;
use crate::domain::words::words;

words!(
    /// Why an approval does not hold any more.
    ApprovalEnd, "end of an approval", {
        Withdrawn = "WITHDRAWN",
        /// When the task was to begin, its plan was another than the one that was shown.
        PlanChanged = "PLAN_CHANGED",
        /// Who gave it may not act on the cluster any more.
        ApproverNotPermitted = "APPROVER_NOT_PERMITTED",
        /// The task did not begin in the time for which it was given.
        Expired = "EXPIRED",
    }
);

/// A digest of what a plan says: what is to be done, to what, under which consent, and what each check found. Equal digests, equal
/// plans; what moves all the time (counts, lags, moments) is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanDigest(String);

impl PlanDigest {
    /// As a caller gave it, or a store: nothing is known of it but whether it equals another.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlanDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Somebody agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub by: Principal,
    /// Of the plan that was shown to them.
    pub plan: PlanDigest,
    pub at: Timestamp,
    /// It does not hold from here on.
    pub expire_time: Timestamp,
}

impl Task {
    /// Whether it may begin only with somebody else's approval.
    pub fn wants_approval(&self) -> bool {
        self.spec.pending.as_ref().is_some_and(|pending| pending.approval)
    }

    /// The approval that holds at this moment.
    pub fn approval_at(&self, now: Timestamp) -> Option<&Approval> {
        self.approval.as_ref().filter(|approval| now < approval.expire_time)
    }
}
