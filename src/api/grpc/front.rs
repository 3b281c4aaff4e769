//! What stands before the services: a call is looked at by its head alone until its caller is proven, then its message is
//! taken in time and in size, and what goes wrong on the way to a service is a refusal of the error table like any other.
//! Health and reflection are for everybody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame};
use prost::Message;
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};
use tracing::{Instrument, Span, info};

use crate::api::auth::{Denied, Gatekeeper, peer};
use crate::api::grpc::call::{Arrived, status};
use crate::api::grpc::fields::shortened;
use crate::api::grpc::measured::{MeasuredBody, MeasuredMethods};
use crate::api::grpc::once::Shapes;
use crate::api::headers::{for_one_host, once};
use crate::api::trace;
use crate::clock::monotonic_now;
use crate::domain::refusal::Refusal;
use crate::domain::trace::TraceContext;
use crate::net::body_deadline::{BodyDeadline, BodyError};
use crate::net::bounds::ListenerLimits;
use crate::net::unauthenticated::{ConnectionGuard, Stay};
use crate::proto::v1::FILE_DESCRIPTOR_SET;
use crate::telemetry::metrics::CallMetrics;

/// Largest message: a thousand hosts with names as long as they may be.
pub const LARGEST_MESSAGE: u32 = 1024 * 1024;
/// A flag and the length of the message behind it.
const PREFIX: usize = 5;
/// What a caller's `grpc-timeout` may have, in digits.
const MOST_DIGITS: usize = 8;

#[derive(Clone)]
pub struct Front {
    services: Routes,
    gatekeeper: Arc<Gatekeeper>,
    methods: Arc<Methods>,
    measured: Arc<MeasuredMethods>,
    bounds: ListenerLimits,
}

impl Front {
    pub fn new(services: Routes, gatekeeper: Arc<Gatekeeper>, bounds: ListenerLimits, metrics: &CallMetrics) -> Self {
        let methods = Arc::new(Methods::new());
        let measured = Arc::new(MeasuredMethods::new(metrics, methods.requests.keys()));
        Self { services, gatekeeper, methods, measured, bounds }
    }

    async fn attend<B>(self, request: Request<B>, trace: TraceContext) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Error + Send + Sync> + Send + Unpin + 'static,
    {
        let path = request.uri().path().to_owned();
        let answered = match deadline(request.headers()) {
            Err(refusal) => Err(refusal.into()),
            Ok(None) => self.reach(request, trace).await.map(|reached| (reached, None)),
            Ok(Some(deadline)) => {
                let mut request = request;
                request.extensions_mut().insert(Deadline(deadline));
                match tokio::time::timeout_at(deadline, self.reach(request, trace)).await {
                    Ok(reached) => reached.map(|reached| (reached, Some(deadline))),
                    Err(_) => Err(Refusal::DeadlinePassed.into()),
                }
            }
        };
        match answered {
            Ok(((response, None), None)) => named(response, &path, trace),
            Ok(((response, stay), deadline)) => named(response, &path, trace).map(|body| {
                let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
                Body::new(Ending { body: Some(body), deadline, path, trace, _stay: stay })
            }),
            Err(Denied { refusal, rate }) => {
                info!(trace_id = %trace.trace_id(), path, reason = refusal.reason(), "a call did not reach its service");
                status(&refusal, trace, rate).into_http()
            }
        }
    }

