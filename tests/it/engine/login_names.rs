//! Login names and refused logins: `#cluster` is for OBProxy alone, and a password that is refused is not tried at every
//! endpoint.

use obsteward::clock::Clock;
use obsteward::oceanbase::{
    Avoid, ClusterAccess, ClusterError, Endpoint, ErrorClass, Expected, KnownServer, MysqlOceanBase, OceanBase,
};
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind, Kind, SimCluster};
use tonic::Code;

use crate::support::ob_proxy::ObProxy;
use crate::support::observers::known;
use crate::support::refusal::status_info;
use crate::support::{Clients, Stage, quick};

/// Whom the observers let in and whom not: `true` for in.
fn logins(sim: &SimCluster) -> Vec<(bool, String)> {
    let record = sim.record().into_iter();
    let login = record.filter(|line| matches!(line.kind, Kind::SessionOpened | Kind::LoginRefused));
    login.map(|line| (line.kind == Kind::SessionOpened, line.text)).collect()
}

fn registration(endpoint: String, username: String) -> v1::RegisterClusterRequest {
    v1::RegisterClusterRequest {
        endpoints: vec![endpoint],
        username,
        default_host: Some(v1::DefaultHost { transport: v1::HostTransport::Local as i32, ..Default::default() }),
        ..Default::default()
    }
}

async fn register(clients: &Clients, request: v1::RegisterClusterRequest) -> Result<v1::Cluster, tonic::Status> {
    Ok(clients.clusters.clone().register_cluster(request).await?.into_inner().cluster.unwrap())
}

/// Registered through a proxy with the proxy's name of the cluster: what reads and what acts goes to the observers directly,
/// and they get the name that they understand.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_behind_a_proxy_is_operated_directly() {
    let stage = Stage::new().await;
    let other = SimCluster::start(quick()).await.unwrap();
    let proxy = ObProxy::before(&[(&other, 1), (&stage.sim, 1)]).await;
    let name = stage.sim.look(|cluster| cluster.name.clone());
    // It is registered anew, through the proxy.
    let request = v1::DeregisterClusterRequest { cluster_id: stage.cluster_id, ..Default::default() };
    stage.clients.clusters.clone().deregister_cluster(request).await.unwrap();
    let before = logins(&stage.sim).len();
    let request = registration(proxy.endpoint(), format!("root@sys#{name}"));
    let cluster = register(&stage.clients, request).await.unwrap();
    assert_eq!((cluster.name.as_str(), cluster.endpoints.as_slice()), (name.as_str(), [proxy.endpoint()].as_slice()));
    assert_eq!(proxy.logins(), [format!("root@sys#{name}")]);

    let ip = stage.info(2).ip;
    let servers = stage.clients.list_servers(cluster.id).await;
    let server_id = servers.into_iter().find(|server| server.ip == ip).unwrap().id;
    let request = v1::StopServerRequest {
        cluster_id: cluster.id,
        server_id,
        r#type: v1::StopType::Service as i32,
        ..Default::default()
    };
    let task = stage.clients.stop_with(request).await.unwrap();
    let task = stage.clients.at_rest(task.id).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
    let seen = logins(&stage.sim).split_off(before);
    assert!(seen.iter().all(|login| *login == (true, "root@sys".to_owned())), "{seen:?}");
    assert!(seen.len() > 3 && proxy.logins().len() == 1, "the observers were asked themselves: {seen:?}");
    other.shutdown().await;
}

fn adapter() -> MysqlOceanBase {
    MysqlOceanBase::new(Clock::system())
}

async fn opened(access: &ClusterAccess, known: &[KnownServer]) -> Result<String, ClusterError> {
    let reader = adapter().reader(access, known, &Expected::default(), &Avoid::default()).await?;
    Ok(format!("{} of {}", reader.endpoint(), reader.identity().name))
}

/// A refused login ends the search for its kind only, and each kind of endpoint is asked once with each kind of name.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_tried_once_per_kind() {
    let sim = SimCluster::start(quick()).await.unwrap();
    let other = SimCluster::start(quick()).await.unwrap();
    let proxy = ObProxy::before(&[(&other, 1), (&sim, 3)]).await;
    let observer = sim.server(1).unwrap().endpoint();
    let (name, cluster) = (sim.look(|cluster| cluster.name.clone()), known(&sim));
    let access = |endpoints: &[&str], username: &str, password: &str| ClusterAccess {
        endpoints: endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(),
        username: username.to_owned(),
        password: password.into(),
    };
    let proxied = format!("root@sys#{name}");
    let refused =
        |sim: &SimCluster| sim.recorded(Kind::LoginRefused).into_iter().map(|line| line.text).collect::<Vec<_>>();

    // An observer that was not known to be one, with the proxy's name: refused, then the name without the cluster.
    assert_eq!(opened(&access(&[&observer], &proxied, ""), &[]).await.unwrap(), format!("{observer} of {name}"));
    assert_eq!(refused(&sim), [proxied.as_str()]);
    // The observers refuse, the proxy does not: another kind of endpoint is left.
    let refusing = sim.inject(Fault::from(FaultKind::LoginRefused).times(1));
    let at_proxy = format!("{} of {name}", proxy.endpoint());
    assert_eq!(opened(&access(&[&proxy.endpoint()], &proxied, ""), &cluster).await.unwrap(), at_proxy);
    assert_eq!(refused(&sim)[1..], ["root@sys"]);
    sim.clear(refusing);
    // A wrong password: the three kinds, and no endpoint beyond them. The proxy takes a name without a cluster for its first.
    let wrong = access(&[&proxy.endpoint(), &observer], &proxied, "wrong");
    let error = opened(&wrong, &cluster).await.unwrap_err();
    assert_eq!((error.class, error.number), (ErrorClass::AuthFailed, Some(1045)), "{error}");
    assert!(error.endpoint.unwrap().parse::<Endpoint>().is_ok());
    assert_eq!((refused(&sim)[2..].len(), refused(&other).len()), (2, 1), "{:?} {:?}", refused(&sim), refused(&other));
    // Without a cluster in the name one kind of name is left, and an account is not locked by 16 endpoints.
    let before = refused(&sim).len();
    let all: Vec<String> = sim.endpoints();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let error = opened(&access(&all, "root@sys", "wrong"), &[]).await.unwrap_err();
    assert_eq!((error.class, refused(&sim).len() - before), (ErrorClass::AuthFailed, 1), "{error}");
    // What the proxy knows no cluster of is not looked for in another.
    let error = opened(&access(&[&proxy.endpoint()], "root@sys#nowhere", ""), &[]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent, "{error}");
    assert!(error.message.contains("cluster not exist") && error.message.contains("instead of nowhere"), "{error}");
    sim.shutdown().await;
    other.shutdown().await;
}

