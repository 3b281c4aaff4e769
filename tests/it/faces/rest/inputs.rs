//! What is wrong with a request is said by field; a mutation that is wrong is kept for the audit log.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use obsteward::domain::call::Call;
use serde_json::json;

use super::{Answer, Fixture, STOP};

/// Path and query, content type, body; then status, reason and the fields that are wrong.
type Case = (&'static str, Option<&'static str>, &'static str, u16, &'static str, &'static [&'static str]);

const JSON: Option<&str> = Some("application/json; charset=utf-8");

const STOPS: &[Case] = &[
    ("/servers/3/stop", None, "", 200, "", &[]),
    ("/servers/3/stop", JSON, "  ", 200, "", &[]),
    ("/servers/3/stop", Some("text/plain"), "", 200, "", &[]),
    ("/servers/3/stop", Some("APPLICATION/JSON"), "null", 200, "", &[]),
    ("/servers/3/stop?force=TRUE&force2=7", JSON, r#"{"force":true,"x":{}}"#, 200, "", &[]),
    ("/servers/3/stop?freezeServer=false", JSON, r#"{"type":"STOP_SERVICE","freezeServer":null}"#, 200, "", &[]),
    ("/servers/3/stop", None, "{}", 415, "UNSUPPORTED_MEDIA_TYPE", &["Content-Type"]),
    (
        "/servers/3/stop",
        Some("application/x-www-form-urlencoded"),
        "force=true",
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        &["Content-Type"],
    ),
    ("/servers/3/stop", JSON, "{", 400, "INVALID_ARGUMENT", &["body"]),
    ("/servers/3/stop", JSON, "[]", 400, "INVALID_ARGUMENT", &["body"]),
    ("/servers/3/stop", JSON, "true", 400, "INVALID_ARGUMENT", &["body"]),
    ("/servers/3/stop", JSON, "\u{feff}{}", 400, "INVALID_ARGUMENT", &["body"]),
    ("/servers/3/stop?force=true", JSON, r#"{"force":false}"#, 400, "INVALID_ARGUMENT", &["force"]),
    ("/servers/3/stop?force=true&force=true", JSON, "", 400, "INVALID_ARGUMENT", &["force"]),
    ("/servers/3/stop?force=yes", JSON, "", 400, "INVALID_ARGUMENT", &["force"]),
    ("/servers/3/stop", JSON, r#"{"force":"true"}"#, 400, "INVALID_ARGUMENT", &["force"]),
    (
        "/servers/3/stop",
        JSON,
        r#"{"force":1,"type":2,"freezeServer":[]}"#,
        400,
        "INVALID_ARGUMENT",
        &["force", "type", "freezeServer"],
    ),
    ("/servers/3/stop?type=STOP", JSON, r#"{"type":"HALT"}"#, 400, "INVALID_ARGUMENT", &["type", "type"]),
    ("/servers/3/stop?type=STOP_PROCESS", JSON, r#"{"type":"STOP_SERVICE"}"#, 400, "INVALID_ARGUMENT", &["type"]),
    ("/servers/3/stop", JSON, r#"{"freezeServer":true}"#, 200, "", &[]),
    ("/servers/3/stop?freezeServer=true&type=STOP_PROCESS", JSON, "", 200, "", &[]),
    ("/servers/3/stop?type=STOP_SERVICE", JSON, r#"{"freezeServer":true}"#, 400, "INVALID_ARGUMENT", &["freezeServer"]),
    ("/servers/3/stop?drainSeconds=3600", JSON, r#"{"drainSeconds":3600}"#, 200, "", &[]),
    ("/servers/3/stop?drainSeconds=1", JSON, r#"{"drainSeconds":2}"#, 400, "INVALID_ARGUMENT", &["drainSeconds"]),
    ("/servers/3/stop?drainSeconds=5m", JSON, "", 400, "INVALID_ARGUMENT", &["drainSeconds"]),
    ("/servers/3/stop", JSON, r#"{"drainSeconds":3601}"#, 400, "INVALID_ARGUMENT", &["drainSeconds"]),
    ("/servers/3/stop", JSON, r#"{"drainSeconds":-1}"#, 400, "INVALID_ARGUMENT", &["drainSeconds"]),
    ("/servers/3/stop", JSON, r#"{"drainSeconds":1.5}"#, 400, "INVALID_ARGUMENT", &["drainSeconds"]),
    ("/servers/3/stop?type=STOP_SERVICE", JSON, r#"{"drainSeconds":1}"#, 400, "INVALID_ARGUMENT", &["drainSeconds"]),
    ("/servers/3/stop", JSON, r#"{"acceptRisks":"QUORUM_LOSS"}"#, 400, "INVALID_ARGUMENT", &["acceptRisks"]),
    (
        "/servers/3/stop",
        JSON,
        r#"{"acceptRisks":["QUORUM_LOSS",7,"FIRE"]}"#,
        400,
        "INVALID_ARGUMENT",
        &["acceptRisks[1]", "acceptRisks[2]"],
    ),
    ("/servers/3/stop", JSON, r#"{"acceptRisks":["QUORUM_LOSS"]}"#, 403, "RISK_NOT_ACCEPTED_HERE", &[]),
    ("/servers/0/stop", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
    ("/servers/-3/stop", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
    ("/servers/+3/stop", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
    ("/servers/3.0/stop", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
    ("/servers/9007199254740992/stop", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
    ("/servers/99999999999999999999999999/stop", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
    ("/servers/%33/stop", JSON, "", 200, "", &[]),
    ("/servers/%ff/stop", JSON, "", 400, "INVALID_ARGUMENT", &["path"]),
    ("/servers/3/stop?force=%ff", JSON, "", 400, "INVALID_ARGUMENT", &["force"]),
    ("/servers/3/stop", JSON, r#"{"force":false,"force":true}"#, 400, "INVALID_ARGUMENT", &["force"]),
    ("/servers/3/stop", JSON, r#"{"force":true,"\u0066orce":true}"#, 400, "INVALID_ARGUMENT", &["force"]),
    ("/servers/3/stop", JSON, r#"{"x":[{"y":1,"y":1}]}"#, 400, "INVALID_ARGUMENT", &["x[0].y"]),
    ("/servers/3/stop?force=&forc%65=true", JSON, "", 400, "INVALID_ARGUMENT", &["force"]),
    ("/servers/03/stop", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
    ("/servers/%203/stop", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
    ("/servers/%EF%BC%93/stop", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
    ("/servers/3/stop", Some("application/json; charset=gbk"), "{}", 415, "UNSUPPORTED_MEDIA_TYPE", &["Content-Type"]),
];

fn fields(answer: &Answer) -> Vec<&str> {
    let told = answer.body["error"]["subErrors"].as_array().map(Vec::as_slice).unwrap_or_default();
    told.iter().map(|one| one["field"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_operation_says_which_of_its_parameters_is_wrong_and_is_kept() {
    let of = |call, cases: &'static [Case]| cases.iter().map(move |case| (call, case));
    let cases = of(Call::StopServer, STOPS).chain(of(Call::StartServer, STARTS));
    for (call, (path, content_type, body, status, reason, wrong)) in cases.chain(of(Call::RestartServer, RESTARTS)) {
        let fixture = Fixture::new().await;
        // Of cluster 3 nothing serves: there something can be started.
        let cluster = if call == Call::StartServer { 3 } else { 20 };
        let mut request = Request::post(format!("/api/v2/ob/clusters/{cluster}{path}"));
        if let Some(content_type) = content_type {
            request = request.header("content-type", *content_type);
        }
        let answer = fixture.ask(request.body(Body::from(*body)).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (*status, *reason), "{path} {body}: {answer:?}");
        if !fields(&answer).contains(&"path") {
            assert_eq!(fields(&answer), *wrong, "{path} {body}: {answer:?}");
        }
        let expected = if *status == 200 { vec![] } else { vec![(call, (*reason).to_owned())] };
        assert_eq!(fixture.refused(), expected, "{path} {body}");
        assert_eq!(fixture.store.log().is_empty(), *status != 200, "{path} {body}");
    }
}

const RESTARTS: &[Case] = &[
    ("/servers/3/restart", None, "", 200, "", &[]),
    ("/servers/3/restart?force=true", JSON, r#"{"freezeServer":true,"type":"HALT"}"#, 200, "", &[]),
    ("/servers/3/restart", None, "{}", 415, "UNSUPPORTED_MEDIA_TYPE", &["Content-Type"]),
    ("/servers/3/restart", JSON, r#"{"force":true,"force":false}"#, 400, "INVALID_ARGUMENT", &["force"]),
    ("/servers/3/restart?force=1", JSON, r#"{"freezeServer":1}"#, 400, "INVALID_ARGUMENT", &["force", "freezeServer"]),
    ("/servers/3/restart", JSON, r#"{"acceptRisks":["QUORUM_LOSS"]}"#, 403, "RISK_NOT_ACCEPTED_HERE", &[]),
    ("/servers/0/restart", JSON, "", 400, "INVALID_ARGUMENT", &["serverId"]),
];

const STARTS: &[Case] = &[
    ("/servers/27/start", None, "", 200, "", &[]),
    // It has no parameters: whatever is sent is not looked at.
    ("/servers/27/start?force=perhaps", Some("text/plain"), "force", 200, "", &[]),
    ("/servers/x/start", None, "", 400, "INVALID_ARGUMENT", &["serverId"]),
];

#[tokio::test]
async fn what_was_given_is_repeated_with_what_is_wrong() {
    let fixture = Fixture::new().await;
    let answer = fixture.post_json("/api/v2/ob/clusters/x/servers/3/stop", r#"{"force":"perhaps"}"#).await;
    assert_eq!(
        answer.body["error"]["subErrors"],
        json!([
            {
                "field": "id",
                "message": "\"x\" is not an id, give 1 to 9007199254740991",
                "object": "stopObServer",
                "rejectedValue": "x",
            },
            {
                "field": "force",
                "message": "is a string, give true or false",
                "object": "stopObServer",
                "rejectedValue": "perhaps",
            },
        ])
    );
}

#[tokio::test]
async fn parameters_reach_the_service() {
    let of = async || Fixture::with(|config| config.accepted_risks = vec!["QUORUM_LOSS".to_owned()]).await;
    let fixture = of().await;
    let all = r#"{"force":true,"acceptRisks":["QUORUM_LOSS","QUORUM_LOSS"],"type":"STOP_SERVICE"}"#;
    let first = fixture.post_json(STOP, all).await;
    let asked = "STOP_OB_SERVER cluster 20 server 3 (10.0.20.9:2882): cluster_id=20 server_id=3 force=true \
                 accept_risks=QUORUM_LOSS type=STOP_SERVICE expected_server= expire_time=";
    assert_eq!(fixture.last_call(), asked);
    assert_eq!(
        fixture.post_json(STOP, all).await.body["data"]["id"],
        first.body["data"]["id"],
        "OCP knows no request ids"
    );
    assert_eq!(fixture.post(STOP).await.reason(), "OPERATION_IN_PROGRESS", "it is another stop");

    let fixture = of().await;
    let key = "123e4567-e89b-42d3-a456-426614174000";
    let stop = |key: &str| Request::post(STOP).header("idempotency-key", key).body(Body::empty()).unwrap();
    let first = fixture.ask(stop(key)).await;
    assert_eq!(
        (first.status.as_u16(), &fixture.ask(stop(key)).await.body["data"]["id"]),
        (200, &first.body["data"]["id"])
    );
    assert!(fixture.last_call().contains("force=false accept_risks= type=STOP_PROCESS"), "{}", fixture.last_call());
    let other = Request::post(format!("{STOP}?force=true")).header("idempotency-key", key).body(Body::empty()).unwrap();
    assert_eq!(fixture.ask(other).await.reason(), "REQUEST_ID_REUSED");
    for wrong in ["7", "00000000-0000-0000-0000-000000000000", "123e4567e89b42d3a456426614174000"] {
        let answer = fixture.ask(stop(wrong)).await;
        assert_eq!(fields(&answer), ["Idempotency-Key"], "{wrong}");
    }
    let not_named = fixture.post_json(STOP, r#"{"acceptRisks":["CLUSTER_UNREACHABLE"]}"#).await;
    assert_eq!(not_named.reason(), "RISK_NOT_ACCEPTED_HERE");

    let fixture = of().await;
    fixture.post_json(STOP, r#"{"freezeServer":true}"#).await;
    assert!(fixture.last_call().ends_with(" freeze_before_stop=true"), "{}", fixture.last_call());

    let fixture = of().await;
    let body = r#"{"force":true,"acceptRisks":["QUORUM_LOSS"],"freezeServer":true,"drainSeconds":90}"#;
    fixture.post_json("/api/v2/ob/clusters/20/servers/3/restart", body).await;
    assert_eq!(
        fixture.last_call(),
        "RESTART_OB_SERVER cluster 20 server 3 (10.0.20.9:2882): cluster_id=20 server_id=3 force=true \
         accept_risks=QUORUM_LOSS expected_server= expire_time= freeze_before_stop=true drain=90s"
    );
    let start = || {
        let start = Request::post("/api/v2/ob/clusters/3/servers/27/start").header("idempotency-key", key);
        start.body(Body::empty()).unwrap()
    };
    let first = fixture.ask(start()).await;
    assert_eq!(
        (first.status.as_u16(), &fixture.ask(start()).await.body["data"]["id"]),
        (200, &first.body["data"]["id"])
    );
    let asked = "START_OB_SERVER cluster 3 server 27 (10.0.3.7:2882): cluster_id=3 server_id=27 expected_server=";
    assert_eq!(fixture.last_call(), asked);
}

#[tokio::test]
async fn lists_say_which_of_their_parameters_is_wrong() {
    let fixture = Fixture::new().await;
    for (query, field) in [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=4294967296", "page"),
        ("page=4294967295&size=2000", "page"),
        ("size=0", "size"),
        ("size=2001", "size"),
        ("size=ten", "size"),
        ("sort=age,asc", "sort"),
        ("sort=id,up", "sort"),
        ("status=RUNNING,ASLEEP", "status"),
        ("type=OTHER", "type"),
        ("clusterId=0", "clusterId"),
        ("clusterName=a&cluterName=b", "clusterName"),
        ("hostId=1", "hostId"),
        ("name=%00", "name"),
        ("page=01", "page"),
        ("size=+5", "size"),
        ("clusterId=01", "clusterId"),
        ("clusterId=1&clusterId=1", "clusterId"),
    ] {
        let answer = fixture.get(&format!("/api/v2/tasks/instances?{query}")).await;
        assert_eq!((answer.status.as_u16(), fields(&answer)), (400, vec![field]), "{query}");
    }
    assert!(fixture.refused().is_empty(), "a read is not in the audit log");
    let long = fixture.get(&format!("/api/v2/tasks/instances?name={}", "n".repeat(129))).await;
    assert_eq!(fields(&long), ["name"]);
    let zone = fixture.get("/api/v2/clusters/1/zones/zone%0A9/servers").await;
    assert_eq!(fields(&zone), ["zoneName"]);
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods_are_enveloped() {
    let fixture = Fixture::new().await;
    for path in ["/", "/api/v2/", "/api/v2/ob/clusters/", "/api/v2/ob/clusters/1/servers/2/replace", "/openapi.yml"] {
        let answer = fixture.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (404, "ROUTE_NOT_FOUND"), "{path}");
    }
    let stop = fixture.get(STOP).await;
    assert_eq!((stop.status.as_u16(), stop.headers["allow"].to_str().unwrap()), (405, "POST"));
    for method in ["POST", "DELETE", "PUT", "PATCH", "OPTIONS", "BREW"] {
        let request = Request::builder().method(method).uri("/api/v2/tasks/instances/7").body(Body::empty()).unwrap();
        let answer = fixture.ask(request).await;
        assert_eq!((answer.status.as_u16(), answer.headers["allow"].to_str().unwrap()), (405, "GET, HEAD"), "{method}");
        assert_eq!(answer.reason(), "METHOD_NOT_ALLOWED");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_are_bounded_in_bytes_and_time() {
    let fixture = Fixture::new().await;
    let large = "x".repeat(1025);
    let declared = Request::post(STOP).header("content-length", "1025").body(Body::from(large.clone())).unwrap();
    let chunks =
        stream::iter(large.into_bytes().into_iter().map(|byte| Ok::<_, std::io::Error>(Bytes::from(vec![byte]))));
    let undeclared = Request::post(STOP).body(Body::from_stream(chunks)).unwrap();
    for request in [declared, undeclared] {
        let answer = fixture.ask(request).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (413, "BODY_TOO_LARGE"));
    }
    let started = obsteward::clock::monotonic_now();
    let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
    let never = Request::post(STOP).body(Body::from_stream(first.chain(stream::pending()))).unwrap();
    let answer = fixture.ask(never).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (408, "REQUEST_TIMEOUT"));
    assert_eq!(started.elapsed().as_secs(), Duration::from_secs(15).as_secs());
    let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
    let answer = fixture.ask(Request::post(STOP).body(Body::from_stream(broken)).unwrap()).await;
    assert_eq!((answer.status.as_u16(), fields(&answer)), (400, vec!["body"]));
}

#[tokio::test]
async fn another_sites_page_cannot_stop_a_server_with_a_remembered_password() {
    let fixture = Fixture::new().await;
    let request = |site: &str| Request::post(STOP).header("sec-fetch-site", site).body(Body::empty()).unwrap();
    for site in ["cross-site", "same-site"] {
        let answer = fixture.ask(request(site)).await;
        assert_eq!((answer.status.as_u16(), fields(&answer)), (400, vec!["Sec-Fetch-Site"]), "{site}");
    }
    for site in ["same-origin", "none"] {
        assert_eq!(fixture.ask(request(site)).await.status, 200, "{site}");
    }
}

/// Headers of a stop of a server, its body; then status and the field that is wrong.
type Headers = (&'static [(&'static str, &'static str)], &'static [u8], u16, &'static str);

const HEADERS: &[Headers] = &[
    (&[("host", "one"), ("host", "one")], b"", 400, "Host"),
    (&[("host", "one"), ("host", "other")], b"", 400, "Host"),
    (&[("content-type", "application/json"), ("content-type", "text/plain")], b"{}", 400, "Content-Type"),
    (&[("content-type", "application/json"), ("content-encoding", "gzip")], b"{}", 415, "Content-Encoding"),
    (&[("content-type", "application/json"), ("content-encoding", "identity, gzip")], b"{}", 415, "Content-Encoding"),
    (&[("content-type", "application/json")], b"{\"type\":\"\xff\"}", 415, "body"),
    (
        &[("content-type", "application/json"), ("content-md5", "99914B932BD37A50B983C5E7C90AE93C")],
        b"{}",
        400,
        "Content-MD5",
    ),
    (
        &[("idempotency-key", "123e4567-e89b-42d3-a456-426614174000"), ("idempotency-key", "x")],
        b"",
        400,
        "Idempotency-Key",
    ),
];

#[tokio::test]
async fn a_header_that_says_two_things_changes_nothing() {
    for (headers, body, status, field) in HEADERS {
        let fixture = Fixture::new().await;
        let request = headers.iter().fold(Request::post(STOP), |request, (name, value)| request.header(*name, *value));
        let answer = fixture.ask(request.body(Body::from(*body)).unwrap()).await;
        assert_eq!((answer.status.as_u16(), fields(&answer)), (*status, vec![*field]), "{headers:?}: {answer:?}");
        assert!(fixture.store.log().is_empty(), "{headers:?}");
    }
    let fixture = Fixture::new().await;
    let elsewhere = Request::post(format!("http://other{STOP}")).header("host", "one");
    assert_eq!(fields(&fixture.ask(elsewhere.body(Body::empty()).unwrap()).await), ["Host"]);
    let watch =
        Request::get("/api/v2/tasks/instances/7/events").header("last-event-id", "1").header("last-event-id", "2");
    assert_eq!(fields(&fixture.ask(watch.body(Body::empty()).unwrap()).await), ["Last-Event-ID"]);
}
