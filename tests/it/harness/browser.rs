//! A headless Chromium, driven as a person would: through WebDriver (W3C), by pointer, keys and what is to be seen.

use std::path::Path;

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, command, folder, free_port};
use super::{eventually, installed, within};

/// One window.
pub struct Browser {
    http: Client,
    session: String,
    _driver: Process,
    _folder: TempDir,
}

/// By this key an element is named in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    /// Opens a window of this size, in pixels.
    pub async fn open(width: u32, height: u32) -> Self {
        let folder = folder();
        let port = free_port();
        let driver = installed(&["chromedriver"], &["/usr/lib/chromium"]);
        let chromium = installed(&["chromium", "chromium-browser", "google-chrome"], &[]);
        let mut command = command(&driver, Path::new("/dev/null"));
        command.arg(format!("--port={port}")).env("HOME", folder.path());
        let mut process = Process::spawn(command, folder.path(), "chromedriver");
        // An error means that another test has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().build().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        eventually("chromedriver answers", async || {
            assert!(process.ended().is_none(), "chromedriver: {}", process.output());
            http.get(format!("{base}/status")).send().await.is_ok()
        })
        .await;
        let profile = folder.path().join("profile");
        let arguments = [
            "--headless=new".to_owned(),
            // Tests may run as root, where Chromium's own sandbox does not work, and without much shared memory.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = send(http.post(format!("{base}/session")).json(&wanted)).await;
        let session = answer["sessionId"].as_str().expect("a session").to_owned();
        let browser = Self {
            http,
            session: format!("{base}/session/{session}"),
            _driver: process,
            _folder: folder,
        };
        // The size of what is in it, as on a device: a window has a frame.
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        browser
            .command("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        browser
    }

    /// Goes to an address.
    pub async fn go(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// What a script returns.
    pub async fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// The text of an element as it is to be seen.
    pub async fn text(&self, selector: &str) -> String {
        let element = self.find(selector).await;
        let text = self.get(&format!("/element/{element}/text")).await;
        text.as_str().expect("a text").to_owned()
    }

    /// Clicks on an element.
    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/click"), json!({})).await;
    }

    /// Chooses a file for an input.
    pub async fn choose(&self, selector: &str, file: &Path) {
        let element = self.find(selector).await;
        let text = json!({ "text": file.display().to_string() });
        self.post(&format!("/element/{element}/value"), text).await;
    }

    /// Draws a line on an element with a pen, through points given as shares of its width and height.
    pub async fn draw(&self, selector: &str, points: &[(f64, f64)]) {
        let element = self.find(selector).await;
        self.script(&format!(
            "document.querySelector('{selector}').scrollIntoView({{ block: 'center' }})"
        ))
        .await;
        let rect = self.get(&format!("/element/{element}/rect")).await;
        let (width, height) = (rect["width"].as_f64().unwrap(), rect["height"].as_f64().unwrap());
        // Counted from the middle of the element.
        let at = |(right, down): (f64, f64), duration: u32| {
            json!({
                "type": "pointerMove", "duration": duration, "origin": {ELEMENT: element},
                "x": ((right - 0.5) * width).round(), "y": ((down - 0.5) * height).round(),
            })
        };
        let mut actions = vec![at(points[0], 0), json!({"type": "pointerDown", "button": 0})];
        actions.extend(points[1..].iter().map(|point| at(*point, 20)));
        actions.push(json!({"type": "pointerUp", "button": 0}));
        let pen = json!({"actions": [{
            "type": "pointer", "id": "pen", "parameters": {"pointerType": "pen"}, "actions": actions,
        }]});
        self.post("/actions", pen).await;
    }

    /// A picture of the whole page, as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let size = self
            .script("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
            .await;
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        let taken = self
            .command(
                "Page.captureScreenshot",
                json!({"clip": clip, "captureBeyondViewport": true}),
            )
            .await;
        decode_base64(taken["data"].as_str().expect("a picture"))
    }

    /// What the page has complained of.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().map(ToString::to_string).collect()
    }

    /// A command of Chromium's own.
    pub async fn command(&self, name: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": name, "params": parameters }))
            .await
    }

    async fn find(&self, selector: &str) -> String {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.post("/element", by).await;
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        send(self.http.post(format!("{}{path}", self.session)).json(&body)).await
    }

    async fn get(&self, path: &str) -> Value {
        send(self.http.get(format!("{}{path}", self.session))).await
    }
}

async fn send(request: reqwest::RequestBuilder) -> Value {
    let answer = within("the browser answers", async {
        let response = request.send().await.expect("chromedriver is there");
        response.json::<Value>().await.expect("JSON")
    })
    .await;
    let value = answer["value"].clone();
    assert!(value["error"].is_null(), "{value}");
    value
}

fn decode_base64(text: &str) -> Vec<u8> {
    let digit = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    for group in letters.chunks(4) {
        let number = group
            .iter()
            .fold(0_u32, |number, letter| number << 6 | u32::from(digit(*letter)));
        let number = number << (6 * (4 - group.len()));
        bytes.extend_from_slice(&number.to_be_bytes()[1..group.len()]);
    }
    bytes
}
