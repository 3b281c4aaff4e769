//! Dead hosts and slow clusters: one that does not answer delays no other's task, sync or call, is not asked more often than
//! is good for it, and the task that waits for it says so.

mod sync;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultId, FaultKind, Kind, Signal, SimCluster};

use crate::promises::Evidence;
use crate::support::{Clients, PATIENCE, Stage, quick};

/// Another cluster of the stage's service, with a stop of its server 2 that stands where its leaders must leave.
struct Other {
    sim: SimCluster,
    cluster: v1::Cluster,
    stuck: FaultId,
    task: i64,
}

impl Other {
    async fn in_the_middle_of_a_stop(clients: &Clients) -> Self {
        let sim = SimCluster::start(quick()).await.unwrap();
        let cluster = clients.register(sim.endpoints()).await.unwrap();
        let stuck = sim.inject(FaultKind::LeaderSwitchStuck { tenant: None, ls: None });
        let ip = sim.server(2).unwrap().ip;
        let server_id = clients.list_servers(cluster.id).await.into_iter().find(|server| server.ip == ip).unwrap().id;
        let request = v1::StopServerRequest { cluster_id: cluster.id, server_id, ..Default::default() };
        let task = clients.stop_with(request).await.unwrap().id;
        clients.waits_for(task, "leaders still on").await;
        Self { sim, cluster, stuck, task }
    }

    /// It has not moved since it was at this revision, and runs.
    async fn assert_still_waits(&self, clients: &Clients, revision: i64) {
        let task = clients.task(self.task).await;
        assert_eq!((task.state(), task.revision), (v1::TaskState::Running, revision), "{task:#?}");
    }

    async fn assert_ends_well(&self, clients: &Clients) {
        let task = clients.at_rest(self.task).await;
        assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
        Evidence::gather(clients, &self.sim, self.cluster.id).await.assert_promises();
    }

    /// Where the host of its server 2 is reached.
    async fn host_is_at(&self, clients: &Clients, transport: v1::HostTransport, agent_address: String) {
        let svr_ip = self.sim.server(2).unwrap().ip;
        let request = v1::UpdateClusterRequest {
            cluster_id: self.cluster.id,
            hosts: vec![v1::Host { svr_ip, transport: transport.into(), agent_address, ..Default::default() }],
            update_mask: Some(prost_types::FieldMask { paths: vec!["hosts".to_owned()] }),
            ..Default::default()
        };
        clients.clusters.clone().update_cluster(request).await.unwrap();
    }
}

/// Short looks; a cluster that was hung and a server that was just stopped get time to come back.
async fn stage() -> Stage {
    Stage::with(quick(), |config| {
        config.stop.reading_seconds = 2;
        config.stop.gate_seconds = 30;
    })
    .await
}

/// Each statement of a look may be the one that is not answered: the look is given up all the same, and the next finds
/// what there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_look_that_hangs_behind_its_first_statement_is_given_up() {
    let stage = stage().await;
    let clients = &stage.clients;
    let hung = Other::in_the_middle_of_a_stop(clients).await;
    let leaders = "SELECT TENANT_ID, LS_ID, SVR_IP, SVR_PORT FROM oceanbase.CDB_OB_LS_LOCATIONS";
    hung.sim.inject(Fault::from(FaultKind::Slow { delay_ms: 3_600_000 }).for_statement(leaders));
    clients.waits_for(hung.task, &format!("cluster {} was not read within 2 s", hung.cluster.name)).await;
    hung.sim.clear_all();
    hung.assert_ends_well(clients).await;
}

/// Two clusters hang in the middle of their stops: one takes every query and answers none, the other's processes do not even
/// take a login. A third is stopped meanwhile, and calls are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_that_hangs_delays_nobody_else() {
    let stage = stage().await;
    let clients = &stage.clients;
    let (queries, logins) =
        tokio::join!(Other::in_the_middle_of_a_stop(clients), Other::in_the_middle_of_a_stop(clients));
    queries.sim.inject(Fault::from(FaultKind::Slow { delay_ms: 3_600_000 }).for_statement("SELECT"));
    for server in logins.sim.servers() {
        logins.sim.kill_process(server.id, Signal::STOP).unwrap();
    }
    let mut waiting = Vec::new();
    for other in [&queries, &logins] {
        let name = &other.cluster.name;
        clients.waits_for(other.task, &format!("cluster {name} was not read within 2 s")).await;
        waiting.push(clients.task(other.task).await.revision);
    }
    let (began, opened) = (monotonic_now(), queries.sim.recorded(Kind::SessionOpened).len());

    // Reading the hung ones by hand goes on for longer than all of this takes, and is in nobody's way.
    let syncs = [&queries, &logins].map(|other| {
        let (mut clusters, cluster_id) = (clients.clusters.clone(), other.cluster.id);
        tokio::spawn(
            async move { clusters.sync_cluster(v1::SyncClusterRequest { cluster_id, ..Default::default() }).await },
        )
    });
    let request = v1::SyncClusterRequest { cluster_id: stage.cluster_id, ..Default::default() };
    clients.clusters.clone().sync_cluster(request).await.unwrap();
    for other in [&queries, &logins] {
        assert_eq!(clients.list_servers(other.cluster.id).await.len(), 3);
    }
    assert!(syncs.iter().all(|sync| !sync.is_finished()));

    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    for (other, revision) in [&queries, &logins].into_iter().zip(waiting) {
        other.assert_still_waits(clients, revision).await;
    }
    // A look is one session, which hangs until the look is given up, and the sync's.
    let looks = queries.sim.recorded(Kind::SessionOpened).len() - opened;
    let most = 3 + began.elapsed().as_secs() as usize;
    assert!(looks <= most, "{looks} sessions in {:?}", began.elapsed());

    for server in logins.sim.servers() {
        logins.sim.kill_process(server.id, Signal::CONT).unwrap();
    }
    queries.sim.clear_all();
    logins.sim.clear(logins.stuck);
    for other in [&queries, &logins] {
        other.assert_ends_well(clients).await;
    }
    for sync in syncs {
        sync.abort();
    }
}

