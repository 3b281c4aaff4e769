//! Whether a request that changes something comes from a page of this service: what the browser says of that, when it says
//! something. The token in the form is checked besides. Pure.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

/// `Sec-Fetch-Site` and `Origin`, each when it is sent, name this origin.
pub fn is_same_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let mut origins = headers.get_all(ORIGIN).iter();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(http::uri::Authority::as_str));
    sites.all(|site| site == "same-origin")
        && origins.all(|origin| {
            let named = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            matches!((named, host), (Some((_, named)), Some(host)) if named.eq_ignore_ascii_case(host))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_browser_calls_same_origin_passes() {
        for (lines, same) in [
            (&[("host", "here:80")][..], true),
            (&[("host", "here:80"), ("origin", "http://HERE:80"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "here:80"), ("origin", "http://here")], false),
            (&[("host", "here"), ("origin", "https://there")], false),
            (&[("host", "here"), ("origin", "null")], false),
            (&[("host", "here"), ("sec-fetch-site", "same-site")], false),
            (&[("host", "here"), ("sec-fetch-site", "cross-site"), ("origin", "http://here")], false),
            (&[("host", "here"), ("sec-fetch-site", "none")], false),
            (&[("host", "here"), ("origin", "http://here"), ("origin", "http://there")], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(is_same_origin(&Uri::from_static("/"), &headers), same, "{lines:?}");
        }
    }
}
