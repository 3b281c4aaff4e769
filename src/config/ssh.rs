//! OpenSSH, by which hosts are reached whose route is ssh.

use std::path::PathBuf;

use serde::Deserialize;

/// The system's OpenSSH client, for hosts over ssh.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct SshConfig {
    pub program: PathBuf,
    /// Without it, ssh reads its usual files.
    pub config_file: Option<PathBuf>,
    /// The only private key that is offered; without it, ssh chooses.
    pub identity_file: Option<PathBuf>,
    /// The only known host keys; without it, ssh reads its usual files.
    pub known_hosts_file: Option<PathBuf>,
    /// Seconds for connecting and authenticating, 1 to 5.
    pub connect_timeout_seconds: u64,
    /// Command with its arguments, run on the remote host.
    pub agent_command: Vec<String>,
}

impl Default for SshConfig {
    fn default() -> Self {
        Self {
            program: PathBuf::from("ssh"),
            config_file: None,
            identity_file: None,
            known_hosts_file: None,
            connect_timeout_seconds: 3,
            agent_command: ["obsteward", "agent", "--stdio"].map(str::to_owned).to_vec(),
        }
    }
}
