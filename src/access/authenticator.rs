//! Authenticates callers: by password, signature, session or client certificate, and limits how often that may fail. No answer
//! lets a caller tell a user that does not exist from a password that is wrong.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;

use crate::access::certificate::{self, CertificateUser};
use crate::access::credentials::Credentials;
use crate::access::keyed_queue::KeyedQueue;
use crate::access::password::Passwords;
use crate::access::pool::{CallerClass, NotComputed};
use crate::access::session::Sessions;
use crate::access::signature::{self, Signature, SignedRequest};
use crate::access::throttle::{self, PACE, Pair, Throttle};
use crate::access::{AuthEvidence, Directory, Identity, Secret};
use crate::clock::{Clock, monotonic_now};
use crate::domain::ids::{AccessKeyId, Principal};
use crate::domain::refusal::{AuthFailure, Refusal};
use crate::net::certificate::names;
use crate::store::access::UserRow;

/// Longest time that an unknown caller waits for its turn among those of its address; one that would wait longer is
/// refused at once.
const LONGEST_QUEUE: Duration = Duration::from_secs(5);
/// How long a password takes at an address that is not slowed down.
const TAKES: Duration = Duration::from_millis(20);
/// Retry delay when too many logins wait.
const BUSY_MILLIS: u32 = 3000;

/// Limits for failed logins, and how long a password that was right is remembered.
#[derive(Clone, Copy, Debug)]
pub struct LoginLimits {
    /// Logins that may fail for one user from one address before it must wait; 0: no limit.
    pub failures: u32,
    /// First wait; doubles with each further failure.
    pub wait: Duration,
    /// Zero: passwords are computed each time.
    pub password_cache: Duration,
}

/// The credentials that a request carries.
#[derive(Debug)]
pub struct PresentedCredentials<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// The client's certificate in DER, verified by TLS.
    pub certificate: Option<&'a [u8]>,
    pub credentials: Option<Credentials>,
    /// The parts of the request that an access key signs; `None`: this face accepts no signatures.
    pub signed: Option<SignedRequest<'a>>,
}

pub struct Authenticator {
    logins: Arc<Logins>,
    /// `None`: a session proves nothing.
    sessions: Option<Arc<Sessions>>,
}

struct Logins {
    directory: Arc<Directory>,
    clock: Clock,
    passwords: Passwords,
    throttle: Mutex<Throttle>,
    /// One password at a time for an address, or for a user that has logged in from there before. Of many wrong ones
    /// that are sent at once, all but the first few find that they must wait.
    keyed_queue: KeyedQueue<(IpAddr, Option<String>)>,
}

const fn unauthenticated(why: AuthFailure) -> Refusal {
    Refusal::Unauthenticated { why }
}

const WRONG: Refusal = unauthenticated(AuthFailure::Wrong);

impl Authenticator {
    /// Users, keys and roles are looked up in `directory` at each request.
    pub fn new(directory: Arc<Directory>, clock: Clock, login_limits: LoginLimits) -> Self {
        let LoginLimits { failures, wait, password_cache } = login_limits;
        let logins = Arc::new(Logins {
            directory,
            clock,
            passwords: Passwords::new(password_cache),
            throttle: Mutex::new(Throttle::new(failures, wait)),
            keyed_queue: KeyedQueue::new(),
        });
        Self { logins, sessions: None }
    }

