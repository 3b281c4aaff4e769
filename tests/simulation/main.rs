//! The simulated world: the engine as it is over a store, clusters and agents that are values, in one process, under paused
//! time, everything random from one seed (docs/architecture.md#the-simulated-world). `scripts/simulate` runs it for people.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(dead_code, reason = "what uses all of it comes next")]

mod agent_run;
mod cases;
mod cluster;
mod cluster_effect;
mod cluster_reader;
mod cluster_readings;
mod cluster_session;
mod cluster_tests;
mod computer;
mod data_centre;
mod disk;
mod host;
mod life;
mod process;
#[path = "../promises/mod.rs"]
mod promises;
mod service;
mod simulate;
mod store;
mod story;
mod walk;
mod witness;
mod world;

use std::time::Duration;

/// Numbers that people give by the environment.
fn given<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn a_seed_is_repeated_exactly() {
    for seed in 0..6 {
        let (one, other) = (simulate::walk(seed, None, true), simulate::walk(seed, None, true));
        let differs = one.story.iter().zip(&other.story).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.digest, other.digest, "seed {seed}");
    }
}

/// What the harness of real processes tries at leisure, all of it.
#[test]
fn every_case_keeps_the_promises() {
    use promises::cases::{Case, Cases};
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let wanted = std::env::var("FAULTS_CASES").unwrap_or_default();
    let good = simulate::in_parallel(Case::good(&only), cases::run);
    let Cases { effects, kills, faults } = Cases::of(&good);
    let mut cases: Vec<Case> = [effects, kills, faults].concat();
    cases.retain(|case| case.to_string().contains(&wanted));
    let outcomes: Vec<_> = good.into_iter().chain(simulate::in_parallel(cases, cases::run)).collect();
    let violations: Vec<&String> = outcomes.iter().flat_map(|outcome| &outcome.violations).collect();
    println!("simulated: {} cases run, {} violations found", outcomes.len(), violations.len());
    assert!(violations.is_empty(), "{violations:#?}");
}

/// `scripts/simulate`.
#[test]
#[ignore = "as long as you like: scripts/simulate"]
fn simulate() {
    let first = given("SIMULATE_FIRST_SEED").unwrap_or(0);
    let count = given("SIMULATE_SEEDS").unwrap_or(1000);
    let within = Duration::from_secs(60 * given::<u64>("SIMULATE_MINUTES").unwrap_or(24 * 60));
    let summary = simulate::run(first, count, within, given("SIMULATE_FAILURES").unwrap_or(1), simulate::threads());
    for (seed, broken, upto) in &summary.failed {
        println!("seed {seed}: {}", broken.join("\n  "));
        if std::env::var_os("SIMULATE_NO_SHRINK").is_none() && *upto < usize::MAX {
            let kept = simulate::shrink(*seed, broken, *upto);
            let told = simulate::walk(*seed, Some(&kept), true);
            println!("its story, with {} of {upto} steps:", kept.len());
            told.story.iter().for_each(|line| println!("{line}"));
            println!("broken: {}", told.broken.join("\n  "));
        }
    }
    println!(
        "simulate: {} seeds, {} tasks, {} violations, {:.1} s",
        summary.seeds,
        summary.tasks,
        summary.failed.len(),
        summary.took.as_secs_f64()
    );
    assert!(summary.failed.is_empty(), "a promise was broken");
}
