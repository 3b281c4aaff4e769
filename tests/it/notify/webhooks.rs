//! Webhooks over a real connection: everything arrives in order and signed, however the target behaves, and whether or not the service
//! was started again meanwhile.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::{Clock, Timestamp};
use obsteward::config::{NotifiedOf, SecretUrl};
use obsteward::domain::call::Call;
use obsteward::notify::courier::Pace;
use obsteward::notify::endpoint::Endpoint;
use obsteward::notify::http_client::HttpClient;
use obsteward::notify::reminders::{HeldServers, Hold};
use obsteward::notify::signature::WebhookSecret;
use obsteward::notify::{Courier, Webhook};
use obsteward::store::access::AccessStore;
use obsteward::store::inventory::InventoryStore;
use obsteward::store::notifications::{NotificationRow, NotificationStore};
use obsteward::store::{AuditOutcome, AuditRecord};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::receiver::{Arrived, Receiver, Reply};
use super::wait_until;
use crate::support::certificates::Authority;
use crate::support::stored_rows::{audit, new_cluster};
use crate::support::stored_tasks::{cluster, cluster_id, spec, subtask_id, task_id};
use crate::support::temporary_store::TemporaryStore;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Servers that are held, as a test says.
struct Held(Vec<Hold>);

#[async_trait]
impl HeldServers for Held {
    async fn held_now(&self) -> Result<Vec<Hold>, String> {
        Ok(self.0.clone())
    }
}

/// A store with a webhook that was told nothing yet.
struct Fixture {
    store: Arc<TemporaryStore>,
    address: SocketAddr,
    clusters: Vec<String>,
    events: Vec<NotifiedOf>,
    held: Vec<Hold>,
}

impl Fixture {
    async fn new(address: SocketAddr) -> Self {
        let store = Arc::new(TemporaryStore::new());
        let row = NotificationRow { target: "ops".to_owned(), ..NotificationRow::default() };
        store.real.keep_notification_row(row).await.unwrap();
        let (clusters, held, events) = (Vec::new(), Vec::new(), NotifiedOf::ALL.to_vec());
        Self { store, address, clusters, events, held }
    }

    fn start(&self) -> (CancellationToken, JoinHandle<()>) {
        self.start_with(Duration::from_millis(300))
    }

    fn start_with(&self, timeout: Duration) -> (CancellationToken, JoinHandle<()>) {
        self.start_at(&format!("http://{}/hook/s3cret", self.address), None, timeout)
    }

    fn start_at(&self, url: &str, ca_file: Option<&Path>, timeout: Duration) -> (CancellationToken, JoinHandle<()>) {
        let endpoint = Endpoint::parse(&SecretUrl::new(url)).unwrap();
        let webhook = Arc::new(Webhook {
            name: "ops".to_owned(),
            events: self.events.clone(),
            clusters: self.clusters.clone(),
            nearly: Duration::from_secs(600),
            secret: WebhookSecret::parse(SECRET).unwrap(),
            client: HttpClient::new(endpoint, ca_file, timeout).unwrap(),
        });
        let short = Duration::from_millis(1);
        let courier = Courier {
            webhook,
            log: self.store.clone(),
            kept: self.store.real.clone(),
            held: Arc::new(Held(self.held.clone())),
            share: Arc::new(|_| true),
            clock: Clock::system(),
            pace: Pace {
                gather: short,
                look_again: short,
                remind: short * 20,
                refused: short * 20,
                retry: (short, short * 20),
            },
        };
        let shutdown = CancellationToken::new();
        (shutdown.clone(), tokio::spawn(courier.run(shutdown)))
    }

    async fn row(&self) -> NotificationRow {
        self.store.real.notification_rows().await.unwrap().remove(0)
    }

    async fn row_when(&self, what: &str, holds: impl Fn(&NotificationRow) -> bool) -> NotificationRow {
        wait_until(what, async || holds(&self.row().await)).await;
        self.row().await
    }

    /// Somebody asks for something of cluster 3, and is refused.
    async fn refuse(&self, call: Call, reason: &str) {
        let outcome = AuditOutcome::Refused { reason: reason.to_owned() };
        let (cluster, target) = (Some(cluster_id(3)), "cluster 3 server 27".to_owned());
        let record = AuditRecord { cluster, target, call, outcome, reason: "INC-7".parse().unwrap(), ..audit("anna") };
        self.store.real.record(record).await.unwrap();
    }

    /// A task that fails and one that succeeds; places of the events that are told of, with what they are called.
    fn happens(&self, first: i64) -> Vec<(i64, &'static str)> {
        let head = |store: &TemporaryStore| store.log().last().unwrap().seq.get();
        self.store.create(task_id(first), cluster_id(first));
        self.store.dispatch(task_id(first));
        self.store.fail(task_id(first), 1);
        let failed = head(&self.store);
        self.store.run(task_id(first + 1), cluster_id(first + 1));
        vec![(failed, "failed"), (head(&self.store), "done")]
    }
}