    /// With sessions, which prove nothing otherwise.
    #[must_use]
    pub fn with_sessions(self, sessions: Arc<Sessions>) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    /// Authenticates a caller. A certificate and credentials that name two users prove neither; a certificate that
    /// names no user does not count.
    pub async fn prove(&self, proofs: PresentedCredentials<'_>) -> Result<Identity, Refusal> {
        let names = proofs.certificate.map(names);
        let named = names.as_ref().map(|names| certificate::user_of(&self.logins.directory.rows().users, names));
        match (named, proofs.credentials) {
            (Some(CertificateUser::Several), _) => Err(WRONG),
            (None, None) => Err(unauthenticated(AuthFailure::NoCredentials)),
            (Some(CertificateUser::Nobody), None) => Err(unauthenticated(AuthFailure::UnknownCertificate)),
            (Some(CertificateUser::One(user)), None) => {
                let proof = AuthEvidence { certificate: names, secret: None };
                self.logins.directory.identity(&user, proof).ok_or(WRONG)
            }
            (None | Some(CertificateUser::Nobody), Some(credentials)) => {
                self.credentials(proofs.address, credentials, proofs.signed).await
            }
            (Some(CertificateUser::One(user)), Some(credentials)) => {
                let proven = self.credentials(proofs.address, credentials, proofs.signed).await;
                let mut identity = proven?;
                if identity.user != user.id {
                    return Err(WRONG);
                }
                Arc::make_mut(&mut identity.proof).certificate = names;
                Ok(identity)
            }
        }
    }

    /// What can be checked of a signed request before its body is read: whether its date is right, and whether its key
    /// must wait.
    pub fn may_sign(&self, address: IpAddr, key: &AccessKeyId, date: &[u8]) -> Result<(), Refusal> {
        signature::check_date(date, self.logins.clock.now()).map_err(unauthenticated)?;
        self.logins.must_not_wait(&throttle::pair(address, key.as_str()))
    }

    async fn credentials(
        &self,
        address: IpAddr,
        credentials: Credentials,
        signed: Option<SignedRequest<'_>>,
    ) -> Result<Identity, Refusal> {
        match (credentials, signed) {
            (Credentials::Basic { user, password }, _) => self.password(address, user, password).await,
            (Credentials::AccessKey { key, signature }, Some(signed)) => {
                self.logins.signature(address, &key, signature, &signed)
            }
            (Credentials::AccessKey { .. }, None) => Err(unauthenticated(AuthFailure::Malformed)),
            (Credentials::Session { token }, _) => self.session(&token),
        }
    }

    /// A session costs little to check, and cannot be guessed: no address is slowed down by it.
    fn session(&self, token: &SecretString) -> Result<Identity, Refusal> {
        let sessions = self.sessions.as_ref().ok_or(WRONG)?;
        let Logins { directory, clock, .. } = &*self.logins;
        let user = sessions.user_of(token, &directory.rows(), clock.now()).ok_or(WRONG)?;
        // What the session stands on is the password: where it is changed, whatever was opened by the session ends.
        directory.identity(&user, by_password(&user)).ok_or(WRONG)
    }

    async fn password(&self, address: IpAddr, user: String, password: SecretString) -> Result<Identity, Refusal> {
        let pair = throttle::pair(address, &user);
        if let Some(identity) = self.logins.remembered(&pair, &user, &password)? {
            return Ok(identity);
        }
        // A task of its own: a caller that hangs up before the answer has still made an attempt.
        let logins = Arc::clone(&self.logins);
        let computing = tokio::spawn(async move { logins.login(&pair, &user, &password).await });
        let what = || Refusal::Internal { what: "a login ended in the middle of its work".to_owned() };
        computing.await.unwrap_or_else(|_| Err(what()))
    }
}

impl Logins {
    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn user(&self, name: &str) -> Option<UserRow> {
        let name: Principal = name.parse().ok()?;
        self.directory.user(&name).filter(|user| !user.disabled)
    }

    /// A user that must wait is refused before the cache is looked at: it would answer guesses for free.
    fn remembered(&self, pair: &Pair, name: &str, password: &SecretString) -> Result<Option<Identity>, Refusal> {
        let now = monotonic_now();
        self.throttle().user_wait(pair, now).map_or(Ok(()), |wait| Err(throttled(wait)))?;
        let name_only: Option<Principal> = name.parse().ok();
        let Some(user) = name_only.and_then(|name| self.directory.user(&name)) else { return Ok(None) };
        if !self.passwords.is_cached(&user, password, now) {
            return Ok(None);
        }
        self.throttle().succeeded(pair, now);
        Ok(self.directory.identity(&user, by_password(&user)))
    }

