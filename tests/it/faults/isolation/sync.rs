//! The rounds of readings, in virtual time: two hundred clusters that hang, and some that do not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use obsteward::clock::{Clock, Timestamp, monotonic_now};
use obsteward::domain::clients::ServerClients;
use obsteward::domain::freeze;
use obsteward::domain::ids::{ClusterIdentity, ServerAddr, ZoneName};
use obsteward::domain::precheck::LedFrom;
use obsteward::domain::reading::{
    ClusterReading, Fact, LogStreamReading, Parameters, ServerReading, TenantReading, ZoneReading,
};
use obsteward::inventory::{Inventory, Syncer};
use obsteward::oceanbase::{ClusterError, ClusterReader, Discovery, Expected, LeaderCount};
use obsteward::store::inventory::{ClusterFilter, InventoryStore, NewCluster};
use tokio_util::sync::CancellationToken;

use crate::support::reads_only::{Opening, ReadsOnly};
use crate::support::stored_rows::{identity, new_cluster};
use crate::support::stored_tasks::cluster_id;
use crate::support::temporary_store::TemporaryStore;

/// Of these the first ten begin to hang just now, the others did before.
const HANGING: i64 = 200;
const ALL: i64 = 220;

/// When each cluster was asked, and how many are being asked now and were at most.
#[derive(Default)]
struct Asked {
    at: HashMap<String, Vec<tokio::time::Instant>>,
    now: usize,
    most: usize,
}

struct Asking(Arc<Mutex<Asked>>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.lock().unwrap().now -= 1;
    }
}

/// The first so many clusters never answer, the others do after a second.
fn slow(asked: Arc<Mutex<Asked>>) -> ReadsOnly<impl Fn(&Expected) -> Opening + Send + Sync> {
    ReadsOnly(move |expected: &Expected| -> Opening {
        let (asked, identity) = (Arc::clone(&asked), expected.identity.clone().unwrap());
        Box::pin(async move {
            {
                let mut asked = asked.lock().unwrap();
                asked.at.entry(identity.name.clone()).or_default().push(monotonic_now());
                asked.now += 1;
                asked.most = asked.most.max(asked.now);
            }
            let _asking = Asking(asked);
            if identity.name.trim_start_matches("ob").parse::<i64>().unwrap() <= HANGING {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Box::new(EmptyCluster(identity)) as Box<dyn ClusterReader>)
        })
    })
}

struct EmptyCluster(ClusterIdentity);

#[async_trait]
impl ClusterReader for EmptyCluster {
    fn endpoint(&self) -> &str {
        "nowhere:2881"
    }

    fn server_addr(&self) -> &ServerAddr {
        panic!("a sync does not ask who answers")
    }

    fn identity(&self) -> &ClusterIdentity {
        &self.0
    }

    async fn discover(&mut self) -> Result<Discovery, ClusterError> {
        Ok(Discovery {
            identity: self.0.clone(),
            endpoint: self.endpoint().to_owned(),
            observed_at: Clock::system().now(),
            servers: Vec::new(),
            zones: Vec::new(),
            parameters: Parameters {
                lease_time: Ok(Duration::from_secs(10)),
                server_permanent_offline_time: Ok(Duration::from_secs(3600)),
                internal_sql_execute_timeout: Ok(Duration::from_secs(30)),
                enable_upgrade_mode: Ok(false),
            },
        })
    }

    fn is_open(&self) -> bool {
        true
    }

    async fn servers(&mut self) -> Result<Vec<ServerReading>, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn clients(&mut self, _: &ServerAddr) -> Result<Fact<ServerClients>, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn leaders_left(&mut self, _: &[ServerAddr]) -> Result<Vec<LedFrom>, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn tenants(&mut self) -> Result<Vec<TenantReading>, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn zones(&mut self) -> Result<Vec<ZoneReading>, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn log_streams(&mut self) -> Result<Vec<LogStreamReading>, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn reading(&mut self) -> Result<ClusterReading, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn gate_reading(&mut self) -> Result<ClusterReading, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn server(&mut self, _: &ServerAddr) -> Result<Option<ServerReading>, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn zone(&mut self, _: &ZoneName) -> Result<Option<ZoneReading>, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn leaders(&mut self, _: &ServerAddr) -> Result<LeaderCount, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn other_zone_stopped(&mut self, _: &ZoneName) -> Result<Option<String>, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn horizon(&mut self) -> Result<Duration, ClusterError> {
        panic!("a sync only discovers")
    }

    async fn checkpoints(&mut self, _: &ServerAddr) -> Result<Vec<freeze::Replica>, ClusterError> {
        panic!("a sync only discovers")
    }
}

/// Each good cluster is read once a minute as if the others were not there; of those each has its turn, none more than once a
/// minute, and there are never more readings under way than there may be.
#[tokio::test(start_paused = true)]
async fn clusters_that_hang_do_not_hold_up_the_sync_of_others() {
    let asked = Arc::new(Mutex::new(Asked::default()));
    let cluster = |id: i64| {
        let identity = ClusterIdentity { name: format!("ob{id}"), ..identity(cluster_id(id)) };
        NewCluster { identity, ..new_cluster(id) }
    };
    let store = Arc::new(TemporaryStore::with(Vec::new(), (1..=ALL).map(cluster)).await);
    for hung_before in 11..=HANGING {
        let why = "no endpoint answers".to_owned();
        store.observe_failed(cluster_id(hung_before), Timestamp::default(), why).await.unwrap();
    }
    let inventory = Inventory::new(store.clone(), Arc::new(slow(Arc::clone(&asked))), Clock::system());
    let shutdown = CancellationToken::new();
    let began = monotonic_now();
    let syncing = tokio::spawn(Syncer::new(inventory, Arc::new(|_| true), shutdown.clone()).run());
    tokio::time::sleep(Duration::from_secs(600)).await;
    shutdown.cancel();
    syncing.await.unwrap();
    let clusters = store.clusters(&ClusterFilter::every(), None, u32::MAX).await.unwrap();
    let failed = clusters.iter().filter(|row| !row.sync_error.is_empty()).count();
    assert_eq!(failed, HANGING as usize);
    let asked = asked.lock().unwrap();
    assert!(asked.most <= 48, "{} readings at once", asked.most);
    for id in 1..=ALL {
        let moments = asked.at.get(&format!("ob{id}")).map(Vec::as_slice).unwrap_or_default();
        if id > HANGING {
            let begins = std::iter::once(&began).chain(moments);
            let longest = begins.zip(moments).map(|(before, after)| *after - *before).max().unwrap();
            assert!(longest < Duration::from_secs(75), "ob{id} was not read for {longest:?}");
            assert!(moments.len() >= 9, "ob{id} was read {} times in ten minutes", moments.len());
        } else {
            assert!((1..=10).contains(&moments.len()), "ob{id} was asked {} times in ten minutes", moments.len());
        }
    }
}
