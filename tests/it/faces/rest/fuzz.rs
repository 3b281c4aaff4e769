//! Whatever is sent: an envelope, and never a failure of the service's own making.

use axum::body::Body;
use http::Request;
use obsteward::operations;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Fixture;

/// JSON that is nearly what a stop takes, and sometimes no JSON at all.
fn body() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("\"STOP_SERVICE\"".to_owned()),
        Just("[\"QUORUM_LOSS\",[],{}]".to_owned()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let key = prop_oneof![
        Just("force".to_owned()),
        Just("type".to_owned()),
        Just("freezeServer".to_owned()),
        Just("drainSeconds".to_owned()),
        Just("acceptRisks".to_owned()),
        "[a-z]{0,4}",
    ];
    let object = prop::collection::vec((key, value), 0..6).prop_map(|pairs| {
        let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", pairs.join(","))
    });
    prop_oneof![4 => object, 1 => any::<String>(), 1 => Just("[".repeat(900))]
}

/// Something for a place in a path: ids, words and what must be escaped.
fn segment() -> impl Strategy<Value = String> {
    let escaped = prop::collection::vec(any::<u8>(), 0..6)
        .prop_map(|bytes| bytes.into_iter().map(|byte| format!("%{byte:02x}")).collect::<String>());
    prop_oneof![
        any::<i64>().prop_map(|id| id.to_string()),
        (1_i64..10).prop_map(|id| id.to_string()),
        Just("111102".to_owned()),
        Just("133820".to_owned()),
        "[0-9]{15,40}",
        "[A-Za-z0-9._~:@!$&'()*+,;=-]{1,8}",
        escaped,
    ]
}

fn query() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("force".to_owned()),
        Just("page".to_owned()),
        Just("size".to_owned()),
        Just("sort".to_owned()),
        Just("status".to_owned()),
        Just("name".to_owned()),
        Just("clusterId".to_owned()),
        Just("clusterName".to_owned()),
        Just("regionName".to_owned()),
        "[a-zA-Z%+]{0,5}",
    ];
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        Just("id,desc".to_owned()),
        Just("RUNNING,FAILED".to_owned()),
        Just("true".to_owned()),
        "[A-Za-z0-9%+,.=_-]{0,12}",
    ];
    prop::collection::vec((name, value), 0..5).prop_map(|pairs| {
        let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    })
}

fn path() -> impl Strategy<Value = (&'static str, String)> {
    (0..12_u8, segment(), segment()).prop_map(|(shape, one, other)| match shape {
        0 | 1 => ("POST", format!("/api/v2/ob/clusters/{one}/servers/{other}/stop")),
        2 => ("GET", format!("/api/v2/ob/clusters/{one}/servers/{other}")),
        3 => ("GET", "/api/v2/tasks/instances".to_owned()),
        4 => ("GET", format!("/api/v2/tasks/{one}")),
        5 => ("POST", format!("/api/v2/tasks/instances/{one}/subtasks/{other}/retry")),
        6 => ("GET", format!("/api/v2/clusters/{one}/zones/{other}/servers")),
        7 => ("GET", "/api/v2/ob/clusters".to_owned()),
        8 => ("POST", format!("/api/v2/ob/clusters/{one}/servers/{other}/restart")),
        9 => ("POST", format!("/api/v2/ob/clusters/{one}/servers/{other}/start")),
        10 => ("POST", format!("/api/v2/tasks/instances/{one}/subtasks/{other}/skip")),
        _ => ("GET", format!("/{one}/{other}")),
    })
}

#[test]
fn nothing_that_is_sent_breaks_the_face() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fixture = runtime.block_on(async {
        let fixture = Fixture::admin_of(1..=20, |_| ()).await;
        fixture.accept(&operations::STOP_PROCESS).await;
        fixture
    });
    let mut runner = TestRunner::new(Config { cases: 1500, failure_persistence: None, ..Config::default() });
    let mut statuses = std::collections::BTreeSet::new();
    let statuses_seen = std::cell::RefCell::new(&mut statuses);
    runner
        .run(&(path(), query(), body()), |((method, path), query, body)| {
            let uri = format!("{path}?{query}");
            let request = Request::builder().method(method).uri(&uri).header("content-type", "application/json");
            // What is no URI never reaches the face.
            let Ok(request) = request.body(Body::from(body)) else { return Ok(()) };
            let answer = runtime.block_on(fixture.ask(request));
            prop_assert!(answer.status.as_u16() < 500, "{method} {uri}: {answer:?}");
            statuses_seen.borrow_mut().insert(answer.status.as_u16());
            Ok(())
        })
        .unwrap();
    for reached in [200, 400, 404] {
        assert!(statuses.contains(&reached), "{statuses:?}");
    }
}
