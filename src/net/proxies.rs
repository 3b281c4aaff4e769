//! Which client a request comes from when proxies stand before a listener: headers are believed of the proxies that the
//! configuration trusts, and of no other. Pure.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::config::{AddressHeader, Network, ProxiesConfig};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<Network>,
    header: AddressHeader,
    proxy_protocol: bool,
}

impl Proxies {
    pub fn new(config: &ProxiesConfig) -> Self {
        Self { networks: config.networks.clone(), header: config.header, proxy_protocol: config.proxy_protocol }
    }

    /// Whether headers from this address about clients are believed.
    pub fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.holds(address))
    }

    /// Whether a connection from here must begin with a header of the PROXY protocol.
    pub fn requires_proxy_header(&self, address: IpAddr) -> bool {
        self.proxy_protocol && self.trust(address)
    }

    /// The client that sent a request over a connection of `peer`: the list is read from the last proxy backwards, up
    /// to the first address that is not trusted. An entry that cannot be read ends it: then the proxy that added it
    /// counts as the client. Port 0: unknown.
    pub fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let mut nearest = peer;
        let values = match self.header {
            _ if !self.trust(peer.ip()) => return peer,
            AddressHeader::None => return peer,
            AddressHeader::XForwardedFor => headers.get_all("x-forwarded-for"),
            AddressHeader::Forwarded => headers.get_all(http::header::FORWARDED),
        };
        let values: Vec<&[u8]> = values.iter().map(http::HeaderValue::as_bytes).collect();
        for value in values.into_iter().rev() {
            let Ok(value) = std::str::from_utf8(value) else { return nearest };
            for element in split(value, ',').into_iter().rev() {
                let address = match self.header {
                    AddressHeader::Forwarded => forwarded_for(element),
                    AddressHeader::XForwardedFor | AddressHeader::None => node(element),
                };
                let Some(address) = address else { return nearest };
                nearest = address;
                if !self.trust(address.ip()) {
                    return nearest;
                }
            }
        }
        nearest
    }
}

impl Proxies {
    /// Whether the proxy that opened this connection says that the client spoke TLS to it: in `Forwarded` or in
    /// `X-Forwarded-Proto`, by the header of the configuration.
    pub fn says_https(&self, peer: SocketAddr, headers: &HeaderMap) -> bool {
        let last = |name: &str| {
            let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
            split(last, ',').pop().map(str::to_owned)
        };
        match self.header {
            _ if !self.trust(peer.ip()) => false,
            AddressHeader::None => false,
            AddressHeader::XForwardedFor => {
                last("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
            }
            AddressHeader::Forwarded => last("forwarded").is_some_and(|element| {
                split(&element, ';').into_iter().any(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or_default();
                    name.eq_ignore_ascii_case("proto") && value.trim_matches('"').eq_ignore_ascii_case("https")
                })
            }),
        }
    }
}

/// The parts of a list; separators between quotation marks do not count.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begun, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == separator && !quoted => {
                parts.push(text[begun..at].trim_matches([' ', '\t']));
                begun = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[begun..].trim_matches([' ', '\t']));
    parts
}

