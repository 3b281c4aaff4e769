//! What a call is about, looked up once: the table of calls decides over it, and the call works with what was found. Nothing
//! of it is shown before the table has said yes, so that a refusal does not tell what exists.

use super::Service;
use super::call::Caller;
use super::clusters::GetCluster;
use super::refusals::inventory_refusal;
use crate::domain::call::Subject;
use crate::domain::ids::{AccessKeyId, ClusterId, Principal, TaskId, UserId};
use crate::domain::refusal::Refusal;
use crate::domain::status::Risk;
use crate::store::StoredTask;
use crate::store::inventory::ClusterRow;

/// What a call names as its subject; it need not exist.
pub trait CallSubject: Send {
    /// What the call gets of it.
    type Found: Send;

    /// What it is to the table of calls. What is not there is looked for all the same: the table names what is missing alike.
    fn resolve(
        self,
        service: &Service,
        caller: &Caller,
    ) -> impl Future<Output = Result<Resolved<Self::Found>, Refusal>> + Send;
}

/// What a call gets of a subject of this type.
pub type Found<S> = <S as CallSubject>::Found;

pub struct Resolved<F> {
    pub(super) subject: Subject,
    /// The cluster of the task that it is.
    pub(super) cluster: Option<ClusterId>,
    /// What that task was accepted with.
    pub(super) accepted: Vec<Risk>,
    /// For a caller that may: what was found, or why there is nothing.
    pub(super) found: Result<F, Refusal>,
}

impl<F> Resolved<F> {
    const fn of(subject: Subject, found: Result<F, Refusal>) -> Self {
        Self { subject, cluster: None, accepted: Vec::new(), found }
    }
}

/// Nothing, or everything.
impl CallSubject for () {
    type Found = ();

    async fn resolve(self, _: &Service, _: &Caller) -> Result<Resolved<()>, Refusal> {
        Ok(Resolved::of(Subject::Nothing, Ok(())))
    }
}

/// The call looks it up by itself: what it needs of a cluster differs, and the id is all that permission depends on.
impl CallSubject for ClusterId {
    type Found = ();

    async fn resolve(self, _: &Service, _: &Caller) -> Result<Resolved<()>, Refusal> {
        Ok(Resolved::of(Subject::Cluster(self.get()), Ok(())))
    }
}

/// By its name it is found only among those that the caller may read.
impl CallSubject for GetCluster {
    type Found = ClusterRow;

    async fn resolve(self, service: &Service, caller: &Caller) -> Result<Resolved<ClusterRow>, Refusal> {
        Ok(match self {
            Self::Id(cluster) => {
                let row = service.deps.inventory.cluster(cluster).await;
                Resolved::of(Subject::Cluster(cluster.get()), row.map_err(|error| inventory_refusal(&error)))
            }
            Self::Name(name) => match service.cluster_named(caller, &name).await? {
                Some(row) => Resolved::of(Subject::Cluster(row.id.get()), Ok(row)),
                None => Resolved::of(Subject::Nothing, Err(Refusal::ClusterNotFound { cluster: name })),
            },
        })
    }
}

/// The caller may be allowed to by its cluster.
impl CallSubject for TaskId {
    type Found = StoredTask;

    async fn resolve(self, service: &Service, _: &Caller) -> Result<Resolved<StoredTask>, Refusal> {
        let subject =
            |cluster: Option<ClusterId>| Subject::Task { task: self.get(), cluster: cluster.map(ClusterId::get) };
        match service.stored_task(self).await {
            Ok(stored) => {
                let cluster = Some(stored.task.spec.cluster.id);
                let accepted = stored.task.spec.accepted_risks.clone();
                Ok(Resolved { subject: subject(cluster), cluster, accepted, found: Ok(stored) })
            }
            Err(missing @ Refusal::TaskNotFound { .. }) => Ok(Resolved::of(subject(None), Err(missing))),
            // The store does not answer: that is so whatever the caller may do.
            Err(refusal) => Err(refusal),
        }
    }
}

impl CallSubject for Principal {
    type Found = ();

    async fn resolve(self, service: &Service, caller: &Caller) -> Result<Resolved<()>, Refusal> {
        Ok(of_user(service.directory.user(&self).map(|user| user.id), caller))
    }
}

/// It is its user's.
impl CallSubject for AccessKeyId {
    type Found = ();

    async fn resolve(self, service: &Service, caller: &Caller) -> Result<Resolved<()>, Refusal> {
        Ok(of_user(service.directory.key(&self).map(|(_, user)| user.id), caller))
    }
}

/// `None`: everything of the kind.
impl<S: CallSubject<Found = ()>> CallSubject for Option<S> {
    type Found = ();

    async fn resolve(self, service: &Service, caller: &Caller) -> Result<Resolved<()>, Refusal> {
        match self {
            Some(one) => one.resolve(service, caller).await,
            None => ().resolve(service, caller).await,
        }
    }
}

/// A change of users looks them up again, at the moment of the change.
fn of_user(user: Option<UserId>, caller: &Caller) -> Resolved<()> {
    let own = user.is_some() && user == caller.user;
    Resolved::of(Subject::User { user: user.map(UserId::get), own }, Ok(()))
}
