//! A real browser: headless Chromium, driven through WebDriver.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::chromedriver::{Chromedriver, WHAT_TO_INSTALL};
use crate::npm::axe;

/// Timeout of everything that a test expects to appear on a page, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The first three keep Chromium working as root and in containers; those after `--headless` keep it off the network.
const ARGUMENTS: [&str; 10] = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--headless",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    // Over a pipe: Chromium ends when its driver does, however that ends.
    "--remote-debugging-pipe",
];

/// A browser with one tab and an empty profile. It ends when dropped.
pub struct Browser {
    client: Client,
    session: String,
    chromedriver: Chromedriver,
    // The last field, for it is removed last.
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser.
    ///
    /// # Panics
    /// When Chromium or its driver is missing; the message lists what to install.
    pub async fn open() -> Browser {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let chromedriver = Chromedriver::start(&profile).await;
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!(
            "--user-data-dir={}",
            profile.path().join("profile").display()
        ));
        let capabilities = json!({
            "browserName": "chrome",
            "timeouts": { "script": TIMEOUT.as_millis() },
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().cloned().expect("an object"))
            .connect(&chromedriver.url())
            .await
            .unwrap_or_else(|error| {
                panic!("chromedriver cannot start a browser: {error}\n{WHAT_TO_INSTALL}")
            });
        // It is closed by this type's `drop`.
        client.persist().await.expect("the client runs");
        let session = client.session_id().await.ok().flatten();
        Browser {
            client,
            session: session.expect("a session has an id"),
            chromedriver,
            _profile: profile,
        }
    }

    /// Loads a page.
    pub async fn go_to(&self, url: &str) {
        let loaded = self.client.goto(url).await;
        loaded.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// The first element that the selector matches, once it is displayed.
    ///
    /// # Panics
    /// When none is displayed in time; the message has the page's text.
    pub async fn element(&self, selector: &str) -> Element {
        self.poll(&format!("{selector} is not displayed"), async || {
            self.displayed(selector).await
        })
        .await
    }

    /// The element's text, once it is displayed.
    pub async fn text(&self, selector: &str) -> String {
        let text = self.element(selector).await.text().await;
        text.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// Waits until the element is displayed and its text contains the given one.
    ///
    /// # Panics
    /// When it does not in time; the message has the page's text.
    pub async fn wait_for_text(&self, selector: &str, text: &str) {
        self.poll(
            &format!("{selector} does not contain {text:?}"),
            async || {
                let shown = self.displayed(selector).await?.text().await.ok()?;
                shown.contains(text).then_some(())
            },
        )
        .await;
    }

    /// Waits until nothing that the selector matches is displayed.
    ///
    /// # Panics
    /// When something still is after a while; the message has the page's text.
    pub async fn wait_until_gone(&self, selector: &str) {
        self.poll(&format!("{selector} is still there"), async || {
            self.displayed(selector).await.is_none().then_some(())
        })
        .await;
    }

    /// Clicks on an element once it is displayed.
    pub async fn click(&self, selector: &str) {
        let clicked = self.element(selector).await.click().await;
        clicked.unwrap_or_else(|error| panic!("{selector} cannot be clicked: {error}"));
    }

    /// Types into a field, in place of what is there.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.element(selector).await;
        field.clear().await.expect("a field can be emptied");
        field.send_keys(text).await.expect("a field takes keys");
    }

    /// Presses keys wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let pressed =
            keys.chars()
                .fold(KeyActions::new("keyboard".to_owned()), |actions, value| {
                    actions
                        .then(KeyAction::Down { value })
                        .then(KeyAction::Up { value })
                });
        let pressed = self.client.perform_actions(pressed).await;
        pressed.expect("a keyboard");
    }

    /// Moves the focus to an element with the Tab key alone.
    ///
    /// # Panics
    /// When the key does not lead there.
    pub async fn tab_to(&self, selector: &str) {
        const MAX_PRESSES: usize = 40;
        let is_focused = "return document.activeElement?.matches(args) ?? false";
        for _ in 0..MAX_PRESSES {
            self.press(&Key::Tab).await;
            if self.run(is_focused, json!(selector)).await == Ok(json!(true)) {
                return;
            }
        }
        panic!("{selector} is not reached with {MAX_PRESSES} presses of the Tab key");
    }

    /// The element that has the focus.
    pub async fn focused(&self) -> Element {
        let element = self.client.active_element().await;
        element.expect("something has the focus")
    }

    /// Goes on inside of a frame of the page; see [`Browser::leave_frame`].
    pub async fn enter_frame(&self, selector: &str) {
        let entered = self.element(selector).await.enter_frame().await;
        entered.unwrap_or_else(|error| panic!("{selector} cannot be entered: {error}"));
    }

    /// Goes on in the page itself.
    pub async fn leave_frame(&self) {
        let left = self.client.clone().enter_parent_frame().await;
        left.expect("there is a page");
    }

    /// Runs the body of an async function in the page, with `args` in scope, and returns its result or its error.
    pub async fn run(&self, body: &str, args: Value) -> Result<Value, String> {
        // Not by way of `new Function`, which the page's Content-Security-Policy forbids.
        let script = format!(
            "const [args, done] = arguments;
            (async () => {{ {body}
            }})().then((value) => done({{ value }}), (error) => done({{ error: String(error) }}));"
        );
        let result = self.client.execute_async(&script, vec![args]).await;
        let result = result.expect("a script that ends");
        match result.get("error") {
            Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
            None => Ok(result["value"].clone()),
        }
    }

