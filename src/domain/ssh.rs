//! Destinations of ssh: `[user@]host[:port]`. What is parsed here is safe to pass to the ssh program: no part of it can be
//! taken for an option, or mean anything to a shell.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;

/// Longer than Linux allows (32).
const LONGEST_USER: usize = 64;
/// Longest name of a host (RFC 1035).
const LONGEST_HOST: usize = 253;

/// Text that is not an ssh destination, or not a part of one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidSsh {
    /// `[user@]host[:port]`.
    #[error(
        "{0:?} is not a destination for ssh, write [user@]host[:port], for example admin@10.0.0.2:22, db-2 or [fd00::2]:22"
    )]
    Destination(String),
    /// `[user@][:port]`.
    #[error("{0:?} is not a destination for ssh without its host, write [user@][:port], for example admin@:22")]
    Login(String),
    #[error(
        "{0:?} is not a user for ssh, which has 1 to {LONGEST_USER} letters, digits, '_', '-' or '.' and does not begin with \
         '-'"
    )]
    User(String),
}

/// A user name on the remote host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SshUser(String);

impl SshUser {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SshUser {
    type Err = InvalidSsh;

    fn from_str(text: &str) -> Result<Self, InvalidSsh> {
        if is_word(text, LONGEST_USER) { Ok(Self(text.to_owned())) } else { Err(InvalidSsh::User(text.to_owned())) }
    }
}

impl fmt::Display for SshUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// User and port; ssh decides what is not given (from its configuration, the user who runs it, and port 22).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SshLogin {
    pub user: Option<SshUser>,
    pub port: Option<NonZeroU16>,
}

impl SshLogin {
    pub fn at(&self, ip: IpAddr) -> SshDestination {
        SshDestination { login: self.clone(), host: ip.to_string() }
    }

    /// From `user` and `:port`, each optional.
    fn of(user: Option<&str>, port: &str) -> Option<Self> {
        let user = user.map(str::parse).transpose().ok()?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').filter(|port| is_number(port))?.parse().ok()?),
        };
        Some(Self { user, port })
    }
}

impl FromStr for SshLogin {
    type Err = InvalidSsh;

    fn from_str(text: &str) -> Result<Self, InvalidSsh> {
        let (user, port) = with_user(text);
        Self::of(user, port).ok_or_else(|| InvalidSsh::Login(text.to_owned()))
    }
}

impl fmt::Display for SshLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(formatter, self, "")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SshDestination {
    login: SshLogin,
    /// A name, which may be an alias from ssh's configuration, or an IP without brackets.
    host: String,
}

impl SshDestination {
    pub const fn login(&self) -> &SshLogin {
        &self.login
    }

    /// The host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for SshDestination {
    type Err = InvalidSsh;

    fn from_str(text: &str) -> Result<Self, InvalidSsh> {
        let wrong = || InvalidSsh::Destination(text.to_owned());
        let (user, rest) = with_user(text);
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (ip, port) = bracketed.split_once(']').ok_or_else(wrong)?;
                (ip.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string(), port)
            }
            None => {
                let end = rest.find(':').unwrap_or(rest.len());
                let (host, port) = rest.split_at(end);
                if !is_word(host, LONGEST_HOST) {
                    return Err(wrong());
                }
                (host.to_owned(), port)
            }
        };
        let login = SshLogin::of(user, port).ok_or_else(wrong)?;
        Ok(Self { login, host })
    }
}

impl fmt::Display for SshDestination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write(formatter, &self.login, &format!("[{}]", self.host))
        } else {
            write(formatter, &self.login, &self.host)
        }
    }
}

fn with_user(text: &str) -> (Option<&str>, &str) {
    text.split_once('@').map_or((None, text), |(user, rest)| (Some(user), rest))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_word(text: &str, longest: usize) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    !text.is_empty() && text.len() <= longest && !text.starts_with('-') && text.chars().all(allowed)
}

fn write(formatter: &mut fmt::Formatter<'_>, login: &SshLogin, host: &str) -> fmt::Result {
    if let Some(user) = &login.user {
        write!(formatter, "{user}@")?;
    }
    formatter.write_str(host)?;
    match login.port {
        Some(port) => write!(formatter, ":{port}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_written_as_they_are_read() {
        for (text, user, host, port) in [
            ("10.0.0.2", None, "10.0.0.2", None),
            ("admin@db-2.example.com:2222", Some("admin"), "db-2.example.com", Some(2222)),
            ("[fd00::2]", None, "fd00::2", None),
            ("o.b_1@[fd00::2]:22", Some("o.b_1"), "fd00::2", Some(22)),
        ] {
            let destination: SshDestination = text.parse().unwrap();
            assert_eq!(destination.to_string(), text);
            assert_eq!(destination.host(), host);
            let login = destination.login();
            assert_eq!(login.user.as_ref().map(SshUser::as_str), user);
            assert_eq!(login.port.map(NonZeroU16::get), port);
        }
        for login in ["", "admin@", ":22", "admin@:22"] {
            assert_eq!(login.parse::<SshLogin>().unwrap().to_string(), login);
        }
        let login: SshLogin = "admin@:22".parse().unwrap();
        assert_eq!(login.at("fd00::2".parse().unwrap()).to_string(), "admin@[fd00::2]:22");
        assert_eq!(login.at("10.0.0.2".parse().unwrap()), "admin@10.0.0.2:22".parse().unwrap());
    }

    #[test]
    fn nothing_is_read_as_an_option_or_by_a_shell() {
        let long = "a".repeat(LONGEST_HOST + 1);
        for wrong in [
            "",
            "@h",
            "u@",
            "h:",
            "h:0",
            "h:65536",
            "h:+1",
            "h:1:2",
            "fd00::2",
            "[10.0.0.2]:1",
            "[fd00::2",
            "[fd00::2]1",
            "-oProxyCommand=sh",
            "-l@h",
            "u@-h",
            "u@v@h",
            "a b",
            "u@h;reboot",
            "$(reboot)",
            "`reboot`@h",
            "h\n",
            "h%eth0",
            "ssh://h",
            &long,
        ] {
            assert!(matches!(wrong.parse::<SshDestination>(), Err(InvalidSsh::Destination(_))), "{wrong:?}");
        }
        for wrong in ["admin", "22", "@:22", "-u@", "u@22", "u@h:22", "u@:"] {
            assert!(matches!(wrong.parse::<SshLogin>(), Err(InvalidSsh::Login(_))), "{wrong:?}");
        }
    }
}
