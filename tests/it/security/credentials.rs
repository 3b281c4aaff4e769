//! Who calls, as the real program says it: what goes over the wire, where passwords come from, and that none of them is in an
//! argument, a help text or an error. Against a server that only listens and answers with the service's own refusals.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use obsteward::api::error_status::to_status;
use obsteward::domain::ids::Principal;
use obsteward::domain::permission::{Action, Domain, RequiredPermission};
use obsteward::domain::refusal::{AuthFailure, Refusal};
use obsteward::proto::v1;
use serde_json::Value;
use tempfile::TempDir;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic_prost::ProstCodec;

use crate::support::program::{Ended, end_of, obsteward};

const PASSWORD: &str = "correct horse";
const WRONG: &str = "battery staple";
const NEW_PASSWORD: &str = "a quite new one";
const SECRET: &str = "2fc0c299cc94c6be266f2ceece765d4d";

/// Method and user of calls.
type Calls = Vec<(String, Option<String>)>;

/// What the server heard.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Calls>>);

impl Heard {
    /// Every call since the last time.
    fn take(&self) -> Calls {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The server: knows `bob`, tells `carol` that she may not and `dave` of too many attempts.
async fn listen() -> (String, Heard) {
    let heard = Heard::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer).with_state(heard.clone());
    let server = tonic::transport::Server::builder().add_routes(tonic::service::Routes::from(router));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (url, heard)
}

async fn answer(State(heard): State<Heard>, request: Request) -> Response {
    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let login = authorization.map(|value| {
        let pair = STANDARD.decode(value.strip_prefix("Basic ").unwrap()).unwrap();
        let pair = String::from_utf8(pair).unwrap();
        let (user, password) = pair.split_once(':').unwrap();
        (user.to_owned(), password.to_owned())
    });
    heard.0.lock().unwrap().push((method.clone(), login.as_ref().map(|(user, _)| user.clone())));
    let admitted = admit(login);
    macro_rules! unary {
        ($request:ident, $response:ident, $answer:expr) => {{
            let answer = $answer;
            let admitted = admitted.clone();
            let service = tower::service_fn(move |request: tonic::Request<v1::$request>| {
                let admitted = admitted.clone();
                async move { admitted.and_then(|()| answer(request.into_inner())).map(tonic::Response::new) }
            });
            tonic::server::Grpc::new(ProstCodec::<v1::$response, v1::$request>::default()).unary(service, request).await
        }};
    }
    let bob = || v1::User { id: 1001, name: "bob".to_owned(), ..Default::default() };
    let key = || v1::AccessKey { id: "AK01234567".to_owned(), user: "bob".to_owned(), ..Default::default() };
    let new_password = |password: &str| {
        if password == NEW_PASSWORD { Ok(()) } else { Err(Status::invalid_argument("another password came")) }
    };
    let response = match method.as_str() {
        "ListUsers" => {
            unary!(ListUsersRequest, ListUsersResponse, move |_| Ok(v1::ListUsersResponse {
                users: vec![bob()],
                ..Default::default()
            }))
        }
        "CreateUser" => unary!(CreateUserRequest, CreateUserResponse, move |request: v1::CreateUserRequest| {
            new_password(&request.password)?;
            let user = v1::User { name: request.name, roles: request.roles, has_password: true, ..bob() };
            Ok(v1::CreateUserResponse { user: Some(user) })
        }),
        "SetPassword" => unary!(SetPasswordRequest, SetPasswordResponse, move |request: v1::SetPasswordRequest| {
            new_password(&request.password).map(|()| v1::SetPasswordResponse {})
        }),
        "CreateAccessKey" => unary!(CreateAccessKeyRequest, CreateAccessKeyResponse, move |_| {
            Ok(v1::CreateAccessKeyResponse { access_key: Some(key()), secret: SECRET.to_owned() })
        }),
        "StopServer" | "PlanStopServer" => {
            unary!(PlanStopServerRequest, PlanStopServerResponse, move |_| Err(Status::internal("not asked for here")))
        }
        "WatchTasks" => {
            let service = tower::service_fn(move |_: tonic::Request<v1::WatchTasksRequest>| {
                let admitted = admitted.clone();
                async move {
                    let bookmark = v1::Bookmark { seq: 7, snapshots_end: true, ..Default::default() };
                    let kind = Some(v1::watch_tasks_response::Kind::Bookmark(bookmark));
                    let first = futures::stream::iter([Ok(v1::WatchTasksResponse { kind })]);
                    admitted.map(|()| tonic::Response::new(first.chain(futures::stream::pending())))
                }
            });
            let codec = ProstCodec::<v1::WatchTasksResponse, v1::WatchTasksRequest>::default();
            tonic::server::Grpc::new(codec).server_streaming(service, request).await
        }
        other => panic!("nothing answers {other}"),
    };
    response.into_response()
}

fn admit(login: Option<(String, String)>) -> Result<(), Status> {
    let unauthenticated = |why| Err(to_status(&Refusal::Unauthenticated { why }));
    match login.as_ref().map(|(user, password)| (user.as_str(), password.as_str())) {
        None => unauthenticated(AuthFailure::NoCredentials),
        Some(("bob", PASSWORD)) => Ok(()),
        Some(("carol", _)) => {
            let need = RequiredPermission::one(Domain::Cluster, 1, Action::Update);
            Err(to_status(&Refusal::PermissionDenied { principal: Principal::new("carol"), need }))
        }
        Some(("dave", _)) => Err(to_status(&Refusal::LoginThrottled { retry_after_millis: 10_000 })),
        Some(_) => unauthenticated(AuthFailure::Wrong),
    }
}

/// The program against one server, with passwords in a folder and in variables.
struct Caller {
    url: String,
    folder: TempDir,
}

impl Caller {
    fn new(url: &str) -> Self {
        Self { url: url.to_owned(), folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    async fn run(&self, line: &str, variables: &[(&str, &str)]) -> Ended {
        let mut command = obsteward(line);
        command.env("OBSTEWARD_SERVER", &self.url).envs(variables.iter().copied());
        end_of(command).await
    }
}

fn shown(file: &Path) -> &str {
    file.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_and_watch_says_who_calls() {
    let (url, heard) = listen().await;
    let caller = Caller::new(&url);
    let bob = |method: &str| vec![(method.to_owned(), Some("bob".to_owned()))];
    let listed = caller.run("user list", &[("OBSTEWARD_USER", "bob"), ("OBSTEWARD_PASSWORD", PASSWORD)]).await.with(0);
    assert!(listed.out.contains("1001  bob"), "{listed:?}");
    assert_eq!(heard.take(), bob("ListUsers"));

    // The file goes before the variable.
    let file = caller.file("password", &format!("{PASSWORD}\n"));
    let line = format!("--user bob --password-file {} user list --output json", shown(&file));
    let listed = caller.run(&line, &[("OBSTEWARD_PASSWORD", WRONG)]).await.with(0);
    assert_eq!(listed.json()["users"][0]["name"], "bob");
    assert_eq!(heard.take(), bob("ListUsers"));

    let line = format!("watch --all --timeout 1s --user bob --password-file {}", shown(&file));
    caller.run(&line, &[]).await.with(0);
    assert_eq!(heard.take(), bob("WatchTasks"));

    caller.run("user list", &[]).await.with(3);
    assert_eq!(heard.take(), [("ListUsers".to_owned(), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_given_a_password_that_no_argument_carries() {
    let (url, heard) = listen().await;
    let caller = Caller::new(&url);
    let bob = [("OBSTEWARD_USER", "bob"), ("OBSTEWARD_PASSWORD", PASSWORD)];
    let file = caller.file("new", &format!("{NEW_PASSWORD}\n"));
    let line = format!("user create erin --role CLUSTER_VIEWER --new-password-file {}", shown(&file));
    let made = caller.run(&line, &bob).await.with(0);
    assert!(made.out.contains("erin") && made.out.contains("CLUSTER_VIEWER"), "{made:?}");
    let both = [bob.as_slice(), &[("OBSTEWARD_NEW_PASSWORD", NEW_PASSWORD)]].concat();
    caller.run("user create erin", &both).await.with(0);
    caller.run("user rotate erin", &both).await.with(0);
    heard.take();

    // Nobody to ask: nothing is sent.
    let asked = caller.run("user create erin", &bob).await.with(2);
    assert!(asked.err.contains("--new-password-file") && asked.err.contains("OBSTEWARD_NEW_PASSWORD"), "{asked:?}");
    assert_eq!(heard.take(), []);

    // A key's secret is data, and the only place where it is.
    let made = caller.run("key create bob", &bob).await.with(0);
    assert!(made.out.contains(SECRET) && !made.err.contains(SECRET), "{made:?}");
    let made = caller.run("key create --output json", &bob).await.with(0).json();
    assert_eq!((&made["secret"], &made["access_key"]["user"]), (&SECRET.into(), &"bob".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_to_give_and_never_the_password() {
    let (url, _) = listen().await;
    let caller = Caller::new(&url);
    let as_user = |user| [("OBSTEWARD_USER", user), ("OBSTEWARD_PASSWORD", WRONG)];
    let none: &[(&str, &str)] = &[];
    for (who, reason, next) in [
        (none, "UNAUTHENTICATED", "--user NAME"),
        (&as_user("bob"), "UNAUTHENTICATED", "check the password of bob"),
        (&as_user("carol"), "PERMISSION_DENIED", "role create ROLE 'CLUSTER:1:UPDATE'"),
        (&as_user("dave"), "LOGIN_THROTTLED", "retry after: 10.0s"),
    ] {
        for line in ["user list", "stop 1 2", "watch --all"] {
            let refused = caller.run(line, who).await.with(3);
            assert!(refused.err.starts_with("refused: ") && refused.err.contains(reason), "{refused:?}");
            assert!(refused.err.contains(next), "{line} does not say {next}: {refused:?}");
            assert!(!refused.err.contains(WRONG), "{refused:?}");
        }
        let refused = caller.run("user list --output json", who).await.with(3);
        let document: Value = serde_json::from_str(&refused.err).unwrap();
        assert_eq!(document["error"]["reason"], reason);
        assert!(!refused.err.contains(WRONG), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_login_is_told_before_anything_is_sent() {
    let (url, heard) = listen().await;
    let caller = Caller::new(&url);
    let empty = caller.file("empty", "\n");
    let port = url.rsplit(':').next().unwrap();
    let secret = [("OBSTEWARD_PASSWORD", WRONG)];
    for (line, told) in [
        ("user list --user bob:hidden".to_owned(), "a name alone"),
        (format!("user list --user bob --password-file {}", shown(&empty)), "is empty"),
        (format!("user list --user bob --password-file {}.gone", shown(&empty)), "cannot read"),
        (format!("user list --password-file {}", shown(&empty)), "--user NAME"),
        (format!("user list --server http://bob:hidden@127.0.0.1:{port}"), "must not name a user"),
        ("user list --user bob --server http://10.255.255.1:50051".to_owned(), "--insecure-plaintext"),
        ("user list --user bob --server http://db-1:50051 --output json".to_owned(), "--insecure-plaintext"),
    ] {
        let wrong = caller.run(&line, &secret).await.with(2);
        assert!(wrong.err.contains(told), "{line} does not say {told}: {wrong:?}");
        assert!(!wrong.err.contains(WRONG) && !wrong.err.contains("hidden"), "{wrong:?}");
    }
    // No terminal to ask on.
    let wrong = caller.run("user list --user bob", &[]).await.with(2);
    assert!(wrong.err.contains("--password-file") && wrong.err.contains("OBSTEWARD_PASSWORD"), "{wrong:?}");
    assert_eq!(heard.take(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_help_shows_what_the_environment_holds() {
    let caller = Caller::new("http://bob:hidden-1@127.0.0.1:1");
    let variables = [
        ("OBSTEWARD_USER", "hidden-2"),
        ("OBSTEWARD_PASSWORD", "hidden-3"),
        ("OBSTEWARD_PASSWORD_FILE", "/hidden-4"),
        ("OBSTEWARD_NEW_PASSWORD", "hidden-5"),
        ("OBSTEWARD_CLUSTER_PASSWORD", "hidden-6"),
    ];
    for line in ["--help", "stop --help", "user create --help", "user rotate --help", "clusters register --help"] {
        let help = caller.run(line, &variables).await.with(0);
        assert!(help.out.contains("OBSTEWARD_USER"), "{line}: {help:?}");
        assert!(!help.out.contains("hidden"), "{line}: {help:?}");
    }
}
