//! What changes something: from our own pages only, by whoever may, in the audit log like every other call.

use super::Fixture;

const CANCEL: &str = "/tasks/1/verbs";

#[tokio::test]
async fn a_form_of_this_session_is_done_and_on_record() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let page = admin.page("/tasks/1").await;
    assert!(page.contains("id=\"verb-CANCEL\"") && !page.contains("id=\"verb-RETRY\""));
    let answer = admin.submit("/tasks/1", CANCEL, &[("verb", "CANCEL"), ("reason", "TICKET-7 更换磁盘")]).await;
    assert_eq!((answer.status.as_u16(), answer.location()), (303, "/tasks/1"), "{}", answer.text);
    assert_eq!(fixture.service.store.told(), ["admin CANCEL_TASK task 1: ACCEPTED"]);
    assert_eq!(fixture.service.store.records()[0].reason.as_str(), "TICKET-7 更换磁盘");
    assert!(admin.page("/tasks/1").await.contains("being cancelled"));
}

#[tokio::test]
async fn a_form_from_elsewhere_does_nothing() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let mut viewer = fixture.signed_in("viewer").await;
    let token = |page: &str| super::markup::value_of(page, "form_token").unwrap();
    let (mine, theirs) = (token(&admin.page("/").await), token(&viewer.page("/").await));
    let cancel = |token: String| [("verb", "CANCEL".to_owned()), ("form_token", token)];
    for (token, headers) in [
        (String::new(), &[][..]),
        (theirs, &[]),
        (mine[1..].to_owned(), &[]),
        (mine.clone(), &[("sec-fetch-site", "cross-site")]),
        (mine.clone(), &[("sec-fetch-site", "same-site")]),
        (mine.clone(), &[("origin", "https://evil.example")]),
        (mine.clone(), &[("origin", "null")]),
    ] {
        let fields = cancel(token);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = admin.post(CANCEL, &fields, headers).await;
        assert_eq!(answer.status.as_u16(), 403, "{headers:?}");
    }
    let answer = admin.post("/sign-in", &[("user", "admin")], &[("origin", "https://evil.example")]).await;
    assert_eq!(answer.status.as_u16(), 403, "nobody is signed in as somebody else");
    assert!(fixture.service.store.told().is_empty());
    assert_eq!(admin.get("/sign-out").await.status.as_u16(), 405);
    let fields = cancel(mine);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(fixture.browser().post(CANCEL, &fields, &[]).await.status.as_u16(), 401);
    assert_eq!(admin.post(CANCEL, &fields, &[]).await.status.as_u16(), 303, "a browser that says nothing of the site");
}

#[tokio::test]
async fn without_authentication_forms_are_ours_too() {
    let fixture = Fixture::open().await;
    let mut anybody = fixture.browser();
    assert_eq!(anybody.post(CANCEL, &[("verb", "CANCEL")], &[]).await.status.as_u16(), 403);
    assert_eq!(anybody.submit("/tasks/1", CANCEL, &[("verb", "CANCEL")]).await.status.as_u16(), 303);
}

#[tokio::test]
async fn a_viewer_is_offered_nothing_and_refused_what_it_sends() {
    let fixture = Fixture::new().await;
    let mut viewer = fixture.signed_in("viewer").await;
    for page in ["/tasks/1", "/tasks/2", "/clusters/1"] {
        let page = viewer.page(page).await;
        assert!(!page.contains("/verbs\"") && !page.contains("/start\""), "{page}");
    }
    let answer = viewer.submit("/", CANCEL, &[("verb", "CANCEL")]).await;
    assert_eq!(answer.status.as_u16(), 403);
    assert!(answer.text.contains("PERMISSION_DENIED"), "{}", answer.text);
    assert_eq!(fixture.service.store.told(), ["viewer CANCEL_TASK task 1: PERMISSION_DENIED"]);
    let audit = viewer.get("/audit").await;
    assert_eq!(audit.status.as_u16(), 403);
    assert!(viewer.page("/access").await.contains("Users and roles are shown to whoever may read all users."));
}

