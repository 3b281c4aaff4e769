//! Who calls: the one place where a principal comes from, for both faces. A principal that the caller merely claims, in
//! `obsteward-principal` or anywhere else, is never believed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{Extensions, HeaderMap};
use tracing::{Instrument, info, info_span};

use crate::access::credentials::Credentials;
use crate::access::session::Sessions;
use crate::access::signature::{self, SignedRequest};
use crate::access::{Authenticator, Directory, LoginLimits, PresentedCredentials};
use crate::api::limits::rate::Rates;
use crate::api::limits::watches::{WatchPermit, Watches};
use crate::clock::{Clock, monotonic_now};
use crate::config::{AuthConfig, LimitsConfig};
use crate::domain::ids::Principal;
use crate::domain::permission::Rights;
use crate::domain::reason::Reason;
use crate::domain::refusal::{AuthFailure, Refusal};
use crate::domain::trace::TraceContext;
use crate::net::peer::Peer;
use crate::net::unauthenticated::ConnectionGuard;
use crate::service::Caller;
use crate::telemetry::traces::SPAN;

/// Everybody's name while authentication is switched off.
pub const ANONYMOUS: &str = "anonymous";

/// The parts of an HTTP request that a signature is about, as they came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct SignedParts<'a> {
    pub method: &'a str,
    /// Its path, still encoded.
    pub path: &'a str,
    /// Its query, still encoded, without `?`.
    pub query: Option<&'a str>,
    pub body: &'a [u8],
    /// Its `:authority` over HTTP/2, where there may be no `Host`; `None`: what `Host` says.
    pub host: Option<&'a str>,
}

/// How much of the caller's rate is left, for the headers `RateLimit-Limit`, `-Remaining` and `-Reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in the window that is nearest to its end.
    pub limit: u32,
    pub remaining: u32,
    /// Seconds until it begins anew.
    pub reset_seconds: u32,
}

/// A caller that may come in.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub caller: Caller,
    /// `None`: requests are not limited.
    pub rate: Option<Rate>,
}

/// A request whose caller may not come in, or that is wrong before it is known who calls.
#[derive(Clone, Debug)]
pub struct Denied {
    pub refusal: Refusal,
    /// `None`: it is not known whose rate this is, or requests are not limited.
    pub rate: Option<Rate>,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, rate: None }
    }
}

/// Proves callers and counts what they ask.
pub struct Gatekeeper {
    /// `None`: authentication is off.
    authenticator: Option<Authenticator>,
    rates: Mutex<Rates>,
    watches: Watches,
}

impl Gatekeeper {
    /// Every caller must authenticate, by what the directory knows. Whether authentication is on is decided before.
    pub fn new(directory: Arc<Directory>, clock: Clock, auth: &AuthConfig, limits: &LimitsConfig) -> Self {
        let login_limits = LoginLimits {
            failures: limits.login_failures,
            wait: Duration::from_secs(limits.login_wait_seconds),
            password_cache: Duration::from_secs(auth.password_cache_seconds),
        };
        let authenticator = Authenticator::new(directory, clock, login_limits);
        Self { authenticator: Some(authenticator), ..Self::open_within(limits) }
    }

    /// With the sessions of the web console.
    #[must_use]
    pub fn with_sessions(self, sessions: Arc<Sessions>) -> Self {
        let authenticator = self.authenticator.map(|authenticator| authenticator.with_sessions(sessions));
        Self { authenticator, ..self }
    }

    /// Whether callers have to prove who they are.
    pub const fn asks_for_proof(&self) -> bool {
        self.authenticator.is_some()
    }

    /// Everybody is `anonymous` and may do everything, without limits.
    pub fn open() -> Self {
        Self { authenticator: None, rates: Mutex::new(Rates::unlimited()), watches: Watches::new(0) }
    }

    /// Everybody is `anonymous` and may do everything, all together within these limits.
    pub fn open_within(limits: &LimitsConfig) -> Self {
        let watches = Watches::new(limits.watches_per_principal);
        Self { authenticator: None, rates: Mutex::new(Rates::new(limits)), watches }
    }

