//! Signing in and out, and how a session ends.

use http::Request;
use obsteward::domain::ids::{Principal, UserId};
use obsteward::store::access::{AccessChange, AccessStore};
use secrecy::SecretString;

use super::{Fixture, SESSION};
use crate::security::access::{basic, cheap_hash};
use crate::support::stored_rows::{audit, disable};

const COOKIE: &str = "obsteward";

impl Fixture {
    async fn change(&self, change: AccessChange) {
        let decided = move |_: &obsteward::store::access::AccessRows| {
            Ok::<_, obsteward::store::StoreError>((change.clone(), audit("test")))
        };
        self.service.directory.change(decided).await.unwrap();
    }

    fn id_of(&self, name: &str) -> UserId {
        self.service.directory.user(&name.parse::<Principal>().unwrap()).unwrap().id
    }
}

#[tokio::test]
async fn who_has_no_session_is_asked_to_sign_in() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let answer = browser.get("/tasks?state=FAILED").await;
    assert_eq!((answer.status.as_u16(), answer.location()), (303, "/sign-in?next=/tasks%3Fstate%3DFAILED"));
    assert!(browser.page(answer.location()).await.contains("value=\"/tasks?state=FAILED\""));
    let wrong = browser.sign_in("admin", "of-viewer").await;
    assert_eq!(wrong.status.as_u16(), 401);
    assert!(wrong.text.contains("User or password is wrong.") && browser.cookies.is_empty());
    let nobody = browser.sign_in("nobody", "of-admin").await;
    assert_eq!((nobody.status, &nobody.text), (wrong.status, &wrong.text), "who is there is not told");
    let right = browser.sign_in("admin", "of-admin").await;
    assert_eq!((right.status.as_u16(), right.location()), (303, "/"));
    assert!(browser.page("/").await.contains("ob1"));
    let out = browser.submit("/", "/sign-out", &[]).await;
    assert_eq!((out.status.as_u16(), out.location()), (303, "/sign-in"));
    assert!(browser.cookies.is_empty());
    assert_eq!(browser.get("/").await.status.as_u16(), 303);
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_is_renewed_while_it_is() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.signed_in("admin").await;
    let first = browser.cookies[COOKIE].clone();
    for _ in 0..4 {
        fixture.clock.advance(SESSION / 2);
        browser.page("/").await;
    }
    assert_ne!(browser.cookies[COOKIE], first);
    let mut copied = fixture.browser();
    copied.cookies.insert(COOKIE.to_owned(), first);
    assert_eq!(copied.get("/").await.status.as_u16(), 303, "a copy of what was renewed ends when it would have");
    fixture.clock.advance(SESSION);
    assert_eq!(browser.get("/").await.status.as_u16(), 303);
}

#[tokio::test]
async fn a_session_ends_with_its_user_and_with_its_password() {
    let fixture = Fixture::new().await;
    let mut viewer = fixture.signed_in("viewer").await;
    let user = fixture.id_of("viewer");
    fixture.change(AccessChange::SetPassword { user, password_hash: cheap_hash("another") }).await;
    assert_eq!(viewer.get("/").await.status.as_u16(), 303);
    let mut viewer = fixture.browser();
    assert_eq!(viewer.sign_in("viewer", "another").await.status.as_u16(), 303);
    viewer.page("/").await;
    fixture.change(disable(user.get())).await;
    assert_eq!(viewer.get("/").await.status.as_u16(), 303);
}

#[tokio::test]
async fn a_copy_of_a_session_that_was_signed_out_is_void() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.signed_in("viewer").await;
    let (mut copied, mut other) = (browser.clone(), fixture.signed_in("viewer").await);
    fixture.clock.advance(SESSION / 2);
    // Renewed, it is the same session.
    browser.page("/").await;
    copied.page("/").await;
    assert_eq!(browser.submit("/", "/sign-out", &[]).await.location(), "/sign-in");
    assert_eq!(copied.get("/").await.status.as_u16(), 303);
    other.page("/").await;
    assert_eq!(fixture.service.store.told(), ["viewer END_SESSIONS user viewer: ACCEPTED"]);
}