    /// The answer of the service, and what counts it when it is a stranger's.
    async fn reach<B>(&self, request: Request<B>, trace: TraceContext) -> Result<(Response<Body>, Option<Stay>), Denied>
    where
        B: HttpBody<Data = Bytes, Error: Error + Send + Sync> + Send + Unpin + 'static,
    {
        let (mut parts, body) = request.into_parts();
        for_one_host(parts.version, &parts.uri, &parts.headers)?;
        if let Some(patience) = self.for_everybody(parts.uri.path()) {
            uncompressed(&parts.headers)?;
            let client = peer(&parts.extensions).client(&parts.headers).ip();
            let stay = parts.extensions.get::<ConnectionGuard>().map(|guard| guard.stay(client)).transpose();
            let stay = stay.map_err(|limit| Refusal::TooManyUnauthenticated { limit })?;
            let late = status(&Refusal::RequestTimeout { seconds: patience.as_secs() }, trace, None);
            let body = BodyDeadline::new(body, patience).map_err(move |error| match error {
                BodyError::Timeout => late.clone(),
                BodyError::Body(error) => Status::from_error(Box::new(error)),
            });
            return Ok((self.pass(Request::from_parts(parts, body)).await, stay));
        }
        let admitted = self.gatekeeper.admit_request(&parts, None, trace).await?;
        let denied = |refusal| Denied { refusal, rate: admitted.rate };
        let Some(request) = self.methods.requests.get(parts.uri.path()) else {
            let method = shortened(parts.uri.path());
            return Err(denied(Refusal::MethodNotFound { method }));
        };
        uncompressed(&parts.headers).map_err(denied)?;
        let message = message(body, self.bounds.arrival).await.map_err(denied)?;
        self.methods.shapes.said_once(request, message.get(PREFIX..).unwrap_or_default()).map_err(denied)?;
        let method = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        parts.extensions.insert(Arrived { admitted, method });
        Ok((self.pass(Request::from_parts(parts, Full::new(message))).await, None))
    }

    async fn pass<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Error + Send + Sync> + Send + 'static,
    {
        self.services.clone().oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
    }

    /// Health and reflection, and how long what they are asked may take to come: reflection is a conversation.
    fn for_everybody(&self, path: &str) -> Option<Duration> {
        let ListenerLimits { arrival, write_timeout, .. } = self.bounds;
        if path.starts_with("/grpc.reflection.") {
            return Some(write_timeout);
        }
        path.starts_with("/grpc.").then_some(arrival)
    }
}

impl<B> Service<Request<B>> for Front
where
    B: HttpBody<Data = Bytes, Error: Error + Send + Sync> + Send + Unpin + 'static,
{
    type Response = Response<MeasuredBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        // Who asks for health every second would fill a collector with it.
        let span = match self.for_everybody(path) {
            Some(_) => Span::none(),
            None => trace::of_call(self.methods.requests.contains_key(path).then_some(path)),
        };
        let (front, call) = (self.clone(), self.measured.begin(path, span.clone()));
        let trace = trace::arrived(request.headers(), &span);
        Box::pin(async move { Ok(call.answer(front.attend(request, trace).await)) }.instrument(span))
    }
}

/// When the caller of a call stops waiting; beside the call when it said so.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// What is known of the methods of our own services.
struct Methods {
    /// The type of each method's request, by its path.
    requests: HashMap<String, String>,
    shapes: Shapes,
}

impl Methods {
    fn new() -> Self {
        // It was made with this program: it can be read.
        let files = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
        let services = files.file.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)));
        let requests = services.flat_map(|(file, service)| {
            let request = move |method: &prost_types::MethodDescriptorProto| {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                (path, method.input_type().to_owned())
            };
            service.method.iter().map(request)
        });
        Self { requests: requests.collect(), shapes: Shapes::of(&files) }
    }
}

/// When the caller stops waiting, by its `grpc-timeout`.
fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, Refusal> {
    let Some(value) = once(headers, &HeaderName::from_static("grpc-timeout"), "grpc-timeout")? else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let wrong = || {
        let given = shortened(text);
        let advice = "give up to 8 digits and one of H, M, S, m, u, n behind them";
        Refusal::field("grpc-timeout", format!("{given:?} is not a time, {advice}"))
    };
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = Some(digits)
        .filter(|digits| digits.len() <= MOST_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(wrong)?;
    let patience = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(wrong()),
    };
    Ok(Some(monotonic_now() + patience))
}

fn uncompressed(headers: &HeaderMap) -> Result<(), Refusal> {
    let encoding = once(headers, &HeaderName::from_static("grpc-encoding"), "grpc-encoding")?;
    match encoding.map(|encoding| String::from_utf8_lossy(encoding.as_bytes())) {
        None => Ok(()),
        Some(encoding) if encoding == "identity" => Ok(()),
        Some(encoding) => Err(Refusal::CompressionUnsupported { encoding: shortened(&encoding) }),
    }
}

