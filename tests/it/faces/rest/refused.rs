//! Every refusal over this face: status, code, words in both languages, headers.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use axum::body::Body;
use http::header::ACCEPT_LANGUAGE;
use http::{HeaderMap, Request};
use obsteward::api::rest::{Method, OperationId, ROUTES, RequestMeta, ResponseFormat, TimestampFormat};
use obsteward::config::ErrorCodes;
use obsteward::domain::refusal::Refusal;
use obsteward::domain::trace::TraceContext;
use obsteward::operations;
use serde_json::json;

use super::{Answer, Fixture, STOP, read};
use crate::faces::refusal_samples::every;

/// A refusal as the face answers it.
async fn answer(codes: ErrorCodes, refusal: &Refusal, language: &str) -> Answer {
    let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, language.parse().unwrap())]);
    let timestamps = TimestampFormat::named("+08:00").unwrap();
    let format = ResponseFormat { timestamps, server: "xxx.xxx.xxx.xxx".to_owned(), codes };
    let meta = RequestMeta::new(&headers, "getTask", TraceContext::of_random(1, 1));
    read(format.response(&meta, Err(refusal.clone().into()), None)).await
}

#[tokio::test]
async fn every_refusal_is_an_error_of_ocp_in_both_languages() {
    let mut table = String::new();
    let refusals = every();
    assert_eq!(refusals.len(), 73);
    for refusal in refusals {
        let zh = answer(ErrorCodes::Numeric, &refusal, "zh-CN").await;
        let en = answer(ErrorCodes::Prefixed, &refusal, "en-US, zh;q=0.5").await;
        assert_eq!((zh.status, zh.reason(), en.reason()), (en.status, refusal.reason(), refusal.reason()));
        assert_eq!(zh.headers["content-language"], "zh-CN");
        assert_eq!(en.headers["content-language"], "en");
        let (zh_error, en_error) = (&zh.body["error"], &en.body["error"]);
        // A typed client reads one of them: no answer mixes them.
        assert!(zh_error["code"].is_i64() && en_error["code"].is_string(), "{zh_error} {en_error}");
        let words = zh_error["message"].as_str().unwrap();
        assert!(words.chars().any(|letter| letter > '\u{4e00}'), "{words}");
        assert_eq!(zh_error.get("subErrors"), en_error.get("subErrors"));
        let retry = zh.headers.get("retry-after").map_or("-", |seconds| seconds.to_str().unwrap());
        let target = zh_error.get("target").map_or("-", |target| target.as_str().unwrap());
        let _ = writeln!(
            table,
            "{} {} {} {} target={target} retry={retry}\n  {}\n  {words}",
            refusal.reason(),
            zh.status.as_u16(),
            zh_error["code"],
            en_error["code"],
            en_error["message"].as_str().unwrap(),
        );
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn a_rate_that_is_used_up_is_told_as_documented() {
    let refusal = Refusal::RateLimited { limit: 10, window_seconds: 60, retry_after_millis: 100 };
    let answer = answer(ErrorCodes::Numeric, &refusal, "").await;
    let words = "请求次数过多，你已经超过当前流控窗口内的请求上限";
    assert_eq!((answer.status.as_u16(), &answer.body["error"]), (429, &json!({"code": 0, "message": words})));
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn who_is_not_known_is_asked_for_a_password() {
    let fixture = Fixture { login: HeaderMap::new(), ..Fixture::admin(|_| ()).await };
    let answer = fixture.get("/api/v2/tasks/instances/7").await;
    assert_eq!((answer.status.as_u16(), &answer.body["error"]["code"]), (401, &json!(3000)));
    assert_eq!(answer.headers["www-authenticate"], "Basic realm=\"obsteward\"");
    let mut open = Vec::new();
    for route in ROUTES {
        let path = route.path.replace(['{', '}'], "");
        // Answers that are no envelopes too.
        let send = async |method: &str| {
            let request = Request::builder().method(method).uri(&path).body(Body::empty()).unwrap();
            fixture.send(request).await.status()
        };
        let (right, wrong) = match route.method {
            Method::Get => (send("GET").await, send("POST").await),
            Method::Post => (send("POST").await, send("GET").await),
        };
        assert_eq!(wrong, 401, "{path}: which methods there are is not told either");
        if right != 401 {
            open.push(route.operation);
        }
    }
    let probes = [OperationId::GetStatus, OperationId::GetLiveness, OperationId::GetReadiness];
    assert_eq!(open, [&[OperationId::OpenApi, OperationId::GetTime], &probes[..]].concat());
    assert_eq!(fixture.get("/api/v2/nowhere").await.status, 401);
}

#[tokio::test]
async fn a_lock_conflict_names_its_holder() {
    let fixture = Fixture::new().await;
    let holder = fixture.accept(&operations::STOP_PROCESS).await.task.spec.id;
    let answer = fixture.post(STOP).await;
    let target = json!(format!("tasks/{holder}"));
    assert_eq!((answer.status.as_u16(), &answer.body["error"]["target"]), (409, &target));
    assert_eq!(answer.body["error"]["code"], 11020);
}

#[tokio::test]
async fn a_panic_is_an_error_like_others() {
    let fixture = Fixture::new().await;
    fixture.store.switches.panics.store(true, Ordering::SeqCst);
    let answer = fixture.get("/api/v2/tasks/instances/7").await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (500, "INTERNAL"));
    assert!(!answer.body.to_string().contains("of the test's making"), "{answer:?}");
    assert_eq!(fixture.get("/api/v2/tasks/instances/7").await.reason(), "TASK_NOT_FOUND", "the face goes on");
}
