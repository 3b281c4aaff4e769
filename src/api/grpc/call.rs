//! The one way from a method to the service and back: its caller, its trace in log and response, and its refusal as a status.

use std::pin::Pin;

use futures::Stream;
use futures::stream::StreamExt;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Request, Response, Status};
use tracing::{Instrument, Span, debug, error_span, field, info, warn};

use crate::api::auth::{Admitted, Rate};
use crate::api::error_status::to_status;
use crate::api::grpc::reasons::{Reasoned, reason_of, with_reason};
use crate::api::limits::watches::Watches;
use crate::api::trace;
use crate::domain::refusal::Refusal;
use crate::domain::trace::TraceContext;
use crate::service::{Caller, Guarded, ServiceCall};
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

/// What the front knows of a call when it reaches its service.
#[derive(Clone)]
pub struct Arrived {
    pub admitted: Admitted,
    pub method: String,
}

/// How every method is answered: its request is translated into a call of the service, the call is made for whoever the front
/// proved, and its answer is translated back.
#[derive(Clone)]
pub struct Calls {
    guarded: Guarded,
    watches: Watches,
}

impl Calls {
    /// Over the service. `watches` counts the streams of everybody.
    pub const fn new(guarded: Guarded, watches: Watches) -> Self {
        Self { guarded, watches }
    }

    pub async fn unary<Q: Reasoned, C: ServiceCall, A>(
        &self,
        request: Request<Q>,
        validate: impl FnOnce(Q) -> Result<C, Refusal>,
        encode: impl FnOnce(C::Output) -> A,
    ) -> Result<Response<A>, Status> {
        let validate = |request| Ok((validate(request)?, ()));
        self.list(request, validate, |output, ()| Ok(encode(output))).await
    }

    /// Answers with one message, for whose making something of the request is kept: where its page ends.
    pub async fn list<Q: Reasoned, C: ServiceCall, K, A>(
        &self,
        request: Request<Q>,
        validate: impl FnOnce(Q) -> Result<(C, K), Refusal>,
        encode: impl FnOnce(C::Output, K) -> Result<A, Refusal>,
    ) -> Result<Response<A>, Status> {
        let (around, request) = Around::take(request)?;
        let work = async {
            let (call, kept) = self.valid::<C, _>(&around.caller, around.reasoned(validate(request))).await?;
            encode(self.guarded.call(&around.caller, call).await?, kept)
        };
        let answered = work.instrument(around.span.clone()).await;
        around.finish(answered)
    }

    /// Answers with a stream, which counts as one of the caller's watches until it is dropped; the refusal that ends it carries
    /// the trace too.
    pub async fn stream<Q: Reasoned, C: ServiceCall + Clone, F, S, M>(
        &self,
        request: Request<Q>,
        validate: impl FnOnce(Q) -> Result<C, Refusal>,
        begin: impl FnOnce(C, C::Output) -> F,
    ) -> Result<Response<Messages<M>>, Status>
    where
        F: Future<Output = Result<S, Refusal>>,
        S: Stream<Item = Result<M, Refusal>> + Send + 'static,
    {
        let (around, request) = Around::take(request)?;
        let begun = async {
            let permit = self.watches.begin(&around.caller.principal)?;
            let call = self.valid::<C, _>(&around.caller, around.reasoned(validate(request))).await?;
            let output = self.guarded.call(&around.caller, call.clone()).await?;
            Ok((permit, begin(call, output).await?))
        };
        let begun = begun.instrument(around.span.clone()).await;
        let trace = around.caller.trace;
        around.finish(begun.map(|(permit, stream)| -> Messages<M> {
            Box::pin(stream.map(move |item| {
                let _held = &permit;
                item.map_err(|refusal| status(&refusal, trace, None))
            }))
        }))
    }

    /// What is wrong with a request that would change something is kept in the audit log too: it was asked for, and refused.
    async fn valid<C: ServiceCall, T>(&self, caller: &Caller, validated: Result<T, Refusal>) -> Result<T, Refusal> {
        if let Err(refusal) = &validated {
            self.guarded.refused::<C>(caller, refusal).await;
        }
        validated
    }
}

/// What every call has around it: its caller, its trace in log and response, and its refusal as a status.
struct Around {
    caller: Caller,
    rate: Option<Rate>,
    span: Span,
    /// What is wrong with the reason that was given.
    wrong_reason: Option<Refusal>,
}

impl Around {
    /// The one place where a method gets its caller.
    fn take<Q: Reasoned>(request: Request<Q>) -> Result<(Self, Q), Status> {
        let (_, mut extensions, message) = request.into_parts();
        let Some(Arrived { admitted: Admitted { mut caller, rate }, method }) = extensions.remove::<Arrived>() else {
            let what = "a call came to its service by another way than through the front".to_owned();
            return Err(status(&Refusal::Internal { what }, trace::new(), None));
        };
        // At this level whatever the filter says: lines of any level bear the trace.
        let span = error_span!(
            "call",
            rpc = method,
            trace_id = %caller.trace.trace_id(),
            principal = %caller.principal,
            address = %caller.address,
            reason = field::Empty,
        );
        let wrong_reason = match reason_of(&message) {
            Ok(reason) => {
                if !reason.as_str().is_empty() {
                    span.record("reason", reason.as_str());
                }
                caller.reason = reason;
                None
            }
            Err(refusal) => Some(refusal),
        };
        Ok((Self { caller, rate, span, wrong_reason }, message))
    }

    /// What is wrong with the request, its reason too.
    fn reasoned<T>(&self, validated: Result<T, Refusal>) -> Result<T, Refusal> {
        with_reason(self.wrong_reason.as_ref(), validated)
    }

    fn finish<A>(&self, answered: Result<A, Refusal>) -> Result<Response<A>, Status> {
        match answered {
            Ok(answer) => {
                self.span.in_scope(|| debug!("answered"));
                let mut response = Response::new(answer);
                add_facts(response.metadata_mut(), self.caller.trace, self.rate);
                response.metadata_mut().insert(VERSION, AsciiMetadataValue::from_static(env!("CARGO_PKG_VERSION")));
                Ok(response)
            }
            Err(refusal) => {
                let status = status(&refusal, self.caller.trace, self.rate);
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
pub fn status(refusal: &Refusal, trace: TraceContext, rate: Option<Rate>) -> Status {
    let mut status = to_status(refusal);
    add_facts(status.metadata_mut(), trace, rate);
    status
}

fn add_facts(metadata: &mut MetadataMap, trace: TraceContext, rate: Option<Rate>) {
    if let Ok(value) = AsciiMetadataValue::try_from(trace.trace_id().to_string()) {
        metadata.insert(TRACE_ID, value);
    }
    if let Some(rate) = rate {
        metadata.insert(RATE_LIMIT, rate.limit.into());
        metadata.insert(RATE_REMAINING, rate.remaining.into());
        metadata.insert(RATE_RESET, rate.reset_seconds.into());
    }
}