/// The one message of a call with its prefix, as tonic reads it again. Says what is wrong before more of it is read.
async fn message<B>(mut body: B, patience: Duration) -> Result<Bytes, Refusal>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let deadline = monotonic_now() + patience;
    let mut parts = Parts::default();
    loop {
        let frame = tokio::time::timeout_at(deadline, body.frame()).await;
        match frame.map_err(|_| Refusal::RequestTimeout { seconds: patience.as_secs() })? {
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    parts.add(bytes)?;
                }
            }
            Some(Err(_)) => return Err(Refusal::field("message", "broke off before its end, send it again")),
            None => return parts.whole(),
        }
    }
}

/// What has come of a message; usually all of it at once.
#[derive(Default)]
struct Parts {
    first: Bytes,
    more: BytesMut,
}

impl Parts {
    fn add(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        if self.first.is_empty() && self.more.is_empty() {
            self.first = bytes;
        } else {
            if self.more.is_empty() {
                self.more.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.more.extend_from_slice(&bytes);
        }
        match self.length()? {
            Some(length) if self.come().len() > PREFIX + length => {
                Err(Refusal::field("message", "is followed by another, this method takes one"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn come(&self) -> &[u8] {
        if self.more.is_empty() { &self.first } else { &self.more }
    }

    /// Of the message, as its prefix says; `None`: that is not there yet.
    fn length(&self) -> Result<Option<usize>, Refusal> {
        let Some(prefix) = self.come().first_chunk::<PREFIX>() else { return Ok(None) };
        let [flag, length @ ..] = *prefix;
        match flag {
            0 => {}
            1 => return Err(Refusal::CompressionUnsupported { encoding: "a message that is marked so".to_owned() }),
            flag => return Err(Refusal::field("message", format!("begins with {flag}, which is no flag of gRPC"))),
        }
        let length = u32::from_be_bytes(length);
        if length > LARGEST_MESSAGE {
            return Err(Refusal::MessageTooLarge { limit: LARGEST_MESSAGE });
        }
        Ok(usize::try_from(length).ok())
    }

    fn whole(self) -> Result<Bytes, Refusal> {
        match self.length()? {
            Some(length) if self.come().len() == PREFIX + length => {
                Ok(if self.more.is_empty() { self.first } else { self.more.freeze() })
            }
            Some(_) | None if self.come().is_empty() => Err(Refusal::field("message", "is missing, send one")),
            Some(_) | None => Err(Refusal::field("message", "is shorter than it says, send all of it")),
        }
    }
}

/// An answer whose status tonic made by itself, as the table has it.
fn named(response: Response<Body>, path: &str, trace: TraceContext) -> Response<Body> {
    match bare(response.headers(), path) {
        Some(refusal) => status(&refusal, trace, None).into_http(),
        None => response,
    }
}

/// What tonic refuses by itself. Our services always send details, so that what has none comes from before them; there it is
/// a message that cannot be decoded.
fn bare(headers: &HeaderMap, path: &str) -> Option<Refusal> {
    let bare = Status::from_header_map(headers).filter(|status| status.details().is_empty())?;
    match bare.code() {
        Code::Internal => Some(Refusal::field("message", format!("cannot be decoded, {}", shortened(bare.message())))),
        Code::OutOfRange => Some(Refusal::MessageTooLarge { limit: LARGEST_MESSAGE }),
        Code::Unimplemented => Some(Refusal::MethodNotFound { method: shortened(path) }),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => None,
    }
}

/// An answer that ends when its caller stops waiting, or that is a stranger's.
struct Ending {
    /// `None`: it has ended.
    body: Option<Body>,
    deadline: Option<Pin<Box<Sleep>>>,
    path: String,
    trace: TraceContext,
    _stay: Option<Stay>,
}

impl Ending {
    fn trailers(&self, refusal: &Refusal) -> Result<Frame<Bytes>, Status> {
        let mut trailers = HeaderMap::new();
        status(refusal, self.trace, None).add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { body: Some(body), deadline, path, .. } = &mut *self else { return Poll::Ready(None) };
        // First: an answer that always has more to say ends too.
        if let Some(deadline) = deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            self.body = None;
            return Poll::Ready(Some(self.trailers(&Refusal::DeadlinePassed)));
        }
        let frame = ready!(Pin::new(body).poll_frame(context));
        let refusal = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().and_then(|trailers| bare(trailers, path)),
            Some(Err(_)) | None => None,
        };
        Poll::Ready(match refusal {
            Some(refusal) => Some(self.trailers(&refusal)),
            None => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
