//! A running simulated cluster, as tests, the demo and `obsteward sim` hold it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::coordinator::Run;
use super::core::Core;
use super::fault::{Fault, FaultId, FaultKind};
use super::net::NetClaim;
use super::options::{SimError, SimOptions};
use super::record::{Kind, Recorded};
use super::state::{Cluster, ServerStatus};
use super::time::{Micros, SimClock};
use super::{bootstrap, coordinator, process};

/// How long a process may take to come up, and to go.
const PATIENCE: Duration = Duration::from_secs(20);

/// The cluster lives as long as this value. [`SimCluster::shutdown`] ends it in order; dropping it kills the observers
/// and removes a temporary directory just the same.
pub struct SimCluster {
    run: Arc<Run>,
    net: NetClaim,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimServerInfo {
    pub id: i64,
    pub zone: String,
    pub ip: String,
    pub sql_port: u16,
    pub rpc_port: u16,
    pub home: PathBuf,
    pub pid: Option<u32>,
}

impl SimServerInfo {
    /// `ip:sql_port`, for clients.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.ip, self.sql_port)
    }

    /// `ip:rpc_port`, which is the server's name in ALTER SYSTEM.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip, self.rpc_port)
    }
}

impl SimCluster {
    /// Claims a network, installs and starts every observer, and returns when all of them serve.
    pub async fn start(options: SimOptions) -> Result<Self, SimError> {
        let count = usize::from(options.zones) * usize::from(options.servers_per_zone);
        if !(1..=100).contains(&count) {
            return Err(SimError::Options(format!("{count} servers: choose between 1 and 100")));
        }
        let net = options.net.claim()?;
        for number in 1..=count as u8 {
            net.check_port(number, bootstrap::SQL_PORT)?;
            net.check_port(number, bootstrap::RPC_PORT)?;
        }
        let temporary = options.directory.is_none();
        let unique = format!("obsteward-sim-{:.12}", uuid::Uuid::new_v4().simple().to_string());
        let directory = options.directory.clone().unwrap_or_else(|| std::env::temp_dir().join(unique));
        let failed = || SimError::io(format!("make {}", directory.display()));
        std::fs::create_dir_all(&directory).map_err(failed())?;
        let directory = directory.canonicalize().map_err(failed())?;
        let now = SimClock::System.now();
        let mut cluster = bootstrap::bootstrap(&options, &directory, |number| net.address(number), now);
        cluster.list_root_service();
        let this = Self { run: Arc::new(Run::new(cluster, options, directory, temporary)), net };
        coordinator::listen(&this.run)?;
        let ids: Vec<i64> = this.servers().iter().map(|server| server.id).collect();
        for id in &ids {
            this.install(*id)?;
            process::spawn(&this.run, *id)?;
        }
        for id in &ids {
            this.registered(*id).await?;
        }
        this.run.shared.with(|core, now| core.cluster.all_serve(now));
        coordinator::run(&this.run);
        Ok(this)
    }

    pub fn servers(&self) -> Vec<SimServerInfo> {
        let info = |server: &super::state::Server| SimServerInfo {
            id: server.id,
            zone: server.zone.clone(),
            ip: server.ip.clone(),
            sql_port: server.sql_port,
            rpc_port: server.rpc_port,
            home: server.home.clone(),
            pid: server.process.as_ref().map(|process| process.pid),
        };
        self.run.shared.lock().cluster.servers.iter().map(info).collect()
    }

    pub fn server(&self, id: i64) -> Result<SimServerInfo, SimError> {
        self.servers().into_iter().find(|server| server.id == id).ok_or(SimError::NoSuchServer(id))
    }

    /// `ip:sql_port` of every server.
    pub fn endpoints(&self) -> Vec<String> {
        self.servers().iter().map(SimServerInfo::endpoint).collect()
    }

    pub fn directory(&self) -> &std::path::Path {
        &self.run.directory
    }

    pub fn network(&self) -> std::net::Ipv4Addr {
        self.net.network()
    }

    pub fn inject(&self, fault: impl Into<Fault>) -> FaultId {
        self.run.shared.with(|core, now| core.inject(fault.into(), now))
    }

    pub fn clear(&self, fault: FaultId) {
        self.run.shared.with(|core, now| core.clear(Some(fault), now));
    }

    pub fn clear_all(&self) {
        self.run.shared.with(|core, now| core.clear(None, now));
    }

    /// The cluster's own record, from the beginning.
    pub fn record(&self) -> Vec<Recorded> {
        self.run.shared.lock().record.clone()
    }

