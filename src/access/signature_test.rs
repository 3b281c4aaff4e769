//! Signatures: the documented vectors, and that nothing but what was signed passes.

use proptest::prelude::*;

use super::*;

/// The secret of the documented vectors (docs/ocp-v2.md#signature-with-an-access-key).
const SECRET: &str = "2fc0c299cc94c6be266f2ceece765d4d";
const BODY: &[u8] = br#"{"name":"test01","description":"test","regionId":1}"#;

fn secret() -> SecretString {
    SecretString::from(SECRET)
}

fn posted() -> SignedRequest<'static> {
    SignedRequest {
        method: "POST",
        path: "/api/v2/compute/idcs",
        query: None,
        host: b"ocp.alibaba.net:8080",
        content_type: b"application/json",
        date: b"Tue, 17 Jan 2023 09:13:57 GMT",
        headers: vec![("x-ocp-data", b"A"), ("x-ocp-data", b"1")],
        body: BODY,
    }
}

fn got() -> SignedRequest<'static> {
    SignedRequest {
        method: "GET",
        path: "/api/v2/compute/idcs",
        query: Some("size=100"),
        host: b"ocp.alibaba.net:8080",
        content_type: b"application/json;charset=utf-8",
        date: b"Tue, 17 Jan 2023 04:14:02 GMT",
        ..SignedRequest::default()
    }
}

#[test]
fn the_documented_vectors_match_byte_for_byte() {
    assert_eq!(
        String::from_utf8(posted().message()).unwrap(),
        "POST\n186974DB33A090A16D3E2CA35F547B56\napplication/json\nTue, 17 Jan 2023 09:13:57 GMT\n\
         ocp.alibaba.net:8080\nx-ocp-data:A,1\n/api/v2/compute/idcs"
    );
    assert_eq!(sign(&secret(), &posted()), "XN8P+O+v3vUabB16ZCooq5wMJoY=");
    assert_eq!(
        String::from_utf8(got().message()).unwrap(),
        "GET\n\napplication/json;charset=utf-8\nTue, 17 Jan 2023 04:14:02 GMT\nocp.alibaba.net:8080\n\n\
         /api/v2/compute/idcs?size=100"
    );
    assert_eq!(sign(&secret(), &got()), "TsQD6HDOuZuJ409m0wdnZPmijlc=");
}

