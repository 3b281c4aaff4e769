//! What pages are made of: well-formed markup in two languages, headers that keep out what is not ours, and little weight.

use std::sync::Arc;
use std::time::Duration;

use obsteward::api::console::{PAGES, SCRIPT, STYLE};
use obsteward::clock::monotonic_now;
use obsteward::oceanbase::Expected;

use super::markup::assert_well_formed;
use super::{Browser, Fixture};
use crate::support::reads_only::{Opening, ReadsOnly};

/// Every page that is there for the administrator.
fn all() -> Vec<&'static str> {
    let more = [
        "/clusters/1",
        "/clusters/3?look=now",
        "/clusters/1/servers/7/start",
        "/clusters/3/servers/27/stop",
        "/clusters/3/servers/27/stop?action=restart&freeze=1&force=1",
        "/clusters/3/servers/27/stop?action=hold&hold_minutes=30",
        "/clusters/3/servers/27/freeze",
        "/clusters/3/zones/zone1/stop?drain_seconds=5",
        "/clusters/3/zones/zone1/start",
        "/clusters/3/stop?action=restart",
        "/clusters/3/start",
        "/clusters/3/rollout",
        "/clusters/3/rollout?plan=1&server=27&action=HOLD&deadline_hours=2",
        "/clusters/3/settings",
        "/clusters/register",
        "/tasks?state=RUNNING&state=FAILED&name=stop&page=1",
        "/tasks/1",
        "/tasks/2",
        "/tasks/1/subtasks/101/log",
        "/audit?refused=1&call=CANCEL_TASK",
        "/?above=1",
    ];
    [PAGES, &more].concat()
}

async fn check(browser: &mut Browser, path: &str, status: u16) -> String {
    let answer = browser.get(path).await;
    assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
    let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{path}: {policy}");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
    assert_eq!((header("x-content-type-options"), header("x-frame-options")), ("nosniff", "DENY"));
    assert_eq!((header("cache-control"), header("referrer-policy")), ("no-store", "same-origin"));
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert!(!header("obsteward-trace-id").is_empty());
    let ids = assert_well_formed(&answer.text);
    assert!(ids.contains(&"content".to_owned()) && answer.text.contains("<h1>"));
    for link in answer.text.split("href=\"#").skip(1) {
        let target = link.split('"').next().unwrap();
        assert!(ids.iter().any(|id| id == target), "{path} leads to #{target}");
    }
    answer.text
}

#[tokio::test]
async fn every_page_is_well_formed_and_closed_in_both_languages() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    for (language, tag) in [("en", "en"), ("zh", "zh-CN")] {
        admin.language = language;
        for path in all() {
            let page = check(&mut admin, path, 200).await;
            assert!(page.contains(&format!("<html lang=\"{tag}\">")), "{path}");
            assert_eq!(page.contains("集群"), language == "zh", "{path}");
        }
        check(&mut admin, "/no/such/page", 404).await;
        check(&mut admin, "/tasks/999", 404).await;
        check(&mut admin, "/tasks/abc", 400).await;
        check(&mut fixture.browser(), "/sign-in", 200).await;
    }
}

#[tokio::test]
async fn a_language_that_was_chosen_stays() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let chosen = admin.get("/language?to=zh&next=/tasks").await;
    assert_eq!(chosen.location(), "/tasks");
    assert!(admin.page("/tasks").await.contains("任务"));
    assert_eq!(admin.get("/language?to=en&next=//evil.example").await.location(), "/");
    assert!(admin.page("/tasks").await.contains("Tasks"));
}

#[tokio::test]
async fn script_and_style_are_light_and_known_again() {
    assert!(SCRIPT.len() + STYLE.len() < 40 * 1024);
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !SCRIPT.contains("http"));
    let fixture = Fixture::new().await;
    let mut stranger = fixture.browser();
    for path in ["/console.css", "/console.js", "/console.svg"] {
        let answer = stranger.get(path).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}");
        let tag = answer.headers["etag"].clone();
        let again = http::Request::get(path).header("if-none-match", tag);
        assert_eq!(stranger.send(again, axum::body::Body::empty()).await.status().as_u16(), 304);
    }
}