    /// Cuts the browser off from every network, loopback included, or connects it again.
    pub async fn set_offline(&self, offline: bool) {
        // Without the first, only `navigator.onLine` changes.
        self.devtools("Network.enable", json!({})).await;
        let unlimited = -1;
        let conditions = json!({
            "offline": offline,
            "latency": 0,
            "downloadThroughput": unlimited,
            "uploadThroughput": unlimited,
        });
        self.devtools("Network.emulateNetworkConditions", conditions)
            .await;
    }

    /// What the page, and the browser on its account, wrote to the console since the last call; without the lines that
    /// the browser writes for every response with an error status and every failed request.
    pub async fn console(&self) -> Vec<String> {
        let entries = self
            .command("se/log", json!({ "type": "browser" }))
            .await
            .expect("chromedriver keeps the console");
        let entries = entries.as_array().cloned().expect("a list");
        let of_the_page = entries.iter().filter(|entry| entry["source"] != "network");
        of_the_page
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// Waits until something written to the console contains the text.
    ///
    /// # Panics
    /// When nothing does in time; the message has the page's text.
    pub async fn wait_for_console(&self, text: &str) {
        self.poll(
            &format!("the console does not contain {text:?}"),
            async || {
                let lines = self.console().await;
                lines.iter().any(|line| line.contains(text)).then_some(())
            },
        )
        .await;
    }

    /// Writes the page as it looks now to `target/screenshots/`, on a phone and on a desk, light and dark; and inspects each
    /// for accessibility.
    ///
    /// # Panics
    /// When axe-core finds a violation.
    pub async fn screenshots(&self, name: &str) {
        const SCREEN_HEIGHT: u64 = 900;
        const HEIGHT: &str = "return document.documentElement.scrollHeight";
        let folder = screenshot_folder();
        std::fs::create_dir_all(&folder).expect("the target folder can be written to");
        for width in [390, 1280] {
            for scheme in ["light", "dark"] {
                self.emulate(width, SCREEN_HEIGHT, scheme).await;
                let height = self.run(HEIGHT, Value::Null).await;
                let height = height.ok().and_then(|height| height.as_u64());
                let height = height.expect("a height in pixels").max(SCREEN_HEIGHT);
                self.emulate(width, height, scheme).await;
                let image = self.devtools("Page.captureScreenshot", json!({})).await;
                let image = BASE64_STANDARD.decode(image["data"].as_str().expect("an image"));
                let file = folder.join(format!("{name}-{width}-{scheme}.png"));
                std::fs::write(file, image.expect("base64")).expect("a file can be written");
                self.expect_accessible(&format!("{name}, {width} px, {scheme}"))
                    .await;
            }
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
    }

    /// Makes the browser a phone, whose user prefers reduced motion or does not.
    pub async fn emulate_phone(&self, reduced_motion: bool) {
        self.emulate(390, 844, "light").await;
        let value = if reduced_motion {
            "reduce"
        } else {
            "no-preference"
        };
        let media = json!({ "features": [{ "name": "prefers-reduced-motion", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Inspects the page with axe-core, without the frames in it, which are other pages.
    async fn expect_accessible(&self, state: &str) {
        // A color that is half-way through a transition is not one that anyone reads.
        let inspect = "if (!window.axe) throw new Error('axe-core is not loaded');
            const isFinite = ({ effect }) => effect.getComputedTiming().endTime !== Infinity;
            await Promise.all(document.getAnimations().filter(isFinite).map(({ finished }) => finished.catch(() => {})));
            const { violations } = await axe.run(document, { iframes: false, resultTypes: ['violations'] });
            return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target).join(', ')}`);";
        if self.run("return !window.axe", Value::Null).await == Ok(json!(true)) {
            let loaded = self.client.execute(axe(), vec![]).await;
            loaded.expect("a script of axe-core");
        }
        let violations = self.run(inspect, Value::Null).await;
        assert_eq!(violations, Ok(json!([])), "{state}");
    }

    async fn emulate(&self, width: u64, height: u64, scheme: &str) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// The first element that is displayed now.
    async fn displayed(&self, selector: &str) -> Option<Element> {
        let elements = self.client.find_all(Locator::Css(selector)).await.ok()?;
        for element in elements {
            // An error: the element is gone again.
            if element.is_displayed().await.unwrap_or(false) {
                return Some(element);
            }
        }
        None
    }

    /// Waits for what `look` looks for.
    async fn poll<T>(&self, otherwise: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if started.elapsed() > TIMEOUT {
                let text = self
                    .run("return document.body.innerText", Value::Null)
                    .await;
                let text = text.map(|text| text.as_str().unwrap_or_default().to_owned());
                panic!(
                    "{otherwise} after {TIMEOUT:?}; the text of the page:\n{}",
                    text.unwrap_or_else(|error| error)
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A method of the Chrome DevTools Protocol. <https://chromedevtools.github.io/devtools-protocol/>
    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let command = json!({ "cmd": method, "params": parameters });
        let result = self.command("goog/cdp/execute", command).await;
        result.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// A command of chromedriver's own.
    async fn command(&self, path: &'static str, body: Value) -> Result<Value, CmdError> {
        self.client.issue_cmd(Command { path, body }).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.chromedriver.end(&self.session);
    }
}

/// `POST /session/ID/path` with this body.
#[derive(Debug)]
struct Command {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

/// Returns `screenshots` in cargo's target directory.
fn screenshot_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    // target/PROFILE/deps/e2e-HASH
    let target = test.ancestors().nth(3);
    target
        .expect("cargo puts tests into PROFILE/deps")
        .join("screenshots")
}
