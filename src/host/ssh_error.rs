//! Why there is no agent at the other end of ssh, derived from how ssh ended and what it said (in the C locale). Pure.

use std::time::Duration;

use thiserror::Error;

use crate::domain::printable::is_invisible;

/// Longest of its words that a message repeats, in characters.
const LONGEST_WORDS: usize = 400;
/// Last lines of it that a message repeats.
const LINES: usize = 4;
/// Exit code of ssh for its own errors.
const OF_SSH: i32 = 255;
/// Exit code of a shell that has no such program, or may not run it.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// No request was sent.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SshError {
    /// ssh could not be started here.
    #[error("the ssh program {program} cannot be run ({error}), install OpenSSH's client or set ssh.program")]
    Program { program: String, error: String },
    /// The host's name cannot be resolved.
    #[error("its name has no address: {0}")]
    Name(String),
    #[error("ssh cannot connect: {0}")]
    Unreachable(String),
    #[error("ssh did not get to an agent within {limit:?}{}", after(.said))]
    Late { limit: Duration, said: String },
    /// Its host key is not known.
    #[error(
        "its host key is not known, and none is trusted at first sight: compare `ssh-keyscan` with the key on the host and \
         add it to the known hosts of the service (ssh.known_hosts_file): {0}"
    )]
    HostKeyUnknown(String),
    /// Its host key has changed.
    #[error(
        "its host key has CHANGED: somebody may stand in between, or the host was installed anew; find out, and only then \
         replace the key that is known: {0}"
    )]
    HostKeyChanged(String),
    /// It does not accept our key.
    #[error(
        "it does not let the service in: {0}; the public half of the service's key (ssh.identity_file) belongs into \
         authorized_keys of that user there"
    )]
    AuthenticationRefused(String),
    /// There is no agent to run.
    #[error("it cannot run {agent} ({said}), install obsteward there or set ssh.agent_command to its path")]
    NoProgram { agent: String, said: String },
    /// The agent was run, and ended.
    #[error("the agent there ended with exit code {code}{}", after(.said))]
    Agent { code: i32, said: String },
    /// The first bytes are not an agent's.
    #[error(
        "something there writes to standard output before the agent does, which only the agent may (look into .bashrc and \
         the like, and what ssh.agent_command names): {0:?}"
    )]
    Rubbish(String),
    #[error("ssh ended without getting to an agent{}", after(.0))]
    Other(String),
}

impl SshError {
    /// ssh ended before an agent spoke. `code`: `None` when a signal ended it.
    pub fn ended(code: Option<i32>, said: &str, agent: &str) -> Self {
        let words = last_words(said);
        match code {
            Some(OF_SSH) => Self::of_ssh(said, words),
            Some(NOT_FOUND | NOT_EXECUTABLE) => Self::NoProgram { agent: agent.to_owned(), said: words },
            Some(code) => Self::Agent { code, said: words },
            None => Self::Other(words),
        }
    }

    fn of_ssh(said: &str, words: String) -> Self {
        let says = |any: &[&str]| any.iter().any(|some| said.contains(some));
        if says(&["Could not resolve hostname"]) {
            Self::Name(words)
        } else if says(&[
            "REMOTE HOST IDENTIFICATION HAS CHANGED",
            "has changed and you have requested strict checking",
        ]) {
            Self::HostKeyChanged(changed(said))
        } else if says(&["host key is known for"]) {
            Self::HostKeyUnknown(words)
        } else if says(&[
            "Permission denied (",
            "Too many authentication failures",
            "No supported authentication methods available",
        ]) {
            Self::AuthenticationRefused(words)
        } else if says(&["connect to host ", "connect to address ", "Connection timed out", "Connection refused"]) {
            Self::Unreachable(words)
        } else {
            Self::Other(words)
        }
    }
}

/// Of ssh's long warning, the lines that name files.
fn changed(said: &str) -> String {
    let named: Vec<&str> =
        said.lines().filter(|line| line.starts_with("Offending ") || line.starts_with("Host key for ")).collect();
    if named.is_empty() { last_words(said) } else { last_words(&named.join("\n")) }
}

