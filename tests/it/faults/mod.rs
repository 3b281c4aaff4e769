//! Faults, tried systematically: a stop, a start, a restart and a freeze of a server, those of a zone, holds and rollouts, forward
//! and undone, each on a simulated cluster of real processes and with the real binary, while one thing goes wrong:
//!
//! - every step is executed twice;
//! - an effect is not sent, or its answer is lost, for each effect;
//! - the process gets SIGKILL before and after each commit, and at each permit, and is started again;
//! - each fault of the simulated cluster begins with each step, and ends when the task rests.
//!
//! After each case the promises (docs/promises.md) are held against the log, the cluster's own record and what a
//! watcher saw (`tests/promises`), and the server is looked at: stopped, serving, or as it was.
//!
//! All cases are thousands, too many for every change: `FAULTS=all NEXTEST_PROFILE=faults scripts/test every_case` runs them,
//! `FAULTS=kills` every kill, `FAULTS=7` every seventh case. Without that a sample is run, spread evenly over what is done to one server, and a few of the rest,
//! of which each takes a cluster of twice the size. `FAULTS_ONLY="Stop undone"` runs one scenario,
//! `FAULTS_CASES=CheckpointStuck` the cases with that in their name, `FAULTS_TIMES=1` says how long each case took.

mod case;
pub mod crash;
pub mod dead_hosts;
pub mod isolation;
mod proof;
pub mod replicas;
pub mod stalled_log;
pub mod store_faults;
pub mod unknown_outcomes;

use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use crate::promises::cases::{Case, Cases, Injection, Outcome};
use crate::promises::scenario::{Direction, OPERATIONS, Operation, Scenario, WIDER_OPERATIONS};

/// Cases at a time: they wait more than they compute.
const AT_A_TIME: usize = 6;
/// The sample: every so manyth of the lost effects, of the kills, which come in pairs, and of the faults, of which each step has
/// 36. All of them run in the simulated world (`tests/simulation`); here is what only real processes show.
const SHARE_OF_EFFECTS: usize = 5;
const SHARE_OF_KILLS: usize = 19;
const SHARE_OF_FAULTS: usize = 173;

/// Of the operations on several servers and those that wait for a person, in the sample.
fn a_few_wider() -> Vec<Case> {
    use Direction::{Back, Forward};
    let few = [
        (Operation::StopZone, Forward, Injection::LostAfter(1)),
        (Operation::RestartZone, Back, Injection::KilledAtPermit(1)),
        (Operation::StopCluster, Forward, Injection::KilledAtPermit(5)),
        (Operation::RestartCluster, Forward, Injection::LostAfter(4)),
        (Operation::Hold, Forward, Injection::KilledAfterCommit(14)),
        (Operation::Rollout, Forward, Injection::KilledBeforeCommit(27)),
        (Operation::Rollout, Back, Injection::Twice),
    ];
    let case = |(operation, direction, injection)| Case::new(Scenario::new(operation, direction), injection);
    few.map(case).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_case_keeps_the_promises() {
    let share = |sample: usize| match std::env::var("FAULTS").as_deref() {
        Ok("all") => 1,
        Ok("kills") if sample == SHARE_OF_KILLS => 1,
        Ok(every) => every.parse().unwrap_or(sample),
        Err(_) => sample,
    };
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let mut good = run_all(Case::good(&OPERATIONS, &only)).await;
    let sampled = std::env::var_os("FAULTS").is_none() && only.is_empty();
    if !sampled {
        good.extend(run_all(Case::good(&WIDER_OPERATIONS, &only)).await);
    }
    let mut violations: Vec<String> = good.iter().flat_map(|outcome| outcome.violations.clone()).collect();
    let mut count = good.len();
    let Cases { effects, kills, faults } = Cases::of(&good);
    let mut cases: Vec<Case> = effects.into_iter().step_by(share(SHARE_OF_EFFECTS)).collect();
    // Through all scenarios at one pace: the sample has other faults of each.
    cases.extend(kills.into_iter().step_by(share(SHARE_OF_KILLS)));
    cases.extend(faults.into_iter().step_by(share(SHARE_OF_FAULTS)));
    cases.extend(sampled.then(a_few_wider).into_iter().flatten());
    let wanted = std::env::var("FAULTS_CASES").unwrap_or_default();
    cases.retain(|case| case.to_string().contains(&wanted));
    let outcomes = run_all(cases).await;
    count += outcomes.len();
    violations.extend(outcomes.into_iter().flat_map(|outcome| outcome.violations));
    println!("faults: {count} cases run, {} violations found", violations.len());
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

async fn run_all(cases: Vec<Case>) -> Vec<Outcome> {
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let mut running = tokio::task::JoinSet::new();
    for case in cases {
        let (turns, outcomes) = (Arc::clone(&turns), Arc::clone(&outcomes));
        running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            // A panic of the stage is a violation of this case, and the others run on.
            let began = obsteward::clock::monotonic_now();
            let outcome = match tokio::spawn(case.clone().run()).await {
                Ok(outcome) => outcome,
                Err(error) => case.clone().broke_down(&error),
            };
            if std::env::var_os("FAULTS_TIMES").is_some() {
                println!("{:6.2} s  {}", (obsteward::clock::monotonic_now() - began).as_secs_f64(), outcome.case);
            }
            outcomes.lock().unwrap().push(outcome);
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    Arc::try_unwrap(outcomes).unwrap().into_inner().unwrap()
}
