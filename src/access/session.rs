//! Sessions of the web console. A session is a token that says whose it is, since when and until when, under an HMAC that
//! also covers the hash of the user's password: every replica knows every session, a restart ends none, and a changed password
//! ends all of its user. Only what was ended before it expired is stored, beside the users. Beside it the token that forms carry, so that only pages of this service can send
//! them. Pure: the moment is an argument.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Timestamp;
use crate::domain::ids::UserId;
use crate::store::StoreError;
use crate::store::access::{AccessRows, UserRow};
use crate::store::derived_key::{DerivedKeys, KeyPurpose};

/// However much a session is used, its user proves itself anew after so long.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// What stands for the session in the forms of callers that have none: authentication is off.
const NOBODY: &str = "nobody";

/// What a token says. Nothing of it is believed before [`Sessions::user_of`] has proven it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub user: UserId,
    /// When the user proved itself by its password.
    pub issued: Timestamp,
    pub expires: Timestamp,
}

/// Issues sessions and proves them.
pub struct Sessions {
    session_key: hmac::Key,
    form_key: hmac::Key,
    /// How long a session lasts without being used.
    lifetime: Duration,
}

impl Sessions {
    /// Under the keys of a store.
    pub fn new(keys: &dyn DerivedKeys, lifetime: Duration) -> Result<Self, StoreError> {
        let session_key = keys.derived_key(KeyPurpose::ConsoleSession)?;
        let form_key = keys.derived_key(KeyPurpose::ConsoleForm)?;
        Ok(Self { session_key, form_key, lifetime })
    }

    /// A session of a user that has just proven itself by the password of this hash.
    pub fn issue(&self, user: UserId, password_hash: &SecretString, now: Timestamp) -> SecretString {
        self.token(Session { user, issued: now, expires: self.expires(now, now) }, password_hash)
    }

    /// The same session with a later end; `None`: it is used too soon after it was last renewed, or it has lasted too long.
    pub fn renew(&self, session: Session, password_hash: &SecretString, now: Timestamp) -> Option<SecretString> {
        let expires = self.expires(session.issued, now);
        let worthwhile = expires.since(session.expires) >= self.lifetime / 8;
        worthwhile.then(|| self.token(Session { expires, ..session }, password_hash))
    }

    /// How long a cookie with such a session is to be kept.
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The user of a session that holds now: neither forged, expired nor ended, its user enabled and its password as it was.
    pub fn user_of(&self, token: &SecretString, rows: &AccessRows, now: Timestamp) -> Option<UserRow> {
        let (session, tag) = read(token.expose_secret())?;
        let row = rows.users.iter().find(|row| row.id == session.user && !row.disabled)?;
        let signed = signed(session, row.password_hash.as_deref()?);
        hmac::verify(&self.session_key, signed.as_bytes(), &tag).ok()?;
        (now < session.expires && !rows.is_ended(session.user, session.issued)).then(|| row.clone())
    }

    /// When no copy of a session holds any more, however often it was renewed.
    pub fn latest_end(&self, session: Session) -> Timestamp {
        session.issued.plus(LONGEST.max(self.lifetime))
    }

    /// What forms of a session carry; `None`: of callers that have none. It stays the same when the session is renewed.
    pub fn form_token(&self, session: Option<Session>) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.form_key, form_text(session).as_bytes()))
    }

    /// Whether a form was made for this session, compared in constant time.
    pub fn is_form_token(&self, session: Option<Session>, given: &str) -> bool {
        let given = URL_SAFE_NO_PAD.decode(given).unwrap_or_default();
        hmac::verify(&self.form_key, form_text(session).as_bytes(), &given).is_ok()
    }

    fn token(&self, session: Session, password_hash: &SecretString) -> SecretString {
        let tag = hmac::sign(&self.session_key, signed(session, password_hash.expose_secret()).as_bytes());
        SecretString::from(format!("{}.{}", text(session), URL_SAFE_NO_PAD.encode(tag)))
    }

    fn expires(&self, issued: Timestamp, now: Timestamp) -> Timestamp {
        now.plus(self.lifetime).min(issued.plus(LONGEST.max(self.lifetime)))
    }
}

/// What a token says of its session, not yet proven; `None`: it is no token.
pub fn session_of(token: &SecretString) -> Option<Session> {
    Some(read(token.expose_secret())?.0)
}

fn read(token: &str) -> Option<(Session, Vec<u8>)> {
    let mut parts = token.split('.');
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (user, issued, expires) = (number()?, number()?, number()?);
    let (tag, None) = (parts.next()?, parts.next()) else { return None };
    let session = Session {
        user: UserId::new(user).ok()?,
        issued: Timestamp::from_micros(issued),
        expires: Timestamp::from_micros(expires),
    };
    Some((session, URL_SAFE_NO_PAD.decode(tag).ok()?))
}

fn text(session: Session) -> String {
    format!("{}.{}.{}", session.user, session.issued.as_micros(), session.expires.as_micros())
}

/// No part of it can be taken for another: ids and moments hold no dot, and the hash is last.
fn signed(session: Session, password_hash: &str) -> String {
    format!("{}.{password_hash}", text(session))
}

