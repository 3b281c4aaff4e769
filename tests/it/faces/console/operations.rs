//! What can be asked for from the console beside verbs: every operation on servers, zones, clusters and rollouts, and what clusters
//! are registered with. Each is the call of the API, with its permission and its record.

use super::Fixture;

const ID: &str = "3f2b8a52-6c1e-4d0a-9a57-1c1d4a8c0001";

type Fields = &'static [(&'static str, &'static str)];

/// Where each is asked for, what is typed, and its call in the audit log.
const ASKED: &[(&str, Fields, &str)] = &[
    ("/clusters/3/servers/27/stop", &[("action", "stop"), ("address", "10.0.3.7:2882")], "STOP_OB_SERVER"),
    ("/clusters/3/servers/27/stop", &[("action", "service"), ("address", "10.0.3.7:2882")], "STOP_OB_SERVER"),
    ("/clusters/3/servers/27/stop", &[("action", "restart"), ("address", "10.0.3.7:2882")], "RESTART_OB_SERVER"),
    (
        "/clusters/3/servers/27/stop",
        &[("action", "hold"), ("hold_minutes", "30"), ("address", "10.0.3.7:2882")],
        "STOP_OB_SERVER",
    ),
    ("/clusters/3/servers/27/start", &[("expected", "10.0.3.7:2882")], "START_OB_SERVER"),
    ("/clusters/3/servers/27/freeze", &[("expected", "10.0.3.7:2882")], "FREEZE_OB_SERVER"),
    ("/clusters/3/zones/zone1/stop", &[("action", "stop"), ("name", "zone1")], "STOP_OB_ZONE"),
    ("/clusters/3/zones/zone1/stop", &[("action", "restart"), ("name", "zone1")], "RESTART_OB_ZONE"),
    ("/clusters/3/zones/zone1/start", &[], "START_OB_ZONE"),
    ("/clusters/3/stop", &[("action", "stop"), ("name", "ob3")], "STOP_OB_CLUSTER"),
    ("/clusters/3/stop", &[("action", "restart"), ("name", "ob3")], "RESTART_OB_CLUSTER"),
    ("/clusters/3/start", &[("expected", "ob3")], "START_OB_CLUSTER"),
    ("/clusters/3/rollout", &[("action", "RESTART"), ("name", "ob3")], "START_ROLLOUT"),
    (
        "/clusters/3/rollout",
        &[("action", "HOLD"), ("server", "27"), ("hold_minutes", "9"), ("name", "ob3")],
        "START_ROLLOUT",
    ),
    ("/clusters/3/settings", &[("act", "sync")], "SYNC_OB_CLUSTER"),
    (
        "/clusters/3/settings",
        &[("act", "update"), ("endpoints", "10.0.0.2:2881"), ("username", "root@sys"), ("hosts", "10.0.3.7=local")],
        "UPDATE_OB_CLUSTER",
    ),
    ("/clusters/3/settings", &[("act", "deregister"), ("name", "ob3")], "DEREGISTER_OB_CLUSTER"),
    ("/clusters/register", &[("endpoints", "10.9.9.9:2881"), ("password", "tacet")], "REGISTER_OB_CLUSTER"),
];

#[tokio::test]
async fn whatever_the_api_begins_is_asked_for_here_and_on_record() {
    for (path, fields, call) in ASKED {
        let fixture = Fixture::new().await;
        let mut admin = fixture.signed_in("admin").await;
        let answer = admin.submit("/", path, fields).await;
        let told = fixture.service.store.told();
        assert_eq!(told.len(), 1, "{path} {fields:?}: {told:?}");
        assert!(told[0].starts_with(&format!("admin {call} cluster")), "{path} {fields:?}: {told:?}");
        // What is refused here is refused by the state of the cluster, or because it does not answer.
        let accepted = told[0].ends_with(": ACCEPTED");
        assert_eq!(answer.status.as_u16() == 303, accepted, "{path} {fields:?}: {told:?} {}", answer.text);
        assert!(accepted || !told[0].ends_with("INVALID_ARGUMENT"), "{path} {fields:?}: {told:?} {}", answer.text);
        assert!(!answer.text.contains("tacet") && !format!("{:?}", fixture.service.store.records()).contains("tacet"));
    }
}

