//! What every call has around it: its caller, its trace in log and response, and its refusal as a status.

use std::pin::Pin;

use futures::Stream;
use futures::stream::StreamExt;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Request, Response, Status};
use tracing::{Instrument, Span, debug, info, info_span, warn};

use crate::api::auth::{self, Admitted, Gatekeeper, Rate};
use crate::api::error_status::to_status;
use crate::api::limits::watches::Watches;
use crate::domain::refusal::Refusal;
use crate::service::arguments::Caller;
use crate::watch::Encoded;

/// Trailer and header that name the trace of a call, the same as in the log.
pub const TRACE_ID: &str = "obsteward-trace-id";

/// Header of an answer that names the version of the service.
const VERSION: &str = "obsteward-version";

/// Headers of the caller's rate, the same as on the REST face: in the metadata of answers, or the trailers of refusals.
const RATE_LIMIT: &str = "ratelimit-limit";
const RATE_REMAINING: &str = "ratelimit-remaining";
const RATE_RESET: &str = "ratelimit-reset";

/// Messages of a watch, or of another stream, on their way out.
pub type Messages<M = Encoded> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// A call that is being answered.
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    rate: Option<Rate>,
    watches: Watches,
    span: Span,
}

impl Call {
    /// Begins a call whose caller was proven before its message was read.
    pub async fn admit<Q>(
        gatekeeper: &Gatekeeper,
        rpc: &'static str,
        request: Request<Q>,
    ) -> Result<(Self, Q), Status> {
        let (_, mut extensions, message) = request.into_parts();
        let Some(Admitted { caller, rate }) = extensions.remove::<Admitted>() else {
            let what = "a call came to its service by another way than through the front".to_owned();
            return Err(status(&Refusal::Internal { what }, &auth::trace_id(), None));
        };
        let span = info_span!(
            "call",
            rpc,
            trace_id = %caller.trace_id,
            principal = %caller.principal,
            address = %caller.address,
        );
        Ok((Self { caller, rate, watches: gatekeeper.watches(), span }, message))
    }

    /// Answers a call.
    pub async fn answer<A>(&self, work: impl Future<Output = Result<A, Refusal>>) -> Result<Response<A>, Status> {
        let answered = work.instrument(self.span.clone()).await;
        self.finish(answered)
    }

    /// Begins a watch, which counts as one of the caller's until its stream is dropped; the refusal that ends it carries the
    /// trace too.
    pub async fn stream<S, M>(
        &self,
        work: impl Future<Output = Result<S, Refusal>>,
    ) -> Result<Response<Messages<M>>, Status>
    where
        S: Stream<Item = Result<M, Refusal>> + Send + 'static,
    {
        let begun = async {
            let permit = self.watches.begin(&self.caller.principal)?;
            Ok((permit, work.await?))
        };
        let begun = begun.instrument(self.span.clone()).await;
        let trace_id = self.caller.trace_id.clone();
        self.finish(begun.map(|(permit, stream)| -> Messages<M> {
            Box::pin(stream.map(move |item| {
                let _held = &permit;
                item.map_err(|refusal| status(&refusal, &trace_id, None))
            }))
        }))
    }

    fn finish<A>(&self, answered: Result<A, Refusal>) -> Result<Response<A>, Status> {
        match answered {
            Ok(answer) => {
                self.span.in_scope(|| debug!("answered"));
                let mut response = Response::new(answer);
                add_facts(response.metadata_mut(), &self.caller.trace_id, self.rate);
                response.metadata_mut().insert(VERSION, AsciiMetadataValue::from_static(env!("CARGO_PKG_VERSION")));
                Ok(response)
            }
            Err(refusal) => {
                let status = status(&refusal, &self.caller.trace_id, self.rate);
                self.span.in_scope(|| match status.code() {
                    Code::Internal | Code::Unavailable => warn!(error = status.message(), "failed"),
                    code => info!(?code, error = status.message(), "refused"),
                });
                Err(status)
            }
        }
    }
}

/// A refusal as a status with its trace.
pub fn status(refusal: &Refusal, trace_id: &str, rate: Option<Rate>) -> Status {
    let mut status = to_status(refusal);
    add_facts(status.metadata_mut(), trace_id, rate);
    status
}

fn add_facts(metadata: &mut MetadataMap, trace_id: &str, rate: Option<Rate>) {
    if let Ok(value) = AsciiMetadataValue::try_from(trace_id) {
        metadata.insert(TRACE_ID, value);
    }
    if let Some(rate) = rate {
        metadata.insert(RATE_LIMIT, rate.limit.into());
        metadata.insert(RATE_REMAINING, rate.remaining.into());
        metadata.insert(RATE_RESET, rate.reset_seconds.into());
    }
}
