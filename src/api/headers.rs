//! What the head of a request says, and whether it says it once: for whom it is, and what its body is made of. Pure.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};

use crate::api::grpc::fields::shortened;
use crate::domain::refusal::Refusal;

/// For whom a request is must be said once (RFC 9112, section 3.2; RFC 9113, section 8.3.1): what stands before us and reads
/// the other name would have sent it elsewhere.
pub fn for_one_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, other) = (hosts.next(), hosts.next());
    let wrong = match (host, uri.authority()) {
        _ if other.is_some() => "is given more than once, give it once",
        (Some(host), Some(authority)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            "differs from the authority that the request is for, give the same or one of them"
        }
        (None, None) if version >= Version::HTTP_11 => "is missing, name the host that the request is for",
        (None, Some(_)) if version == Version::HTTP_11 => "is missing, name the host that the request is for",
        (Some(_) | None, _) => return Ok(()),
    };
    Err(Refusal::field("Host", wrong))
}

/// A body that is read must be JSON in UTF-8, as it is, and say so; one that is empty need not.
pub fn must_be_json(headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    if let Some(encoding) = once(headers, &CONTENT_ENCODING, "Content-Encoding")?.filter(|it| *it != "identity") {
        return Err(unsupported("Content-Encoding", text(encoding)));
    }
    let Some(given) = once(headers, &CONTENT_TYPE, "Content-Type")? else {
        return Err(unsupported("Content-Type", "no Content-Type".to_owned()));
    };
    if !given.to_str().is_ok_and(json_in_utf8) {
        return Err(unsupported("Content-Type", text(given)));
    }
    // Written so, it could be read as something else by whoever stands between.
    match std::str::from_utf8(body) {
        Ok(_) => Ok(()),
        Err(error) => Err(unsupported("body", format!("bytes that are not UTF-8 from {} on", error.valid_up_to()))),
    }
}

fn json_in_utf8(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let charsets: Vec<&str> = parts.filter_map(charset).collect();
    json && match charsets.as_slice() {
        [] => true,
        [one] => one.eq_ignore_ascii_case("utf-8") || one.eq_ignore_ascii_case("utf8"),
        [_, _, ..] => false,
    }
}

fn charset(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
}

/// The value of a header that may be given once.
pub fn once<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Refusal::field(shown, "is given more than once, give it once")),
    }
}

fn text(value: &HeaderValue) -> String {
    shortened(&String::from_utf8_lossy(value.as_bytes()))
}

const fn unsupported(field: &'static str, given: String) -> Refusal {
    Refusal::UnsupportedMediaType { field, given }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_request_is_for_one_host() {
        let (here, there) = (("host", "here:80"), ("host", "there"));
        for (version, uri, lines, fits) in [
            (Version::HTTP_11, "/", &[here][..], true),
            (Version::HTTP_11, "/", &[], false),
            (Version::HTTP_11, "/", &[here, here], false),
            (Version::HTTP_11, "/", &[here, there], false),
            (Version::HTTP_11, "http://HERE:80/", &[here], true),
            (Version::HTTP_11, "http://here/", &[here], false),
            (Version::HTTP_11, "http://here:80/", &[], false),
            (Version::HTTP_10, "/", &[], true),
            (Version::HTTP_10, "/", &[here, there], false),
            (Version::HTTP_2, "http://here:80/", &[], true),
            (Version::HTTP_2, "http://here:80/", &[here], true),
            (Version::HTTP_2, "http://here:80/", &[there], false),
            (Version::HTTP_2, "/", &[here], true),
            (Version::HTTP_2, "/", &[], false),
        ] {
            let judged = for_one_host(version, &uri.parse().unwrap(), &headers(lines));
            assert_eq!(judged.is_ok(), fits, "{version:?} {uri} {lines:?}");
        }
    }

    #[test]
    fn a_body_is_json_in_utf_8() {
        let json = ("content-type", "application/json");
        for (lines, body, wrong) in [
            (&[json][..], &b"{}"[..], None),
            (&[("content-type", "Application/JSON; Charset=\"UTF-8\"")], b"{}", None),
            (&[json, ("content-encoding", "identity")], b"{}", None),
            (&[json, ("content-encoding", "gzip")], b"  ", None),
            (&[], b"{}", Some("Content-Type")),
            (&[json, json], b"{}", Some("Content-Type")),
            (&[("content-type", "application/json; charset=utf-16")], b"{}", Some("Content-Type")),
            (&[("content-type", "application/json; charset=utf-8; charset=gbk")], b"{}", Some("Content-Type")),
            (&[("content-type", "text/json")], b"{}", Some("Content-Type")),
            (&[json, ("content-encoding", "gzip")], b"{}", Some("Content-Encoding")),
            (&[json, ("content-encoding", "identity"), ("content-encoding", "br")], b"{}", Some("Content-Encoding")),
            (&[json], b"{\"a\":\"\xff\"}", Some("body")),
            (&[json], b"\xff\xfe{\0}\0", Some("body")),
        ] {
            let field = match must_be_json(&headers(lines), body) {
                Ok(()) => None,
                Err(Refusal::UnsupportedMediaType { field, .. }) => Some(field.to_owned()),
                Err(Refusal::InvalidArgument(violations)) => Some(violations.shown[0].field.clone()),
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(field.as_deref(), wrong, "{lines:?}");
        }
    }
}
