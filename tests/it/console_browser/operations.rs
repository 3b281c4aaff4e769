//! What an operator does with it, from signing in to a rollback, with nothing but mouse and keys.

use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind};

use super::chromium::Chromium;
use super::tab::{Look, Tab};
use super::{PASSWORD, Place};

const STUCK: FaultKind = FaultKind::LeaderSwitchStuck { tenant: None, ls: None };

/// Signs in, looks, plans, stops, and sees it move without a reload; a stop that fails is rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_stopped_and_a_failed_stop_is_rolled_back() {
    let place = Place::new(|config| config.stop.leader_wait_seconds = 1).await;
    let (path, address) = place.server(2).await;
    let tab = Chromium::start().await.tab(&place.base).await;
    tab.sign_in("admin", PASSWORD).await;

    // Look: from the clusters to the picture of one, and at every process.
    tab.click(&format!("a[href='/clusters/{}']", place.cluster)).await;
    tab.at(&format!("/clusters/{}", place.cluster)).await;
    assert_eq!(tab.value("document.querySelectorAll('article.card').length").await, 6);
    tab.click("a[href$='?look=now']").await;
    tab.says("runs, pid").await;

    // Plan: nothing blocks.
    tab.click(&format!("a[href='{path}/stop']")).await;
    tab.at(&format!("{path}/stop")).await;
    assert!(tab.has("p.good[role=status]").await, "{}", tab.text().await);

    // A form that is not filled in is not sent; a wrong address is refused.
    tab.click("button.danger").await;
    assert!(tab.has("#address:invalid").await);
    tab.fill("#address", "10.0.0.1:2882").await;
    tab.click("button.danger").await;
    tab.until("document.querySelector('p.problem[role=alert]')").await;
    tab.says("EXPECTED_SERVER_MISMATCH").await;

    // The leaders stay: it fails, and is rolled back.
    let stuck = place.sim.inject(Fault::on(STUCK, 2));
    let failed = stopped(&tab, &path, &address).await;
    tab.until("document.querySelector('#live dd .badge.state-FAILED')").await;
    assert!(tab.has("#verb-RETRY").await && tab.has("#verb-GIVE_UP").await);
    tab.click("#verb-ROLLBACK summary").await;
    tab.fill("#reason-verb-ROLLBACK", "the leaders stay").await;
    tab.click("#verb-ROLLBACK button").await;
    tab.until("document.querySelector('#live dd .badge.state-ROLLED_BACK')").await;
    assert!(tab.text().await.contains("the leaders stay"));
    assert_eq!(place.admin.task(failed).await.state(), v1::TaskState::RolledBack);

    // Without the fault it is stopped, and the page shows it to the end by itself.
    place.sim.clear(stuck);
    let done = stopped(&tab, &path, &address).await;
    tab.value("window.kept = true").await;
    tab.until("document.querySelector('#live dd .badge.state-SUCCESSFUL')").await;
    assert_eq!(tab.value("window.kept").await, true, "it was loaded again");
    assert_eq!(place.admin.task(done).await.state(), v1::TaskState::Successful);
    tab.go(&format!("/clusters/{}", place.cluster)).await;
    tab.look(Look::ALL[0]).await;
    tab.picture("cluster-stopped-en-light-1280").await;
    assert!(tab.has("article.card .badge.state-STOPPED").await && tab.has(".urgent").await);
    assert!(tab.wrong().iter().all(|wrong| wrong.contains("409")), "but for the stop that was refused");

    // What is live says when it is no more.
    place.end().await;
    tab.says("Connection lost").await;
}

/// A rendering that comes between the press and the release of a mouse does not take away what is clicked.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_pressed_stays_under_the_pointer() {
    const CAUGHT: &str =
        "window.EventSource = class extends EventSource { constructor(path) { super(path); window.stream = this; } };";
    const RENDERED: &str = "stream.dispatchEvent(new MessageEvent('region', { data: document.getElementById('live').innerHTML + '<p>new</p>' }))";
    let place = Place::new(|_| {}).await;
    let tab = Chromium::start().await.tab(&place.base).await;
    tab.prepare_pages(CAUGHT).await;
    tab.sign_in("admin", PASSWORD).await;
    tab.until("window.stream").await;
    // From here on only what is rendered here.
    tab.value("stream.close()").await;
    let pressed = tab.press_mouse("#live").await;
    tab.value(RENDERED).await;
    tab.release_mouse(&pressed).await;
    tab.says("new").await;
    let cluster = format!("/clusters/{}", place.cluster);
    let pressed = tab.press_mouse(&format!("a[href='{cluster}']")).await;
    tab.value(RENDERED).await;
    tab.release_mouse(&pressed).await;
    tab.at(&cluster).await;
}

/// Who may only look is offered nothing to ask for, and is refused what is asked for all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_refused() {
    let place = Place::new(|_| {}).await;
    let (path, _) = place.server(2).await;
    place.sim.inject(Fault::on(STUCK, 2));
    let request = place.stop_of(2).await;
    let task = place.admin.stop_with(request).await.unwrap().id;
    place.admin.waits_for(task, "leader").await;
    let tab = Chromium::start().await.tab(&place.base).await;
    tab.sign_in("viewer", PASSWORD).await;
    tab.go(&format!("/tasks/{task}")).await;
    tab.says("Waits for").await;
    assert!(!tab.has(".verb").await && !tab.has("button.danger").await, "{}", tab.text().await);
    tab.go(&format!("/clusters/{}", place.cluster)).await;
    assert!(tab.has("article.card").await && !tab.has("a[href$='/start']").await);

    // The form of a verb, with the token that the page of a viewer has for signing out.
    tab.value(&format!(
        "(() => {{ const form = document.querySelector('form[action=\"/sign-out\"]'); form.action = '/tasks/{task}/verbs'; \
         form.insertAdjacentHTML('beforeend', '<input name=verb value=CANCEL>'); form.querySelector('button').id = 'ask'; }})()"
    ))
    .await;
    tab.click("#ask").await;
    tab.at(&format!("/tasks/{task}/verbs")).await;
    tab.says("PERMISSION_DENIED").await;
    tab.go(&format!("{path}/start")).await;
    assert!(!tab.has("form.fields").await);
    assert_eq!(place.admin.task(task).await.state(), v1::TaskState::Running);
    // The refusal itself is an answer that a browser logs.
    assert!(tab.wrong().iter().all(|wrong| wrong.contains("403")));
    place.end().await;
}

/// Plans, types the address, and asks for it; the number of the task whose page that leads to.
pub async fn stopped(tab: &Tab, path: &str, address: &str) -> i64 {
    tab.go(&format!("{path}/stop")).await;
    tab.fill("#address", address).await;
    tab.fill("#reason-ask", "a new disk").await;
    tab.click("button.danger").await;
    tab.at("/tasks/").await;
    let path = tab.path().await;
    path.trim_start_matches("/tasks/").parse().unwrap()
}
