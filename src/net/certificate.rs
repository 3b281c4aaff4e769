//! Names of certificates: which ones a certificate carries, and how a name is written. Whether a certificate is to be trusted
//! was found by TLS before. Pure.
//!
//! A name is `DNS:…`, `URI:…`, `EMAIL:…` or `IP:…`: a subject alternative name (RFC 5280, section 4.2.1.6), in lower
//! case where case does not matter. The subject's common name does not count: anyone's certificate may carry any.

use std::net::IpAddr;

use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Longest name, in bytes.
const LONGEST: usize = 512;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} names no client certificate, write DNS:host.example.com, URI:spiffe://example.com/name, EMAIL:name@example.com or IP:10.0.0.1"
)]
pub struct InvalidCertificateName(String);

/// A name in the form in which names are compared: from an operator, or from a certificate.
pub fn certificate_name(name: &str) -> Result<String, InvalidCertificateName> {
    let invalid = || InvalidCertificateName(name.chars().take(64).collect());
    let (kind, value) = name.split_once(':').ok_or_else(invalid)?;
    let printable = value.chars().all(|letter| letter.is_ascii_graphic());
    if value.is_empty() || value.len() > LONGEST || !printable {
        return Err(invalid());
    }
    let normal = match kind.to_ascii_uppercase().as_str() {
        "DNS" => dns(value).map(|value| format!("DNS:{value}")),
        "EMAIL" => email(value).map(|value| format!("EMAIL:{value}")),
        "URI" => uri(value).map(|value| format!("URI:{value}")),
        "IP" => value.parse().ok().map(|address: IpAddr| format!("IP:{address}")),
        _ => None,
    };
    normal.ok_or_else(invalid)
}

/// A wildcard is no name: it would stand for every host below it.
fn dns(value: &str) -> Option<String> {
    let label = |label: &str| {
        let letters = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        (1..=63).contains(&label.len()) && label.chars().all(letters)
    };
    (value.len() <= 253 && value.split('.').all(label)).then(|| value.to_ascii_lowercase())
}

/// The domain in lower case; the part before it may depend on case.
fn email(value: &str) -> Option<String> {
    let (user, domain) = value.rsplit_once('@')?;
    (!user.is_empty() && !user.contains('@')).then_some(())?;
    Some(format!("{user}@{}", dns(domain)?))
}

/// Scheme and host in lower case.
fn uri(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(':')?;
    let letters = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.');
    (scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.chars().all(letters)).then_some(())?;
    (!rest.is_empty()).then_some(())?;
    let scheme = scheme.to_ascii_lowercase();
    let Some(rest) = rest.strip_prefix("//") else { return Some(format!("{scheme}:{rest}")) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, host) = authority.split_at(host);
    Some(format!("{scheme}://{user}{}{path}", host.to_ascii_lowercase()))
}

/// The names of a certificate that can stand for a user; none when it cannot be read.
pub fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let mut names: Vec<String> = alternative.value.general_names.iter().filter_map(name_of).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    let written = match name {
        GeneralName::DNSName(value) => format!("DNS:{value}"),
        GeneralName::RFC822Name(value) => format!("EMAIL:{value}"),
        GeneralName::URI(value) => format!("URI:{value}"),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(v4), _) => format!("IP:{}", IpAddr::from(v4)),
            (_, Ok(v6)) => format!("IP:{}", IpAddr::from(v6)),
            (Err(_), Err(_)) => return None,
        },
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => return None,
    };
    certificate_name(&written).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_have_one_form() {
        for (given, normal) in [
            ("dns:Ops.Example.COM", "DNS:ops.example.com"),
            ("EMAIL:Eve@Example.com", "EMAIL:Eve@example.com"),
            ("uri:SPIFFE://Example.com/Ops", "URI:spiffe://example.com/Ops"),
            ("URI:https://Eve@Example.com?A", "URI:https://Eve@example.com?A"),
            ("URI:urn:Uuid:1", "URI:urn:Uuid:1"),
            ("IP:10.0.0.1", "IP:10.0.0.1"),
            ("ip:FD00:0::2", "IP:fd00::2"),
        ] {
            assert_eq!(certificate_name(given).as_deref(), Ok(normal), "{given}");
            assert_eq!(certificate_name(normal).as_deref(), Ok(normal), "{given}");
        }
        for wrong in [
            "",
            "eve",
            "CN:eve",
            "DNS:",
            "DNS:*.example.com",
            "DNS:a b",
            "DNS:a..b",
            "DNS:é",
            "EMAIL:eve",
            "EMAIL:@x",
            "EMAIL:a@b@c",
            "IP:10.0.0",
            "IP:10.0.0.1/8",
            "URI:nothing",
            "URI:1x://y",
            "URI:x:",
            "DNS:a\0b",
        ] {
            assert!(certificate_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_names_of_a_certificate_are_read() {
        use rcgen::{CertificateParams, KeyPair, SanType};
        let mut params =
            CertificateParams::new(vec!["Ops.example.com".to_owned(), "*.example.com".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://Example.com/Ops".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("Eve@Example.com".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress("10.0.0.1".parse().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress("fd00::2".parse().unwrap()));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let expected = [
            "DNS:ops.example.com",
            "EMAIL:Eve@example.com",
            "IP:10.0.0.1",
            "IP:fd00::2",
            "URI:spiffe://example.com/Ops",
        ];
        assert_eq!(names(certificate.der()), expected);
        assert!(names(b"no certificate").is_empty());
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(text in ".{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            _ = names(&bytes);
            for kind in ["", "DNS:", "URI:", "URI:x://", "EMAIL:", "IP:"] {
                if let Ok(normal) = certificate_name(&format!("{kind}{text}")) {
                    prop_assert_eq!(certificate_name(&normal), Ok(normal.clone()));
                }
            }
        }
    }
}
