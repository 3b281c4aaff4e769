//! What published clients of OCP call: obd, OCP's own MCP server, OceanBase's Terraform provider, load balancers.

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::Fixture;

impl Fixture {
    /// An answer without an envelope.
    async fn bare(&self, path: &str) -> (StatusCode, String) {
        let (parts, body) = self.send(Request::get(path).body(Body::empty()).unwrap()).await.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        (parts.status, String::from_utf8(text.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn the_servers_of_a_zone_are_under_both_paths_and_an_unknown_zone_is_not_found() {
    let fixture = Fixture::new().await;
    for cluster in ["/api/v2/clusters/1", "/api/v2/ob/clusters/1"] {
        let known = fixture.get(&format!("{cluster}/zones/zone1/servers")).await;
        assert_eq!(known.body["data"]["contents"].as_array().map(Vec::len), Some(3), "{cluster}");
        let unknown = fixture.get(&format!("{cluster}/zones/zone9/servers")).await;
        assert_eq!((unknown.status.as_u16(), unknown.reason()), (404, "ZONE_NOT_FOUND"), "{cluster}");
        let error = &unknown.body["error"];
        assert_eq!((&error["code"], &error["target"]), (&json!(12002), &json!("zones/zone9")), "{error}");
        let wrong = fixture.get(&format!("{cluster}/zones/zone%0A1/servers")).await;
        assert_eq!((wrong.status.as_u16(), wrong.reason()), (400, "INVALID_ARGUMENT"), "{cluster}");
    }
}

#[tokio::test]
async fn who_looks_whether_there_is_an_ocp_finds_one() {
    // Nobody says who asks.
    let fixture = Fixture { login: http::HeaderMap::new(), ..Fixture::admin(|_| ()).await };
    let time = fixture.get("/api/v2/time").await.body;
    assert_eq!(time["data"].as_str().map(str::len), Some("2021-03-02T16:11:11.327+08:00".len()), "{time}");
    assert_eq!(fixture.bare("/api/status").await, (StatusCode::OK, "okay".to_owned()));
    let path = "/api/status?includeUnavailableComponent=true";
    assert_eq!(fixture.bare(path).await, (StatusCode::OK, "okay".to_owned()));
    assert_eq!(fixture.get("/api/v2/info").await.reason(), "UNAUTHENTICATED");
    let known = Fixture::new().await;
    let (status, info) = known.bare("/api/v2/info").await;
    let info: Value = serde_json::from_str(&info).unwrap();
    assert_eq!((status, &info["buildVersion"]), (StatusCode::OK, &json!(env!("CARGO_PKG_VERSION"))), "{info}");
    fixture.end();
    let ending = fixture.bare("/api/status").await;
    assert_eq!(ending, (StatusCode::SERVICE_UNAVAILABLE, "bad".to_owned()));
}

#[tokio::test]
async fn a_cluster_has_the_version_that_its_packages_are_named_by() {
    let fixture = Fixture::new().await;
    let cluster = fixture.get("/api/v2/ob/clusters/1").await.body;
    assert_eq!(cluster["data"]["obVersion"], "4.2.1.8");
    assert_eq!(cluster["data"]["fullVersion"], "4.2.1.8-108000022024072217");
    let page = fixture.get("/api/v2/ob/clusters").await.body;
    assert_eq!(page["data"]["contents"][0]["fullVersion"], "4.2.1.8-108000022024072217");
}