/// The `for` of one element of `Forwarded` (RFC 7239, section 4). An obfuscated one (`unknown`, `_name`) has none.
fn forwarded_for(element: &str) -> Option<SocketAddr> {
    let mut named = split(element, ';').into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    match (named.next(), named.next()) {
        (Some(value), None) => node(value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'))?),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// An address, optionally with a port; IPv6 with a port stands in brackets.
fn node(text: &str) -> Option<SocketAddr> {
    let bare = |text: &str| text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 0));
    let bracketed = || bare(text.strip_prefix('[')?.strip_suffix(']')?);
    let found = bare(text).or_else(|| text.parse().ok()).or_else(bracketed)?;
    Some(SocketAddr::new(found.ip().to_canonical(), found.port()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.1:4000";

    fn proxies(header: AddressHeader) -> Proxies {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec();
        Proxies::new(&ProxiesConfig { networks, header, proxy_protocol: false })
    }

    fn client(header: AddressHeader, peer: &str, sent: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        proxies(header).client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_last_that_is_not_trusted_is_the_client() {
        let asked = |peer, sent: &[&str]| {
            let sent: Vec<_> = sent.iter().map(|value| ("x-forwarded-for", *value)).collect();
            client(AddressHeader::XForwardedFor, peer, &sent)
        };
        for (sent, expected) in [
            (&[][..], PROXY),
            (&["203.0.113.9"], "203.0.113.9:0"),
            (&["203.0.113.9:55"], "203.0.113.9:55"),
            (&["198.51.100.1, 203.0.113.9"], "203.0.113.9:0"),
            (&["198.51.100.1, 203.0.113.9 , 10.9.9.9"], "203.0.113.9:0"),
            (&["198.51.100.1", "203.0.113.9", "10.9.9.9"], "203.0.113.9:0"),
            (&["10.1.1.1,10.2.2.2"], "10.1.1.1:0"),
            (&["2001:db8::7"], "[2001:db8::7]:0"),
            (&["[2001:db8::7]"], "[2001:db8::7]:0"),
            (&["[2001:db8::7]:99, fd00::1"], "[2001:db8::7]:99"),
            (&["::ffff:203.0.113.9"], "203.0.113.9:0"),
            // An entry that cannot be read is no client: the proxy that passed it on is.
            (&["203.0.113.9, unknown"], PROXY),
            (&["203.0.113.9,"], PROXY),
            (&["203.0.113.9, 300.1.1.1, 10.7.7.7"], "10.7.7.7:0"),
            (&["203.0.113.9", "\u{fe}"], PROXY),
            (&[""], PROXY),
        ] {
            assert_eq!(asked(PROXY, sent), expected, "{sent:?}");
        }
        assert_eq!(asked("192.0.2.5:1", &["203.0.113.9"]), "192.0.2.5:1", "a stranger is not believed");
    }

    #[test]
    fn forwarded_is_read_by_its_own_rules() {
        let asked = |value: &str| client(AddressHeader::Forwarded, PROXY, &[("forwarded", value)]);
        for (value, expected) in [
            ("for=203.0.113.9", "203.0.113.9:0"),
            ("proto=https;For=\"203.0.113.9:44\";by=10.0.0.1", "203.0.113.9:44"),
            ("for=198.51.100.1, for=\"[2001:db8::7]:99\";proto=http, for=10.3.3.3", "[2001:db8::7]:99"),
            ("for=203.0.113.9;host=\"a,b;for=1.2.3.4\"", "203.0.113.9:0"),
            ("for=203.0.113.9;host=\"a\\\",for=1.2.3.4\"", "203.0.113.9:0"),
            ("for=unknown", PROXY),
            ("for=_hidden, for=10.3.3.3", "10.3.3.3:0"),
            ("for=203.0.113.9;for=1.2.3.4", PROXY),
            ("for=\"203.0.113.9", PROXY),
            ("proto=http", PROXY),
        ] {
            assert_eq!(asked(value), expected, "{value}");
        }
    }

    #[test]
    fn a_proxy_that_is_trusted_says_whether_its_client_spoke_tls() {
        for (header, peer, sent, said) in [
            (AddressHeader::XForwardedFor, PROXY, ("x-forwarded-proto", "https"), true),
            (AddressHeader::XForwardedFor, PROXY, ("x-forwarded-proto", "https, http"), false),
            (AddressHeader::XForwardedFor, "192.0.2.5:1", ("x-forwarded-proto", "https"), false),
            (AddressHeader::Forwarded, PROXY, ("forwarded", "for=1.2.3.4, for=10.0.0.9;Proto=\"https\""), true),
            (AddressHeader::Forwarded, PROXY, ("x-forwarded-proto", "https"), false),
            (AddressHeader::None, PROXY, ("x-forwarded-proto", "https"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(sent.0, sent.1.parse().unwrap());
            assert_eq!(proxies(header).says_https(peer.parse().unwrap(), &headers), said, "{header:?} {sent:?}");
        }
    }

    #[test]
    fn a_header_that_no_proxy_sets_is_not_believed() {
        let both = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=198.51.100.1")];
        assert_eq!(client(AddressHeader::XForwardedFor, PROXY, &both), "203.0.113.9:0");
        assert_eq!(client(AddressHeader::Forwarded, PROXY, &both), "198.51.100.1:0");
        assert_eq!(client(AddressHeader::None, PROXY, &both), PROXY);
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(value in "[ -~]{0,60}", quoted in "[for=\";,\\\\ 0-9.:\\[\\]]{0,60}") {
            for text in [&value, &quoted] {
                _ = client(AddressHeader::XForwardedFor, PROXY, &[("x-forwarded-for", text)]);
                _ = client(AddressHeader::Forwarded, PROXY, &[("forwarded", text)]);
            }
        }
    }
}