#[tokio::test]
async fn all_sessions_of_a_user_are_signed_out_at_once() {
    let fixture = Fixture::new().await;
    let mut other = fixture.signed_in("viewer").await;
    let mut third = fixture.signed_in("viewer").await;
    let everywhere = [("act", "end-sessions"), ("user", "viewer")];
    assert_eq!(third.submit("/access", "/access", &everywhere).await.status.as_u16(), 303);
    for ended in [&mut other, &mut third] {
        assert_eq!(ended.get("/").await.status.as_u16(), 303);
    }
    fixture.signed_in("viewer").await.page("/").await;
}

#[tokio::test]
async fn an_administrator_ends_the_sessions_of_another_and_a_viewer_does_not() {
    let fixture = Fixture::new().await;
    let (mut admin, mut viewer) = (fixture.signed_in("admin").await, fixture.signed_in("viewer").await);
    let of = |name| [("act", "end-sessions"), ("user", name)];
    assert_eq!(viewer.submit("/access", "/access", &of("admin")).await.status.as_u16(), 403);
    admin.page("/").await;
    assert_eq!(admin.submit("/access", "/access", &of("viewer")).await.status.as_u16(), 303);
    assert_eq!(viewer.get("/").await.status.as_u16(), 303);
    // Disabled and enabled again, nobody is signed in by what was issued before.
    let mut viewer = fixture.signed_in("viewer").await;
    for act in ["disable-user", "enable-user"] {
        assert_eq!(admin.submit("/access", "/access", &[("act", act), ("user", "viewer")]).await.status.as_u16(), 303);
    }
    assert_eq!(viewer.get("/").await.status.as_u16(), 303);
}

#[tokio::test]
async fn a_session_is_for_the_console_and_a_password_for_the_api() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.signed_in("admin").await;
    assert_eq!(browser.get("/api/v2/tasks/instances").await.status.as_u16(), 401);
    let mut headers = basic("admin", "of-admin");
    let mut stranger = fixture.browser();
    let authorization = headers.remove("authorization").unwrap();
    let ask = |path: &str| Request::get(path.to_owned()).header("authorization", authorization.clone());
    let response = stranger.send(ask("/"), axum::body::Body::empty()).await;
    assert_eq!(response.status().as_u16(), 303);
    let response = stranger.send(ask("/api/v2/tasks/instances"), axum::body::Body::empty()).await;
    assert_eq!(response.status().as_u16(), 200);
    for forged in ["", "x", "1.2.3.4", "1001.1.99999999999999999.AAAA"] {
        stranger.cookies.insert(COOKIE.to_owned(), forged.to_owned());
        assert_eq!(stranger.get("/").await.status.as_u16(), 303, "{forged}");
    }
}

#[tokio::test]
async fn sessions_survive_a_restart_of_the_service() {
    let fixture = Fixture::new().await;
    let keys = &*fixture.service.store.real;
    let sessions = || obsteward::access::session::Sessions::new(keys, SESSION).unwrap();
    let (user, now) = (fixture.id_of("admin"), fixture.clock.now());
    let rows = fixture.service.directory.rows();
    let hash = rows.users.iter().find(|row| row.id == user).unwrap().password_hash.clone().unwrap();
    let token = sessions().issue(user, &SecretString::from(hash), now);
    assert_eq!(sessions().user_of(&token, &fixture.service.store.access().await.unwrap(), now).unwrap().id, user);
}

#[tokio::test]
async fn failed_sign_ins_are_slowed_down_as_those_of_the_api() {
    let fixture = Fixture::new().await;
    let mut browser = fixture.browser();
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(browser.sign_in("admin", "wrong").await.status.as_u16());
        if statuses.last() == Some(&429) {
            break;
        }
    }
    assert_eq!((statuses.first(), statuses.last()), (Some(&401), Some(&429)), "{statuses:?}");
    let refused = browser.sign_in("admin", "of-admin").await;
    assert_eq!(refused.status.as_u16(), 429);
    assert!(refused.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn without_authentication_there_is_nothing_to_sign_in_to() {
    let fixture = Fixture::open().await;
    let mut browser = fixture.browser();
    let page = browser.page("/").await;
    assert!(page.contains("anonymous") && !page.contains("/sign-out"));
    assert_eq!(browser.get("/sign-in").await.location(), "/");
}