    pub fn recorded(&self, kind: Kind) -> Vec<Recorded> {
        self.run.shared.lock().record.iter().filter(|recorded| recorded.kind == kind).cloned().collect()
    }

    /// Looks at the state.
    pub fn look<T>(&self, look: impl FnOnce(&Cluster) -> T) -> T {
        look(&self.run.shared.lock().cluster)
    }

    /// Changes the state directly: whatever the methods below do not offer.
    pub fn change<T>(&self, change: impl FnOnce(&mut Cluster) -> T) -> T {
        self.run.shared.with(|core, _| change(&mut core.cluster))
    }

    /// Waits until the state is as wanted; false when it is not within `patience`.
    pub async fn wait_until(&self, patience: Duration, mut wanted: impl FnMut(&Cluster) -> bool) -> bool {
        self.wait(patience, |core| wanted(&core.cluster)).await
    }

    /// Waits until a record like this has been written.
    pub async fn wait_recorded(&self, patience: Duration, kind: Kind, contains: &str) -> bool {
        let like = |recorded: &Recorded| recorded.kind == kind && recorded.text.contains(contains);
        self.wait(patience, |core| core.record.iter().any(like)).await
    }

    async fn wait(&self, patience: Duration, mut wanted: impl FnMut(&Core) -> bool) -> bool {
        let waited = async {
            loop {
                let changed = self.run.shared.changed.notified();
                if wanted(&self.run.shared.lock()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, waited).await.is_ok()
    }

    /// Ends every session now, as with a network that breaks for a moment.
    pub fn cut_sessions(&self) {
        self.run.shared.with(Core::cut_sessions);
    }

    /// A third party's statement, at once: START|STOP|FORCE STOP|ISOLATE SERVER, START|STOP ZONE.
    pub fn third_party(&self, sql: &str) {
        self.run.shared.with(|core, now| core.third_party(sql, now));
    }

    /// The root service moves to another server.
    pub fn fail_over(&self) {
        self.run.shared.with(Core::fail_over);
    }

    /// Somebody starts the process again; returns when it serves its ports.
    pub async fn start_server_process(&self, id: i64) -> Result<u32, SimError> {
        if let Some(pid) = self.server(id)?.pid {
            return Ok(pid);
        }
        process::spawn(&self.run, id)?;
        self.registered(id).await
    }

    pub fn kill_process(&self, id: i64, signal: Signal) -> Result<(), SimError> {
        self.run.links.signal(id, signal)
    }

    /// A new server in a zone, with no replicas; returns its id when it serves.
    pub async fn add_server(&self, zone: &str) -> Result<i64, SimError> {
        let number = self.servers().len() as u8 + 1;
        let ip = self.net.address(number).to_string();
        let id = self.run.shared.with(|core, now| {
            let id = bootstrap::add_server(&mut core.cluster, &self.run.directory, &ip, zone, now);
            if core.cluster.zone(zone).is_none() {
                let (name, region) = (zone.to_owned(), "default_region".to_owned());
                core.cluster.zones.push(super::state::Zone {
                    name,
                    active: true,
                    stopped_at: 0,
                    region,
                    kind: "ReadWrite".into(),
                });
            }
            id
        });
        self.install(id)?;
        process::spawn(&self.run, id)?;
        self.registered(id).await?;
        Ok(id)
    }

    /// DELETE SERVER and its end: the row is gone; its process is left alone.
    pub fn delete_server(&self, id: i64) {
        self.change(|cluster| cluster.servers.retain(|server| server.id != id));
    }

    pub fn set_server_status(&self, id: i64, status: ServerStatus) {
        self.change_server(id, |server| server.status = status);
    }

    /// Sets or clears (zero) STOP_TIME without a statement.
    pub fn set_stop_time(&self, id: i64, stop_time: Micros) {
        self.change_server(id, |server| server.stop_time = stop_time);
    }

    pub fn set_zone_active(&self, name: &str, active: bool) {
        self.change(|cluster| {
            cluster.zones.iter_mut().filter(|zone| zone.name == name).for_each(|zone| zone.active = active);
        });
    }

    /// `previous` empty: the locality is not changing.
    pub fn set_previous_locality(&self, tenant: i64, previous: &str) {
        self.change(|cluster| {
            for found in cluster.tenants.iter_mut().filter(|found| found.id == tenant) {
                found.previous_locality = previous.into();
            }
        });
    }

    /// Nobody leads the log stream until the fault is cleared.
    pub fn remove_leader(&self, tenant: i64, ls: i64) -> FaultId {
        let fault = self.inject(FaultKind::LeaderSwitchStuck { tenant: Some(tenant), ls: Some(ls) });
        self.lead(tenant, ls, None);
        fault
    }

    /// The log stream is led there from now on, and wants to be.
    pub fn set_leader(&self, tenant: i64, ls: i64, server: i64) {
        self.lead(tenant, ls, Some(server));
    }

    fn lead(&self, tenant: i64, ls: i64, leader: Option<i64>) {
        self.run.shared.with(|core, now| {
            let streams = &core.cluster.log_streams;
            let Some(index) = streams.iter().position(|found| (found.tenant, found.id) == (tenant, ls)) else { return };
            core.lead(index, leader, now);
        });
    }

    /// Puts a tenant (and its META tenant) on exactly these servers; `arbitration` counts with two of them.
    pub fn set_replicas(&self, tenant: i64, servers: &[i64], arbitration: bool) {
        self.run.shared.with(|core, now| {
            let cluster = &mut core.cluster;
            cluster.arbitration |= arbitration;
            let own = |id: i64| id == tenant || (id + 1 == tenant && tenant > super::state::SYS_TENANT + 1);
            let mut per_zone: std::collections::BTreeMap<String, usize> = Default::default();
            for server in servers.iter().filter_map(|id| cluster.server(*id)) {
                *per_zone.entry(server.zone.clone()).or_default() += 1;
            }
            let locality: Vec<String> =
                per_zone.iter().map(|(zone, count)| format!("FULL{{{count}}}@{zone}")).collect();
            for found in cluster.tenants.iter_mut().filter(|found| own(found.id)) {
                found.locality = locality.join(", ");
                found.paxos_replica_number = servers.len() as i64;
                found.arbitration = arbitration;
            }
            for (turn, ls) in cluster.log_streams.iter_mut().filter(|ls| own(ls.tenant)).enumerate() {
                ls.replicas = servers.iter().map(|server| bootstrap::replica(*server, now)).collect();
                ls.members = servers.to_vec();
                ls.paxos_replica_number = servers.len() as i64;
                ls.leader = servers.get(turn % servers.len().max(1)).copied();
                ls.preferred = ls.leader.unwrap_or(ls.preferred);
            }
            cluster.units.retain(|unit| unit.tenant != tenant);
            for (index, server) in servers.iter().enumerate() {
                let id = tenant * 100 + index as i64;
                cluster.units.push(super::state::Unit { id, tenant, server: *server, migrate_from: None });
            }
        });
    }

    /// A unit of the tenant is on its way from one server to another.
    pub fn set_unit_migration(&self, tenant: i64, from: i64, to: i64) {
        self.change(|cluster| {
            for unit in cluster.units.iter_mut().filter(|unit| unit.tenant == tenant && unit.server == from) {
                unit.server = to;
                unit.migrate_from = Some(from);
            }
        });
    }

    pub fn set_parameter(&self, name: &str, value: &str) {
        self.change(|cluster| cluster.parameters.insert(name.into(), value.into()));
    }

    /// An upgrade is going on.
    pub fn set_upgrade_mode(&self, on: bool) {
        self.set_parameter("enable_upgrade_mode", if on { "True" } else { "False" });
    }

    fn change_server(&self, id: i64, change: impl FnOnce(&mut super::state::Server)) {
        self.change(|cluster| cluster.server_mut(id).map(change));
    }

    fn install(&self, id: i64) -> Result<(), SimError> {
        let server = self.run.shared.lock().cluster.server(id).cloned().ok_or(SimError::NoSuchServer(id))?;
        process::install(&self.run, &server)
    }

    async fn registered(&self, id: i64) -> Result<u32, SimError> {
        let up = self.wait(PATIENCE, |core| core.cluster.server(id).is_some_and(|server| server.process.is_some()));
        up.await;
        let server = self.server(id)?;
        server.pid.ok_or_else(|| SimError::Start { server: id, reason: process::last_words(&server.home) })
    }

    /// Ends every observer, waits for them, and removes what was temporary.
    pub async fn shutdown(self) {
        self.run.shared.stop.cancel();
        self.run.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.run.tasks.wait()).await;
        // dropping does the rest
    }
}

impl Drop for SimCluster {
    fn drop(&mut self) {
        self.run.shared.stop.cancel();
        self.run.links.kill_all();
        // the network is given back with its ports closed
        for pid in self.servers().into_iter().filter_map(|server| server.pid) {
            for _ in 0..1000 {
                if process::gone(pid) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if self.run.temporary {
            // an observer may still be removing its own part
            for _ in 0..3 {
                if std::fs::remove_dir_all(&self.run.directory).is_ok() {
                    return;
                }
            }
        }
    }
}
