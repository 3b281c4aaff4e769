//! Many walks, each in a world of its own: what they broke, the shortest walk that breaks it too, and its story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::domain::edges::{subtask_edge, task_edge};
use obsteward::domain::event::{SubtaskOperation, SubtaskState, TaskOperation, TaskState};

use crate::story::Story;
use crate::walk::{Step, Walk};
use crate::witness::Edge;
use crate::world::World;

/// What came of one walk.
pub struct Outcome {
    /// By what they are called, with those that ended well.
    pub tasks: BTreeMap<String, (usize, usize)>,
    pub steps: usize,
    /// What is broken, after the first step behind which something was.
    pub broken: Vec<String>,
    pub edges: BTreeSet<Edge>,
    pub story: Vec<String>,
    /// Of what happened to replicas.
    pub counts: BTreeMap<&'static str, usize>,
}

/// Walks by these steps of a seed's walk (`None`: all) over so many replicas at most, in a runtime of its own under paused time.
pub fn walk(seed: u64, replicas: u64, only: Option<&[usize]>, told: bool) -> Outcome {
    let walk = Walk::of(seed, replicas);
    let steps: Vec<Step> = match only {
        None => walk.steps,
        Some(only) => only.iter().filter_map(|index| walk.steps.get(*index).cloned()).collect(),
    };
    in_paused_time(async {
        let story = if told { Story::told() } else { Story::default() };
        let mut world = World::new(walk.options, story.clone()).await;
        let (mut broken, mut done) = (Vec::new(), 0);
        for step in &steps {
            broken = world.step(step).await;
            done += 1;
            if !broken.is_empty() {
                break;
            }
        }
        story.also(world.witness.lines());
        Outcome {
            tasks: world.witness.tasks(),
            steps: done,
            broken,
            edges: std::mem::take(&mut world.witness.edges),
            story: story.lines(),
            counts: world.sends.counts(),
        }
    })
}

/// The promise that is broken: the number before the colon.
fn promise(broken: &[String]) -> &str {
    broken.first().map_or("", |first| first.split(':').next().unwrap_or_default())
}

/// Fewer steps of a seed's walk that break the same promise.
pub fn shrink(seed: u64, replicas: u64, broken: &[String], upto: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..upto).collect();
    let mut size = kept.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        while from < kept.len() {
            let fewer: Vec<usize> = kept
                .iter()
                .enumerate()
                .filter(|(at, _)| *at < from || *at >= from + size)
                .map(|(_, step)| *step)
                .collect();
            if !fewer.is_empty() && promise(&walk(seed, replicas, Some(&fewer), false).broken) == promise(broken) {
                kept = fewer;
            } else {
                from += size;
            }
        }
        if size == 1 {
            return kept;
        }
        size = size.div_ceil(2);
    }
}

/// What many walks came to.
#[derive(Default)]
pub struct Summary {
    pub seeds: usize,
    pub tasks: BTreeMap<String, (usize, usize)>,
    pub counts: BTreeMap<&'static str, usize>,
    /// At most, of a walk.
    pub replicas: u64,
    pub failed: Vec<(u64, Vec<String>, usize)>,
    pub edges: BTreeSet<Edge>,
    pub took: Duration,
}