#[tokio::test]
async fn a_viewer_is_refused_every_one() {
    let fixture = Fixture::new().await;
    let mut viewer = fixture.signed_in("viewer").await;
    for (path, fields, call) in ASKED {
        let answer = viewer.submit("/", path, fields).await;
        assert_eq!(answer.status.as_u16(), 403, "{path} {fields:?} {}", answer.text);
        let told = fixture.service.store.told();
        assert!(told.last().unwrap().contains(call) && told.last().unwrap().ends_with("PERMISSION_DENIED"), "{told:?}");
    }
    assert_eq!(fixture.service.store.told().len(), ASKED.len());
    let page = viewer.page("/clusters/3").await;
    for link in ["/start\"", "/freeze\"", "/settings\""] {
        assert!(!page.contains(link), "{link}");
    }
    let settings = viewer.page("/clusters/3/settings").await;
    assert!(!settings.contains("method=\"post\" action=\"/clusters") && !settings.contains("name=\"act\""));
    assert!(!viewer.page("/").await.contains("/clusters/register"));
}

#[tokio::test]
async fn what_takes_something_out_is_confirmed_by_its_name() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    for (path, field) in [
        ("/clusters/3/servers/27/stop", "address"),
        ("/clusters/3/zones/zone1/stop", "name"),
        ("/clusters/3/stop", "name"),
        ("/clusters/3/rollout", "name"),
    ] {
        for typed in ["", "ob1"] {
            let answer = admin.submit("/", path, &[(field, typed)]).await;
            assert!(answer.status.is_client_error(), "{path} {typed:?}: {}", answer.text);
        }
    }
    let answer = admin.submit("/", "/clusters/3/settings", &[("act", "deregister"), ("name", "ob1")]).await;
    assert_eq!(answer.status.as_u16(), 400);
    let told = fixture.service.store.told();
    assert!(told.len() == 9 && told.iter().all(|line| !line.ends_with(": ACCEPTED")), "{told:?}");
}

#[tokio::test]
async fn a_form_that_is_sent_twice_makes_one_task() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let start = [("expected", "10.0.3.7:2882"), ("request_id", ID)];
    let first = admin.submit("/", "/clusters/3/servers/27/start", &start).await;
    let second = admin.submit("/", "/clusters/3/servers/27/start", &start).await;
    assert!(first.location().starts_with("/tasks/") && first.location() == second.location(), "{first:?} {second:?}");
}

#[tokio::test]
async fn a_plan_repeats_what_was_chosen_and_offers_what_there_is() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let server = admin.page("/clusters/3/servers/27/stop?action=hold&hold_minutes=30&drain_seconds=60&freeze=1").await;
    for said in ["value=\"hold\" checked", "name=\"drain_seconds\"", "value=\"60\"", "value=\"service\""] {
        assert!(server.contains(said), "{said} in {server}");
    }
    let cluster = admin.page("/clusters/3/stop").await;
    assert!(
        !cluster.contains("value=\"hold\"") && !cluster.contains("drain_seconds") && cluster.contains("SERVICE_LOSS")
    );
    let settings = admin.page("/clusters/3/settings").await;
    assert!(settings.contains("10.0.0.2:2881") && settings.contains("root@sys") && !settings.contains("geheim"));
    for wrong in [
        "/clusters/3/stop?action=hold",
        "/clusters/3/servers/27/stop?drain_seconds=-1",
        "/clusters/3/rollout?zone=z%00",
    ] {
        assert_eq!(admin.get(wrong).await.status.as_u16(), 400, "{wrong}");
    }
    for gone in
        ["/clusters/9/stop", "/clusters/3/zones/zone7/stop", "/clusters/3/servers/99/freeze", "/clusters/9/settings"]
    {
        assert_eq!(admin.get(gone).await.status.as_u16(), 404, "{gone}");
    }
}
