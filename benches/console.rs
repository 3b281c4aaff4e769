//! What open task pages of the web console cost: the memory of each, and how much of the write rate is left while they are all rendered
//! again with what is written. A thousand browsers are another process, with a connection each; they look at one task, or each at its
//! own. On the embedded store.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a measurement may stop where it is")]

#[path = "../tests/it/support/reads_only.rs"]
mod reads_only;
mod support;
#[allow(dead_code, reason = "nothing runs the tasks")]
#[path = "support/tasks.rs"]
mod tasks;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Extension;
use obsteward::access::Directory;
use obsteward::access::session::Sessions;
use obsteward::api::auth::Gatekeeper;
use obsteward::api::console::{self, Console};
use obsteward::clock::Clock;
use obsteward::config::RestConfig;
use obsteward::domain::decide::{Input, create, decide};
use obsteward::domain::event::{Event, EventKind};
use obsteward::domain::ids::{Fence, Principal, Revision, SubtaskId, TaskId};
use obsteward::domain::task::Task;
use obsteward::host::AgentHosts;
use obsteward::inventory::Inventory;
use obsteward::net::peer::Peer;
use obsteward::operations::{Deps, Timeouts};
use obsteward::service::{Administration, Argon2id, Guarded, Service};
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::{Author, Commit, CommitOutcome, TaskRow, WholeStore, Write as Written};
use obsteward::watch::Hub;
use support::{amount, figure, now, rounded};
use tokio_util::sync::CancellationToken;

const PAGES: usize = 1_000;
/// Events that a task gets while it is looked at, about as many as those of a long one.
const EVENTS_OF_ONE: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--look") {
        return look(arguments[at + 1].parse().unwrap(), &arguments[at + 2]);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let commits = amount(15_000, 4_000);
    // Each beside the writer alone, before and behind it: what else the machine does changes from one minute to the next.
    let mut before = runtime.block_on(run(0, PAGES, commits));
    for shown in [PAGES, 1] {
        let with = runtime.block_on(run(PAGES, shown, commits));
        let behind = runtime.block_on(run(0, PAGES, commits));
        let share = rounded(2.0 * with / (before + behind), 3);
        figure("console_share", [("pages", PAGES.into()), ("tasks_shown", shown.into()), ("of_writer_alone", share)]);
        before = behind;
    }
}

/// A task that events are appended to.
struct Log {
    task: TaskId,
    subtask: SubtaskId,
    fence: Fence,
    revision: Revision,
}

impl Log {
    async fn new(store: &dyn WholeStore, clock: &Clock, number: i64) -> Self {
        let id = store.reserve_ids(9).await.unwrap();
        let spec = tasks::spec(id, number, clock);
        let cluster = spec.cluster.key.clone();
        let at = clock.now();
        let mut events: Vec<Event> = create(spec).into_iter().map(|kind| Event { at, kind }).collect();
        let task = Task::fold(&events).unwrap();
        let dispatched = decide(&task, Input::Dispatch { executor: "bench".to_owned() }, at).unwrap();
        events.extend(dispatched.into_iter().map(|kind| Event { at, kind }));
        let task = Task::fold(&events).unwrap();
        let commit = Commit {
            task: task.spec.id,
            after: Revision::ZERO,
            author: Author::Request { principal: Principal::new("bench"), nonce: id.to_string() },
            events,
            row: Some(TaskRow::of(&task)),
            writes: vec![Written::AcquireLock { cluster }],
        };
        let CommitOutcome::Committed { fence, revision, .. } = store.submit(commit).outcome().await.unwrap() else {
            panic!("not committed")
        };
        Self { task: task.spec.id, subtask: task.subtasks[0].spec.id, fence, revision }
    }

    /// The commit behind the last one, with a warning.
    fn next(&mut self, clock: &Clock) -> Commit {
        let after = self.revision;
        self.revision = after.next();
        let message = "a warning of a common length, as a step of a stop may give it".to_owned();
        let kind = EventKind::Warned { subtask: self.subtask, code: "BENCH".to_owned(), message };
        Commit {
            task: self.task,
            after,
            author: Author::Owner { fence: self.fence },
            events: vec![Event { at: clock.now(), kind }],
            row: None,
            writes: Vec::new(),
        }
    }
}