    /// Whether the proof of a request needs its body: what an access key signs does. What the head alone shows to be wrong
    /// is refused here, before anything of the body is read.
    pub fn needs_body(&self, headers: &HeaderMap, peer: &Peer, trace: TraceContext) -> Result<bool, Denied> {
        let Some(authenticator) = &self.authenticator else { return Ok(false) };
        let client = peer.client(headers);
        let judged = match proofs(headers, None, peer, client.ip()) {
            Ok(PresentedCredentials { address, credentials: Some(Credentials::AccessKey { key, .. }), .. }) => {
                match single(headers, "date") {
                    Ok(date) => authenticator.may_sign(address, &key, date.unwrap_or_default()).map(|()| true),
                    Err(why) => Err(Refusal::Unauthenticated { why }),
                }
            }
            Ok(PresentedCredentials {
                credentials: Some(Credentials::Basic { .. } | Credentials::Session { .. }) | None,
                ..
            }) => Ok(false),
            Err(why) => Err(Refusal::Unauthenticated { why }),
        };
        judged.map_err(|refusal| {
            info!(trace_id = %trace.trace_id(), address = %client, refusal = ?refusal, "not admitted");
            Denied { refusal, rate: None }
        })
    }

    /// Proves the caller of a request, as [`Self::admit`] does; its connection is not a stranger's any more. `body`: what came of
    /// it, on a face where signatures prove something.
    pub async fn admit_request(
        &self,
        head: &Parts,
        body: Option<&[u8]>,
        trace: TraceContext,
    ) -> Result<Admitted, Denied> {
        let signed = body.map(|body| SignedParts {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query(),
            host: {
                let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
                host.or_else(|| head.uri.authority().map(Authority::as_str))
            },
            body,
        });
        let admitted = self.admit(&head.headers, signed, &peer(&head.extensions), trace).await?;
        if let Some(guard) = head.extensions.get::<ConnectionGuard>() {
            guard.known();
        }
        Ok(admitted)
    }

    /// Proves a caller by what its request carries, and counts the request. `signed` is what an access key signs; gRPC has
    /// none. Who is not proven is not counted here: failed logins are throttled by themselves.
    pub async fn admit(
        &self,
        headers: &HeaderMap,
        signed: Option<SignedParts<'_>>,
        peer: &Peer,
        trace: TraceContext,
    ) -> Result<Admitted, Denied> {
        let client = peer.client(headers);
        let proven = self.prove(|| proofs(headers, signed, peer, client.ip()), client, trace).await;
        self.counted(proven?)
    }

    /// Proves a caller of the web console by what it presents there, which is never taken from `Authorization`, and counts the
    /// request; its connection is not a stranger's any more. A client certificate proves nobody here without a session, and
    /// must not name somebody else.
    pub async fn admit_visitor(
        &self,
        head: &Parts,
        presented: Option<Credentials>,
        trace: TraceContext,
    ) -> Result<Caller, Denied> {
        let admitted = self.counted(self.visitor(head, presented, trace).await?)?;
        if let Some(guard) = head.extensions.get::<ConnectionGuard>() {
            guard.known();
        }
        Ok(admitted.caller)
    }

    /// Proves such a caller again while it is shown something live, which counts nothing.
    pub async fn visitor(
        &self,
        head: &Parts,
        presented: Option<Credentials>,
        trace: TraceContext,
    ) -> Result<Caller, Denied> {
        let peer = peer(&head.extensions);
        let client = peer.client(&head.headers);
        let proofs = || match presented {
            None => Err(AuthFailure::NoCredentials),
            Some(_) => Ok(PresentedCredentials {
                address: client.ip(),
                certificate: peer.certificate.as_deref().map(AsRef::as_ref),
                credentials: presented,
                signed: None,
            }),
        };
        self.prove(proofs, client, trace).await
    }

