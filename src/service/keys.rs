//! Calls on access keys. Ids and secrets come from the system's random numbers; a secret is shown only to whoever makes it.

use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;

use super::Service;
use super::audit_entry::AuditEntry;
use super::call::{Caller, ServiceCall};
use super::views::AccessKeyView;
use crate::domain::call::{Call, Subject};
use crate::domain::ids::{AccessKeyId, InvalidName, Principal};
use crate::domain::permission::Domain;
use crate::domain::refusal::Refusal;
use crate::store::access::{AccessChange, AccessChangeOutcome};

/// Letters and digits of an id.
const ID_LENGTH: usize = 20;
/// Letters and digits of a secret: 238 bits.
const SECRET_LENGTH: usize = 40;

/// Makes an access key for a user, or for the caller. Its secret is in the answer, and nowhere else ever.
#[derive(Clone, Debug)]
pub struct CreateAccessKey {
    /// `None`: the caller.
    pub user: Option<Principal>,
}

impl CreateAccessKey {
    fn name(&self, caller: &Caller) -> Principal {
        self.user.as_ref().unwrap_or(&caller.principal).clone()
    }
}

impl ServiceCall for CreateAccessKey {
    const CALL: Call = Call::CreateAccessKey;
    type Subject = Principal;
    type Output = AccessKeyView;

    fn subject(&self, caller: &Caller) -> Principal {
        self.name(caller)
    }

    fn audit_entry(&self, caller: &Caller) -> AuditEntry {
        AuditEntry::on(format!("user {}", self.name(caller)))
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<AccessKeyView, Refusal> {
        let (name, entry) = (self.name(caller), self.audit_entry(caller));
        let secret = SecretString::from(letters(SECRET_LENGTH)?);
        let id: AccessKeyId =
            letters(ID_LENGTH)?.parse().map_err(|error: InvalidName| Refusal::Internal { what: error.to_string() })?;
        let changed = service.change_access(caller, Self::CALL, entry, |rules| {
            let user = rules.touched(Self::CALL, &name)?.id;
            Ok(AccessChange::CreateKey { id: id.clone(), user, secret: secret.clone() })
        });
        service.key_done(changed.await?, &id)
    }
}

/// Disables or enables an access key.
#[derive(Clone, Debug)]
pub struct UpdateAccessKey {
    /// Which key. Its id is no secret.
    pub id: AccessKeyId,
    /// Whether it proves nobody for now.
    pub disabled: bool,
}

impl ServiceCall for UpdateAccessKey {
    const CALL: Call = Call::UpdateAccessKey;
    type Subject = AccessKeyId;
    type Output = AccessKeyView;

    fn subject(&self, _: &Caller) -> AccessKeyId {
        self.id.clone()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on(format!("access key {}", self.id)).with("disabled", self.disabled)
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<AccessKeyView, Refusal> {
        let entry = self.audit_entry(caller);
        let change = AccessChange::UpdateKey { id: self.id.clone(), disabled: self.disabled };
        service.change_key(caller, Self::CALL, entry, self.id, change).await
    }
}

/// Gives an access key another secret, which is in the answer, and nowhere else ever.
#[derive(Clone, Debug)]
pub struct RotateAccessKey(pub AccessKeyId);

impl ServiceCall for RotateAccessKey {
    const CALL: Call = Call::RotateAccessKey;
    type Subject = AccessKeyId;
    type Output = AccessKeyView;

    fn subject(&self, _: &Caller) -> AccessKeyId {
        self.0.clone()
    }

    fn audit_entry(&self, _: &Caller) -> AuditEntry {
        AuditEntry::on(format!("access key {}", self.0))
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<AccessKeyView, Refusal> {
        let entry = self.audit_entry(caller);
        let secret = SecretString::from(letters(SECRET_LENGTH)?);
        let change = AccessChange::RotateKey { id: self.0.clone(), secret };
        service.change_key(caller, Self::CALL, entry, self.0, change).await
    }
}

/// Access keys of the users that the caller may read, and its own, ascending by id.
#[derive(Clone, Debug)]
pub struct ListAccessKeys {
    /// `None`: of every user that the caller may read.
    pub user: Option<Principal>,
}

impl ServiceCall for ListAccessKeys {
    const CALL: Call = Call::ListAccessKeys;
    type Subject = Option<Principal>;
    type Output = Vec<AccessKeyView>;

    fn subject(&self, _: &Caller) -> Option<Principal> {
        self.user.clone()
    }

    async fn run(self, service: &Service, caller: &Caller, _: ()) -> Result<Vec<AccessKeyView>, Refusal> {
        let rows = service.directory.rows();
        let visible = caller.rights.visible(Domain::User);
        let shown = rows.users.iter().filter(|row| visible.includes(row.id.get()) || caller.user == Some(row.id));
        let shown: Vec<_> = shown.filter(|row| self.user.as_ref().is_none_or(|name| *name == row.name)).collect();
        if let (Some(name), true) = (&self.user, shown.is_empty()) {
            return Err(Refusal::UserNotFound { user: name.to_string() });
        }
        let views = rows.keys.iter().filter_map(|key| {
            let user = shown.iter().find(|user| user.id == key.user)?;
            Some(AccessKeyView { row: key.clone(), user: user.name.clone() })
        });
        Ok(views.collect())
    }
}

impl Service {
    async fn change_key(
        &self,
        caller: &Caller,
        call: Call,
        entry: AuditEntry,
        id: AccessKeyId,
        change: AccessChange,
    ) -> Result<AccessKeyView, Refusal> {
        let changed = self.change_access(caller, call, entry, |rules| {
            let key = rules.rows.keys.iter().find(|key| key.id == id);
            let user = key.and_then(|key| rules.rows.users.iter().find(|user| user.id == key.user));
            match user {
                Some(user) => rules.touched(call, &user.name).map(|_| change.clone()),
                None => {
                    let nobody = Subject::User { user: None, own: false };
                    rules.permit(call, nobody)?;
                    Err(Refusal::AccessKeyNotFound { key: id.clone() })
                }
            }
        });
        self.key_done(changed.await?, &id)
    }

    fn key_done(&self, changed: AccessChangeOutcome, id: &AccessKeyId) -> Result<AccessKeyView, Refusal> {
        match changed {
            AccessChangeOutcome::Done => {
                let (row, user) =
                    self.directory.key(id).ok_or_else(|| Refusal::AccessKeyNotFound { key: id.clone() })?;
                Ok(AccessKeyView { row, user: user.name })
            }
            AccessChangeOutcome::Taken { what, name } => Err(Refusal::NameTaken { what, name }),
            AccessChangeOutcome::NotFound => Err(Refusal::AccessKeyNotFound { key: id.clone() }),
            AccessChangeOutcome::RoleInUse { .. } => {
                Err(Refusal::Internal { what: format!("access key {id} was taken for a role") })
            }
        }
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
