//! A real browser: Chromium, driven through chromedriver by the WebDriver protocol
//! (<https://www.w3.org/TR/webdriver2/>), which is JSON over HTTP.
//!
//! `FERROTYPE_TEST_CHROMEDRIVER` names chromedriver, else `/usr/bin/chromedriver` is taken.
//! Without one [`Browser::start`] gives nothing and says so; in CI (`CI=true`) it panics.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;

/// Pause between two looks at a page.
const PAUSE: Duration = Duration::from_millis(50);

/// So many looks in vain are told: one report in about ten seconds.
const LOOKS_A_REPORT: u32 = 200;

/// Chromium makes no window narrower than this, in pixels.
const NARROWEST_WINDOW: u32 = 500;

/// A browser window with its driver; both end when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
    folder: TempDir,
}

fn chromedriver() -> Option<PathBuf> {
    let named = std::env::var_os("FERROTYPE_TEST_CHROMEDRIVER").map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from("/usr/bin/chromedriver"));
    if path.is_file() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "CI has no chromedriver at {}",
        path.display()
    );
    eprintln!("skipped: there is no chromedriver at {}", path.display());
    None
}

/// Starts chromedriver on a free port, and gives its address.
fn start_driver(path: &Path) -> (Child, String) {
    let mut driver = Command::new(path)
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port: u16 = lines
        .map_while(Result::ok)
        .find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        })
        .expect("chromedriver says its port");
    (driver, format!("http://127.0.0.1:{port}"))
}

impl Browser {
    /// Opens a window of that size in pixels; a narrow one is a phone, with a finger for a pointer.
    pub fn start(width: u32, height: u32) -> Option<Self> {
        let (driver, address) = start_driver(&chromedriver()?);
        let folder = tempfile::tempdir().unwrap();
        let profile = folder.path().join("profile");
        let arguments = [
            "--headless".to_string(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.display()),
        ];
        let mut options = json!({"args": arguments});
        if width < NARROWEST_WINDOW {
            options["mobileEmulation"] = json!({"deviceMetrics":
                {"width": width, "height": height, "pixelRatio": 2, "touch": true, "mobile": true}});
        }
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let answer = http::post_json(&format!("{address}/session"), &capabilities).json();
        let id = answer["value"]["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("no browser: {answer}"));
        Some(Self {
            session: format!("{address}/session/{id}"),
            driver,
            folder,
        })
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        let answer = http::post_json(&format!("{}/{path}", self.session), body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()["value"].take()
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.command("url", &json!({"url": url}));
    }

    /// Runs a script in the page (the body of a function) and gives what it returns.
    pub fn script(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Runs a script again and again until it returns something other than nothing, false or 0.
    /// Tells every ten seconds what it is waiting for, so that a log shows where a test hangs.
    pub fn wait_for(&self, script: &str) -> Value {
        for look in 1_u32.. {
            let value = self.script(script);
            if !matches!(value, Value::Null | Value::Bool(false)) && value != json!(0) {
                return value;
            }
            if look.is_multiple_of(LOOKS_A_REPORT) {
                eprintln!("still waiting for: {script}");
                eprintln!("console: {:?}", self.console());
            }
            std::thread::sleep(PAUSE);
        }
        unreachable!("the looks end with an answer")
    }

    /// The text of the first element that a CSS selector finds.
    pub fn text(&self, selector: &str) -> String {
        let script = format!(
            "const found = document.querySelector({}); return found && found.textContent",
            json!(selector)
        );
        match self.script(&script) {
            Value::String(text) => text,
            _ => panic!("the page has no {selector}"),
        }
    }

    /// Chooses a file for an input, as a person does.
    pub fn choose_file(&self, selector: &str, name: &str, bytes: &[u8]) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let query = json!({"using": "css selector", "value": selector});
        let element = self.command("element", &query);
        let id = element.as_object().unwrap().values().next().unwrap();
        let id = id.as_str().unwrap();
        self.command(
            &format!("element/{id}/value"),
            &json!({"text": path.to_str().unwrap()}),
        );
    }

    /// Whether nothing on the page is wider than the window.
    pub fn fits(&self) -> bool {
        self.script("return document.documentElement.scrollWidth <= window.innerWidth") == true
    }

    /// A screenshot of the window, as base64 of a PNG.
    pub fn screenshot_base64(&self) -> String {
        let answer = http::get(&format!("{}/screenshot", self.session)).json();
        answer["value"].as_str().unwrap().to_string()
    }

    /// What the console said since the last look: level and message.
    pub fn console(&self) -> Vec<(String, String)> {
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or("").to_string();
        let entries = self.command("se/log", &json!({"type": "browser"}));
        entries
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| (text(entry, "level"), text(entry, "message")))
            .collect()
    }

    /// The addresses that pages asked for since the last look.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.command("se/log", &json!({"type": "performance"}));
        entries
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| serde_json::from_str(entry["message"].as_str()?).ok())
            .filter(|event: &Value| event["message"]["method"] == "Network.requestWillBeSent")
            .filter_map(|event| {
                let url = &event["message"]["params"]["request"]["url"];
                url.as_str().map(ToString::to_string)
            })
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser; without an answer both are ended the hard way.
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