/// The last lines of what a program said, joined to one and shortened for a message.
pub fn last_words(said: &str) -> String {
    let clean = |line: &str| line.chars().filter(|letter| !is_invisible(*letter)).collect::<String>();
    let lines: Vec<String> = said.lines().map(|line| clean(line.trim())).filter(|line| !line.is_empty()).collect();
    let words = lines[lines.len().saturating_sub(LINES)..].join("; ");
    match words.char_indices().nth(LONGEST_WORDS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

fn after(said: &str) -> String {
    if said.is_empty() { " and said nothing".to_owned() } else { format!(": {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGED: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r
Please contact your system administrator.\r
Add correct host key in /known to get rid of this message.\r
Offending ED25519 key in /known:1\r
  remove with:\r
  ssh-keygen -f \"/known\" -R \"[127.0.0.1]:2222\"\r
Host key for [127.0.0.1]:2222 has changed and you have requested strict checking.\r
Host key verification failed.\r
";

    /// What OpenSSH 7.4 to 10 says, as it says it.
    #[test]
    fn each_way_of_failing_is_told_apart() {
        let told = |code, said: &str| SshError::ended(Some(code), said, "obsteward");
        let ssh = |said: &str| told(255, said);
        for said in [
            "ssh: Could not resolve hostname db-9: Name or service not known\r\n",
            "ssh: Could not resolve hostname db-9: Temporary failure in name resolution\r\n",
        ] {
            assert!(matches!(ssh(said), SshError::Name(_)), "{said}");
        }
        for said in [
            "ssh: connect to host 127.0.0.1 port 1: Connection refused\r\n",
            "ssh: connect to host 10.9.9.9 port 22: Connection timed out\r\n",
            "ssh: connect to host 10.9.9.9 port 22: No route to host\r\n",
            "ssh: connect to host fd00::2 port 22: Network is unreachable\r\n",
            "Connection timed out during banner exchange\r\nConnection to 127.0.0.1 port 22 timed out\r\n",
        ] {
            assert!(matches!(ssh(said), SshError::Unreachable(_)), "{said}");
        }
        for said in [
            "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking.\r\n\
             Host key verification failed.\r\n",
            "No RSA host key is known for db-2 and you have requested strict checking.\r\nHost key verification failed.\r\n",
        ] {
            assert!(matches!(ssh(said), SshError::HostKeyUnknown(_)), "{said}");
        }
        let changed = SshError::HostKeyChanged(
            "Offending ED25519 key in /known:1; Host key for [127.0.0.1]:2222 has changed and you have requested strict \
             checking."
                .to_owned(),
        );
        assert_eq!(ssh(CHANGED), changed);
        for said in [
            "root@127.0.0.1: Permission denied (publickey).\r\n",
            "Warning: Identity file /k not accessible: No such file or directory.\n\
             root@127.0.0.1: Permission denied (publickey,password).\r\n",
            "Received disconnect from 127.0.0.1 port 22:2: Too many authentication failures\r\n\
             Disconnected from 127.0.0.1 port 22\r\n",
        ] {
            assert!(matches!(ssh(said), SshError::AuthenticationRefused(_)), "{said}");
        }
        for said in
            ["", "Host key verification failed.\r\n", "kex_exchange_identification: Connection closed by remote host"]
        {
            assert!(matches!(ssh(said), SshError::Other(_)), "{said}");
        }
        let no_program = told(127, "bash: line 1: obsteward: command not found\n");
        assert!(matches!(&no_program, SshError::NoProgram { agent, .. } if agent == "obsteward"), "{no_program:?}");
        // What the agent itself says counts as the agent's.
        let agent = told(1, "the agent's record cannot be opened: Permission denied (os error 13)\n");
        assert!(matches!(agent, SshError::Agent { code: 1, .. }), "{agent:?}");
    }

    #[test]
    fn words_are_bounded_and_clean() {
        assert_eq!(last_words("a\r\n\n \u{1b}[1mb\u{7}\n"), "a; [1mb");
        assert_eq!(last_words("1\n2\n3\n4\n5\n"), "2; 3; 4; 5");
        assert_eq!(last_words(&"é".repeat(1000)).chars().count(), LONGEST_WORDS + 1);
        assert_eq!(
            SshError::Other(String::new()).to_string(),
            "ssh ended without getting to an agent and said nothing"
        );
    }
}
