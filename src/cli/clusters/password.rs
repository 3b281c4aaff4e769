//! The password of a cluster: from a file or the environment, never from an argument, which every user of the machine
//! could read.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::cli::failure::Failure;

/// Variable that may carry the password.
const VARIABLE: &str = "OBSTEWARD_CLUSTER_PASSWORD";

/// Where the password comes from.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// File with the password of the user, - for standard input [default: $OBSTEWARD_CLUSTER_PASSWORD]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The user has no password
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
}

impl PasswordArgs {
    /// The password, if any was given.
    pub fn read(&self) -> Result<Option<SecretString>, Failure> {
        if self.no_password {
            return Ok(Some(SecretString::default()));
        }
        match &self.password_file {
            Some(file) => from_file(file).map(Some),
            None => match std::env::var(VARIABLE) {
                Ok(password) => Ok(Some(SecretString::from(password))),
                Err(std::env::VarError::NotPresent) => Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(Failure::Usage(format!("${VARIABLE} is not UTF-8, give --password-file instead")))
                }
            },
        }
    }

    /// The password, which must have been given.
    pub fn require(&self) -> Result<SecretString, Failure> {
        self.read()?.ok_or_else(|| {
            Failure::Usage(format!("no password, give --password-file FILE, set ${VARIABLE} or say --no-password"))
        })
    }
}

fn from_file(file: &Path) -> Result<SecretString, Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text =
        text.map_err(|error| Failure::Usage(format!("cannot read password file {}: {error}", file.display())))?;
    let password = SecretString::from(one_line(&text));
    if password.expose_secret().is_empty() {
        return Err(Failure::Usage(format!(
            "password file {} is empty, say --no-password if there is none",
            file.display()
        )));
    }
    Ok(password)
}

/// Editors end a file with a line break that is not part of the password; spaces may be.
fn one_line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_not_the_password() {
        assert_eq!(one_line("pass word \r\n"), "pass word ");
        assert_eq!(one_line("a\n\n"), "a\n");
    }

    #[test]
    fn a_file_is_read_and_an_empty_one_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "secret\n").unwrap();
        assert_eq!(from_file(&file).unwrap().expose_secret(), "secret");
        std::fs::write(&file, "\n").unwrap();
        assert!(matches!(from_file(&file), Err(Failure::Usage(_))));
        assert!(matches!(from_file(&directory.path().join("none")), Err(Failure::Usage(_))));
    }
}
