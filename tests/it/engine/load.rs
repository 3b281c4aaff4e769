//! What a waiting task costs its cluster: one login, and at most two statements between one look and the next.

use std::time::Duration;

use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind, Recorded, SimOptions, TenantOptions};

use crate::support::{PATIENCE, Stage, all, quick};

const POLL: Duration = Duration::from_millis(100);
/// Long enough that logins and statements of one look each would show.
const LOOKS: usize = 12;

fn slow_looks(config: &mut Config) {
    config.stop.poll_millis = u64::try_from(POLL.as_millis()).unwrap();
    config.stop.gate_seconds = 30;
    config.start.catch_up_seconds = 30;
}

/// Looks that a wait has before its pauses are as long as they get.
const YOUNG: usize = 16;

/// What was asked of the cluster between two moments of its record.
#[derive(Debug)]
struct Asked {
    logins: usize,
    statements: Vec<String>,
    lasted: Duration,
}

impl Asked {
    fn between(record: &[Recorded], from: u64, to: u64) -> Self {
        let within: Vec<&Recorded> = record.iter().filter(|line| line.sequence > from && line.sequence <= to).collect();
        let at = |sequence: u64| record.iter().find(|line| line.sequence == sequence).unwrap().at;
        let statements = within.iter().filter(|line| line.kind == Kind::Statement).map(|line| line.text.clone());
        Self {
            logins: within.iter().filter(|line| line.kind == Kind::SessionOpened).count(),
            statements: statements.collect(),
            lasted: Duration::from_micros(u64::try_from(at(to) - at(from)).unwrap()),
        }
    }

    /// `allowed`: logins. What a session's proof takes is granted for each.
    fn assert_little(&self, wait: &str, pause: Duration, per_look: usize, allowed: usize) {
        let looks = usize::try_from(self.lasted.as_micros() / pause.as_micros()).unwrap() + 1 + YOUNG;
        let granted = per_look * looks + 6 * allowed;
        eprintln!(
            "{{\"wait\":\"{wait}\",\"seconds\":{:.2},\"looks\":{looks},\"logins\":{},\"statements\":{}}}",
            self.lasted.as_secs_f64(),
            self.logins,
            self.statements.len()
        );
        assert!(self.logins <= allowed && self.statements.len() <= granted, "{wait}: {looks} looks, {self:#?}");
    }
}

/// Waits until the cluster was asked so many things from now on; the part of the record.
async fn asked(stage: &Stage, statements: usize) -> Asked {
    let from = stage.sim.record().last().unwrap().sequence;
    let many = |record: &[Recorded]| {
        record.iter().filter(|line| line.sequence > from && line.kind == Kind::Statement).count() >= statements
    };
    let until = obsteward::clock::monotonic_now() + PATIENCE;
    while !many(&stage.sim.record()) {
        assert!(obsteward::clock::monotonic_now() < until, "the task does not look");
        tokio::time::sleep(POLL / 5).await;
    }
    let record = stage.sim.record();
    Asked::between(&record, from, record.last().unwrap().sequence)
}

fn last(record: &[Recorded], kind: Kind, text: &str) -> u64 {
    record.iter().rev().find(|line| line.kind == kind && line.text.contains(text)).unwrap().sequence
}

async fn begin_stop(stage: &Stage, change: impl FnOnce(&mut v1::StopServerRequest)) -> i64 {
    let mut request = stage.request(2).await;
    change(&mut request);
    stage.clients.stop_with(request).await.unwrap().id
}