/// A task whose first look takes long does not wait in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_look_says_what_it_waits_for() {
    let stage = Stage::with(quick(), |config| config.stop.reading_seconds = 600).await;
    let slow = stage.sim.inject(Fault::from(FaultKind::Slow { delay_ms: 3_600_000 }).for_statement("SELECT"));
    let request = stage.request(2).await;
    let id = stage.clients.stop_with(request).await.unwrap().id;
    let name = stage.sim.look(|cluster| cluster.name.clone());
    let words = format!("the first answers of cluster {name} and of the host of {}", stage.info(2).ip);
    stage.clients.waits_for(id, &words).await;
    stage.sim.clear(slow);
}

/// Takes connections and says nothing, and counts them.
struct Silent {
    address: SocketAddr,
    taken: Arc<AtomicUsize>,
}

impl Silent {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, taken) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream.unwrap();
                // Held until the other end is tired of it.
                std::thread::spawn(move || while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {});
            }
        });
        Self { address, taken }
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

/// An address where packets are swallowed: a listener whose queue is full, so that nobody gets a word back.
struct Swallowing {
    listener: std::os::fd::OwnedFd,
    _queued: Vec<TcpStream>,
}

impl Swallowing {
    fn listen() -> Self {
        let listener = std::os::fd::OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        rustix::net::listen(&listener, 0).unwrap();
        let mut this = Self { listener, _queued: Vec::new() };
        while let Ok(stream) = TcpStream::connect_timeout(&this.address(), Duration::from_millis(300)) {
            this._queued.push(stream);
        }
        this
    }

    fn address(&self) -> SocketAddr {
        let address = rustix::net::getsockname(&self.listener).unwrap();
        SocketAddr::try_from(address).unwrap()
    }
}

/// One host swallows every packet, the agent of another takes connections and never says a word: their tasks wait and name
/// the agent, a third cluster's stop runs to its end, and neither host is knocked at all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_host_that_does_not_answer_delays_nobody_else() {
    let stage = stage().await;
    let clients = &stage.clients;
    let (swallowing, silent) = (Swallowing::listen(), Silent::listen());
    let (lost, mute) = tokio::join!(Other::in_the_middle_of_a_stop(clients), Other::in_the_middle_of_a_stop(clients));
    let loses_its_host = async |other: &Other, address: SocketAddr, words: &str| {
        other.host_is_at(clients, v1::HostTransport::Grpc, address.to_string()).await;
        other.sim.clear(other.stuck);
        clients.waits_for(other.task, &format!("does not answer: agent {address}: {words}")).await;
        clients.task(other.task).await.revision
    };
    let waiting = tokio::join!(
        loses_its_host(&lost, swallowing.address(), "no connection within"),
        loses_its_host(&mute, silent.address, "it takes connections and says nothing"),
    );
    let (began, taken) = (monotonic_now(), silent.taken());
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    lost.assert_still_waits(clients, waiting.0).await;
    mute.assert_still_waits(clients, waiting.1).await;
    // A look knocks twice, and each time waits for a word.
    let (knocks, most) = (silent.taken() - taken, 3 + 2 * began.elapsed().as_secs() as usize);
    assert!(knocks <= most, "{knocks} connections in {:?}", began.elapsed());

    for other in [&lost, &mute] {
        assert_eq!(other.sim.recorded(Kind::ProcessEnded), []);
        other.host_is_at(clients, v1::HostTransport::Local, String::new()).await;
    }
    for other in [&lost, &mute] {
        other.assert_ends_well(clients).await;
    }
}

/// An endpoint that takes connections and never says a word, beside others that close them: each look knocks once at each, and
/// looks come more rarely the longer it lasts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempts_at_endpoints_that_do_not_answer_are_bounded() {
    let silent = Silent::listen();
    let stage = Stage::with(quick(), |config| config.stop.reading_seconds = 1).await;
    let clients = &stage.clients;
    let other = Other::in_the_middle_of_a_stop(clients).await;
    let endpoints = other.sim.endpoints().into_iter().chain([silent.address.to_string()]).collect();
    let request = v1::UpdateClusterRequest {
        cluster_id: other.cluster.id,
        endpoints,
        update_mask: Some(prost_types::FieldMask { paths: vec!["endpoints".to_owned()] }),
        ..Default::default()
    };
    clients.clusters.clone().update_cluster(request).await.unwrap();
    let taken = silent.taken();
    let began = monotonic_now();
    other.sim.inject(FaultKind::RefuseConnections);
    other.sim.cut_sessions();
    clients.waits_for(other.task, &format!("cluster {} was not read within 1 s", other.cluster.name)).await;
    let counted = async {
        while silent.taken() < taken + 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    };
    // Three looks, each a second long.
    let took = tokio::time::timeout(PATIENCE, counted).await.unwrap();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    other.sim.clear_all();
    other.assert_ends_well(clients).await;
}
