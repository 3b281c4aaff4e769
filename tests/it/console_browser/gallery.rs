//! Every page in both languages, light and dark, wide and as wide as a phone: a picture of each, nothing that stands out over its
//! side, no error of the script or of the policy, and nothing serious that axe finds.

use obsteward::api::console::PAGES;
use obsteward::proto::v1;
use obsteward::proto::v1::rollout_scope::Scope;
use obsteward::sim::{Fault, FaultKind, SimCluster, SimOptions};

use super::accessible::violations;
use super::chromium::Chromium;
use super::tab::{Look, Tab};
use super::{PASSWORD, Place};
use crate::support::quick;

/// A page, and what its pictures are called.
type Shown = (String, String);

/// One task of each kind: a stop and a start that were done, a stop that failed, a rollout that is paused on a second cluster.
async fn pages(place: &Place, second: &SimCluster) -> Vec<Shown> {
    let admin = &place.admin;
    let request = v1::StopServerRequest { reason: "new disks, ticket 4711".to_owned(), ..place.stop_of(2).await };
    let (server_id, stopped) = (request.server_id, admin.stop_with(request).await.unwrap().id);
    assert_eq!(admin.at_rest(stopped).await.state(), v1::TaskState::Successful);
    let request = v1::StartServerRequest { cluster_id: place.cluster, server_id, ..Default::default() };
    let started = admin.servers.clone().start_server(request).await.unwrap().into_inner().task.unwrap().id;
    assert_eq!(admin.at_rest(started).await.state(), v1::TaskState::Successful);
    place.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 3));
    let failed = admin.stop_with(place.stop_of(3).await).await.unwrap().id;
    let task = admin.at_rest(failed).await;
    assert_eq!(task.state(), v1::TaskState::Failed);
    let step = task.subtasks.iter().find(|subtask| subtask.state() == v1::SubtaskState::Failed).unwrap().id;

    let other = admin.register(second.endpoints()).await.unwrap().id;
    let ip = second.server(1).unwrap().ip;
    let held = admin.list_servers(other).await.into_iter().find(|server| server.ip == ip).unwrap().id;
    let request = v1::StartRolloutRequest {
        cluster_id: other,
        scope: Some(v1::RolloutScope { scope: Some(Scope::All(v1::AllServers {})) }),
        action: v1::RolloutAction::Restart.into(),
        max_parallel: 2,
        pause_after: 1,
        ..Default::default()
    };
    let rollout = admin.rollouts.clone().start_rollout(request).await.unwrap().into_inner().task.unwrap().id;
    admin.waits_for(rollout, "ResumeRollout").await;

    let (cluster, path) = (place.cluster, place.server(4).await.0);
    let mut pages: Vec<Shown> = PAGES
        .iter()
        .map(|page| ((*page).to_owned(), page.trim_start_matches('/').replace('/', "-")))
        .map(|(page, name)| (page, if name.is_empty() { "clusters".to_owned() } else { name }))
        .collect();
    let mut more = |path: String, name: &str| pages.push((path, name.to_owned()));
    more(format!("/clusters/{cluster}"), "cluster");
    more(format!("/clusters/{other}?look=now"), "cluster-looked-at");
    more(format!("/clusters/{other}/servers/{held}/stop?action=restart"), "plan-refused");
    more(format!("{path}/stop"), "plan-while-locked");
    more(format!("{path}/start"), "start");
    more("/tasks?state=FAILED&name=stop".to_owned(), "tasks-filtered");
    more(format!("/tasks/{stopped}"), "task-successful");
    more(format!("/tasks/{started}"), "task-start");
    more(format!("/tasks/{failed}"), "task-failed");
    more(format!("/tasks/{rollout}"), "task-rollout");
    more(format!("/tasks/{failed}/subtasks/{step}/log"), "log");
    more(format!("/tasks/{failed}"), "task-failed-opened");
    more(format!("/clusters/{other}/stop"), "plan-of-cluster");
    more(format!("/clusters/{cluster}/rollout"), "rollout");
    more(format!("/clusters/{cluster}/settings"), "settings");
    more("/clusters/register".to_owned(), "register");
    more("/access".to_owned(), "access-opened");
    more("/audit?refused=1".to_owned(), "audit-refused");
    more("/no/such/page".to_owned(), "no-page");
    more("/tasks/999999".to_owned(), "no-task");
    pages
}

/// Shows one page in every way; what is wrong with it.
async fn shown(tab: &Tab, language: &str, (path, name): &Shown) -> Vec<String> {
    tab.go(path).await;
    if name.ends_with("-opened") {
        tab.value("document.querySelectorAll('details').forEach((it) => { it.open = true; })").await;
    }
    let mut wrong = Vec::new();
    for look in Look::ALL {
        tab.look(look).await;
        tab.until("document.fonts.status === 'loaded'").await;
        let so = format!("{name}-{language}-{}-{}", look.scheme, look.width);
        tab.picture(&so).await;
        let wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let wider = tab.value(wider).await.as_i64().unwrap();
        if wider > 0 {
            wrong.push(format!("{so}: {wider} pixels stand out over its side"));
        }
        // Each scheme, each width and each language, and not every one with every other: that takes long, and finds the same.
        let asked = [("en", "light", 1280), ("en", "dark", 390), ("zh", "dark", 1280)];
        if asked.contains(&(language, look.scheme, look.width)) {
            wrong.extend(violations(tab).await.into_iter().map(|found| format!("{so}: {found}")));
        }
    }
    // An address where nothing is is logged as one.
    let logged = tab.wrong().into_iter().filter(|wrong| !(name.starts_with("no-") && wrong.contains("404")));
    wrong.extend(logged.map(|logged| format!("{name}-{language}: {logged}")));
    wrong
}

/// All pages in one language, as users of every kind.
async fn walk(chromium: &Chromium, place: &Place, language: &str, pages: &[Shown]) -> Vec<String> {
    let tab = chromium.tab(&place.base).await;
    tab.look(Look::ALL[0]).await;
    tab.go(&format!("/language?to={language}&next=/sign-in")).await;
    let page = |path: &str, name: &str| (path.to_owned(), name.to_owned());
    let mut wrong = shown(&tab, language, &page("/sign-in", "sign-in")).await;
    tab.sign_in("admin", PASSWORD).await;
    let tag = if language == "zh" { "zh-CN" } else { "en" };
    assert_eq!(tab.value("document.documentElement.lang").await, tag);
    for page in pages {
        wrong.extend(shown(&tab, language, page).await);
    }
    tab.click("form[action='/sign-out'] button").await;
    tab.at("/sign-in").await;
    tab.sign_in("newcomer", PASSWORD).await;
    for (path, name) in [("/", "clusters-none"), ("/tasks", "tasks-none"), ("/access", "access-none")] {
        wrong.extend(shown(&tab, language, &page(path, name)).await);
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_seen_in_every_way() {
    let (place, second, chromium) = tokio::join!(
        Place::new(|config| config.stop.leader_wait_seconds = 1),
        SimCluster::start(SimOptions { servers_per_zone: 2, ..quick() }),
        Chromium::start(),
    );
    let second = second.unwrap();
    let pages = pages(&place, &second).await;
    let (english, chinese) = tokio::join!(walk(&chromium, &place, "en", &pages), walk(&chromium, &place, "zh", &pages));
    let wrong = [english, chinese].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    place.end().await;
}
