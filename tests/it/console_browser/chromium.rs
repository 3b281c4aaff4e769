//! A headless Chromium of our own, spoken to in the Chrome DevTools Protocol over a pipe: it opens no port, keeps its profile in a
//! folder that goes with it, and ends when its pipe does. A crate for this would bring more code than this file, a second
//! WebSocket or a driver beside the browser.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

use super::tab::Tab;
use crate::support::PATIENCE;

/// What keeps it to this machine and this test. Its sandbox does not work for root, as CI runs; it shows nothing but our pages.
const FLAGS: &str = "--headless --no-sandbox --no-first-run --no-default-browser-check --disable-gpu \
    --disable-dev-shm-usage --disable-extensions --disable-sync --disable-background-networking --disable-component-update \
    --disable-background-timer-throttling --disable-renderer-backgrounding --disable-features=Translate \
    --hide-scrollbars --force-color-profile=srgb --remote-debugging-pipe";

/// The protocol is spoken over these descriptors; a shell moves them to where the browser looks for them.
const ON_PIPE: &str = r#"exec "$0" "$@" about:blank 3<&0 4>&1 0</dev/null 1>&2"#;

/// Messages end with this.
const END: u8 = 0;

#[derive(Clone)]
pub struct Chromium(Arc<Inner>);

struct Inner {
    to: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    heard: Arc<Heard>,
    /// Killed with the last that holds it.
    _child: Child,
    _profile: TempDir,
}

#[derive(Default)]
struct Heard {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    /// What went wrong in each tab: exceptions of scripts, and what the browser logged as an error.
    wrong: Mutex<HashMap<String, Vec<String>>>,
}

impl Chromium {
    /// `CHROMIUM` names another than the one on PATH.
    pub async fn start() -> Self {
        let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", ON_PIPE, &program]).args(FLAGS.split_whitespace());
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        // Nothing of the caller's home is read or written, and no desktop is looked for.
        command.env("HOME", profile.path()).env_remove("DISPLAY").env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let heard = Arc::new(Heard::default());
        tokio::spawn(listen(child.stdout.take().unwrap(), Arc::clone(&heard)));
        let to = tokio::sync::Mutex::new(child.stdin.take().unwrap());
        let chromium = Self(Arc::new(Inner { to, next: AtomicU64::new(1), heard, _child: child, _profile: profile }));
        chromium.call("", "Browser.getVersion", json!({})).await.unwrap_or_else(|said| {
            panic!("{program} does not start ({said}): run the tests with scripts/test, which installs it")
        });
        chromium
    }

    /// A tab with cookies of its own.
    pub async fn tab(&self, base: &str) -> Tab {
        let context = self.call("", "Target.createBrowserContext", json!({})).await.unwrap();
        let asked = json!({ "url": "about:blank", "browserContextId": context["browserContextId"] });
        let target = self.call("", "Target.createTarget", asked).await.unwrap();
        let asked = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call("", "Target.attachToTarget", asked).await.unwrap();
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(&session, domain, json!({})).await.unwrap();
        }
        // Each tab has the focus, as if it were the only one.
        self.call(&session, "Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await.unwrap();
        Tab::new(self.clone(), session, base.to_owned())
    }

    /// Sends a command to a tab (or to the browser) and waits for its result.
    pub async fn call(&self, session: &str, method: &str, params: Value) -> Result<Value, String> {
        let inner = &self.0;
        let id = inner.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !session.is_empty() {
            message["sessionId"] = session.into();
        }
        let (answer, answered) = oneshot::channel();
        inner.heard.waiting.lock().unwrap().insert(id, answer);
        let mut bytes = message.to_string().into_bytes();
        bytes.push(END);
        if let Err(error) = inner.to.lock().await.write_all(&bytes).await {
            return Err(format!("{method}: the browser has ended: {error}"));
        }
        let answer = tokio::time::timeout(PATIENCE, answered).await.map_err(|_| format!("{method}: no answer"))?;
        let mut answer = answer.map_err(|_| format!("{method}: the browser has ended"))?;
        match answer.get("error") {
            None => Ok(answer["result"].take()),
            Some(error) => Err(format!("{method}: {error}")),
        }
    }

    /// What went wrong in a tab since this was asked last.
    pub fn wrong(&self, session: &str) -> Vec<String> {
        self.0.heard.wrong.lock().unwrap().remove(session).unwrap_or_default()
    }
}

/// Until the browser ends; then whoever waits hears that.
async fn listen(from: ChildStdout, heard: Arc<Heard>) {
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    while from.read_until(END, &mut bytes).await.is_ok_and(|read| read > 0) {
        bytes.pop();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        bytes.clear();
        if let Some(answer) = message["id"].as_u64().and_then(|id| heard.waiting.lock().unwrap().remove(&id)) {
            _ = answer.send(message);
        } else if let Some(wrong) = wrong_of(&message) {
            let session = message["sessionId"].as_str().unwrap_or_default().to_owned();
            heard.wrong.lock().unwrap().entry(session).or_default().push(wrong);
        }
    }
    heard.waiting.lock().unwrap().clear();
}

fn wrong_of(message: &Value) -> Option<String> {
    let params = &message["params"];
    match message["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
        "Log.entryAdded" if params["entry"]["level"] == "error" => {
            Some(format!("{} {}", params["entry"]["text"], params["entry"]["url"]))
        }
        _ => None,
    }
}
