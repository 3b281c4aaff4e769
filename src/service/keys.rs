//! Calls on access keys. Ids and secrets come from the system's random numbers; a secret is shown only to whoever makes it.

use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;

use super::Service;
use super::arguments::{AccessKeyView, Caller};
use super::named;
use crate::domain::call::Call;
use crate::domain::ids::{AccessKeyId, Principal};
use crate::domain::permission::Domain;
use crate::domain::refusal::Refusal;
use crate::store::access::{AccessChange, AccessChanged};

/// Letters and digits of an id.
const ID_LENGTH: usize = 20;
/// Letters and digits of a secret: 238 bits.
const SECRET_LENGTH: usize = 40;

impl Service {
    /// Makes an access key for a user, or for the caller.
    pub async fn create_access_key(&self, caller: &Caller, user: Option<Principal>) -> Result<AccessKeyView, Refusal> {
        let name = user.unwrap_or_else(|| caller.principal.clone());
        let secret = SecretString::from(letters(SECRET_LENGTH)?);
        let id: AccessKeyId = letters(ID_LENGTH)?
            .parse()
            .map_err(|error: crate::domain::ids::InvalidName| Refusal::Internal { what: error.to_string() })?;
        let changed = self.change_access(caller, Call::CreateAccessKey, named::user(&name), |rules| {
            let user = rules.touched(Call::CreateAccessKey, &name)?.id;
            Ok(AccessChange::CreateKey { id: id.clone(), user, secret })
        });
        self.key_done(changed.await?, &id)
    }

    /// Disables or enables an access key.
    pub async fn update_access_key(
        &self,
        caller: &Caller,
        id: AccessKeyId,
        disabled: bool,
    ) -> Result<AccessKeyView, Refusal> {
        let named = named::access_key(&id, Some(disabled));
        let change = AccessChange::UpdateKey { id: id.clone(), disabled };
        self.change_key(caller, Call::UpdateAccessKey, named, id, change).await
    }

    /// Gives an access key another secret.
    pub async fn rotate_access_key(&self, caller: &Caller, id: AccessKeyId) -> Result<AccessKeyView, Refusal> {
        let secret = SecretString::from(letters(SECRET_LENGTH)?);
        let change = AccessChange::RotateKey { id: id.clone(), secret };
        self.change_key(caller, Call::RotateAccessKey, named::access_key(&id, None), id, change).await
    }

    async fn change_key(
        &self,
        caller: &Caller,
        call: Call,
        named: named::Named,
        id: AccessKeyId,
        change: AccessChange,
    ) -> Result<AccessKeyView, Refusal> {
        let changed = self.change_access(caller, call, named, |rules| {
            let key = rules.rows.keys.iter().find(|key| key.id == id);
            let user = key.and_then(|key| rules.rows.users.iter().find(|user| user.id == key.user));
            match user {
                Some(user) => rules.touched(call, &user.name).map(|_| change),
                None => {
                    let nobody = crate::domain::call::Subject::User { user: None, own: false };
                    rules.permit(call, nobody)?;
                    Err(Refusal::AccessKeyNotFound { key: id.clone() })
                }
            }
        });
        self.key_done(changed.await?, &id)
    }

    fn key_done(&self, changed: AccessChanged, id: &AccessKeyId) -> Result<AccessKeyView, Refusal> {
        match changed {
            AccessChanged::Done => {
                let (row, user) =
                    self.directory.key(id).ok_or_else(|| Refusal::AccessKeyNotFound { key: id.clone() })?;
                Ok(AccessKeyView { row, user: user.name })
            }
            AccessChanged::Taken { what, name } => Err(Refusal::NameTaken { what, name }),
            AccessChanged::NotFound => Err(Refusal::AccessKeyNotFound { key: id.clone() }),
            AccessChanged::RoleInUse { .. } => {
                Err(Refusal::Internal { what: format!("access key {id} was taken for a role") })
            }
        }
    }

    /// Access keys of the users that the caller may read, and his own, ascending by id; of one user when named.
    pub fn list_access_keys(&self, caller: &Caller, user: Option<&Principal>) -> Result<Vec<AccessKeyView>, Refusal> {
        let rows = self.directory.rows();
        let visible = caller.rights.visible(Domain::User);
        let shown = rows.users.iter().filter(|row| visible.includes(row.id.get()) || caller.user == Some(row.id));
        let shown: Vec<_> = shown.filter(|row| user.is_none_or(|name| *name == row.name)).collect();
        if let (Some(name), true) = (user, shown.is_empty()) {
            return Err(Refusal::UserNotFound { user: name.to_string() });
        }
        let views = rows.keys.iter().filter_map(|key| {
            let user = shown.iter().find(|user| user.id == key.user)?;
            Some(AccessKeyView { row: key.clone(), user: user.name.clone() })
        });
        Ok(views.collect())
    }
}

/// Random letters and digits, each as likely as the other.
fn letters(count: usize) -> Result<String, Refusal> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let random = SystemRandom::new();
    let mut text = String::with_capacity(count);
    let mut bytes = [0; 64];
    while text.len() < count {
        let filled = random.fill(&mut bytes);
        filled.map_err(|_| Refusal::Internal { what: "the system gives no random numbers".to_owned() })?;
        // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
        let fair = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        text.extend(fair.take(count - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_as_many_as_asked_for_and_differ() {
        let (one, other) = (letters(SECRET_LENGTH).unwrap(), letters(SECRET_LENGTH).unwrap());
        assert_ne!(one, other);
        assert!(one.len() == SECRET_LENGTH && one.chars().all(|letter| letter.is_ascii_alphanumeric()));
        let many = letters(62 * 400).unwrap();
        for letter in ['A', 'z', '9'] {
            let count = many.chars().filter(|one| *one == letter).count();
            assert!((250..550).contains(&count), "{letter}: {count}");
        }
    }
}