#[tokio::test]
async fn a_task_at_rest_offers_what_it_allows_of_the_revision_that_was_seen() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let page = admin.page("/tasks/2").await;
    for verb in ["RETRY", "ROLLBACK", "GIVE_UP"] {
        assert!(page.contains(&format!("id=\"verb-{verb}\"")), "{verb}");
    }
    assert!(!page.contains("id=\"verb-CANCEL\"") && page.contains("Closes the task as it is"));
    let give_up = [("verb", "GIVE_UP"), ("revision", "1")];
    let moved = admin.submit("/tasks/2", "/tasks/2/verbs", &give_up).await;
    assert_eq!(moved.status.as_u16(), 409);
    assert!(moved.text.contains("TASK_MOVED"));
}

#[tokio::test]
async fn a_stop_is_confirmed_by_the_servers_address() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    let stop = "/clusters/3/servers/27/stop";
    for (address, reason) in
        [("", "INVALID_ARGUMENT"), ("27", "INVALID_ARGUMENT"), ("10.0.3.8:2882", "EXPECTED_SERVER_MISMATCH")]
    {
        let answer = admin.submit("/", stop, &[("action", "stop"), ("address", address)]).await;
        assert!(answer.status.is_client_error() && answer.text.contains(reason), "{address}: {}", answer.text);
    }
    let risky = [("action", "stop"), ("address", "10.0.3.7:2882"), ("risk", "QUORUM_LOSS")];
    let answer = admin.submit("/", stop, &risky).await;
    assert!(answer.text.contains("RISK_NOT_ACCEPTED_HERE"), "{}", answer.text);
}

#[tokio::test]
async fn users_roles_and_keys_are_changed_by_whoever_may() {
    let fixture = Fixture::new().await;
    let mut admin = fixture.signed_in("admin").await;
    for fields in [
        &[("act", "create-role"), ("role", "READER"), ("permissions", "TASK:*:READ, CLUSTER:*:READ")][..],
        &[("act", "create-user"), ("user", "eve"), ("password", "of-eve-herself"), ("roles", "READER")],
        &[("act", "set-roles"), ("user", "eve"), ("roles", "")],
        &[("act", "delete-role"), ("role", "READER")],
        &[("act", "disable-user"), ("user", "eve")],
    ] {
        let answer = admin.submit("/access", "/access", fields).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (303, "/access"), "{fields:?} {}", answer.text);
    }
    let page = admin.page("/access").await;
    assert!(page.contains("eve") && page.contains("disabled"));
    let made = admin.submit("/access", "/access", &[("act", "create-key"), ("user", "admin")]).await;
    let id = made.text.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let secret = made.text.split("<code>").nth(2).unwrap().split('<').next().unwrap().to_owned();
    assert!(secret.len() >= 20, "{}", made.text);
    let page = admin.page("/access").await;
    assert!(page.contains(&id) && !page.contains(&secret));
    let told = fixture.service.store.told();
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told.iter().all(|line| line.ends_with("ACCEPTED")) && !format!("{told:?}").contains("of-eve-herself"));
}

#[tokio::test]
async fn a_viewer_changes_its_own_password_and_keys_and_nobody_elses() {
    let fixture = Fixture::new().await;
    let mut viewer = fixture.signed_in("viewer").await;
    for (fields, status) in [
        (&[("act", "disable-user"), ("user", "admin")][..], 403),
        (&[("act", "set-roles"), ("user", "viewer"), ("roles", "ADMIN")], 403),
        (&[("act", "create-key"), ("user", "admin")], 403),
        (&[("act", "nothing")], 400),
        (&[("act", "create-key")], 200),
        (&[("act", "set-password"), ("user", "viewer"), ("password", "another one")], 303),
    ] {
        let answer = viewer.submit("/access", "/access", fields).await;
        assert_eq!(answer.status.as_u16(), status, "{fields:?} {}", answer.text);
    }
    assert_eq!(viewer.get("/access").await.status.as_u16(), 303, "its session ended with the password");
}
