//! Two people before two browsers: one asks, the other agrees with exactly what was shown, or stops everything from beginning.

use obsteward::config::{ApprovalConfig, MaintenanceConfig};
use obsteward::proto::v1;

use super::chromium::Chromium;
use super::operations::stopped;
use super::tab::{Look, Tab};
use super::{PASSWORD, Place};

const MOVED_ON: &str = "document.querySelector('#live dd .badge.state-SUCCESSFUL')";

async fn signed_in(place: &Place, user: &str) -> Tab {
    let tab = Chromium::start().await.tab(&place.base).await;
    tab.sign_in(user, PASSWORD).await;
    tab
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_asks_for_begins_when_another_approves_the_plan_that_was_shown() {
    let place = Place::new(|config| {
        let approval = ApprovalConfig::Always;
        config.maintenance = vec![MaintenanceConfig { approval, ..MaintenanceConfig::default() }];
    })
    .await;
    let (path, address) = place.server(2).await;
    let (asks, agrees) = (signed_in(&place, "admin").await, signed_in(&place, "colleague").await);

    // It waits, and whoever asked for it cannot approve it.
    let task = stopped(&asks, &path, &address).await;
    asks.says("the approval of somebody else").await;
    asks.go(&format!("/tasks/{task}/plan")).await;
    asks.says("somebody else has to approve it").await;
    assert!(!asks.has("input[name=plan_digest]").await);
    asks.go(&format!("/tasks/{task}")).await;
    asks.value("window.kept = true").await;

    // A server goes while the plan is looked at: what is shown is not what would happen.
    agrees.go(&format!("/tasks/{task}")).await;
    agrees.click(&format!("a[href='/tasks/{task}/plan']")).await;
    agrees.at(&format!("/tasks/{task}/plan")).await;
    let other = place.sim.server(3).unwrap().address();
    place.sim.third_party(&format!("ALTER SYSTEM STOP SERVER '{other}'"));
    approve(&agrees).await;
    agrees.says("PLAN_CHANGED").await;
    assert_eq!(place.admin.task(task).await.state(), v1::TaskState::Pending);

    // It is back, and the same plan is approved with a reason: the page of whoever asked goes on by itself.
    place.sim.third_party(&format!("ALTER SYSTEM START SERVER '{other}'"));
    agrees.go(&format!("/tasks/{task}/plan")).await;
    agrees.look(Look::ALL[0]).await;
    agrees.picture("approval-en-light-1280").await;
    agrees.fill("#reason-approve", "looked at together").await;
    approve(&agrees).await;
    agrees.at(&format!("/tasks/{task}")).await;
    asks.until(MOVED_ON).await;
    assert_eq!(asks.value("window.kept").await, true, "it was loaded again");
    let approval = place.admin.task(task).await.approval.unwrap();
    assert_eq!(approval.principal, "colleague");
    for tab in [&asks, &agrees] {
        tab.says("looked at together").await;
        // The plan that was refused is an answer that a browser logs.
        assert!(tab.wrong().iter().all(|wrong| wrong.contains("409")));
    }
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_changes_are_frozen_nothing_begins() {
    let place = Place::new(|_| {}).await;
    let (path, address) = place.server(2).await;
    let (asks, freezes) = (signed_in(&place, "admin").await, signed_in(&place, "colleague").await);

    // Who looked at the plan before is refused; who looks at it now is told that it would wait.
    asks.go(&format!("{path}/stop")).await;
    freezes.go("/changes").await;
    freezes.fill("#reason-freeze", "the sale of the year").await;
    freezes.click("form.fields button.danger").await;
    freezes.says("Thaw").await;
    asks.fill("#address", &address).await;
    asks.click("button.danger").await;
    asks.says("CHANGES_FROZEN").await;
    asks.go(&format!("/clusters/{}", place.cluster)).await;
    asks.says("the sale of the year").await;
    let task = stopped(&asks, &path, &address).await;
    asks.says("the end of the change freeze of colleague").await;
    assert_eq!(place.admin.task(task).await.state(), v1::TaskState::Pending);

    freezes.click("form.fields button.main").await;
    freezes.says("No change freeze is on").await;
    asks.until(MOVED_ON).await;
    // The stop that was refused is an answer that a browser logs.
    assert!(asks.wrong().iter().all(|wrong| wrong.contains("409")), "{:?}", asks.wrong());
    place.end().await;
}

async fn approve(tab: &Tab) {
    tab.click("form.fields button.main").await;
}