#[test]
fn whatever_is_changed_is_found() {
    let signature = Signature::read("XN8P+O+v3vUabB16ZCooq5wMJoY=").unwrap();
    assert!(verify(&secret(), &posted(), signature));
    let changes: [(&str, SignedRequest<'_>); 9] = [
        ("method", SignedRequest { method: "PUT", ..posted() }),
        ("body", SignedRequest { body: b"{}", ..posted() }),
        ("no body", SignedRequest { body: b"", ..posted() }),
        ("path", SignedRequest { path: "/api/v2/compute/idc", ..posted() }),
        ("query", SignedRequest { query: Some("force=true"), ..posted() }),
        ("date", SignedRequest { date: b"Tue, 17 Jan 2023 09:13:58 GMT", ..posted() }),
        ("host", SignedRequest { host: b"ocp.alibaba.net", ..posted() }),
        ("header", SignedRequest { headers: vec![("x-ocp-data", b"A")], ..posted() }),
        ("type", SignedRequest { content_type: b"text/plain", ..posted() }),
    ];
    for (what, changed) in changes {
        assert!(!verify(&secret(), &changed, signature), "{what}");
    }
    assert!(!verify(&SecretString::from("another"), &posted(), signature));
}

#[test]
fn a_query_counts_by_what_it_means() {
    for (query, canonical) in [
        ("b=2&a=1", "a=1&b=2"),
        ("a=2&a=1", "a=1,2"),
        ("a=%7e%2D", "a=~-"),
        ("a=1+2", "a=1%202"),
        ("a=1%202", "a=1%202"),
        ("a=1%2b2", "a=1%2B2"),
        ("a=1,2", "a=1%2C2"),
        ("a", "a="),
        ("&&a=1&", "a=1"),
        ("a=%zz%", "a=%25zz%25"),
        ("a=b=c", "a=b%3Dc"),
        ("a=%E9", "a=%E9"),
        ("", ""),
    ] {
        assert_eq!(canonical_query(query), canonical, "{query}");
    }
}

#[test]
fn a_date_may_be_15_minutes_off_and_no_more() {
    let moment = |micros: i64| Timestamp::from_micros(micros * 1_000_000);
    let sent = date(moment(1_673_946_837));
    assert_eq!(sent, "Tue, 17 Jan 2023 09:13:57 GMT");
    for (seconds, passes) in [(0, true), (899, true), (901, false)] {
        for now in [1_673_946_837 + seconds, 1_673_946_837 - seconds] {
            let expected = if passes { Ok(()) } else { Err(AuthFailure::DateSkewed) };
            assert_eq!(check_date(sent.as_bytes(), moment(now)), expected, "{seconds}");
        }
    }
    for wrong in ["", "yesterday", "2023-01-17T09:13:57Z", "Wed, 17 Jan 2023 09:13:57 GMT", "Tue, 17 Jan 2023 09:13:57"]
    {
        assert_eq!(check_date(wrong.as_bytes(), moment(1_673_946_837)), Err(AuthFailure::DateMissing), "{wrong}");
    }
}

#[test]
fn a_content_digest_is_of_the_body() {
    for right in ["186974DB33A090A16D3E2CA35F547B56", "186974db33a090a16d3e2ca35f547b56", "GGl02zOgkKFtPiyjX1R7Vg=="] {
        assert!(content_digest_matches(right.as_bytes(), BODY), "{right}");
        assert!(!content_digest_matches(right.as_bytes(), b"{}"), "{right}");
    }
    assert!(!content_digest_matches(b"", BODY));
}

proptest! {
    #[test]
    fn what_was_signed_verifies_and_nothing_else_does(
        (method, path, query) in ("(GET|POST|PUT|DELETE)", "/[a-z0-9/%]{0,20}", "[ -~]{0,30}"),
        (host, content_type, value) in ("[a-z.:0-9]{0,20}", "[ -~]{0,20}", "[!-~]{0,10}"),
        body in prop::collection::vec(any::<u8>(), 0..64),
        (key, flipped) in ("[0-9a-f]{8,64}", any::<prop::sample::Index>()),
    ) {
        let request = SignedRequest {
            method: &method,
            path: &path,
            query: Some(&query),
            host: host.as_bytes(),
            content_type: content_type.as_bytes(),
            date: b"Tue, 17 Jan 2023 09:13:57 GMT",
            headers: vec![("x-ocp-origin", value.as_bytes())],
            body: &body,
        };
        let key = SecretString::from(key);
        let signature = Signature::read(&sign(&key, &request)).unwrap();
        prop_assert!(verify(&key, &request, signature));

        let mut message = request.message();
        let bit = flipped.index(message.len() * 8);
        message[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(hmac::verify(&super::key(&key), &message, &signature.0).is_err());

        let mut wrong = signature;
        let bit = flipped.index(LENGTH * 8);
        wrong.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify(&key, &request, wrong));

        if !body.is_empty() {
            let mut changed = body.clone();
            let bit = flipped.index(changed.len() * 8);
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = SignedRequest { body: &changed, ..request };
            prop_assert!(!verify(&key, &changed, signature));
        }
    }

    #[test]
    fn a_query_written_otherwise_is_the_same(pairs in prop::collection::vec(("[a-c]", "[ -~]{0,6}"), 0..6)) {
        let every = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let least = |text: &str| percent_encode(text.as_bytes(), ESCAPED).to_string().replace("%20", "+");
        let join = |write: &dyn Fn(&str) -> String, pairs: &mut dyn Iterator<Item = &(String, String)>| {
            pairs.map(|(name, value)| format!("{}={}", write(name), write(value))).collect::<Vec<_>>().join("&")
        };
        let one = join(&every, &mut pairs.iter());
        let other = join(&least, &mut pairs.iter().rev());
        prop_assert_eq!(canonical_query(&one), canonical_query(&other));
    }

    #[test]
    fn nothing_that_is_sent_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), text in ".{0,40}") {
        _ = check_date(&bytes, Timestamp::from_micros(0));
        _ = check_date(&[&bytes, b" GMT".as_slice()].concat(), Timestamp::from_micros(i64::MAX));
        _ = check_date(format!("{text} GMT").as_bytes(), Timestamp::from_micros(i64::MIN));
        _ = Signature::read(&text);
        _ = canonical_query(&text);
        _ = content_digest_matches(&bytes, &bytes);
    }
}