/// Commits a second, while so many pages show so many of the tasks that are written.
async fn run(pages: usize, shown: usize, commits: usize) -> f64 {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store: Arc<dyn WholeStore> =
        SqliteStore::open(directory.path().join("store.db"), SqliteOptions::default()).unwrap();
    let (clock, shutdown) = (Clock::system(), CancellationToken::new());
    let mut logs = Vec::new();
    for number in 1..=PAGES {
        logs.push(Log::new(&*store, &clock, number as i64).await);
    }
    let address = serve(&store, &clock, &shutdown).await;
    let before = resident();
    let browsers = (pages > 0).then(|| Browsers::open(address, pages, &logs[..shown]));
    let opened = resident();

    // The writer has a thread of its own, as the engine has.
    let (writing, written) = (Arc::clone(&store), Arc::new(AtomicUsize::new(0)));
    let done = Arc::clone(&written);
    let took = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let began = now();
            for number in 0..commits {
                // Of one task that is looked at only so many, and of others that nobody looks at the rest.
                let (every, watched) = (commits / EVENTS_OF_ONE, shown == 1);
                let at = if watched && number % every == 0 { 0 } else { 1 + number % (PAGES - 1) };
                let commit = logs[at].next(&clock);
                let outcome = writing.submit(commit).outcome().await.unwrap();
                assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
                done.fetch_add(1, Ordering::Relaxed);
            }
            began.elapsed()
        })
    });
    let took = took.await.unwrap();
    let busy = resident();
    let per_second = commits as f64 / took.as_secs_f64();
    let mut values = vec![
        ("store", "sqlite".into()),
        ("pages", pages.into()),
        ("tasks_shown", if pages > 0 { shown.into() } else { 0.into() }),
        ("commits", written.load(Ordering::Relaxed).into()),
        ("commits_per_second", rounded(per_second, 0)),
    ];
    if let Some(browsers) = browsers {
        let (renderings, bytes) = browsers.close();
        values.extend([
            ("kib_a_page", rounded((opened - before) * 1024.0 / pages as f64, 1)),
            ("kib_a_page_while_written", rounded((busy - before) * 1024.0 / pages as f64, 1)),
            ("renderings_per_second", rounded(renderings as f64 / took.as_secs_f64(), 0)),
            ("mib_sent", rounded(bytes as f64 / 1_048_576.0, 1)),
        ]);
    }
    figure("console", values);
    shutdown.cancel();
    store.close().await;
    per_second
}

/// The console over a store, on a socket of its own, with authentication off; nothing runs the tasks.
async fn serve(store: &Arc<dyn WholeStore>, clock: &Clock, shutdown: &CancellationToken) -> SocketAddr {
    let oceanbase = Arc::new(reads_only::nobody_there());
    let deps = Deps {
        oceanbase: oceanbase.clone(),
        hosts: Arc::new(AgentHosts::new(None)),
        inventory: Inventory::new(store.clone(), oceanbase, clock.clone()),
        clock: clock.clone(),
        store_id: store.store_id().to_owned(),
        store: store.clone(),
        timeouts: Timeouts::default(),
    };
    let administration = Administration {
        directory: Directory::open(store.clone()).await.unwrap(),
        access: store.clone(),
        freezes: store.clone(),
        backups: store.clone(),
        hasher: Arc::new(Argon2id),
    };
    let engine = tasks::idle_engine(store, clock);
    let console = Console {
        guarded: Guarded::new(Service::new(store.clone(), engine, deps, administration)),
        hub: Hub::start(store.clone(), shutdown.clone()).await.unwrap(),
        gatekeeper: Arc::new(Gatekeeper::open()),
        sessions: Arc::new(Sessions::new(&**store, Duration::from_secs(3600)).unwrap()),
        clock: clock.clone(),
        config: RestConfig::default(),
        body_bytes: 4096,
        arrival_seconds: 15,
    };
    let peer = Peer::plaintext(SocketAddr::from(([127, 0, 0, 1], 4711)));
    let router = console::router(console, axum::Router::new()).layer(Extension(peer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ended = shutdown.clone().cancelled_owned();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(ended).await });
    address
}

/// Memory of this process in use, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// Another process with so many connections, whose memory is its own.
struct Browsers(Child);

impl Browsers {
    /// Returns when every page has had its first rendering.
    fn open(address: SocketAddr, pages: usize, shown: &[Log]) -> Self {
        let paths: Vec<String> = (0..pages).map(|page| shown[page % shown.len()].task.to_string()).collect();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--look", &address.to_string(), &paths.join(",")]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        Self(child)
    }

    /// Renderings that came since, and bytes.
    fn close(mut self) -> (usize, usize) {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        self.0.wait().unwrap();
        let (renderings, bytes) = said.trim().split_once(' ').unwrap();
        (renderings.parse().unwrap(), bytes.parse().unwrap())
    }
}

/// What the other process does: opens the page of each task, says so, and reads until its input ends.
fn look(address: SocketAddr, tasks: &str) {
    let counts: Arc<[AtomicUsize; 3]> = Arc::default();
    let mut pages = 0;
    for task in tasks.split(',') {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /tasks/{task}/live HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n")
            .unwrap();
        let counts = Arc::clone(&counts);
        let reading = std::thread::Builder::new().stack_size(64 * 1024);
        reading
            .spawn(move || {
                let mut first = true;
                for line in BufReader::with_capacity(4096, stream).split(b'\n').map_while(Result::ok) {
                    counts[2].fetch_add(line.len() + 1, Ordering::Relaxed);
                    if line == b"event: region" {
                        counts[usize::from(!first)].fetch_add(1, Ordering::Relaxed);
                        first = false;
                    }
                }
            })
            .unwrap();
        pages += 1;
    }
    while counts[0].load(Ordering::Relaxed) < pages {
        std::thread::sleep(Duration::from_millis(5));
    }
    counts[2].store(0, Ordering::Relaxed);
    println!("!");
    let mut end = Vec::new();
    std::io::stdin().read_to_end(&mut end).unwrap();
    println!("{} {}", counts[1].load(Ordering::Relaxed), counts[2].load(Ordering::Relaxed));
    // Its threads read on, and are not waited for.
    std::process::exit(0);
}
