//! Who calls: the user of the command line and its password, and how every call carries them. The password comes from a file,
//! the environment or the terminal, never from an argument, and is in no message.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::failure::Failure;
use super::secret;
use crate::domain::ids::Principal;

/// Variable that may carry the caller's password. No argument reads it, so that no help shows it.
const VARIABLE: &str = "OBSTEWARD_PASSWORD";
/// Advice where neither a file nor a variable can be used.
const WAYS: &str = "give --password-file FILE, set $OBSTEWARD_PASSWORD or use a terminal";

/// Options that say who calls. See [`super::GlobalOptions`] for their ids.
#[derive(Clone, Debug, Args)]
pub struct LoginOptions {
    /// User to log in as; its password comes from --password-file, $OBSTEWARD_PASSWORD or the terminal
    #[arg(
        id = "global_user",
        long = "user",
        global = true,
        value_name = "NAME",
        env = "OBSTEWARD_USER",
        hide_env_values = true
    )]
    pub user: Option<String>,
    /// File with the password of --user, - for standard input
    #[arg(
        id = "global_password_file",
        long = "password-file",
        global = true,
        value_name = "FILE",
        env = "OBSTEWARD_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub password_file: Option<PathBuf>,
    /// Send the password to another machine without TLS: whoever is on the way can read it
    #[arg(id = "global_insecure_plaintext", long = "insecure-plaintext", global = true)]
    pub insecure_plaintext: bool,
}

impl LoginOptions {
    pub fn user(&self) -> Result<Option<Principal>, Failure> {
        match self.user.as_deref() {
            None if self.password_file.is_some() => {
                Err(Failure::Usage("a password of nobody: --password-file needs --user NAME".to_owned()))
            }
            None => Ok(None),
            // As curl writes it. Not repeated: what follows the colon is a password.
            Some(user) if user.contains(':') => {
                Err(Failure::Usage(format!("--user takes a name alone; for its password {WAYS}")))
            }
            Some(user) => user
                .parse()
                .map(Some)
                .map_err(|error: crate::domain::ids::InvalidName| Failure::Usage(error.to_string())),
        }
    }

    /// The login of a user: its password is read or asked for now.
    pub fn login(&self, user: Principal) -> Result<Login, Failure> {
        let given = match &self.password_file {
            Some(file) => Some(secret::from_file(file, "it must hold the password")?),
            None => secret::from_variable(VARIABLE, "give --password-file FILE instead")?,
        };
        let password = match given {
            Some(password) if password.expose_secret().is_empty() => {
                return Err(Failure::Usage(format!("${VARIABLE} is empty, {WAYS}")));
            }
            Some(password) => Some(password),
            None => secret::ask(&format!("password of {user}"))?,
        };
        let password = password.ok_or_else(|| Failure::Usage(format!("no password for user {user}, {WAYS}")))?;
        Ok(Login { user, password })
    }
}

#[derive(Clone, Debug)]
pub struct Login {
    pub user: Principal,
    pub password: SecretString,
}

/// Puts a login on every call, watches too; without one it leaves calls as they are. Its Debug output is not the login:
/// the value is marked as sensitive.
#[derive(Clone, Debug, Default)]
pub struct Authorization(Option<MetadataValue<Ascii>>);

impl From<&Login> for Authorization {
    fn from(login: &Login) -> Self {
        let pair = SecretString::from(format!("{}:{}", login.user, login.password.expose_secret()));
        let mut value = MetadataValue::try_from(format!("Basic {}", STANDARD.encode(pair.expose_secret()))).ok();
        if let Some(value) = &mut value {
            // Kept out of Debug output and of the tables with which HTTP/2 shortens headers.
            value.set_sensitive(true);
        }
        debug_assert!(value.is_some(), "base64 is always a header's value");
        Self(value)
    }
}

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(user: Option<&str>, password_file: Option<PathBuf>) -> LoginOptions {
        LoginOptions { user: user.map(str::to_owned), password_file, insecure_plaintext: false }
    }

    #[test]
    fn basic_is_written_as_every_server_reads_it() {
        let login = Login { user: "admin".parse().unwrap(), password: SecretString::from("demo") };
        let request = Authorization::from(&login).call(Request::new(())).unwrap();
        let value = request.metadata().get("authorization").unwrap();
        assert_eq!(value.to_str().unwrap(), "Basic YWRtaW46ZGVtbw==");
        assert!(!format!("{:?} {login:?}", request.metadata()).contains("YWRt"), "{request:?}");
        assert!(!format!("{login:?}").contains("demo"), "{login:?}");
        let request = Authorization::default().call(Request::new(())).unwrap();
        assert!(request.metadata().is_empty());
    }

    #[test]
    fn a_password_is_read_from_the_file_and_belongs_to_somebody() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "se:cret\n").unwrap();
        let given = options(Some("bob"), Some(file.clone()));
        let login = given.login(given.user().unwrap().unwrap()).unwrap();
        assert_eq!((login.user.as_str(), login.password.expose_secret()), ("bob", "se:cret"));
        let Err(Failure::Usage(told)) = options(None, Some(file)).user() else { panic!("taken") };
        assert!(told.contains("--user"), "{told}");
        assert_eq!(options(None, None).user().unwrap(), None);
    }

    #[test]
    fn a_password_behind_the_name_is_refused_and_not_repeated() {
        let Err(failure) = options(Some("admin:hidden"), None).user() else { panic!("taken") };
        assert!(matches!(failure, Failure::Usage(_)));
        assert!(!format!("{failure:?}").contains("hidden"), "{failure:?}");
        for wrong in ["", "no body", "é"] {
            assert!(matches!(options(Some(wrong), None).user(), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