/// What a person has to change is no cluster that cannot be reached, and says which endpoint, which view, which version.
#[tokio::test(flavor = "multi_thread")]
async fn what_will_fail_again_is_refused_and_not_unreachable() {
    let stage = Stage::new().await;
    let fresh = SimCluster::start(quick()).await.unwrap();
    let (endpoint, fresh_name) = (fresh.server(1).unwrap().endpoint(), fresh.look(|cluster| cluster.name.clone()));
    let info = async |request| status_info(&register(&stage.clients, request).await.unwrap_err());
    let request = || registration(endpoint.clone(), "root@sys".to_owned());

    let missing = FaultKind::Refused { number: 1146, text: "Table 'oceanbase.DBA_OB_ZONES' doesn't exist".to_owned() };
    let fault = fresh.inject(Fault::from(missing).for_statement("SELECT * FROM oceanbase.DBA_OB_ZONES").times(1));
    let status = register(&stage.clients, request()).await.unwrap_err();
    let (reason, metadata) = status_info(&status);
    assert_eq!((status.code(), reason.as_str()), (Code::FailedPrecondition, "VIEW_MISSING"), "{status:?}");
    assert_eq!((metadata["view"].as_str(), metadata["versions"].as_str()), ("DBA_OB_ZONES", "OceanBase from 4.0 on"));
    fresh.clear(fault);

    let denied = FaultKind::Refused { number: 1227, text: "Access denied; you need the privilege".to_owned() };
    let fault = fresh.inject(Fault::from(denied).for_statement("SELECT * FROM oceanbase.DBA_OB_SERVERS").times(1));
    assert_eq!(info(request()).await.0, "CLUSTER_REFUSES");
    fresh.clear(fault);

    let fault = fresh.inject(Fault::from(FaultKind::LoginRefused).times(1));
    let (reason, metadata) = info(request()).await;
    assert_eq!((reason.as_str(), metadata["endpoint"].as_str()), ("CLUSTER_AUTH_FAILED", endpoint.as_str()));
    fresh.clear(fault);

    let mut named = request();
    named.expected_name = "another".to_owned();
    let (reason, metadata) = info(named).await;
    assert_eq!((reason.as_str(), metadata["endpoint"].as_str()), ("WRONG_CLUSTER", endpoint.as_str()));
    assert_eq!((metadata["expected"].as_str(), metadata["found"].as_str()), ("another", fresh_name.as_str()));

    // A number that nobody knows may pass: such a cluster is unreachable, and tried again.
    let odd = FaultKind::Refused { number: 4990, text: "odd".to_owned() };
    let fault = fresh.inject(Fault::from(odd).for_statement("SELECT * FROM oceanbase.DBA_OB_ZONES").times(u32::MAX));
    assert_eq!(info(request()).await.0, "CLUSTER_UNREACHABLE");
    fresh.clear(fault);
    register(&stage.clients, request()).await.unwrap();
    fresh.shutdown().await;
}

/// The same of a task: the view is named at once, and a number that nobody knows is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_waits_for_what_may_pass_and_for_nothing_else() {
    let stage = Stage::new().await;
    for number in [4013, 4030, 4265, 5345, 4990] {
        let odd = FaultKind::Refused { number, text: format!("odd {number}") };
        stage.sim.inject(Fault::from(odd).for_statement("SELECT * FROM oceanbase.DBA_OB_UNITS").times(2));
    }
    let missing =
        FaultKind::Refused { number: 1146, text: "Table 'oceanbase.DBA_OB_TENANTS' doesn't exist".to_owned() };
    let fault =
        stage.sim.inject(Fault::from(missing).for_statement("SELECT * FROM oceanbase.DBA_OB_TENANTS").times(u32::MAX));
    let task = stage.stop(2).await;
    let (reason, metadata) = crate::support::refusal::error_info(&task);
    assert_eq!((task.state(), reason.as_str()), (v1::TaskState::Refused, "VIEW_MISSING"), "{task:#?}");
    assert_eq!(metadata["view"], "DBA_OB_TENANTS");
    stage.sim.clear(fault);
    let task = stage.stop(2).await;
    assert_eq!(task.state(), v1::TaskState::Successful, "{task:#?}");
}
