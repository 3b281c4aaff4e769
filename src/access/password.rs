//! Passwords: argon2id with OWASP's parameters, computed in the pool of `pool.rs`. A password that was right is
//! remembered for a while by an HMAC under a key that only this process has; the password itself is not kept.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::password_hash::{Output, ParamsString, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::time::Instant;

use crate::access::pool::{BLOCKS, CallerClass, HashLoad, NotComputed, Pool};
use crate::domain::ids::UserId;
use crate::store::access::UserRow;

/// Fewest bytes of a password that somebody chooses.
pub const SHORTEST: usize = 8;
/// Most bytes of any password.
pub const LONGEST: usize = 512;

/// One for the process, because it limits the memory and cores that the process uses.
static POOL: LazyLock<Arc<Pool>> = LazyLock::new(Pool::new);

/// Most memory in KiB, passes and lanes of a hash from the configuration: a login must not cost more than that.
const MOST_MEMORY: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 8;

/// The hash that is compared with when there is no such user: costs as much as a real one, and no password has it.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is wrong with a password or its hash. Shows neither.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PasswordError {
    #[error("a password has 8 to 512 bytes, not {0}")]
    Length(usize),
    /// Of a password in the configuration: empty, or too long.
    #[error("a password has 1 to 512 bytes, not {0}")]
    LengthAtStart(usize),
    #[error("the hash is not a PHC string of argon2id, which begins with $argon2id$v=19$m=")]
    NotAHash,
    /// Comparing with it would cost too much.
    #[error("the hash costs more than m=262144, t=16 or p=8; make one with m=19456,t=2,p=1")]
    TooCostly,
    /// The system gives no random bytes or no memory.
    #[error("the password could not be hashed: the system gives no random numbers or no memory")]
    Failed,
}

/// How busy this process is with passwords.
pub fn load() -> HashLoad {
    POOL.load()
}

/// Whether somebody may choose this password.
pub fn check(password: &SecretString) -> Result<(), PasswordError> {
    let length = password.expose_secret().len();
    if (SHORTEST..=LONGEST).contains(&length) { Ok(()) } else { Err(PasswordError::Length(length)) }
}

/// Whether a hash from outside can be compared with, at a reasonable cost.
pub fn check_hash(hash: &str) -> Result<(), PasswordError> {
    let parsed = PasswordHash::new(hash).map_err(|_| PasswordError::NotAHash)?;
    let is_argon2id = Algorithm::try_from(parsed.algorithm).is_ok_and(|algorithm| algorithm == Algorithm::Argon2id);
    let is_whole = parsed.salt.is_some() && parsed.hash.is_some() && parsed.version == Some(Version::V0x13.into());
    let params = Params::try_from(&parsed).map_err(|_| PasswordError::NotAHash)?;
    if !is_argon2id || !is_whole {
        return Err(PasswordError::NotAHash);
    }
    let is_cheap = params.m_cost() <= MOST_MEMORY && params.t_cost() <= MOST_PASSES && params.p_cost() <= MOST_LANES;
    if is_cheap { Ok(()) } else { Err(PasswordError::TooCostly) }
}

/// Hashes a password of 1 to 512 bytes. What somebody chooses must pass [`check`] too.
pub async fn hash(password: SecretString) -> Result<String, PasswordError> {
    let length = password.expose_secret().len();
    if !(1..=LONGEST).contains(&length) {
        return Err(PasswordError::LengthAtStart(length));
    }
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| PasswordError::Failed)?;
    // Whoever sets a password is authenticated, or starts the service.
    let hashed = POOL.compute(CallerClass::Known, move |blocks| {
        hashed(&password, &salt, Params::DEFAULT, blocks).ok_or(PasswordError::Failed)
    });
    hashed.await.unwrap_or(Err(PasswordError::Failed))
}

/// The hash as a PHC string.
fn hashed(password: &SecretString, salt: &[u8], params: Params, blocks: &mut Vec<Block>) -> Option<String> {
    let encoded = SaltString::encode_b64(salt).ok()?;
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let param_string = ParamsString::try_from(&params).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = output(&argon2, password.expose_secret().as_bytes(), salt, length, blocks)?;
    let whole = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: param_string,
        salt: Some(encoded.as_salt()),
        hash: Some(hash),
    };
    Some(whole.to_string())
}

