//! Users, access keys and roles of the configuration in the form that `access` takes: reads the files of passwords and secrets,
//! and warns of those that others may read. May use `config` and `access`.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::access::bootstrap::{Bootstrap, WantedKey, WantedPassword, WantedRole, WantedUser};
use crate::config::{AuthConfig, KeyConfig, RoleConfig, UserConfig};

/// In bytes; a larger file is a mistake.
const LARGEST_FILE: u64 = 64 * 1024;

/// What is wrong with the users, keys and roles of the configuration. Never shows a secret.
#[derive(Debug, Error)]
pub enum AccessConfigError {
    #[error("cannot read {path}, which {owner} is to be proven by: {error}")]
    Read {
        path: PathBuf,
        /// Whose secret the file holds.
        owner: Owner,
        error: io::Error,
    },
    #[error("the first line of {path} is empty, it must hold the secret of {owner}")]
    Empty { path: PathBuf, owner: Owner },
    /// Both a file and a hash.
    #[error("auth.users, {owner}: give password_file or password_hash, not both")]
    TwoPasswords { owner: Owner },
}

/// Whose secret it is, for errors and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    User(String),
    Key(String),
    /// Our user at the database of the shared store.
    Store,
    /// A target of notifications.
    Webhook(String),
    Alertmanager,
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(formatter, "user {name:?}"),
            Self::Key(id) => write!(formatter, "access key {id:?}"),
            Self::Store => formatter.write_str("the user of store.url"),
            Self::Webhook(name) => write!(formatter, "webhook {name:?}"),
            Self::Alertmanager => formatter.write_str("the service at the Alertmanager"),
        }
    }
}

/// What the configuration wants, with the passwords and secrets from its files.
pub fn wanted(config: &AuthConfig) -> Result<Bootstrap, AccessConfigError> {
    let role = |role: &RoleConfig| WantedRole { name: role.name.clone(), permissions: role.permissions.clone() };
    let user = |user: &UserConfig| {
        Ok(WantedUser {
            name: user.name.clone(),
            roles: user.roles.clone(),
            password: password(user)?,
            certificate_names: user.certificate_names.clone(),
        })
    };
    let key = |key: &KeyConfig| {
        let secret = first_line(&key.secret_file, Owner::Key(key.id.clone()))?;
        Ok(WantedKey { id: key.id.clone(), user: key.user.clone(), secret })
    };
    Ok(Bootstrap {
        roles: config.roles.iter().map(role).collect(),
        users: config.users.iter().map(user).collect::<Result<_, AccessConfigError>>()?,
        keys: config.keys.iter().map(key).collect::<Result<_, AccessConfigError>>()?,
    })
}

fn password(user: &UserConfig) -> Result<Option<WantedPassword>, AccessConfigError> {
    let owner = Owner::User(user.name.clone());
    match (&user.password_file, &user.password_hash) {
        (Some(_), Some(_)) => Err(AccessConfigError::TwoPasswords { owner }),
        (Some(path), None) => Ok(Some(WantedPassword::Plain(first_line(path, owner)?))),
        (None, Some(hash)) => Ok(Some(WantedPassword::Hash(hash.clone()))),
        (None, None) => Ok(None),
    }
}

/// The first line of a file, without its line end. Warns when others than the owner may read the file.
pub(super) fn first_line(path: &Path, owner: Owner) -> Result<SecretString, AccessConfigError> {
    let failed = |error| AccessConfigError::Read { path: path.to_owned(), owner: owner.clone(), error };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let mode = format!("{:03o}", mode & 0o777);
        tracing::warn!(path = %path.display(), mode, "others may read the secret of {owner}, take their rights away (chmod 600)");
    }
    let mut text = String::new();
    let read = file.take(LARGEST_FILE).read_to_string(&mut text);
    let line = SecretString::from(text.lines().next().unwrap_or_default());
    text.zeroize();
    read.map_err(failed)?;
    if line.expose_secret().is_empty() {
        return Err(AccessConfigError::Empty { path: path.to_owned(), owner });
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserConfig {
        UserConfig {
            name: name.to_owned(),
            roles: vec!["ADMIN".to_owned()],
            password_file: None,
            password_hash: None,
            certificate_names: Vec::new(),
        }
    }

    #[test]
    fn a_secret_is_the_first_line_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let file = path("password", "pass word \r\nsecond\n");
        let key_file = path("key", "s3cret");
        let config = AuthConfig {
            users: vec![
                UserConfig { password_file: Some(file), ..user("admin") },
                UserConfig { password_hash: Some("$argon2id$".to_owned()), ..user("hash") },
                user("certificate"),
            ],
            keys: vec![KeyConfig { id: "A1".to_owned(), user: "admin".to_owned(), secret_file: key_file }],
            roles: vec![RoleConfig { name: "SHIFT".to_owned(), permissions: vec!["CLUSTER:7:READ".to_owned()] }],
            ..AuthConfig::default()
        };
        let wanted = wanted(&config).unwrap();
        let [Some(WantedPassword::Plain(plain)), Some(WantedPassword::Hash(hash)), None] =
            [0, 1, 2].map(|at: usize| wanted.users[at].password.as_ref())
        else {
            panic!("{wanted:?}");
        };
        assert_eq!((plain.expose_secret(), hash.as_str()), ("pass word ", "$argon2id$"));
        assert_eq!((wanted.keys[0].user.as_str(), wanted.keys[0].secret.expose_secret()), ("admin", "s3cret"));
        assert_eq!(wanted.roles[0].permissions, ["CLUSTER:7:READ"]);
        assert!(!format!("{wanted:?}").contains("pass word") && !format!("{wanted:?}").contains("s3cret"));
    }

    #[test]
    fn an_error_names_the_file_and_whose_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let empty = directory.path().join("empty");
        std::fs::write(&empty, "\nsecret below\n").unwrap();
        let error = |user| {
            let config = AuthConfig { users: vec![user], ..AuthConfig::default() };
            wanted(&config).unwrap_err().to_string()
        };
        let said = error(UserConfig { password_file: Some(missing.clone()), ..user("ops") });
        assert!(said.contains("user \"ops\"") && said.contains(&missing.display().to_string()), "{said}");
        let said = error(UserConfig { password_file: Some(empty.clone()), ..user("ops") });
        assert!(said.contains(&format!("the first line of {} is empty", empty.display())), "{said}");
        assert!(!said.contains("below"));
        let both = UserConfig { password_file: Some(empty), password_hash: Some("x".to_owned()), ..user("ops") };
        assert_eq!(error(both), "auth.users, user \"ops\": give password_file or password_hash, not both");
    }
}
