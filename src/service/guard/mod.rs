//! The use cases behind permission and record: every call goes through the one table of `domain::call` before anything is
//! looked up, so that a refusal does not tell what exists; and every mutation that is refused, by whatever rule, is in the
//! audit log. (What is accepted is recorded by the commit that makes it.)
//!
//! A mutation runs as a task of its own: a caller that hangs up tears neither the change nor its record.

mod calls;
mod permitted;

use std::sync::Arc;

use tracing::Instrument;

use super::named::Named;
use super::recorder::Recorder;
use super::use_cases::UseCases;
use crate::access::Directory;
use crate::clock::Clock;
use crate::domain::call::Call;
use crate::domain::ids::TaskId;
use crate::domain::refusal::Refusal;
use crate::service::arguments::Caller;
use crate::store::StoredTask;
use crate::store::access::AccessStore;
use permitted::permit_found;

/// See the module's head.
#[derive(Clone)]
pub struct Guarded {
    use_cases: Arc<dyn UseCases>,
    directory: Arc<Directory>,
    recorder: Recorder,
}

impl Guarded {
    /// In front of use cases. Who may do what is asked of `directory`; refusals are kept in `store`.
    pub fn new(
        use_cases: Arc<dyn UseCases>,
        directory: Arc<Directory>,
        store: Arc<dyn AccessStore>,
        clock: Clock,
    ) -> Self {
        Self { use_cases, directory, recorder: Recorder::new(store, clock) }
    }

    /// A verb on a task: the task is looked up once, for its cluster, by which the caller may be allowed to.
    async fn verb<F>(
        &self,
        caller: &Caller,
        call: Call,
        task: TaskId,
        named: Named,
        work: impl FnOnce(Arc<dyn UseCases>, Caller) -> F + Send + 'static,
    ) -> Result<StoredTask, Refusal>
    where
        F: Future<Output = Result<StoredTask, Refusal>> + Send + 'static,
    {
        let found = self.use_cases.get_task(caller, task).await;
        let cluster = found.as_ref().ok().map(|stored| stored.task.spec.cluster.id);
        self.mutation(caller, call, Named { cluster, ..named }, move |this, caller| async move {
            permit_found(&caller, call, task, found)?;
            work(this.use_cases, caller).await
        })
        .await
    }

    /// Runs a mutation to its end, whether or not the caller waits, and records a refusal.
    async fn mutation<T, F>(
        &self,
        caller: &Caller,
        call: Call,
        named: Named,
        work: impl FnOnce(Self, Caller) -> F,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        debug_assert!(call.is_mutation(), "{call}");
        let (recorder, caller) = (self.recorder.clone(), caller.clone());
        let work = work(self.clone(), caller.clone());
        let whole = async move {
            let ended = work.await;
            if let Err(refusal) = &ended {
                recorder.refused(&caller, call, named, refusal).await;
            }
            ended
        };
        tokio::spawn(whole.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%call, "a mutation broke down: {error}");
            Err(Refusal::Internal { what: format!("{call} broke down") })
        })
    }
}
