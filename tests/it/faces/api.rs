//! The gRPC face over a real connection: translation there and back, errors, watches, health and reflection. What is wrong
//! with each field is in `api_validation`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use obsteward::api::auth::Gatekeeper;
use obsteward::api::grpc::{TRACE_ID, validate_cluster};
use obsteward::config::LimitsConfig;
use obsteward::net::bounds::ListenerLimits;
use obsteward::proto::v1;
use obsteward::proto::v1::cluster_service_client::ClusterServiceClient;
use obsteward::proto::v1::get_cluster_request::By;
use obsteward::proto::v1::ob_server_service_client::ObServerServiceClient;
use obsteward::proto::v1::task_service_client::TaskServiceClient;
use obsteward::proto::v1::watch_task_response::Kind;
use obsteward::proto::v1::watch_tasks_response;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use crate::support::guarded;
use crate::support::stored_tasks::{cluster_id, task_id};
use crate::support::temporary_store::TemporaryStore;

mod operations;
mod verbs;
mod views;

pub struct Fixture {
    pub store: Arc<TemporaryStore>,
    pub service: guarded::Fixture,
    pub channel: Channel,
    pub address: SocketAddr,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl Fixture {
    pub async fn new() -> Self {
        Self::bounded(ListenerLimits::from(&LimitsConfig::default())).await
    }

    pub async fn bounded(bounds: ListenerLimits) -> Self {
        let (service, shutdown) = (guarded::Fixture::empty(&[], 3).await, CancellationToken::new());
        let (address, server) = service.serve(Gatekeeper::open(), bounds, &shutdown).await;
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { store: Arc::clone(&service.store), service, channel, address, shutdown, server }
    }

    pub fn servers(&self) -> ObServerServiceClient<Channel> {
        ObServerServiceClient::new(self.channel.clone())
    }

    pub fn tasks(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.channel.clone())
    }

    pub fn clusters(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel.clone())
    }
}

#[tokio::test]
async fn a_stop_is_translated_both_ways_and_traced() {
    let fixture = Fixture::new().await;
    let mut request = tonic::Request::new(v1::StopServerRequest {
        cluster_id: 1,
        server_id: 7,
        force: true,
        accept_risks: vec![v1::Risk::ClusterUnreachable.into(), v1::Risk::QuorumLoss.into()],
        r#type: v1::StopType::Service.into(),
        request_id: "123e4567-e89b-42d3-a456-426614174000".to_owned(),
        expected_server: "10.0.1.7:2882".to_owned(),
        expire_time: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 8_000 }),
        freeze_before_stop: false,
        hold_until: None,
        drain: None,
        reason: "CHG-4711: kernel".to_owned(),
        begin: None,
    });
    // Claimed, and not believed.
    request.metadata_mut().insert("obsteward-principal", "admin".parse().unwrap());
    let response = fixture.servers().stop_server(request).await.unwrap();
    let trace = response.metadata().get(TRACE_ID).unwrap().to_str().unwrap().to_owned();
    assert!(trace.len() == 32 && trace.chars().all(|digit| digit.is_ascii_hexdigit()));
    let task = response.into_inner().task.unwrap();
    assert_eq!((task.state(), task.creator.as_str(), task.force), (v1::TaskState::Running, "anonymous", true));
    assert_eq!(task.cluster.unwrap().name, "ob1");
    assert_eq!(
        fixture.service.last_call(),
        "STOP_OB_SERVER cluster 1 server 7 (10.0.1.7:2882): cluster_id=1 server_id=7 force=true \
         accept_risks=QUORUM_LOSS,CLUSTER_UNREACHABLE type=STOP_SERVICE expected_server=10.0.1.7:2882 \
         expire_time=4000000000000008"
    );
    let records = fixture.store.records();
    assert_eq!((records[0].principal.as_str(), records[0].trace_id.as_str()), ("anonymous", trace.as_str()));
    let request = v1::StopServerRequest { cluster_id: 2, server_id: 17, ..Default::default() };
    fixture.servers().stop_server(request).await.unwrap();
    let asked = "force=false accept_risks= type=STOP_PROCESS expected_server= expire_time=";
    assert!(fixture.service.last_call().ends_with(asked), "{}", fixture.service.last_call());
}