fn form_text(session: Option<Session>) -> String {
    session.map_or_else(|| NOBODY.to_owned(), |it| format!("{}.{}", it.user, it.issued.as_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Principal;

    const HOUR: Duration = Duration::from_secs(3600);

    struct Keys;

    impl DerivedKeys for Keys {
        fn derived_key(&self, purpose: KeyPurpose) -> Result<hmac::Key, StoreError> {
            Ok(hmac::Key::new(hmac::HMAC_SHA256, format!("{purpose:?}").as_bytes()))
        }
    }

    fn user(id: i64, hash: &str) -> UserRow {
        UserRow {
            id: UserId::new(id).unwrap(),
            name: Principal::new(format!("user{id}")),
            password_hash: Some(hash.to_owned()),
            roles: Vec::new(),
            certificate_names: Vec::new(),
            disabled: false,
            create_time: Timestamp::from_micros(1),
            password_time: None,
        }
    }

    fn issued(sessions: &Sessions, id: i64, at: Timestamp) -> SecretString {
        sessions.issue(UserId::new(id).unwrap(), &SecretString::from("a"), at)
    }

    fn rows(users: impl IntoIterator<Item = UserRow>) -> AccessRows {
        AccessRows { users: users.into_iter().collect(), ..AccessRows::default() }
    }

    #[test]
    fn a_session_holds_until_it_expires_its_user_is_disabled_or_its_password_changed() {
        let (sessions, now) = (Sessions::new(&Keys, HOUR).unwrap(), Timestamp::from_micros(1_000_000));
        let (one, known) = (user(7, "a"), rows([user(6, "a"), user(7, "a")]));
        let token = issued(&sessions, 7, now);
        let holds = |rows: &AccessRows, at: Timestamp| sessions.user_of(&token, rows, at).map(|user| user.id);
        assert_eq!(holds(&known, now), Some(one.id));
        assert_eq!(holds(&known, now.plus(HOUR).minus(Duration::from_micros(1))), Some(one.id));
        assert_eq!(holds(&known, now.plus(HOUR)), None);
        assert_eq!(holds(&rows([user(7, "b")]), now), None);
        assert_eq!(holds(&rows([UserRow { disabled: true, ..user(7, "a") }]), now), None);
        assert_eq!(holds(&rows([UserRow { password_hash: None, ..user(7, "a") }]), now), None);
        assert_eq!(holds(&rows([]), now), None);
    }

    #[test]
    fn no_letter_of_a_token_can_be_changed() {
        let (sessions, now) = (Sessions::new(&Keys, HOUR).unwrap(), Timestamp::from_micros(1_000_000));
        let known = rows([user(6, "a"), user(7, "a")]);
        let token = issued(&sessions, 7, now);
        let token = token.expose_secret();
        let holds = |text: &str| sessions.user_of(&SecretString::from(text), &known, now).is_some();
        assert!(holds(token));
        for (at, letter) in token.char_indices() {
            for other in ['0', '6', 'A', '.', '-'].into_iter().filter(|other| *other != letter) {
                let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
                assert!(!holds(&changed), "{changed}");
            }
        }
        for cut in 0..token.len() {
            assert!(!holds(&token[..cut]));
        }
        assert!(!holds(&format!("{token}.")) && !holds(&token.replacen('7', "6", 1)));
    }

    #[test]
    fn a_session_is_renewed_while_it_is_used_and_for_a_week_at_most() {
        let (sessions, begun) = (Sessions::new(&Keys, HOUR).unwrap(), Timestamp::from_micros(1_000_000));
        let one = SecretString::from("a");
        let first = session_of(&issued(&sessions, 7, begun)).unwrap();
        assert!(sessions.renew(first, &one, begun.plus(HOUR / 16)).is_none(), "not with every click");
        let later = begun.plus(HOUR / 2);
        let second = session_of(&sessions.renew(first, &one, later).unwrap()).unwrap();
        assert_eq!((second.issued, second.expires), (begun, later.plus(HOUR)));
        assert_eq!(sessions.form_token(Some(first)), sessions.form_token(Some(second)));
        let week = begun.plus(LONGEST);
        let last = session_of(&sessions.renew(second, &one, week.minus(HOUR / 4)).unwrap()).unwrap();
        assert_eq!(last.expires, week);
        assert!(sessions.renew(last, &one, week.minus(HOUR / 8)).is_none());
    }

    #[test]
    fn a_form_is_of_one_session() {
        let (sessions, now) = (Sessions::new(&Keys, HOUR).unwrap(), Timestamp::from_micros(1_000_000));
        let session = |id, at| session_of(&issued(&sessions, id, at));
        let mine = session(7, now);
        let token = sessions.form_token(mine);
        assert!(sessions.is_form_token(mine, &token));
        for other in [session(6, now), session(7, now.plus(HOUR)), None] {
            assert!(!sessions.is_form_token(other, &token));
        }
        assert!(!sessions.is_form_token(mine, "") && !sessions.is_form_token(mine, &token[1..]));
        assert!(sessions.is_form_token(None, &sessions.form_token(None)));
    }
}