    async fn login(&self, pair: &Pair, name: &str, password: &SecretString) -> Result<Identity, Refusal> {
        let (standing, is_slow) = {
            let throttle = self.throttle();
            (throttle.standing(pair), throttle.is_slow(pair, monotonic_now()))
        };
        let among = match standing {
            CallerClass::Known => Some(pair.1.clone()),
            CallerClass::Unknown => None,
        };
        let each = if is_slow { PACE } else { TAKES };
        let most = LONGEST_QUEUE.as_millis() / each.as_millis();
        let turn = self.keyed_queue.take((pair.0, among), usize::try_from(most).unwrap_or(usize::MAX)).await;
        let Some(_turn) = turn else { return Err(throttled(LONGEST_QUEUE)) };
        // Others had their turn since it was first looked up.
        if let Some(identity) = self.remembered(pair, name, password)? {
            return Ok(identity);
        }
        if standing == CallerClass::Unknown {
            let wait = self.throttle().address_wait(pair, monotonic_now());
            tokio::time::sleep(wait.unwrap_or_default()).await;
        }
        let user = self.user(name);
        let right = self.passwords.verify(user.as_ref(), password, standing).await.map_err(not_computed)?;
        let now = monotonic_now();
        // As the user is now: it may have been changed while the password was computed.
        let unchanged = |user: &UserRow| self.user(name).filter(|now| now.password_hash == user.password_hash);
        match user.filter(|_| right).and_then(|user| unchanged(&user)) {
            Some(user) => {
                self.passwords.cache(&user, password, now);
                self.throttle().succeeded(pair, now);
                self.directory.identity(&user, by_password(&user)).ok_or(WRONG)
            }
            None => {
                self.throttle().failed(pair, now);
                Err(WRONG)
            }
        }
    }

    /// Refuses an access key that must wait at an address.
    fn must_not_wait(&self, key: &Pair) -> Result<(), Refusal> {
        self.throttle().key_wait(key, monotonic_now()).map_or(Ok(()), |wait| Err(throttled(wait)))
    }

    fn signature(
        &self,
        address: IpAddr,
        key: &AccessKeyId,
        signature: Signature,
        signed: &SignedRequest<'_>,
    ) -> Result<Identity, Refusal> {
        signature::check_date(signed.date, self.clock.now()).map_err(unauthenticated)?;
        let pair = throttle::pair(address, key.as_str());
        self.must_not_wait(&pair)?;
        let known = self.directory.key(key).filter(|(key, user)| !key.disabled && !user.disabled);
        // Without such a key the work is the same.
        let secret = known.as_ref().map_or_else(|| SecretString::from(key.as_str()), |(key, _)| key.secret.clone());
        let right = signature::verify(&secret, signed, signature);
        let proven = known.filter(|_| right).and_then(|(key, user)| {
            let proof = AuthEvidence { certificate: None, secret: Some(Secret::Key(key.id, key.secret)) };
            self.directory.identity(&user, proof)
        });
        match proven {
            Some(identity) => {
                self.throttle().key_succeeded(&pair);
                Ok(identity)
            }
            // The address is not slowed down by it: a signature costs little to check, and cannot be guessed.
            None => {
                self.throttle().key_failed(&pair, monotonic_now());
                Err(WRONG)
            }
        }
    }
}

fn by_password(user: &UserRow) -> AuthEvidence {
    let hash = user.password_hash.as_deref().map(SecretString::from);
    AuthEvidence { certificate: None, secret: hash.map(Secret::Password) }
}

fn not_computed(why: NotComputed) -> Refusal {
    match why {
        NotComputed::Overloaded => {
            let why = "more logins wait to be checked than can be in time".to_owned();
            Refusal::Unavailable { why, retry_after_millis: BUSY_MILLIS }
        }
        NotComputed::Broken => Refusal::Internal { what: "a password could not be checked".to_owned() },
    }
}

fn throttled(wait: Duration) -> Refusal {
    let millis = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).saturating_add(1);
    Refusal::LoginThrottled { retry_after_millis: millis }
}