/// Walks by seeds from `first` on, on every core, until there were `count` or the time is over or so many have failed.
pub fn run(first: u64, count: u64, replicas: u64, within: Duration, most_failures: usize) -> Summary {
    let began = monotonic_now();
    let (next, failures) = (AtomicU64::new(first), AtomicUsize::new(0));
    let summary = Mutex::new(Summary { replicas, ..Summary::default() });
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + count
                        || began.elapsed() >= within
                        || failures.load(Ordering::SeqCst) >= most_failures
                    {
                        return;
                    }
                    let outcome = match std::panic::catch_unwind(|| walk(seed, replicas, None, false)) {
                        Ok(outcome) => outcome,
                        Err(_) => Outcome {
                            tasks: BTreeMap::new(),
                            steps: usize::MAX,
                            broken: vec!["0: the world fell apart".to_owned()],
                            edges: BTreeSet::new(),
                            story: Vec::new(),
                            counts: BTreeMap::new(),
                        },
                    };
                    let mut summary = summary.lock().unwrap();
                    summary.seeds += 1;
                    for (name, (all, well)) in outcome.tasks {
                        let sum = summary.tasks.entry(name).or_default();
                        *sum = (sum.0 + all, sum.1 + well);
                    }
                    for (what, count) in outcome.counts {
                        *summary.counts.entry(what).or_default() += count;
                    }
                    summary.edges.extend(outcome.edges);
                    if !outcome.broken.is_empty() {
                        failures.fetch_add(1, Ordering::SeqCst);
                        summary.failed.push((seed, outcome.broken, outcome.steps));
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap();
    summary.took = began.elapsed();
    summary.failed.sort_by_key(|(seed, ..)| *seed);
    summary
}

/// Prints what broke, with its story, and the summary as the last line.
pub fn tell(summary: &Summary) {
    for (seed, broken, upto) in &summary.failed {
        println!("seed {seed}: {}", broken.join("\n  "));
        if *upto < usize::MAX {
            let kept = shrink(*seed, summary.replicas, broken, *upto);
            let told = walk(*seed, summary.replicas, Some(&kept), true);
            let steps: Vec<String> = kept.iter().map(ToString::to_string).collect();
            let steps = steps.join(",");
            let several =
                if summary.replicas > 1 { format!("--replicas {} ", summary.replicas) } else { String::new() };
            println!("its story by {} of {upto} steps ({several}--first-seed {seed} --steps {steps}):", kept.len());
            told.story.iter().for_each(|line| println!("{line}"));
            println!("broken: {}", told.broken.join("\n  "));
        }
    }
    let edges = every_edge();
    let never: Vec<String> = edges.difference(&summary.edges).map(|edge| format!("{edge:?}")).collect();
    println!("edges: {} of {} visited; never: {}", edges.len() - never.len(), edges.len(), never.join(", "));
    let tasks = summary.tasks.iter().map(|(name, (all, well))| format!("{name} {all} ({well} ended well)"));
    println!("tasks: {}", tasks.collect::<Vec<_>>().join(", "));
    if summary.replicas > 1 {
        let counts = summary.counts.iter().map(|(what, count)| format!("{count} {what}"));
        println!("replicas: {}", counts.collect::<Vec<_>>().join(", "));
    }
    println!(
        "simulate: {} seeds, {} tasks, {} violations, {:.1} s",
        summary.seeds,
        summary.tasks.values().map(|(all, _)| all).sum::<usize>(),
        summary.failed.len(),
        summary.took.as_secs_f64()
    );
}

/// Every edge of the tables of `domain::edges`.
fn every_edge() -> BTreeSet<Edge> {
    let mut edges = BTreeSet::new();
    for from in TaskState::ALL {
        for to in TaskState::ALL {
            let legal = TaskOperation::ALL.iter().filter(|operation| task_edge(*from, *to, **operation));
            edges.extend(legal.map(|operation| ("task", from.as_str(), to.as_str(), operation.as_str())));
        }
    }
    for from in SubtaskState::ALL {
        for to in SubtaskState::ALL {
            let legal = SubtaskOperation::ALL.iter().filter(|operation| subtask_edge(*from, *to, **operation));
            edges.extend(legal.map(|operation| ("subtask", from.as_str(), to.as_str(), operation.as_str())));
        }
    }
    edges
}

/// Runs something by a clock that goes on only when nothing is left to do.
pub fn in_paused_time<R>(work: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// Does something with every item, on as many threads as there are cores; in the order of the items.
pub fn in_parallel<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                loop {
                    let Some((number, item)) = queue.lock().unwrap().next() else { return };
                    let result = work(item);
                    done.lock().unwrap().push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
