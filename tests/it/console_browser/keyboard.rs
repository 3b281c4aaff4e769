//! Without a mouse: everything is reached in order, it is seen where one is, and a page that changes leaves one there.

use obsteward::sim::{Fault, FaultKind};
use serde_json::Value;

use super::chromium::Chromium;
use super::tab::{Look, Tab};
use super::{PASSWORD, Place};

/// Everything that can be used now, in order. Of radio buttons one of each group is reached, and the others from it.
const ALL: &str = "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex=\"0\"]')] \
    .filter((it) => it.checkVisibility() && (it.type !== 'radio' || it.checked))";

/// Where one is: the number in that order, and whether it is to be seen.
const HERE: &str = "((all) => { const it = document.activeElement, style = getComputedStyle(it), box = it.getBoundingClientRect(); \
    return { number: all.indexOf(it), what: it.outerHTML.slice(0, 120), \
      seen: (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2) && box.right > 0 && box.bottom > 0 && \
        box.left < innerWidth && box.top < innerHeight }; })(ALL)";

async fn here(tab: &Tab) -> Value {
    tab.value(&HERE.replace("ALL", ALL)).await
}

/// Goes through a page by Tab, from its beginning.
async fn walked(tab: &Tab, path: &str) {
    tab.go(path).await;
    let count = tab.value(&format!("{ALL}.length")).await.as_i64().unwrap();
    assert!(count > 3, "{path} has {count} things to use");
    let mut reached = Vec::new();
    tab.value("document.activeElement.blur()").await;
    for _ in 0..count {
        tab.press("Tab").await;
        let here = here(tab).await;
        assert_eq!(here["seen"], true, "on {path} it is not seen where one is: {here}");
        reached.push(here["number"].as_i64().unwrap());
    }
    let all: Vec<i64> = (0..count).collect();
    assert_eq!(reached, all, "on {path}, in the order in which they were reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_reached_by_keyboard_also_while_it_changes() {
    let place = Place::new(|_| {}).await;
    let (path, _) = place.server(1).await;
    let stuck = place.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let task = place.admin.stop_with(place.stop_of(2).await).await.unwrap().id;
    place.admin.waits_for(task, "leader").await;
    let tab = Chromium::start().await.tab(&place.base).await;
    tab.look(Look::ALL[0]).await;

    // Signing in: the first field has the focus.
    tab.go("/sign-in").await;
    assert_eq!(tab.value("document.activeElement.id").await, "user");
    tab.fill("#user", "admin").await;
    tab.press("Tab").await;
    tab.insert(PASSWORD).await;
    tab.press("Enter").await;
    tab.until("location.pathname === '/' && document.readyState === 'complete'").await;

    // The first step leads behind the navigation.
    tab.press("Tab").await;
    assert_eq!(tab.value("document.activeElement.className").await, "skip");
    tab.press("Enter").await;
    tab.until("document.activeElement.id === 'content'").await;

    let cluster = format!("/clusters/{}", place.cluster);
    let (plan, start) = (format!("{path}/stop"), format!("{path}/start"));
    for page in ["/", "/tasks", "/audit", "/access", &cluster, &plan, &start] {
        walked(&tab, page).await;
    }

    // A form of a page that changes: it stays open, what was typed stays, and so does the focus, to be seen.
    tab.go(&format!("/tasks/{task}")).await;
    tab.value("document.querySelector('#verb-CANCEL summary').focus()").await;
    tab.press("Enter").await;
    tab.press("Tab").await;
    tab.insert("it takes too long").await;
    tab.value("document.querySelector('#live').firstElementChild.dataset.old = 1").await;
    tab.until("!document.querySelector('#live [data-old]')").await;
    assert_eq!(tab.value("document.activeElement.id").await, "reason-verb-CANCEL");
    assert_eq!(tab.value("document.activeElement.value").await, "it takes too long");
    assert_eq!(here(&tab).await["seen"], true);
    tab.press("Enter").await;
    tab.says("it takes too long").await;
    tab.until("document.querySelector('#live dd .badge.state-CANCELLED, #live dd .badge.state-REFUSED')").await;
    place.sim.clear(stuck);
    assert_eq!(tab.wrong(), Vec::<String>::new());
    place.end().await;
}
