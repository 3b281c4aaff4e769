//! One of the two places at which a test can end the process (the other is `engine::failpoints`): around the
//! commit of the Nth submitted write. Compiled under `debug_assertions` only.

#[cfg(debug_assertions)]
pub(super) struct CrashPoint {
    seen: u64,
    before: Option<u64>,
    after: Option<u64>,
}

#[cfg(debug_assertions)]
impl CrashPoint {
    /// `OBSTEWARD_CRASH_AT_SUBMIT=N`: before the commit; `OBSTEWARD_CRASH_AT_SUBMIT_AFTER=N`: after it, before it is answered.
    pub(super) fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
        Self { seen: 0, before: number("OBSTEWARD_CRASH_AT_SUBMIT"), after: number("OBSTEWARD_CRASH_AT_SUBMIT_AFTER") }
    }

    /// `submits`: number of submitted writes in the batch.
    pub(super) fn before_commit(&mut self, submits: u64) {
        self.seen += submits;
        self.abort_when_reached(self.before, submits);
    }

    /// Committed, but nobody has been answered yet.
    pub(super) fn after_commit(&self, submits: u64) {
        self.abort_when_reached(self.after, submits);
    }

    fn abort_when_reached(&self, point: Option<u64>, submits: u64) {
        if point.is_some_and(|point| point > self.seen - submits && point <= self.seen) {
            crate::store::death::die();
        }
    }
}

#[cfg(not(debug_assertions))]
pub(super) struct CrashPoint;

#[cfg(not(debug_assertions))]
impl CrashPoint {
    pub(super) fn from_environment() -> Self {
        Self
    }

    pub(super) fn before_commit(&mut self, _submits: u64) {}

    pub(super) fn after_commit(&self, _submits: u64) {}
}