/// Computes argon2 in `blocks`, which grows when it is not enough.
fn output(argon2: &Argon2<'_>, password: &[u8], salt: &[u8], length: usize, blocks: &mut Vec<Block>) -> Option<Output> {
    // Memory that is kept for the next computation has one size, whatever this one needs.
    let needed = argon2.params().block_count().max(BLOCKS);
    if blocks.len() < needed {
        // Dropped before the larger one is allocated: both at a time would be twice as much.
        *blocks = Vec::new();
        blocks.try_reserve_exact(needed).ok()?;
        blocks.resize(needed, Block::new());
    }
    Output::init_with(length, |out| {
        argon2.hash_password_into_with_memory(password, salt, out, blocks).map_err(Into::into)
    })
    .ok()
}

/// Verifies passwords and remembers which were right.
pub struct Passwords {
    /// `None`: the system gave no random bytes; nothing is remembered then.
    key: Option<hmac::Key>,
    keep: Duration,
    right: Mutex<HashMap<UserId, VerifiedPassword>>,
}

struct VerifiedPassword {
    tag: hmac::Tag,
    until: Instant,
}

impl Passwords {
    /// `keep`: how long a password is remembered; zero: not at all.
    pub fn new(keep: Duration) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        Self { key: key.filter(|_| !keep.is_zero()), keep, right: Mutex::default() }
    }

    /// Whether this password was recently found right for the user as it is now. Costs next to nothing.
    pub fn is_cached(&self, user: &UserRow, password: &SecretString, now: Instant) -> bool {
        let (Some(key), Some(hash)) = (&self.key, &user.password_hash) else { return false };
        let mut right = self.lock();
        match right.get(&user.id) {
            Some(one) if one.until > now && !user.disabled => {
                hmac::verify(key, &cache_key_input(hash, password), one.tag.as_ref()).is_ok()
            }
            Some(_) => {
                right.remove(&user.id);
                false
            }
            None => false,
        }
    }

    /// Compares; takes as long for an unknown user, or one without a password.
    pub async fn verify(
        &self,
        user: Option<&UserRow>,
        password: &SecretString,
        standing: CallerClass,
    ) -> Result<bool, NotComputed> {
        let stored = user.and_then(|user| user.password_hash.clone());
        let hash = stored.clone().unwrap_or_else(|| NOBODY.to_owned());
        let sent = password.clone();
        let right = POOL.compute(standing, move |blocks| matches(&hash, &sent, blocks)).await?;
        Ok(stored.is_some() && right)
    }

    /// Remembers that this password was right for the user as it is.
    pub fn cache(&self, user: &UserRow, password: &SecretString, now: Instant) {
        if let (Some(key), Some(hash)) = (&self.key, &user.password_hash) {
            let tag = hmac::sign(key, &cache_key_input(hash, password));
            self.lock().insert(user.id, VerifiedPassword { tag, until: now + self.keep });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, VerifiedPassword>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash is included, so that changing the password makes what was remembered worthless at once.
fn cache_key_input(hash: &str, password: &SecretString) -> Vec<u8> {
    [hash.as_bytes(), b"\0", password.expose_secret().as_bytes()].concat()
}

/// Uses the parameters in the hash, not ours.
fn matches(hash: &str, password: &SecretString, blocks: &mut Vec<Block>) -> bool {
    let password = password.expose_secret().as_bytes();
    let is_fitting = password.len() <= LONGEST;
    let compared = PasswordHash::new(hash).ok().and_then(|hash| {
        let password = if is_fitting { password } else { &password[..LONGEST] };
        let (expected, mut salt) = (hash.hash?, [0; Salt::MAX_LENGTH]);
        let salt = hash.salt?.decode_b64(&mut salt).ok()?;
        let (algorithm, version) = (Algorithm::try_from(hash.algorithm).ok()?, Version::try_from(hash.version?).ok()?);
        let argon2 = Argon2::new(algorithm, version, Params::try_from(&hash).ok()?);
        // Outputs are compared in constant time.
        Some(output(&argon2, password, salt, expected.len(), blocks)? == expected)
    });
    is_fitting && compared == Some(true)
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;
    use crate::clock::{Timestamp, monotonic_now};
    use crate::domain::ids::Principal;

    /// Has the password `hunter22`, with a hash that is cheap to compute.
    async fn user() -> UserRow {
        let cheap = Params::new(8, 1, 1, None).unwrap();
        UserRow {
            id: UserId::new(1001).unwrap(),
            name: Principal::new("eve"),
            password_hash: hashed(&secret("hunter22"), b"saltsaltsaltsalt", cheap, &mut Vec::new()),
            roles: Vec::new(),
            certificate_names: Vec::new(),
            disabled: false,
            create_time: Timestamp::default(),
            password_time: None,
        }
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[tokio::test]
    async fn a_hash_is_of_its_password_and_owasps_parameters() {
        let hashed = hash(secret("demo")).await.unwrap();
        let cost = "$argon2id$v=19$m=19456,t=2,p=1$";
        assert!(hashed.starts_with(cost), "{hashed}");
        assert!(NOBODY.starts_with(cost) && NOBODY.len() == hashed.len(), "nobody costs the same");
        assert_eq!(check_hash(&hashed), Ok(()));
        let blocks = &mut Vec::new();
        assert!(matches(&hashed, &secret("demo"), blocks));
        assert!(!matches(&hashed, &secret("Demo"), blocks), "in memory that was used before");
        assert!(matches(&hashed, &secret("demo"), blocks));
        let parsed = PasswordHash::new(&hashed).unwrap();
        assert!(Argon2::default().verify_password(b"demo", &parsed).is_ok(), "as the crate by itself says");
        assert_ne!(hashed, hash(secret("demo")).await.unwrap(), "each has a salt of its own");
        assert_eq!(hash(secret("")).await, Err(PasswordError::LengthAtStart(0)));
        assert_eq!(hash(secret(&"x".repeat(513))).await, Err(PasswordError::LengthAtStart(513)));
    }

    #[test]
    fn chosen_passwords_have_8_to_512_bytes() {
        for (length, right) in [(7, false), (8, true), (512, true), (513, false)] {
            assert_eq!(check(&secret(&"x".repeat(length))).is_ok(), right, "{length}");
        }
    }

    #[test]
    fn only_argon2id_at_a_reasonable_cost_is_a_hash() {
        assert_eq!(check_hash(NOBODY), Ok(()));
        for wrong in [
            "",
            "demo",
            "$2b$12$abcdefghijklmnopqrstuv",
            &NOBODY.replace("argon2id", "argon2i"),
            &NOBODY.replace("v=19", "v=16"),
            "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(check_hash(wrong), Err(PasswordError::NotAHash), "{wrong}");
        }
        assert_eq!(check_hash(&NOBODY.replace("m=19456", "m=4194304")), Err(PasswordError::TooCostly));
    }

    #[tokio::test]
    async fn what_was_right_is_remembered_for_a_while_and_for_the_same_hash() {
        let (passwords, user, now) = (Passwords::new(Duration::from_secs(60)), user().await, monotonic_now());
        let verify = async |password| passwords.verify(Some(&user), &secret(password), CallerClass::Unknown).await;
        assert_eq!((verify("hunter22").await, verify("hunter23").await), (Ok(true), Ok(false)));
        assert!(!passwords.is_cached(&user, &secret("hunter22"), now));
        passwords.cache(&user, &secret("hunter22"), now);
        assert!(passwords.is_cached(&user, &secret("hunter22"), now + Duration::from_secs(59)));
        assert!(!passwords.is_cached(&user, &secret("hunter23"), now));
        let changed = UserRow { password_hash: Some(NOBODY.to_owned()), ..user.clone() };
        assert!(!passwords.is_cached(&changed, &secret("hunter22"), now), "another password was set");
        assert!(!passwords.is_cached(&user, &secret("hunter22"), now + Duration::from_secs(60)));
        passwords.cache(&user, &secret("hunter22"), now);
        let disabled = UserRow { disabled: true, ..user.clone() };
        assert!(!passwords.is_cached(&disabled, &secret("hunter22"), now));
        assert!(!passwords.is_cached(&user, &secret("hunter22"), now), "it was dropped");
        let forgetful = Passwords::new(Duration::ZERO);
        forgetful.cache(&user, &secret("hunter22"), now);
        assert!(!forgetful.is_cached(&user, &secret("hunter22"), now));
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let passwords = Passwords::new(Duration::from_secs(60));
        let without = UserRow { password_hash: None, ..user().await };
        for user in [None, Some(&without)] {
            // While both seats are taken nothing is answered: there is no quicker way for a user that does not exist.
            let seats = POOL.take_all().await;
            let password = secret("");
            let mut verifying = std::pin::pin!(passwords.verify(user, &password, CallerClass::Known));
            assert!(futures::poll!(&mut verifying).is_pending());
            drop(seats);
            assert_eq!(verifying.await, Ok(false));
        }
    }
}