#[tokio::test]
async fn a_refusal_arrives_with_its_details_and_trace() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(9), cluster_id(1));
    fixture.store.dispatch(task_id(9));
    fixture.store.succeed(task_id(9), 1);
    fixture.store.fail(task_id(9), 2);
    let request = v1::StopServerRequest { cluster_id: 1, server_id: 7, ..Default::default() };
    let status = fixture.servers().stop_server(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.metadata().get(TRACE_ID).is_some());
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("OPERATION_IN_PROGRESS", "obsteward"));
    let expected = [
        ("cluster_id", "1"),
        ("task_id", "9"),
        ("task_name", "Stop OB server"),
        ("state", "FAILED"),
        ("since", "1970-01-01T00:00:00.001Z"),
        ("principal", "anonymous"),
        ("target", "10.0.0.2:2882"),
        ("verbs", "RetryTask, RollbackTask, GiveUpTask"),
    ];
    for (key, value) in expected {
        assert_eq!(info.metadata.get(key).map(String::as_str), Some(value), "{key}");
        assert!(status.message().contains(value), "{}", status.message());
    }
    assert_eq!(details.resource_info().unwrap().resource_name, "9");

    fixture.store.switches.closed.store(true, Ordering::SeqCst);
    let status = fixture.tasks().get_task(v1::GetTaskRequest { task_id: 9 }).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let delay = status.get_error_details().retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_millis(1000)));
}

#[tokio::test]
async fn calls_on_clusters_are_translated() {
    let fixture = Fixture::new().await;
    let request = v1::RegisterClusterRequest {
        endpoints: vec!["10.0.0.2:2881".to_owned()],
        password: "geheim".to_owned(),
        server_ids: vec![v1::ServerIdAssignment { address: "10.0.0.2:2882".to_owned(), server_id: 5 }],
        hosts: vec![v1::Host {
            svr_ip: "10.0.0.2".to_owned(),
            transport: v1::HostTransport::Grpc.into(),
            agent_address: "10.1.0.2:2890".to_owned(),
            ..Default::default()
        }],
        default_host: Some(v1::DefaultHost {
            transport: v1::HostTransport::Grpc.into(),
            agent_port: Some(2890),
            ..Default::default()
        }),
        ..Default::default()
    };
    let call = format!("{:?}", validate_cluster::register_cluster(request.clone()).unwrap());
    assert!(call.contains("username: \"root@sys\"") && !call.contains("geheim"), "{call}");
    assert!(call.contains("default_host: Grpc { port: 2890 }"), "{call}");
    let unreachable = fixture.clusters().register_cluster(request).await.unwrap_err();
    assert_eq!(unreachable.get_details_error_info().unwrap().reason, "CLUSTER_UNREACHABLE");
    let asked = "REGISTER_OB_CLUSTER cluster: endpoints=10.0.0.2:2881 username=root@sys";
    assert_eq!(fixture.service.last_call(), asked);

    let request = v1::UpdateClusterRequest {
        cluster_id: 1,
        username: "root".to_owned(),
        endpoints: vec!["not looked at".to_owned()],
        update_mask: Some(prost_types::FieldMask { paths: vec!["username".to_owned()] }),
        ..Default::default()
    };
    let call = format!("{:?}", validate_cluster::update_cluster(request).unwrap());
    assert!(call.contains("endpoints: None, username: Some(\"root\"), password: None, hosts: None"), "{call}");
    let request = v1::UpdateClusterRequest {
        cluster_id: 1,
        update_mask: Some(prost_types::FieldMask { paths: vec!["hosts".to_owned()] }),
        ..Default::default()
    };
    let updated = fixture.clusters().update_cluster(request).await.unwrap().into_inner().cluster.unwrap();
    assert_eq!((updated.id, updated.name.as_str(), updated.server_count), (1, "ob1", 3));
    assert_eq!(fixture.service.last_call(), "UPDATE_OB_CLUSTER cluster 1: changes=hosts");

    let by_name = v1::GetClusterRequest { by: Some(By::Name("ob2".to_owned())) };
    assert_eq!(fixture.clusters().get_cluster(by_name).await.unwrap().into_inner().cluster.unwrap().id, 2);
    let by_id = v1::GetClusterRequest { by: Some(By::ClusterId(3)) };
    assert_eq!(fixture.clusters().get_cluster(by_id).await.unwrap().into_inner().cluster.unwrap().name, "ob3");
    let server = v1::GetServerRequest { cluster_id: 1, server_id: 7 };
    let server = fixture.servers().get_server(server).await.unwrap().into_inner().server.unwrap();
    assert_eq!((server.id, server.process_state()), (7, v1::ProcessState::HostUnreachable), "as recorded");
    let sync = v1::SyncClusterRequest { cluster_id: 1, ..Default::default() };
    let unreachable = fixture.clusters().sync_cluster(sync).await.unwrap_err();
    assert_eq!(unreachable.get_details_error_info().unwrap().reason, "CLUSTER_UNREACHABLE");
    let plan = v1::PlanStopServerRequest { cluster_id: 1, server_id: 7, ..Default::default() };
    let plan = fixture.servers().plan_stop_server(plan).await.unwrap().into_inner().plan.unwrap();
    assert_eq!((plan.allowed, plan.checks[0].name.as_str()), (false, "CLUSTER_UNREACHABLE"));
    fixture
        .clusters()
        .deregister_cluster(v1::DeregisterClusterRequest { cluster_id: 3, ..Default::default() })
        .await
        .unwrap();
    assert_eq!(fixture.service.last_call(), "DEREGISTER_OB_CLUSTER cluster 3: ");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let fixture = Fixture::new().await;
    let (mut token, mut ids, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let request = v1::ListServersRequest { cluster_id: 1, page_size: 2, page_token: token, ..Default::default() };
        let page = fixture.servers().list_servers(request).await.unwrap().into_inner();
        ids.extend(page.servers.iter().map(|server| server.id));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((ids, pages), (vec![7, 8, 9], 2));

    (1..=3).for_each(|task| fixture.store.create(task_id(task), cluster_id(task)));
    let request = v1::ListTasksRequest { page_size: 2, ..Default::default() };
    let page = fixture.tasks().list_tasks(request).await.unwrap().into_inner();
    assert_eq!(page.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [3, 2]);
    let request = v1::ListTasksRequest { page_size: 2, page_token: page.next_page_token.clone(), ..Default::default() };
    let rest = fixture.tasks().list_tasks(request).await.unwrap().into_inner();
    assert_eq!((rest.tasks.len(), rest.tasks[0].id, rest.next_page_token.as_str()), (1, 1, ""));
    let request = v1::ListClustersRequest { page_token: page.next_page_token, ..Default::default() };
    let status = fixture.clusters().list_clusters(request).await.unwrap_err();
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "page_token");
    let all = fixture.clusters().list_clusters(v1::ListClustersRequest::default()).await.unwrap().into_inner();
    assert_eq!((all.clusters.len(), all.next_page_token.as_str()), (3, ""));
    fixture.store.dispatch(task_id(2));
    fixture.store.fail(task_id(2), 1);
    let listed = async |states: &[v1::TaskState], creator: &str| {
        let states = states.iter().map(|state| (*state).into()).collect();
        let request = v1::ListTasksRequest { states, creator: creator.to_owned(), ..Default::default() };
        let page = fixture.tasks().list_tasks(request).await.unwrap().into_inner();
        page.tasks.iter().map(|task| task.id).collect::<Vec<_>>()
    };
    use v1::TaskState::{Failed, Running, Unspecified};
    assert_eq!(listed(&[Failed, Failed], "").await, [2]);
    assert_eq!(listed(&[Failed, Running, Failed], "anonymous").await, [3, 2, 1]);
    assert_eq!(listed(&[Failed, Unspecified], "").await, [3, 2, 1], "unspecified means any");
    assert!(listed(&[], "eve").await.is_empty());
}

