//! Where a target is, from its URL. What of the URL may be a secret (its path) is never shown. Pure.

use std::fmt;

use http::Uri;
use http::uri::Scheme;
use thiserror::Error;

use crate::config::SecretUrl;

/// Why a URL is none of a target. Does not show it: its path may be a secret.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidUrl {
    #[error("is no URL, write https://host/path")]
    Malformed,
    #[error("begins with neither https:// nor http://")]
    Scheme,
    #[error(
        "has a user or a password, which are not sent; what proves the sender is the signature, or authorization_file"
    )]
    User,
}

/// Shown as `https://host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub tls: bool,
    /// IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// Path and query, without a slash at its end that stands alone there.
    path: String,
}

impl Endpoint {
    pub fn parse(url: &SecretUrl) -> Result<Self, InvalidUrl> {
        let uri: Uri = url.expose().parse().map_err(|_| InvalidUrl::Malformed)?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) => return Err(InvalidUrl::Scheme),
            None => return Err(InvalidUrl::Malformed),
        };
        let authority = uri.authority().ok_or(InvalidUrl::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(InvalidUrl::User);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(InvalidUrl::Malformed);
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { tls, host, port, path: path.to_owned() })
    }

    /// Value of the header `Host`.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What a request asks for; `below`: behind the URL's own path, or empty for that itself.
    pub fn path(&self, below: &str) -> String {
        if below.is_empty() { self.path.clone() } else { format!("{}{below}", self.path.trim_end_matches('/')) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Debug for Endpoint {
    /// As it is shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Endpoint, InvalidUrl> {
        Endpoint::parse(&SecretUrl::new(url))
    }

    #[test]
    fn a_url_is_shown_without_its_path() {
        for (url, shown, path) in [
            (
                "https://hooks.example.com/services/T0/s3cret?x=1",
                "https://hooks.example.com:443",
                "/services/T0/s3cret?x=1",
            ),
            ("http://10.0.0.1:8080", "http://10.0.0.1:8080", "/"),
            ("http://[fd00::1]/a", "http://[fd00::1]:80", "/a"),
        ] {
            let endpoint = parsed(url).unwrap();
            assert_eq!((endpoint.to_string().as_str(), endpoint.path("").as_str()), (shown, path));
            assert!(!format!("{endpoint:?}").contains("s3cret"));
        }
        assert_eq!(parsed("http://h/am/").unwrap().path("/api/v2/silences"), "/am/api/v2/silences");
        assert_eq!(parsed("http://h").unwrap().path("/api/v2/silences"), "/api/v2/silences");
    }

    #[test]
    fn what_is_no_url_of_a_target_is_refused() {
        for (url, error) in [
            ("", InvalidUrl::Malformed),
            ("hooks.example.com/a", InvalidUrl::Malformed),
            ("/a", InvalidUrl::Malformed),
            ("ftp://h/a", InvalidUrl::Scheme),
            ("https://me:s3cret@h/a", InvalidUrl::User),
        ] {
            assert_eq!(parsed(url), Err(error), "{url}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }
}
