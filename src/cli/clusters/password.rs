//! The password of a cluster: from a file or the environment, never from an argument, which every user of the machine
//! could read.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use crate::cli::failure::Failure;
use crate::cli::secret;

/// Variable that may carry the password.
const VARIABLE: &str = "OBSTEWARD_CLUSTER_PASSWORD";

/// Where the password comes from.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// File with the password of the cluster's user, - for standard input [default: $OBSTEWARD_CLUSTER_PASSWORD]
    #[arg(long, value_name = "FILE")]
    cluster_password_file: Option<PathBuf>,
    /// The cluster's user has no password
    #[arg(long, conflicts_with = "cluster_password_file")]
    no_password: bool,
}

impl PasswordArgs {
    pub fn read(&self) -> Result<Option<SecretString>, Failure> {
        if self.no_password {
            return Ok(Some(SecretString::default()));
        }
        match &self.cluster_password_file {
            Some(file) => secret::from_file(file, "say --no-password if there is none").map(Some),
            None => secret::from_variable(VARIABLE, "give --cluster-password-file instead"),
        }
    }

    /// The password; an error when none was given.
    pub fn require(&self) -> Result<SecretString, Failure> {
        self.read()?.ok_or_else(|| {
            Failure::Usage(format!(
                "no password of the cluster, give --cluster-password-file FILE, set ${VARIABLE} or say --no-password"
            ))
        })
    }
}