#[tokio::test]
async fn a_watch_goes_through_the_wire() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let request = v1::WatchTaskRequest { task_id: 1, ..Default::default() };
    let mut one = fixture.tasks().watch_task(request).await.unwrap().into_inner();
    let mut many = fixture.tasks().watch_tasks(v1::WatchTasksRequest::default()).await.unwrap().into_inner();
    fixture.store.dispatch(task_id(1));
    (1..=3).for_each(|number| fixture.store.succeed(task_id(1), number));
    let mut kinds = Vec::new();
    while let Some(message) = one.message().await.unwrap() {
        kinds.push(message.kind.unwrap());
    }
    assert!(matches!(&kinds[0], Kind::Snapshot(task) if task.revision >= 2));
    assert!(matches!(kinds.last(), Some(Kind::Bookmark(end)) if end.state() == v1::TaskState::Successful));
    let head = fixture.store.log().last().unwrap().seq.get();
    loop {
        let message = many.message().await.unwrap().unwrap();
        if matches!(message.kind, Some(watch_tasks_response::Kind::Event(event)) if event.seq == head) {
            break;
        }
    }
    let request = v1::WatchTaskRequest { task_id: 1, after_revision: Some(99), ..Default::default() };
    let status = fixture.tasks().watch_task(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(status.get_details_error_info().unwrap().reason, "REVISION_AHEAD");
    let status = fixture.tasks().watch_task(v1::WatchTaskRequest { task_id: 2, ..Default::default() }).await;
    assert_eq!(status.unwrap_err().get_details_error_info().unwrap().reason, "TASK_NOT_FOUND");
}

#[tokio::test]
async fn the_end_of_the_service_reaches_watchers_and_ends_the_server() {
    let fixture = Fixture::new().await;
    fixture.store.create(task_id(1), cluster_id(1));
    let request = v1::WatchTaskRequest { task_id: 1, ..Default::default() };
    let mut watch = fixture.tasks().watch_task(request).await.unwrap().into_inner();
    assert!(matches!(watch.message().await.unwrap().unwrap().kind, Some(Kind::Snapshot(_))));
    fixture.shutdown.cancel();
    assert!(matches!(watch.message().await.unwrap().unwrap().kind, Some(Kind::Bookmark(_))));
    let status = watch.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.metadata().get(TRACE_ID).is_some());
    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() >= Duration::from_millis(100));
    let served = tokio::time::timeout(Duration::from_secs(3), fixture.server).await;
    served.expect("the server ends by itself").unwrap();
}

