//! A tab as somebody sits before it: goes to pages, reads, clicks, types, presses keys, and takes pictures. It waits for what is to
//! be seen, never for a time.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::chromium::Chromium;
use crate::support::PATIENCE;

pub struct Tab {
    chromium: Chromium,
    session: String,
    /// Where the console is.
    base: String,
}

/// How pages are shown.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// `light` or `dark`.
    pub scheme: &'static str,
    pub width: u32,
}

impl Look {
    pub const ALL: [Self; 4] = [
        Self { scheme: "light", width: 1280 },
        Self { scheme: "dark", width: 1280 },
        Self { scheme: "light", width: 390 },
        Self { scheme: "dark", width: 390 },
    ];
}

/// Taller pages are cut off in pictures.
const TALLEST: f64 = 6000.0;

impl Tab {
    pub const fn new(chromium: Chromium, session: String, base: String) -> Self {
        Self { chromium, session, base }
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.chromium.call(&self.session, method, params).await.unwrap()
    }

    /// Loads a page of the console.
    pub async fn go(&self, path: &str) {
        let shown = self.call("Page.navigate", json!({ "url": format!("{}{path}", self.base) })).await;
        assert!(shown.get("errorText").is_none(), "{path}: {shown}");
        self.until("document.readyState === 'complete'").await;
    }

    /// The value of an expression; a promise is waited for.
    pub async fn value(&self, expression: &str) -> Value {
        self.evaluated(expression).await.unwrap_or_else(|said| panic!("{expression}: {said}"))
    }

    /// `Err`: what was thrown, or that the page has gone meanwhile.
    async fn evaluated(&self, expression: &str) -> Result<Value, String> {
        let asked =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.chromium.call(&self.session, "Runtime.evaluate", asked).await?;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].take()),
            Some(thrown) => Err(thrown.to_string()),
        }
    }

    /// Waits until a condition holds on this page or on the one that it leads to.
    pub async fn until(&self, condition: &str) {
        let expression = format!(
            "new Promise((done) => {{ const look = () => {{ let holds = false; try {{ holds = Boolean({condition}); }} catch {{}} \
             if (holds) done(true); else setTimeout(look, 10); }}; look(); }})"
        );
        // While a page is left there is none to ask: what was asked is gone with it, and is asked of the next one.
        let held = async { while self.evaluated(&expression).await.is_err() {} };
        if tokio::time::timeout(PATIENCE, held).await.is_err() {
            let shown = self.value("location.href + '\\n' + document.body.innerText").await;
            panic!("never: {condition}\n{}", shown.as_str().unwrap_or_default());
        }
    }

    /// Waits until the page says this.
    pub async fn says(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// Waits until the path of the page begins with this, and the page is there.
    pub async fn at(&self, path: &str) {
        let path = json!(path);
        self.until(&format!("location.pathname.startsWith({path}) && document.readyState === 'complete'")).await;
    }

    pub async fn path(&self) -> String {
        self.value("location.pathname").await.as_str().unwrap().to_owned()
    }

    pub async fn text(&self) -> String {
        self.value("document.body.innerText").await.as_str().unwrap().to_owned()
    }

    /// Whether there is such an element.
    pub async fn has(&self, selector: &str) -> bool {
        self.value(&format!("document.querySelector({}) !== null", json!(selector))).await == true
    }

    /// Runs a script in each page that is loaded from now on, before its own.
    pub async fn prepare_pages(&self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    }

    /// Clicks where the element is, as soon as it is to be seen.
    pub async fn click(&self, selector: &str) {
        let place = self.press_mouse(selector).await;
        self.release_mouse(&place).await;
    }

    /// Returns where it was pressed.
    pub async fn press_mouse(&self, selector: &str) -> Value {
        let element = format!("document.querySelector({})", json!(selector));
        self.until(&format!("{element}.getClientRects().length")).await;
        let place = format!(
            "(() => {{ const it = {element}; it.scrollIntoView({{ block: 'center' }}); const box = it.getBoundingClientRect(); \
             return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let place = self.value(&place).await;
        self.mouse("mousePressed", &place).await;
        place
    }

    pub async fn release_mouse(&self, place: &Value) {
        self.mouse("mouseReleased", place).await;
    }

    async fn mouse(&self, kind: &str, place: &Value) {
        let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", event).await;
    }

    /// Into a field that is clicked first.
    pub async fn fill(&self, selector: &str, text: &str) {
        self.click(selector).await;
        self.insert(text).await;
    }

    /// Where the focus is.
    pub async fn insert(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key: `Tab`, `Enter`.
    pub async fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            key => panic!("no key {key}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    pub async fn sign_in(&self, user: &str, password: &str) {
        self.go("/sign-in").await;
        self.fill("#user", user).await;
        self.fill("#password", password).await;
        self.click("form[action='/sign-in'] button").await;
        self.until("location.pathname === '/' && document.readyState === 'complete'").await;
    }

    /// Goes on with pages in a scheme and a width.
    pub async fn look(&self, look: Look) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": look.scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" }
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        let size = json!({ "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// The whole page as it is, in target/console.
    pub async fn picture(&self, name: &str) {
        let metrics = self.call("Page.getLayoutMetrics", json!({})).await;
        let [width, height] = ["width", "height"].map(|side| metrics["cssContentSize"][side].as_f64().unwrap());
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height.min(TALLEST), "scale": 1 });
        let asked = json!({ "format": "png", "optimizeForSpeed": true, "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", asked).await;
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let folder = pictures();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// Exceptions, and what the policy of pages kept out, since this was asked last.
    pub fn wrong(&self) -> Vec<String> {
        self.chromium.wrong(&self.session)
    }
}

/// Where pictures are kept.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("console")
}