#[tokio::test]
async fn the_gateway_answers_what_is_its_own() {
    let fixture = Fixture::new().await;
    let mut stranger = fixture.browser();
    assert_eq!(stranger.get("/api/v2/time").await.status.as_u16(), 200);
    assert!(stranger.get("/openapi.yaml").await.text.starts_with("openapi:"));
    let unknown = stranger.get("/api/v2/nothing").await;
    assert!(unknown.text.starts_with('{'), "{}", unknown.text);
}

#[tokio::test]
async fn a_task_is_drawn_and_told() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let page = admin.page("/tasks/1").await;
    let graph = page.split_once("<svg").unwrap().1.split_once("</svg>").unwrap().0;
    assert_eq!((graph.matches("<rect").count(), graph.matches("class=\"edge\"").count()), (3, 2), "{graph}");
    assert!(graph.contains("node state-RUNNING") && graph.contains("node state-PENDING"));
    for said in ["The task was accepted (anonymous)", "Step 1: ready → running", "10.0.0.2:2882"] {
        assert!(page.contains(said), "{said} in {page}");
    }
    let failed = admin.page("/tasks/2").await;
    assert!(failed.contains("running → failed") && failed.contains("role=\"alert\""));
}

#[tokio::test]
async fn a_cluster_is_a_picture_of_its_zones() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let page = admin.page("/clusters/3").await;
    assert_eq!(page.matches("<article").count(), 3);
    assert!(page.contains("10.0.3.7:2882") && page.contains("stopped since") && page.contains("not looked at"));
    assert!(page.contains("/clusters/3/servers/27/stop"));
    assert!(page.contains("not known: nobody is there") && page.contains("Taking it out of service"), "{page}");
    let busy = admin.page("/clusters/1").await;
    assert!(busy.contains("href=\"/tasks/1\"") && !busy.contains("/start\""));
}

#[tokio::test]
async fn a_cluster_that_never_answers_is_shown_with_what_is_known() {
    let silent = ReadsOnly(|_: &Expected| -> Opening { Box::pin(std::future::pending()) });
    let fixture = Fixture::over(true, Arc::new(silent)).await;
    let mut admin = fixture.signed_in("admin").await;
    tokio::time::pause();
    let begun = monotonic_now();
    let page = admin.page("/clusters/3").await;
    assert!(page.contains("not known: the cluster is being read") && page.contains("10.0.3.7:2882"), "{page}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let begun = monotonic_now();
    let page = admin.page("/clusters/3?look=now").await;
    assert!(page.contains("10.0.3.7:2882"), "{page}");
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whatever_is_asked_for_is_answered_with_a_page() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let long = format!("/clusters/3/zones/{}/stop", "z".repeat(5000));
    for (path, status) in [
        ("/clusters/%FF", 404),
        ("/clusters/%00", 400),
        ("/clusters/1%2F..%2F2", 400),
        ("/clusters/-1", 400),
        ("/clusters/9223372036854775808/stop", 400),
        ("/clusters/9007199254740991", 404),
        ("/clusters/3/zones/%3Cscript%3E/stop", 400),
        ("/clusters/3/zones/..%2F..%2Fetc/start", 400),
        ("/clusters/3/zones/%E9%9B%86/stop", 400),
        ("/clusters/3/zones/%20/stop", 400),
        ("/clusters/3/servers/%20/stop", 400),
        (&long, 400),
        ("/tasks?page=4294967296", 400),
        ("/tasks?state=%3Cb%3E", 400),
        ("/audit?call=%22%3E%3Cscript%3E", 400),
        ("/tasks/1/subtasks/0/log", 400),
        ("/tasks/1/subtasks/999/log", 404),
        ("/clusters/3/servers/27/stop?risk=%3Cscript%3E", 400),
        ("/clusters/3/servers/27/stop?action=hold&hold_until=9223372036854775807", 400),
        ("/clusters/3/rollout?server=27&server=27", 400),
        ("/clusters/3/rollout?max_parallel=99999999999999999999", 400),
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        assert_well_formed(&answer.text);
        assert!(!answer.text.contains("<script>"), "{path}");
    }
}