    async fn prove<'a>(
        &self,
        proofs: impl FnOnce() -> Result<PresentedCredentials<'a>, AuthFailure>,
        client: SocketAddr,
        trace: TraceContext,
    ) -> Result<Caller, Denied> {
        let proven = match &self.authenticator {
            None => Ok(None),
            Some(authenticator) => match proofs() {
                Ok(proofs) => {
                    let proving = info_span!(target: SPAN, "authentication");
                    authenticator.prove(proofs).instrument(proving).await.map(Some)
                }
                Err(why) => Err(Refusal::Unauthenticated { why }),
            },
        };
        let identity = proven.map_err(|refusal| denied(refusal, None, trace, &client))?;
        let (principal, user, rights, proof) = match identity {
            Some(identity) => (identity.principal, Some(identity.user), identity.rights, identity.proof),
            None => (Principal::new(ANONYMOUS), None, Arc::new(Rights::everything()), Arc::default()),
        };
        let address = if client.port() == 0 { client.ip().to_string() } else { client.to_string() };
        Ok(Caller { principal, user, rights, proof, address, trace, reason: Reason::default() })
    }

    fn counted(&self, caller: Caller) -> Result<Admitted, Denied> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        match rates.take(&caller.principal, monotonic_now()) {
            (Ok(()), rate) => Ok(Admitted { caller, rate }),
            (Err(refusal), rate) => Err(denied(refusal, rate, caller.trace, &caller.address)),
        }
    }

    /// Room for one more watch of a caller, for as long as the permit is held: by the watch's stream.
    pub fn watch(&self, caller: &Caller) -> Result<WatchPermit, Refusal> {
        self.watches.begin(&caller.principal)
    }

    /// What [`Gatekeeper::watch`] counts by.
    pub(super) fn watches(&self) -> Watches {
        self.watches.clone()
    }
}

fn denied(refusal: Refusal, rate: Option<Rate>, trace: TraceContext, address: &dyn fmt::Display) -> Denied {
    // Which user was named is not logged: people write passwords into the wrong field.
    info!(trace_id = %trace.trace_id(), %address, refusal = ?refusal, "not admitted");
    Denied { refusal, rate }
}

/// Who is at the other end of the connection that a request came over.
pub fn peer(extensions: &Extensions) -> Peer {
    extensions.get().cloned().unwrap_or_else(|| Peer::plaintext(SocketAddr::from(([0, 0, 0, 0], 0))))
}

/// What a request carries that could prove its caller; of each header one at most, so that nobody downstream reads another.
fn proofs<'a>(
    headers: &'a HeaderMap,
    signed: Option<SignedParts<'a>>,
    peer: &'a Peer,
    address: IpAddr,
) -> Result<PresentedCredentials<'a>, AuthFailure> {
    let credentials = match single(headers, "authorization")? {
        None => None,
        Some(authorization) => Some(Credentials::read(authorization).ok_or(AuthFailure::Malformed)?),
    };
    let signed = match (&credentials, signed) {
        (Some(Credentials::AccessKey { .. }), Some(parts)) => Some(signed_request(headers, parts)?),
        (Some(Credentials::AccessKey { .. } | Credentials::Basic { .. } | Credentials::Session { .. }) | None, _) => {
            None
        }
    };
    let certificate = peer.certificate.as_deref().map(AsRef::as_ref);
    Ok(PresentedCredentials { address, certificate, credentials, signed })
}

fn signed_request<'a>(headers: &'a HeaderMap, parts: SignedParts<'a>) -> Result<SignedRequest<'a>, AuthFailure> {
    let or_empty = |name| Ok(single(headers, name)?.unwrap_or_default());
    if let Some(digest) = single(headers, "content-md5")?
        && !signature::content_digest_matches(digest, parts.body)
    {
        return Err(AuthFailure::Wrong);
    }
    let host = match parts.host {
        Some(authority) => authority.as_bytes(),
        None => or_empty("host")?,
    };
    let ours = headers.iter().filter(|(name, _)| name.as_str().starts_with(signature::HEADER_PREFIX));
    Ok(SignedRequest {
        method: parts.method,
        path: parts.path,
        query: parts.query,
        host,
        content_type: or_empty("content-type")?,
        date: or_empty("date")?,
        headers: ours.map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
        body: parts.body,
    })
}

fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a [u8]>, AuthFailure> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.as_bytes())),
        (Some(_), Some(_)) => Err(AuthFailure::Repeated(name)),
    }
}