#[tokio::test]
async fn health_and_reflection_answer() {
    use tonic_reflection::pb::{v1 as reflection, v1alpha};
    let fixture = Fixture::new().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(fixture.channel.clone());
    for service in ["", "obsteward.v1.TaskService", "obsteward.v1.ObServerService", "obsteward.v1.ClusterService"] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::Serving, "{service}");
    }

    let list = reflection::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = reflection::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut client = reflection::server_reflection_client::ServerReflectionClient::new(fixture.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let reflection::server_reflection_response::MessageResponse::ListServicesResponse(services) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<&str> = services.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["obsteward.v1.TaskService", "obsteward.v1.ClusterService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }

    let symbol = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
        "obsteward.v1.ObServerService".to_owned(),
    );
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(fixture.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(matches!(answer, v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)));
}

/// As `grpc.health.v1` has it: a service that nobody knows is told to be unknown, the watch goes on, and ends with the service.
#[tokio::test]
async fn a_watch_of_an_unknown_service_says_so_and_goes_on() {
    let fixture = Fixture::new().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(fixture.channel.clone());
    let request = |service: &str| tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
    assert_eq!(health.check(request("nobody")).await.unwrap_err().code(), Code::NotFound);
    let mut unknown = health.watch(request("nobody")).await.unwrap().into_inner();
    assert_eq!(unknown.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    let mut known = health.watch(request("obsteward.v1.TaskService")).await.unwrap().into_inner();
    assert_eq!(known.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert!(futures::FutureExt::now_or_never(unknown.message()).is_none(), "it goes on");
    fixture.shutdown.cancel();
    assert_eq!(known.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    for mut watch in [known, unknown] {
        let end =
            tokio::time::timeout(Duration::from_secs(3), watch.message()).await.expect("a watch outlives its service");
        assert_eq!(end.unwrap(), None);
    }
}

/// What has no answer is answered so, and the next question of the same conversation too: in both versions.
macro_rules! reflection_goes_on {
    ($fixture:expr, $version:ident) => {{
        use tonic_reflection::pb::$version::{
            ExtensionRequest, ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest as VerbRequest,
            server_reflection_response::MessageResponse as Answer,
        };
        let extension = ExtensionRequest { containing_type: "obsteward.v1.Task".to_owned(), extension_number: 7 };
        let asked = [
            (Some(VerbRequest::FileContainingSymbol("nobody.Knows".to_owned())), Some(Code::NotFound)),
            (Some(VerbRequest::FileByFilename("nowhere.proto".to_owned())), Some(Code::NotFound)),
            (Some(VerbRequest::FileContainingExtension(extension)), Some(Code::NotFound)),
            (Some(VerbRequest::AllExtensionNumbersOfType("nobody.Knows".to_owned())), Some(Code::NotFound)),
            (None, Some(Code::InvalidArgument)),
            (Some(VerbRequest::AllExtensionNumbersOfType("obsteward.v1.Task".to_owned())), None),
            (Some(VerbRequest::FileContainingSymbol("obsteward.v1.TaskService.GetTask".to_owned())), None),
            (Some(VerbRequest::FileContainingSymbol("obsteward.v1.Task.revision".to_owned())), None),
            (Some(VerbRequest::FileContainingSymbol("obsteward.v1.TASK_STATE_RUNNING".to_owned())), None),
            (Some(VerbRequest::FileByFilename("obsteward/v1/task.proto".to_owned())), None),
        ];
        let questions: Vec<_> = asked
            .iter()
            .map(|(question, _)| ServerReflectionRequest { host: "h".to_owned(), message_request: question.clone() })
            .collect();
        let mut client = ServerReflectionClient::new($fixture.channel.clone());
        let mut answers =
            client.server_reflection_info(tokio_stream::iter(questions.clone())).await.unwrap().into_inner();
        for (question, (_, refused)) in questions.into_iter().zip(asked) {
            let answer = answers.message().await.unwrap().expect("the conversation ended");
            assert_eq!((answer.valid_host.as_str(), answer.original_request), ("h", Some(question.clone())));
            let code = match answer.message_response.unwrap() {
                Answer::ErrorResponse(error) => Some(Code::from(error.error_code)),
                _ => None,
            };
            assert_eq!(code, refused, "{question:?}");
        }
        assert!(answers.message().await.unwrap().is_none());
    }};
}

#[tokio::test]
async fn reflection_answers_what_it_does_not_know_and_goes_on() {
    let fixture = Fixture::new().await;
    reflection_goes_on!(fixture, v1);
    reflection_goes_on!(fixture, v1alpha);
}
