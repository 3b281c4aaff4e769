//! One run of the service: everything that is its own, as `app` puts it together, over what outlives it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use obsteward::access::Directory;
use obsteward::clock::{BootClock, Clock, monotonic_now};
use obsteward::domain::ids::{Principal, TaskId};
use obsteward::domain::maintenance::{MaintenancePolicies, MaintenancePolicy};
use obsteward::domain::permission::Rights;
use obsteward::domain::reason::Reason;
use obsteward::domain::refusal::Refusal;
use obsteward::domain::trace::TraceContext;
use obsteward::engine::{Engine, EngineSettings, Failpoints};
use obsteward::inventory::Inventory;
use obsteward::oceanbase::{EffectTimes, SessionPool};
use obsteward::operations::{Deps, Timeouts, registry};
use obsteward::service::{Administration, Argon2id, BeginningRules, Caller, Service};
use obsteward::store::change_freezes::ChangeFreezes;
use obsteward::store::replicas::Replicas;
use obsteward::store::sqlite::{SqliteOptions, SqliteStore};
use obsteward::store::{Store, StoreError, TaskVisibility};
use obsteward::watch::{Hub, WatchAuthorizer};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Clusters, SimulatedOceanBase};
use crate::data_centre::DataCentre;
use crate::database::Link;
use crate::disk::Disk;
use crate::host::SimulatedHosts;
use crate::life::Life;
use crate::store::{LifeStore, STORE_ID};

pub struct RunningService {
    pub life: Arc<Life>,
    pub service: Service,
    pub store: Arc<dyn Store>,
    pub engine: Arc<Engine>,
    pub hub: Arc<Hub>,
    pub inventory: Inventory,
    pub shutdown: CancellationToken,
}

/// What a run of the service is given.
pub struct Surroundings<'a> {
    pub life: Arc<Life>,
    /// Of this process, in events and among replicas.
    pub name: String,
    pub link: &'a Arc<Link>,
    pub disk: &'a Disk,
    pub clusters: &'a Clusters,
    pub data_centre: &'a DataCentre,
    pub clock: &'a Clock,
    pub timeouts: &'a Timeouts,
    pub effect_timeout: Duration,
    pub failpoints: Failpoints,
    pub policy: &'a MaintenancePolicy,
}

impl RunningService {
    /// Starts it as `app` does; `None`: its life ended before it had begun, or its database did not answer.
    pub async fn start(given: Surroundings<'_>) -> Option<Self> {
        let Surroundings {
            life,
            name,
            link,
            disk,
            clusters,
            data_centre,
            clock,
            timeouts,
            effect_timeout,
            failpoints,
            policy,
        } = given;
        let store = LifeStore::open(disk.clone(), Arc::clone(&life), Arc::clone(link), name.clone(), clock.clone());
        let effect_times = EffectTimes::new(effect_timeout);
        let effect_times = if store.is_shared() { effect_times.of_replica() } else { effect_times };
        let oceanbase =
            Arc::new(SimulatedOceanBase::new(Arc::clone(&life), clusters.clone(), clock.clone(), effect_times));
        let once = Arc::new(SessionPool::new(oceanbase.clone(), Duration::ZERO));
        let inventory = Inventory::new(store.clone(), once, clock.clone());
        let deps = Deps {
            oceanbase: Arc::new(SessionPool::new(oceanbase, timeouts.kept())),
            hosts: Arc::new(SimulatedHosts { life: Arc::clone(&life), data_centre: data_centre.clone() }),
            inventory: inventory.clone(),
            clock: clock.clone(),
            store_id: STORE_ID.to_owned(),
            store: store.clone(),
            timeouts: timeouts.clone(),
        };
        let settings = EngineSettings {
            executor: name,
            clock: clock.clone(),
            boot_clock: BootClock::Since(monotonic_now()),
            failpoints: Arc::new(failpoints),
            metrics: Default::default(),
        };
        let runtime = tokio::runtime::Handle::current();
        let (replicas, freezes) = (store.clone(), store.clone());
        let store: Arc<dyn Store> = store;
        let engine = Engine::new(Arc::clone(&store), replicas, registry(&deps), settings, runtime);
        let policies = MaintenancePolicies::new(HashMap::new(), policy.clone());
        let service = Service::new(Arc::clone(&store), Arc::clone(&engine), deps, administration(freezes))
            .with_beginnings(BeginningRules { policies, authentication: false });
        let shutdown = CancellationToken::new();
        let started = async {
            let hub = Hub::start(Arc::clone(&store), shutdown.clone()).await?;
            engine.recover().await?;
            Ok::<_, StoreError>(hub)
        };
        let hub = life.while_it_lasts(started).await?.ok()?;
        let (tended, lasting, ended) = (service.clone(), Arc::clone(&life), shutdown.clone());
        tokio::spawn(async move {
            _ = lasting.while_it_lasts(ended.run_until_cancelled(tended.tend_pending())).await;
        });
        Some(Self { life, service, store, engine, hub, inventory, shutdown })
    }
}

/// Users and their like, which no world needs: one for all.
fn administration(freezes: Arc<dyn ChangeFreezes>) -> Administration {
    static SHARED: OnceLock<(tempfile::TempDir, Arc<SqliteStore>, Arc<Directory>)> = OnceLock::new();
    let open = || {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = SqliteOptions { readers: 1, ..SqliteOptions::default() };
        let store = SqliteStore::open(directory.path().join("store.db"), options).expect("a new store");
        let access = store.clone();
        let opened = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(Directory::open(access)).expect("a directory without users")
        });
        let users = opened.join().expect("the thread that opens the directory");
        (directory, store, users)
    };
    let (_, store, directory) = SHARED.get_or_init(open);
    Administration {
        directory: Arc::clone(directory),
        access: store.clone(),
        freezes,
        backups: store.clone(),
        hasher: Arc::new(Argon2id),
    }
}

/// Who asks in a simulated world: may do everything.
pub fn caller(name: &str) -> Caller {
    Caller {
        principal: Principal::new(name),
        user: None,
        rights: Arc::new(Rights::everything()),
        proof: Arc::default(),
        address: "192.0.2.7:40000".to_owned(),
        trace: TraceContext::of_random(0x0123_4567_89ab_cdef, 1),
        reason: Reason::default(),
    }
}

/// Sees every task, as long as it wants.
pub struct SeesAll;

impl WatchAuthorizer for SeesAll {
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn sees(&self, _: TaskId, _: obsteward::domain::ids::ClusterId) -> bool {
        true
    }

    fn visible(&self) -> TaskVisibility {
        TaskVisibility::All
    }
}