fn accepts(_: &Arrived) -> Reply {
    Reply::Answer(204, String::new())
}

/// Its place and what it is called, once its signature was checked.
fn checked(arrived: &Arrived) -> (i64, String) {
    let header = |name: &str| arrived.headers[name].as_str();
    assert_eq!((arrived.method.as_str(), arrived.path.as_str()), ("POST", "/hook/s3cret"));
    assert_eq!(header("content-type"), "application/json");
    let timestamp: i64 = header("webhook-timestamp").parse().unwrap();
    let now = Clock::system().now().as_micros() / 1_000_000;
    assert!((now - 60..=now).contains(&timestamp), "{timestamp}");
    let signature = WebhookSecret::parse(SECRET).unwrap().sign(header("webhook-id"), timestamp, &arrived.body);
    assert_eq!(header("webhook-signature"), signature);
    let body = arrived.json();
    let seq = body["seq"].as_i64().unwrap();
    assert!(header("webhook-id").ends_with(&format!("-{seq}")));
    (seq, body["type"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_target_does_everything_arrives_in_order() {
    // Nobody listens there any more.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fixture = Fixture::new(address).await;
    let expected = [fixture.happens(1), fixture.happens(3)].concat();
    let (_shutdown, _courier) = fixture.start();
    let row = fixture.row_when("the target is shown as failing", |row| row.failing_since.is_some()).await;
    assert!(row.seq.get() < expected[0].0 && row.delivered_at.is_none(), "{row:?}");
    assert!(row.error.contains("cannot be reached") && !row.error.contains("s3cret"), "{}", row.error);

    let mut script = VecDeque::from([
        Reply::Answer(500, "s3cret".to_owned()),
        Reply::Hang,
        Reply::BreakOff,
        Reply::Answer(302, String::new()),
        Reply::Answer(200, "x".repeat(100_000)),
        Reply::Answer(404, String::new()),
    ]);
    let replies = move |_: &Arrived| script.pop_front().unwrap_or(Reply::Answer(200, String::new()));
    let mut receiver = Receiver::at(address, replies).await;
    let mut arrived = Vec::new();
    for _ in 0..expected.len() + 5 {
        arrived.push(checked(&receiver.next().await));
    }
    // Four tries that came to nothing, and one of the second message.
    let tries = [4, 1, 0, 0];
    let wanted = expected.iter().zip(tries).flat_map(|(one, again)| vec![(one.0, one.1.to_owned()); again + 1]);
    assert_eq!(arrived, wanted.collect::<Vec<_>>());
    let row = fixture.row_when("the last is noted", |row| row.seq.get() == expected[3].0).await;
    assert_eq!((row.failing_since, row.error.as_str()), (None, ""));
    assert!(row.delivered_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_started_again_goes_on_where_it_was() {
    let mut number = 0;
    let mut receiver = Receiver::new(move |_| {
        number += 1;
        if number == 2 { Reply::Hang } else { Reply::Answer(200, String::new()) }
    })
    .await;
    let fixture = Fixture::new(receiver.address).await;
    let expected = fixture.happens(1);
    let (shutdown, courier) = fixture.start_with(Duration::from_secs(60));
    assert_eq!(checked(&receiver.next().await).0, expected[0].0);
    assert_eq!(checked(&receiver.next().await).0, expected[1].0);
    // The end waits for no target, although this one would let it wait for a minute.
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(2), courier).await.expect("the end waits for a target").unwrap();
    let row = fixture.row().await;
    assert_eq!((row.seq.get(), row.failing_since), (expected[0].0, None));

    let meanwhile = fixture.happens(3);
    let (_shutdown, _courier) = fixture.start();
    for (seq, kind) in [&expected[1..], &meanwhile].concat() {
        assert_eq!(checked(&receiver.next().await), (seq, kind.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_told_of_what_it_asked_for() {
    let mut receiver = Receiver::new(accepts).await;
    let mut fixture = Fixture::new(receiver.address).await;
    fixture.events = vec![NotifiedOf::Resting, NotifiedOf::NearlyGivenUp];
    fixture.clusters = vec![cluster(cluster_id(3)).name];
    let now = Clock::system().now();
    let hold = |task: i64, cluster: i64, ends: Option<Timestamp>| Hold {
        spec: Arc::new(spec(task_id(task), cluster_id(cluster))),
        subtask: subtask_id(task_id(task), 2),
        run_time: 1,
        until: now,
        permanent_offline_at: ends,
    };
    fixture.held = vec![hold(90, 3, Some(now)), hold(91, 3, None), hold(92, 1, Some(now))];
    fixture.happens(1);
    let of_third = fixture.happens(3);
    let (shutdown, courier) = fixture.start();
    assert_eq!(checked(&receiver.next().await), (of_third[0].0, "failed".to_owned()), "it rests, too");
    let reminder = receiver.next().await;
    assert!(reminder.headers["webhook-id"].ends_with("-90-9002-1"), "{reminder:?}");
    assert_eq!(reminder.json()["type"], "nearly_given_up");
    let row = fixture.row_when("the reminder is noted", |row| !row.reminded.is_empty()).await;
    assert_eq!(row.reminded, ["90-9002-1"]);
    shutdown.cancel();
    courier.await.unwrap();

    // Told once, also by another process; what is over is forgotten.
    let (shutdown, courier) = fixture.start();
    let next = fixture.happens(3 + 10);
    assert_eq!(next.len(), 2);
    shutdown.cancel();
    courier.await.unwrap();
    fixture.held.clear();
    let (_shutdown, _courier) = fixture.start();
    fixture.row_when("the hold is over", |row| row.reminded.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_refused_before_there_is_a_task_is_told_and_none_is_left_out() {
    let mut receiver = Receiver::new(accepts).await;
    let mut fixture = Fixture::new(receiver.address).await;
    fixture.events = vec![NotifiedOf::Refused];
    fixture.store.real.register(new_cluster(3), audit("anna")).await.unwrap();
    // What was before the first start is nobody's news.
    fixture.refuse(Call::StopServer, "SERVER_STATE").await;
    let kept = async || fixture.store.real.notification_rows().await.unwrap();
    let (shutdown, courier) = fixture.start();
    wait_until("it has begun", async || kept().await.len() == 2).await;
    fixture.refuse(Call::StopServer, "OTHER_ZONE_STOPPED").await;
    // These would have begun nothing.
    fixture.refuse(Call::RetryTask, "TASK_MOVED").await;
    fixture.refuse(Call::UpdateCluster, "INVALID_ARGUMENT").await;
    fixture.refuse(Call::RestartZone, "PERMISSION_DENIED").await;
    let first = receiver.next().await;
    let told = first.json();
    assert_eq!((&told["type"], &told["error"]["reason"]), (&"refused".into(), &"OTHER_ZONE_STOPPED".into()));
    assert_eq!(told["request"]["call"], "STOP_OB_SERVER");
    assert_eq!(
        (&told["request"]["creator"], &told["request"]["target"]),
        (&"anna".into(), &"cluster 3 server 27".into())
    );
    assert_eq!(
        (&told["cluster"]["name"], &told["reason"], &told["task"]),
        (&"ob3".into(), &"INC-7".into(), &serde_json::Value::Null)
    );
    assert!(first.headers["webhook-id"].contains("-request-"), "{first:?}");
    assert_eq!(receiver.next().await.json()["request"]["call"], "RESTART_OB_ZONE");
    wait_until("the last is noted", async || {
        kept().await[1].seq.get() == fixture.store.real.audit_head().await.unwrap()
    })
    .await;
    shutdown.cancel();
    courier.await.unwrap();

    // Nobody is there to tell, and then somebody is again.
    fixture.refuse(Call::StopCluster, "SERVICE_LOSS_NOT_ACCEPTED").await;
    fixture.clusters = vec!["another".to_owned()];
    let (shutdown, courier) = fixture.start();
    wait_until("it is not theirs", async || kept().await[0].delivered_at.is_some()).await;
    shutdown.cancel();
    courier.await.unwrap();
    fixture.clusters.clear();
    fixture.refuse(Call::StartRollout, "SERVER_STATE").await;
    let (_shutdown, _courier) = fixture.start();
    let mut calls = vec![receiver.next().await.json()["request"]["call"].clone()];
    while calls.last().unwrap() != "START_ROLLOUT" {
        calls.push(receiver.next().await.json()["request"]["call"].clone());
    }
    assert!(calls.len() <= 2, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_told_over_tls_under_a_private_authority_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let file = |name: &str, authority: &Authority| {
        let path = directory.path().join(name);
        std::fs::write(&path, &authority.pem).unwrap();
        path
    };
    let (trusted, foreign) = (file("ours.pem", &ours), file("other.pem", &other));
    let mut receiver = Receiver::tls(&ours.server(), accepts).await;
    let fixture = Fixture::new(receiver.address).await;
    let expected = fixture.happens(1);
    let url = format!("https://{}/hook/s3cret", receiver.address);
    let patience = Duration::from_secs(5);
    let (shutdown, courier) = fixture.start_at(&url, Some(&foreign), patience);
    let row = fixture.row_when("it is not trusted", |row| row.failing_since.is_some()).await;
    assert!(row.error.contains("no TLS with https://127.0.0.1:") && !row.error.contains("s3cret"), "{}", row.error);
    shutdown.cancel();
    courier.await.unwrap();
    let (_shutdown, _courier) = fixture.start_at(&url, Some(&trusted), patience);
    for (seq, kind) in expected {
        assert_eq!(checked(&receiver.next().await), (seq, kind.to_owned()));
    }
    fixture.row_when("it is well again", |row| row.failing_since.is_none() && row.delivered_at.is_some()).await;
}
