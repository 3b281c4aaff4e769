//! Proves callers: passwords, signatures, client certificates, and how often a proof may fail. What is answered never tells a
//! user that is not there from a password that is wrong.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;

use crate::access::certificate::{self, Named};
use crate::access::credentials::Credentials;
use crate::access::password::Passwords;
use crate::access::pool::{NotComputed, Standing};
use crate::access::signature::{self, Signature, SignedRequest};
use crate::access::throttle::{self, Throttle};
use crate::access::{Directory, Identity};
use crate::clock::{Clock, monotonic_now};
use crate::domain::ids::{AccessKeyId, Principal};
use crate::domain::refusal::{Refusal, Unproven};
use crate::net::certificate::names;
use crate::store::access::UserRow;

/// Addresses take turns at computing passwords; so many can at the same time.
const TURNS: usize = 256;
/// When asking again may help after too many logins waited.
const BUSY_MILLIS: u32 = 3000;

/// How much failing is borne, and how long a password that was right is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Logins that may fail for one user from one address before it must wait; 0: no limit.
    pub failures: u32,
    /// First wait; doubles with each further failure.
    pub wait: Duration,
    /// Zero: passwords are computed each time.
    pub password_cache: Duration,
}

/// What a request carries that could prove its caller.
#[derive(Debug)]
pub struct Proofs<'a> {
    /// Where it comes from.
    pub address: IpAddr,
    /// The client's certificate in DER, verified by TLS.
    pub certificate: Option<&'a [u8]>,
    /// What its `Authorization` says.
    pub credentials: Option<Credentials>,
    /// What an access key would have signed; `None`: this face takes none.
    pub signed: Option<SignedRequest<'a>>,
}

/// See the module's head.
pub struct Authenticator(Arc<Logins>);

struct Logins {
    directory: Arc<Directory>,
    clock: Clock,
    passwords: Passwords,
    throttle: Mutex<Throttle>,
    /// One password of an address at a time: of many wrong ones that are sent at once, all but the first few find that they
    /// must wait.
    turns: Vec<tokio::sync::Mutex<()>>,
    turn_of: std::hash::RandomState,
}

const fn unproven(why: Unproven) -> Refusal {
    Refusal::Unauthenticated { why }
}

const WRONG: Refusal = unproven(Unproven::Wrong);

impl Authenticator {
    /// Over what the directory says at each request.
    pub fn new(directory: Arc<Directory>, clock: Clock, patience: Patience) -> Self {
        let Patience { failures, wait, password_cache } = patience;
        Self(Arc::new(Logins {
            directory,
            clock,
            passwords: Passwords::new(password_cache),
            throttle: Mutex::new(Throttle::new(failures, wait)),
            turns: std::iter::repeat_with(tokio::sync::Mutex::default).take(TURNS).collect(),
            turn_of: std::hash::RandomState::new(),
        }))
    }

    /// Proves a caller. A certificate and credentials that name two users prove neither; a certificate that names nobody says
    /// nothing.
    pub async fn prove(&self, proofs: Proofs<'_>) -> Result<Identity, Refusal> {
        let named = proofs.certificate.map(|der| {
            let rows = self.0.directory.rows();
            certificate::user_of(&rows.users, &names(der))
        });
        match (named, proofs.credentials) {
            (Some(Named::Several), _) => Err(WRONG),
            (None, None) => Err(unproven(Unproven::NoCredentials)),
            (Some(Named::Nobody), None) => Err(unproven(Unproven::UnknownCertificate)),
            (Some(Named::One(user)), None) => self.0.directory.identity(&user).ok_or(WRONG),
            (None | Some(Named::Nobody), Some(credentials)) => {
                self.credentials(proofs.address, credentials, proofs.signed).await
            }
            (Some(Named::One(user)), Some(credentials)) => {
                let proven = self.credentials(proofs.address, credentials, proofs.signed).await;
                proven.and_then(|identity| if identity.user == user.id { Ok(identity) } else { Err(WRONG) })
            }
        }
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
                self.0.signature(address, &key, signature, &signed)
            }
            (Credentials::AccessKey { .. }, None) => Err(unproven(Unproven::Malformed)),
        }
    }

    async fn password(&self, address: IpAddr, user: String, password: SecretString) -> Result<Identity, Refusal> {
        if let Some(identity) = self.0.remembered(address, &user, &password)? {
            return Ok(identity);
        }
        // A task of its own: who hangs up before the answer has still tried.
        let logins = Arc::clone(&self.0);
        let computing = tokio::spawn(async move { logins.login(address, &user, &password).await });
        let what = || Refusal::Internal { what: "a login ended in the middle of its work".to_owned() };
        computing.await.unwrap_or_else(|_| Err(what()))
    }
}

