//! The whole service with an Alertmanager, a webhook that works and one that hangs: silences while a server is out, and nobody waits.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use obsteward::clock::monotonic_now;
use obsteward::config::{AlertmanagerConfig, Config, NotificationConfig, NotifiedOf, SecretUrl};
use obsteward::proto::v1;
use serde_json::{Value, json};

use super::receiver::{Arrived, Receiver, Reply};
use super::wait_until;
use super::webhooks::SECRET;
use crate::support::{Stage, quick};

/// What an Alertmanager does with silences.
#[derive(Default)]
struct Silences(Vec<Value>);

impl Silences {
    fn reply(&mut self, asked: &Arrived) -> Reply {
        assert_eq!(asked.headers.get("authorization").map(String::as_str), Some("Bearer s3cret"));
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/am/api/v2/silences") => Reply::Answer(200, Value::from(self.0.clone()).to_string()),
            ("POST", "/am/api/v2/silences") => {
                let mut silence = asked.json();
                silence["id"] = json!(format!("silence-{}", self.0.len()));
                silence["status"] = json!({"state": "active"});
                let id = silence["id"].clone();
                self.0.push(silence);
                Reply::Answer(200, json!({"silenceID": id}).to_string())
            }
            ("DELETE", path) => {
                let id = path.strip_prefix("/am/api/v2/silence/").unwrap().replace("%2D", "-");
                let silence = self.0.iter_mut().find(|silence| silence["id"] == id.as_str()).unwrap();
                silence["status"] = json!({"state": "expired"});
                Reply::Answer(200, String::new())
            }
            other => panic!("{other:?} is asked of an Alertmanager"),
        }
    }

    fn states(&self) -> Vec<&str> {
        self.0.iter().map(|silence| silence["status"]["state"].as_str().unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_silent_while_a_server_is_out_and_no_target_is_waited_for() {
    let silences: Arc<Mutex<Silences>> = Arc::default();
    let asked = Arc::clone(&silences);
    let alertmanager = Receiver::new(move |arrived| asked.lock().unwrap().reply(arrived)).await;
    let mut works = Receiver::new(|_| Reply::Answer(200, String::new())).await;
    let hangs = Receiver::new(|_| Reply::Hang).await;
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let secret_file = file("webhook", SECRET);
    let webhook = |name: &str, url: String| NotificationConfig {
        name: name.to_owned(),
        url: SecretUrl::new(url),
        secret_file: secret_file.clone(),
        ca_file: None,
        events: vec![NotifiedOf::Done],
        clusters: Vec::new(),
        nearly_given_up_minutes: 30,
        timeout_seconds: 60,
    };
    let configure = |config: &mut Config| {
        config.notifications = vec![webhook("works", works.url("/a")), webhook("hangs", hangs.url("/s3cret"))];
        config.alertmanager = Some(AlertmanagerConfig {
            url: SecretUrl::new(alertmanager.url("/am/")),
            authorization_file: Some(file("authorization", "Bearer s3cret\n")),
            ca_file: None,
            matchers: vec!["instance=~{host}:.*".to_owned(), "cluster={cluster}".to_owned()],
            silence_minutes: 15,
            timeout_seconds: 10,
        });
    };
    let mut stage = Stage::with(quick(), configure).await;
    let stopped = stage.stop(2).await;
    assert_eq!(stopped.state(), v1::TaskState::Successful, "{stopped:#?}");
    let told = works.next().await.json();
    assert_eq!((&told["type"], &told["task"]["id"]), (&json!("done"), &json!(stopped.id)));
    wait_until("there is a silence", async || silences.lock().unwrap().states() == ["active"]).await;
    let ip = stage.info(2).ip.replace('.', r"\.");
    let silence = silences.lock().unwrap().0[0].clone();
    let of_server = json!({"name": "instance", "value": format!("{ip}:.*"), "isRegex": true, "isEqual": true});
    assert_eq!(silence["matchers"].as_array().unwrap().iter().find(|one| one["name"] == "instance"), Some(&of_server));

    let request = v1::StartServerRequest {
        cluster_id: stage.cluster_id,
        server_id: stage.server(2).await.id,
        ..Default::default()
    };
    let started = stage.clients.servers.clone().start_server(request).await.unwrap().into_inner().task.unwrap();
    assert_eq!(stage.clients.at_rest(started.id).await.state(), v1::TaskState::Successful);
    wait_until("the silence is over", async || silences.lock().unwrap().states() == ["expired"]).await;

    let request = v1::ListNotificationTargetsRequest::default();
    let listed = stage.clients.admin.clone().list_notification_targets(request).await.unwrap().into_inner().targets;
    let names: Vec<&str> = listed.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["alertmanager", "hangs", "works"]);
    assert!(
        listed[0].delivery_time.is_some() && listed[1].delivery_time.is_none() && listed[2].delivery_time.is_some()
    );
    assert_eq!(
        (listed[1].host.clone(), &listed[1].events[..]),
        (format!("http://{}", hangs.address), &["done".to_owned()][..])
    );
    assert!(!format!("{listed:?}").contains("s3cret"));

    let began = monotonic_now();
    stage.end_service().await;
    assert!(began.elapsed() < Duration::from_secs(2), "the end waits for a target: {:?}", began.elapsed());
}
