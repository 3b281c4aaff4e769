//! The system's OpenSSH client with the settings of the service, as a command line. Options that are given here
//! override its own configuration: it asks nobody, trusts only host keys that it knows, and forwards nothing.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;

use crate::domain::ssh::SshDestination;

/// Longest wait for a connection that a setting may ask for: a look ends after ten seconds.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// Options that are always given.
const ALWAYS: &[&str] = &[
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ConnectionAttempts=1",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    // A connection of its own each time: its end is the agent's end, and its errors are its own.
    "ControlMaster=no",
    "ControlPath=none",
    // Errors only: banners and advice do not say what went wrong.
    "LogLevel=ERROR",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshOptions {
    pub program: PathBuf,
    /// Replaces its own configuration (`-F`).
    pub config_file: Option<PathBuf>,
    /// The only key that is offered; `None`: ssh's own choice.
    pub identity_file: Option<PathBuf>,
    /// The only host keys that are known; `None`: those that ssh itself knows.
    pub known_hosts_file: Option<PathBuf>,
    /// Longest wait until the other side has authenticated itself.
    pub connect_timeout: Duration,
    /// The command that is run there, one argument each.
    pub agent_command: Vec<String>,
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidSshOption {
    /// No command is given.
    #[error("agent_command has no words, name the program there, for example [\"obsteward\", \"agent\", \"--stdio\"]")]
    NoCommand,
    /// An argument of the command that cannot be passed on.
    #[error("agent_command has the word {0:?}, which is empty or has control characters")]
    Word(String),
    /// A path that cannot be quoted.
    #[error("{setting} is {path:?}, use a path without quotation marks and control characters")]
    Path {
        /// Which setting.
        setting: &'static str,
        path: PathBuf,
    },
}

#[derive(Clone, Debug)]
pub struct SshClient {
    options: SshOptions,
    /// The command, quoted for the shell on the other side.
    command: String,
}

impl SshClient {
    pub fn new(mut options: SshOptions) -> Result<Self, InvalidSshOption> {
        if options.agent_command.is_empty() {
            return Err(InvalidSshOption::NoCommand);
        }
        let wrong = |word: &&String| word.is_empty() || word.chars().any(char::is_control);
        if let Some(word) = options.agent_command.iter().find(wrong) {
            return Err(InvalidSshOption::Word(word.clone()));
        }
        for (setting, path) in [
            ("config_file", &options.config_file),
            ("identity_file", &options.identity_file),
            ("known_hosts_file", &options.known_hosts_file),
        ] {
            let unquotable = |path: &&PathBuf| {
                path.to_str().is_none_or(|path| path.contains('"') || path.contains(char::is_control))
            };
            if let Some(path) = path.as_ref().filter(unquotable) {
                return Err(InvalidSshOption::Path { setting, path: path.clone() });
            }
        }
        options.connect_timeout = options.connect_timeout.clamp(Duration::from_secs(1), LONGEST_CONNECT);
        let command = options.agent_command.iter().map(|word| quoted_for_shell(word)).collect::<Vec<_>>().join(" ");
        Ok(Self { options, command })
    }

    /// Longest wait until the other side has authenticated itself.
    pub const fn connect_timeout(&self) -> Duration {
        self.options.connect_timeout
    }

    /// The program, for messages.
    pub fn program(&self) -> &Path {
        &self.options.program
    }

    /// The program that is run there, for messages.
    pub fn agent(&self) -> &str {
        self.options.agent_command.first().map_or("", String::as_str)
    }

    /// The command that connects to a destination.
    pub fn to(&self, destination: &SshDestination) -> Command {
        let SshOptions { program, config_file, identity_file, known_hosts_file, connect_timeout, .. } = &self.options;
        let mut command = Command::new(program);
        // No terminal there; neither agent nor X11 forwarding.
        command.args(["-T", "-a", "-x"]);
        if let Some(path) = config_file {
            command.arg("-F").arg(path);
        }
        command.args(ALWAYS.iter().flat_map(|option| ["-o", option]));
        command.arg("-o").arg(format!("ConnectTimeout={}", connect_timeout.as_secs()));
        if let Some(path) = identity_file {
            command.arg("-i").arg(path).args(["-o", "IdentitiesOnly=yes"]);
        }
        if let Some(path) = known_hosts_file {
            command.arg("-o").arg(file_option("UserKnownHostsFile", path));
            command.args(["-o", "GlobalKnownHostsFile=/dev/null"]);
        }
        if let Some(port) = destination.login().port {
            command.arg("-p").arg(port.to_string());
        }
        if let Some(user) = &destination.login().user {
            command.arg("-l").arg(user.as_str());
        }
        command.arg("--").arg(destination.host()).arg(&self.command);
        // Its messages are recognised by their English words.
        command.env("LC_ALL", "C");
        command
    }
}

/// ssh splits options at blanks unless they are quoted.
fn file_option(name: &str, path: &Path) -> OsString {
    [OsStr::new(name), OsStr::new("=\""), path.as_os_str(), OsStr::new("\"")].into_iter().collect()
}

/// One argument for a shell, whatever it contains.
fn quoted_for_shell(word: &str) -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || "_-./:=@%+,".contains(letter);
    if word.chars().all(bare) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SshOptions {
        SshOptions {
            program: "ssh".into(),
            config_file: None,
            identity_file: None,
            known_hosts_file: None,
            connect_timeout: Duration::from_secs(3),
            agent_command: ["obsteward", "agent", "--stdio"].map(str::to_owned).to_vec(),
        }
    }

    fn line(options: SshOptions, destination: &str) -> Vec<String> {
        let command = SshClient::new(options).unwrap().to(&destination.parse().unwrap());
        command.as_std().get_args().map(|word| word.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_destination_comes_last_and_is_never_an_option() {
        let words = line(options(), "admin@[fd00::2]:2222");
        let end = ["-p", "2222", "-l", "admin", "--", "fd00::2", "obsteward agent --stdio"];
        assert_eq!(words[words.len() - end.len()..], end);
        let all = words.join(" ");
        for always in
            ["-T", "BatchMode=yes", "StrictHostKeyChecking=yes", "ClearAllForwardings=yes", "ConnectTimeout=3"]
        {
            assert!(all.contains(always), "{always} is not in {all}");
        }
        assert!(!all.contains("-F") && !all.contains("-i ") && !all.contains("KnownHostsFile"), "{all}");
        assert_eq!(
            line(options(), "db-2").last_chunk(),
            Some(&["--", "db-2", "obsteward agent --stdio"].map(str::to_owned))
        );
    }

    #[test]
    fn files_are_named_and_words_stay_words() {
        let words = line(
            SshOptions {
                config_file: Some("/etc/ssh config".into()),
                identity_file: Some("/etc/a key".into()),
                known_hosts_file: Some("/etc/known hosts".into()),
                connect_timeout: Duration::from_secs(3600),
                agent_command: ["sudo", "a b", "it's", "$(x)"].map(str::to_owned).to_vec(),
                ..options()
            },
            "h",
        );
        let has = |pair: [&str; 2]| words.windows(2).any(|words| words == pair);
        assert!(has(["-F", "/etc/ssh config"]) && has(["-i", "/etc/a key"]), "{words:?}");
        assert!(has(["-o", "UserKnownHostsFile=\"/etc/known hosts\""]), "{words:?}");
        assert!(has(["-o", "ConnectTimeout=5"]), "{words:?}");
        assert_eq!(words.last().unwrap(), r"sudo 'a b' 'it'\''s' '$(x)'");
    }

    #[test]
    fn what_ssh_could_not_be_told_is_refused() {
        let refused = |change: fn(&mut SshOptions)| {
            let mut options = options();
            change(&mut options);
            SshClient::new(options).unwrap_err()
        };
        assert_eq!(refused(|options| options.agent_command.clear()), InvalidSshOption::NoCommand);
        assert!(matches!(refused(|options| options.agent_command.push(String::new())), InvalidSshOption::Word(_)));
        assert!(matches!(refused(|options| options.agent_command.push("a\nb".into())), InvalidSshOption::Word(_)));
        let path = refused(|options| options.known_hosts_file = Some("a\"b".into()));
        assert!(matches!(path, InvalidSshOption::Path { setting: "known_hosts_file", .. }));
    }
}