impl Logins {
    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An enabled user of this name.
    fn user(&self, name: &str) -> Option<UserRow> {
        let name: Principal = name.parse().ok()?;
        self.directory.user(&name).filter(|user| !user.disabled)
    }

    /// Who must wait is told so before what is remembered is looked at: it would answer guesses for free.
    fn remembered(&self, address: IpAddr, name: &str, password: &SecretString) -> Result<Option<Identity>, Refusal> {
        let now = monotonic_now();
        self.throttle().user_wait(address, name, now).map_or(Ok(()), throttled)?;
        let name_only: Option<Principal> = name.parse().ok();
        let Some(user) = name_only.and_then(|name| self.directory.user(&name)) else { return Ok(None) };
        if !self.passwords.remembers(&user, password, now) {
            return Ok(None);
        }
        self.throttle().succeeded(address, name);
        Ok(self.directory.identity(&user))
    }

    async fn login(&self, address: IpAddr, name: &str, password: &SecretString) -> Result<Identity, Refusal> {
        let turn = self.turn_of.hash_one(throttle::network(address)) % self.turns.len() as u64;
        let _turn = self.turns[usize::try_from(turn).unwrap_or_default()].lock().await;
        // Others had their turn since it was first looked at.
        if let Some(identity) = self.remembered(address, name, password)? {
            return Ok(identity);
        }
        self.admit_address(address, name)?;
        let user = self.user(name);
        let right = self.passwords.verify(user.as_ref(), password, Standing::Stranger).await.map_err(not_computed)?;
        let now = monotonic_now();
        // As it is now: it may have been changed while the password was computed.
        let unchanged = |user: &UserRow| self.user(name).filter(|now| now.password_hash == user.password_hash);
        match user.filter(|_| right).and_then(|user| unchanged(&user)) {
            Some(user) => {
                self.passwords.remember(&user, password, now);
                self.throttle().succeeded(address, name);
                self.directory.identity(&user).ok_or(WRONG)
            }
            None => {
                self.throttle().failed(address, name, now);
                Err(WRONG)
            }
        }
    }

    fn signature(
        &self,
        address: IpAddr,
        key: &AccessKeyId,
        signature: Signature,
        signed: &SignedRequest<'_>,
    ) -> Result<Identity, Refusal> {
        signature::check_date(signed.date, self.clock.now()).map_err(unproven)?;
        // No user has a colon in its name.
        let name = format!("key:{key}");
        self.throttle().user_wait(address, &name, monotonic_now()).map_or(Ok(()), throttled)?;
        let known = self.directory.key(key).filter(|(key, user)| !key.disabled && !user.disabled);
        // Without a key the work is the same.
        let secret = known.as_ref().map_or_else(|| SecretString::from(key.as_str()), |(key, _)| key.secret.clone());
        let right = signature::verify(&secret, signed, signature);
        match known.filter(|_| right).and_then(|(_, user)| self.directory.identity(&user)) {
            Some(identity) => {
                self.throttle().succeeded(address, &name);
                Ok(identity)
            }
            // Only who is wrong waits for what others did at its address: a signature costs nothing, and is not guessed.
            None => {
                self.admit_address(address, &name)?;
                self.throttle().failed(address, &name, monotonic_now());
                Err(WRONG)
            }
        }
    }

    fn admit_address(&self, address: IpAddr, name: &str) -> Result<(), Refusal> {
        let (now, mut throttle) = (monotonic_now(), self.throttle());
        let Some(wait) = throttle.address_wait(address, now) else { return Ok(()) };
        throttle.turned_away(address, name, now);
        throttled(wait)
    }
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

fn throttled(wait: Duration) -> Result<(), Refusal> {
    let millis = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).saturating_add(1);
    Err(Refusal::LoginThrottled { retry_after_millis: millis })
}