async fn succeeded(stage: &Stage, id: i64) {
    let task = stage.clients.at_rest(id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wait_of_a_task_asks_little() {
    all(0..6, |case| async move {
        match case {
            0 => leaders_and_freeze().await,
            1 => the_mark().await,
            2 => gone_and_back().await,
            3 => catching_up().await,
            4 => the_precheck().await,
            _ => the_gate().await,
        }
    })
    .await;
}

async fn leaders_and_freeze() {
    let stage = Stage::with(quick(), slow_looks).await;
    let frozen = stage.sim.inject(Fault::on(FaultKind::CheckpointStuck, 2));
    let stuck = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let id = begin_stop(&stage, |request| request.freeze_before_stop = true).await;
    stage.clients.waits_for(id, "leaders still on").await;
    asked(&stage, 2).await;
    asked(&stage, 2 * LOOKS).await.assert_little("leaders", POLL, 2, 0);
    stage.sim.clear(stuck);
    stage.clients.waits_for(id, "MINOR FREEZE").await;
    asked(&stage, 2).await;
    asked(&stage, 2 * LOOKS).await.assert_little("freeze", POLL, 2, 0);
    stage.sim.clear(frozen);
    succeeded(&stage, id).await;
}

/// Beside the effect session: its login, and a look at the mark every second.
async fn the_mark() {
    let stage = Stage::with(quick(), slow_looks).await;
    let slow = Fault::from(FaultKind::Slow { delay_ms: 3500 }).for_statement("ALTER SYSTEM STOP SERVER");
    stage.sim.inject(slow);
    let id = begin_stop(&stage, |_| {}).await;
    succeeded(&stage, id).await;
    let record = stage.sim.record();
    let (from, to) = (last(&record, Kind::Statement, "STOP SERVER"), last(&record, Kind::MarkSet, ""));
    Asked::between(&record, from, to).assert_little("the mark", Duration::from_secs(1), 2, 0);
}

/// INACTIVE after `lease_time`, in service after a start; and all that a stop and a start ask.
async fn gone_and_back() {
    let mut options = quick();
    options.durations.lease_time = Duration::from_secs(2);
    options.durations.start_service = Duration::from_secs(2);
    let stage = Stage::with(options, slow_looks).await;
    let before = stage.sim.record().last().unwrap().sequence;
    let id = begin_stop(&stage, |_| {}).await;
    succeeded(&stage, id).await;
    let record = stage.sim.record();
    let (from, to) = (last(&record, Kind::ProcessEnded, ""), last(&record, Kind::ServerOffline, ""));
    Asked::between(&record, from, to).assert_little("INACTIVE", POLL, 1, 0);
    // One that reads, one that acts, and the reading of the inventory.
    let logins = Asked::between(&record, before, record.last().unwrap().sequence).logins;
    assert!(logins <= 3, "a stop logged in {logins} times");

    let v1::StopServerRequest { cluster_id, server_id, .. } = stage.request(2).await;
    let request = v1::StartServerRequest { cluster_id, server_id, ..Default::default() };
    let task = stage.clients.servers.clone().start_server(request).await.unwrap().into_inner().task.unwrap();
    stage.clients.waits_for(task.id, "to serve").await;
    asked(&stage, 8).await.assert_little("in service", POLL, 1, 0);
    succeeded(&stage, task.id).await;
    let after = stage.sim.record();
    let logins = Asked::between(&after, record.last().unwrap().sequence, after.last().unwrap().sequence).logins;
    assert!(logins <= 3, "a start logged in {logins} times");
}

async fn catching_up() {
    let stage = Stage::with(quick(), slow_looks).await;
    let id = begin_stop(&stage, |request| request.r#type = v1::StopType::Service as i32).await;
    succeeded(&stage, id).await;
    let v1::StopServerRequest { cluster_id, server_id, .. } = stage.request(2).await;
    let lagging = stage.sim.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 2));
    let request = v1::StartServerRequest { cluster_id, server_id, ..Default::default() };
    let task = stage.clients.servers.clone().start_server(request).await.unwrap().into_inner().task.unwrap();
    stage.clients.waits_for(task.id, "replicas caught up").await;
    asked(&stage, 2).await;
    asked(&stage, 2 * LOOKS).await.assert_little("catching up", POLL, 2, 0);
    stage.sim.clear(lagging);
    succeeded(&stage, task.id).await;
}

/// A precheck that waits reads the whole cluster, and so as rarely as a gate.
async fn the_precheck() {
    let stage = Stage::with(quick(), |config| {
        slow_looks(config);
        config.stop.precheck_seconds = 30;
    })
    .await;
    let lagging = stage.sim.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 3));
    let id = begin_stop(&stage, |_| {}).await;
    stage.clients.waits_for(id, "a check that may pass").await;
    asked(&stage, 12).await;
    asked(&stage, 24).await.assert_little("the precheck", POLL * 6, 12, 0);
    stage.sim.clear(lagging);
    succeeded(&stage, id).await;
}

/// A gate that waits reads the whole cluster, and so much less often.
async fn the_gate() {
    let two = TenantOptions { replica_zones: vec![1, 2], arbitration: true, ..TenantOptions::new("pair") };
    let stage = Stage::with(SimOptions { tenants: vec![two], arbitration: true, ..quick() }, slow_looks).await;
    let stuck = stage.sim.inject(FaultKind::ArbitrationStuck);
    let id = begin_stop(&stage, |_| {}).await;
    stage.clients.waits_for(id, "the gate is closed").await;
    asked(&stage, 12).await;
    asked(&stage, 24).await.assert_little("the gate", POLL * 6, 12, 0);
    stage.sim.clear(stuck);
    succeeded(&stage, id).await;
}
