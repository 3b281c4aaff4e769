//! Clusters that are looked at and never changed.

use async_trait::async_trait;
use futures::future::BoxFuture;
use obsteward::domain::effect::Permit;
use obsteward::oceanbase::{
    Avoid, ClusterAccess, ClusterError, ClusterReader, EffectSession, ErrorClass, Expected, KnownServer, OceanBase,
    SessionGone,
};

/// What comes of looking at a cluster.
pub type Opening = BoxFuture<'static, Result<Box<dyn ClusterReader>, ClusterError>>;

/// A test says what comes of looking; there is nothing to act on.
pub struct ReadsOnly<F>(pub F);

/// No cluster answers.
pub fn nobody_there() -> ReadsOnly<impl Fn(&Expected) -> Opening + Send + Sync> {
    let unreachable = || ClusterError::new(ErrorClass::Unreachable, "nobody is there");
    ReadsOnly(move |_: &Expected| -> Opening { Box::pin(std::future::ready(Err(unreachable()))) })
}

#[async_trait]
impl<F: Fn(&Expected) -> Opening + Send + Sync> OceanBase for ReadsOnly<F> {
    async fn reader(
        &self,
        _: &ClusterAccess,
        _: &[KnownServer],
        expected: &Expected,
        _: &Avoid,
    ) -> Result<Box<dyn ClusterReader>, ClusterError> {
        self.0(expected).await
    }

    async fn effect_session(
        &self,
        _: &ClusterAccess,
        _: &[KnownServer],
        _: &Expected,
        _: &Avoid,
    ) -> Result<Box<dyn EffectSession>, ClusterError> {
        panic!("nothing acts on these clusters")
    }

    async fn kill_session(
        &self,
        _: Permit,
        _: &ClusterAccess,
        _: &Expected,
        _: &str,
        _: i64,
    ) -> Result<SessionGone, ClusterError> {
        panic!("nothing acts on these clusters")
    }
}
