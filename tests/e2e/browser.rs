//! The browser client's package, the demo page and the React example in a real browser, on allowed origins and on another.
//!
//! The page, the gateway, the functions and the Airbyte simulator each have their own origin, so everything that the page
//! does crosses origins as it does in production. A test that shows a state of the page for the first time inspects it
//! for accessibility, and leaves screenshots of it in `target/screenshots/`.

mod checks;
mod react;
mod vendor_script;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use airbyte_sim::{Airbyte, CannedResponse, Fault, FaultKind, Options, Route, Source};
use e2e::{Browser, Config, FAKER, Generation, POSTGRES, Site, eventually, requests};
use fantoccini::key::Key;
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

const WIDGET: &str = "dialog iframe";
const CONNECT: &str = "#source-form button.primary";
/// What the form shows: its errors, and everything else.
const ERRORS: &str = "#source-form [role=alert]";
const MESSAGE: &str = "#source-form [role=status]";
const UNREACHABLE: &str = "The service could not be reached.";
const CLOSED: &str = "Widget closed";

e2e::test_each_generation!(
    connects_source_with_form_after_field_errors,
    connects_source_with_widget,
    renews_token_of_open_widget,
    stores_and_prints_nothing_under_strict_policy,
);

async fn sign_in(browser: &Browser, page: &str, user: &str) {
    browser.go_to(page).await;
    browser.fill("#user-name", user).await;
    browser.click("#sign-in-form button").await;
    browser.wait_for_text("#user", user).await;
}

async fn change_user(browser: &Browser, user: &str) {
    browser.click("#sign-out").await;
    browser.fill("#user-name", user).await;
    browser.click("#sign-in-form button").await;
    browser.wait_for_text("#user", user).await;
}

/// Opens the widget and continues inside it, where the templates are listed: its page has received a valid token.
async fn open_widget(browser: &Browser) {
    browser.click("#open-widget").await;
    browser.enter_frame(WIDGET).await;
    browser.element("#templates button").await;
}

/// Inside the widget: creates a source, and returns the ID that the widget shows.
async fn create_in_widget(browser: &Browser) -> String {
    browser.click(&format!("[data-template='{FAKER}']")).await;
    browser.fill("#field-count", "10").await;
    browser.click("#create").await;
    browser.text("#created-id").await
}

/// The name of screenshots. Those of the default have no prefix, because the README shows them.
fn shot(generation: Generation, name: &str) -> String {
    match generation {
        Generation::Embedded => name.to_owned(),
        Generation::Agents => format!("agents-{name}"),
    }
}

/// The form's field for a property of the configuration.
fn field(name: &str) -> String {
    format!("[name='/connection_configuration/{name}']")
}

async fn choose_template(browser: &Browser, id: Uuid) {
    browser
        .click(&format!("#template option[value='{id}']"))
        .await;
}

async fn choose_faker(browser: &Browser) {
    choose_template(browser, FAKER).await;
    browser.fill(&field("count"), "10").await;
}

/// The origins that tokens were bound to, in order.
fn allowed_origins(airbyte: &Airbyte) -> Vec<String> {
    let origin = |body: Value| {
        body["allowedOrigin"]
            .as_str()
            .or(body["allowed_origin"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    requests(airbyte, Route::WidgetToken)
        .iter()
        .map(|exchange| origin(exchange.json().unwrap()))
        .collect()
}

async fn connects_source_with_widget(generation: Generation) {
    let site = Site::for_generation(generation).await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;
    browser.element("#sign-in-form").await;
    browser.screenshots(&shot(generation, "sign-in")).await;
    sign_in(&browser, site.page(), "alice").await;
    browser.screenshots(&shot(generation, "signed-in")).await;

    open_widget(&browser).await;
    browser.leave_frame().await;
    browser.screenshots(&shot(generation, "widget")).await;
    browser.enter_frame(WIDGET).await;
    let id = create_in_widget(&browser).await;
    browser.click("#done").await;
    browser.leave_frame().await;

    browser.wait_for_text("#events", &id).await;
    browser.wait_until_gone("dialog").await;
    browser.wait_for_text("#events", CLOSED).await;
    browser.screenshots(&shot(generation, "widget-done")).await;
    let sources = site.airbyte.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0].id.to_string(), id);
    let workspace = site.airbyte.workspace_of(Config::ORGANIZATION_ID, "alice");
    assert_eq!(Some(sources[0].workspace_id), workspace);
    assert_eq!(allowed_origins(&site.airbyte), [site.page()]);
}

#[tokio::test]
async fn returns_focus_when_widget_closes() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    open_widget(&browser).await;
    browser.press(&Key::Escape).await;
    browser.leave_frame().await;
    browser.wait_until_gone("dialog").await;
    assert_eq!(
        browser.focused().await.prop("id").await.unwrap().as_deref(),
        Some("open-widget")
    );
}

async fn stores_and_prints_nothing_under_strict_policy(generation: Generation) {
    let site = Site::for_generation(generation).await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    choose_faker(&browser).await;
    browser.click(CONNECT).await;
    browser.wait_for_text(MESSAGE, "Connected.").await;
    open_widget(&browser).await;
    create_in_widget(&browser).await;
    browser.click("#done").await;
    browser.leave_frame().await;
    browser.wait_until_gone("dialog").await;

    let policy = "return (await fetch('/')).headers.get('content-security-policy')";
    let policy = browser.run(policy, Value::Null).await.unwrap();
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
    ] {
        let directives = policy.as_str().unwrap().split("; ");
        assert!(
            directives.into_iter().any(|one| one == directive),
            "{policy}"
        );
    }
    let stored = "return [localStorage.length, sessionStorage.length, document.cookie, (await caches.keys()).length]";
    assert_eq!(
        browser.run(stored, Value::Null).await,
        Ok(json!([0, 0, "", 0]))
    );
    // Neither a line of the page's nor a violation of its Content-Security-Policy, which allows no inline style or script.
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn fills_phone_and_reduces_motion() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    browser.emulate_phone(true).await;
    open_widget(&browser).await;
    browser.leave_frame().await;

    let layout =
        "const { x, y, width, height } = document.querySelector('dialog').getBoundingClientRect();
        return [x, y, width - innerWidth, height - innerHeight]";
    assert_eq!(
        browser.run(layout, Value::Null).await,
        Ok(json!([0, 0, 0, 0]))
    );
    let animation = "return getComputedStyle(document.querySelector('dialog')).animationName";
    assert_eq!(browser.run(animation, Value::Null).await, Ok(json!("none")));
    browser.emulate_phone(false).await;
    assert_eq!(
        browser.run(animation, Value::Null).await,
        Ok(json!("airbyte-embedded"))
    );
}

#[tokio::test]
async fn ignores_token_requests_of_other_windows() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    open_widget(&browser).await;
    browser.leave_frame().await;

    // The page itself asks; a response would arrive before a message that is sent after that.
    let ask = "const received = [];
        const last = new Promise((resolve) => addEventListener('message', ({ data }) => {
            received.push(data);
            if (data === 'last') resolve();
        }));
        postMessage('auth_token_request', location.origin);
        postMessage('CLOSE_DIALOG', location.origin);
        postMessage('last', location.origin);
        await last;
        return received;";
    let received = browser.run(ask, Value::Null).await;
    assert_eq!(
        received,
        Ok(json!(["auth_token_request", "CLOSE_DIALOG", "last"]))
    );
    browser.element("dialog").await;
}

async fn renews_token_of_open_widget(generation: Generation) {
    let lifetime = Duration::from_secs(8);
    let options = Options {
        scoped_token_lifetime: lifetime,
        ..Options::default()
    };
    let site = Site::for_generation_with(generation, options).await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    open_widget(&browser).await;
    let first_minted = requests(&site.airbyte, Route::WidgetToken)[0].at;
    let first_ends = UNIX_EPOCH + Duration::from_millis(first_minted) + lifetime;

    eventually("the first token's end", || SystemTime::now() > first_ends).await;

    // The page inside has the expired token still: Airbyte rejects it, and the page asks for the newest one.
    let id = create_in_widget(&browser).await;
    assert_eq!(site.airbyte.sources()[0].id.to_string(), id);
    let minted = requests(&site.airbyte, Route::WidgetToken);
    assert!(minted.len() > 1, "the token was not renewed");
    let renewed = UNIX_EPOCH + Duration::from_millis(minted[1].at);
    assert!(renewed < first_ends, "the token was renewed after its end");
}

#[tokio::test]
async fn stops_renewal_when_widget_closes() {
    let site = Site::with(Options {
        scoped_token_lifetime: Duration::from_secs(4),
        ..Options::default()
    })
    .await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    open_widget(&browser).await;
    browser.click("#close").await;
    browser.leave_frame().await;
    browser.wait_for_text("#events", CLOSED).await;
    let minted = requests(&site.airbyte, Route::WidgetToken).len();

    let end = SystemTime::now() + Duration::from_secs(4);
    eventually("the token's end", || SystemTime::now() > end).await;
    assert_eq!(requests(&site.airbyte, Route::WidgetToken).len(), minted);
}

#[tokio::test]
async fn connects_source_by_keyboard_in_widget() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in_by_keyboard(&browser, site.page()).await;
    browser.tab_to("#open-widget").await;
    browser.press(&Key::Enter).await;
    browser.element(WIDGET).await;

    // The focus starts in the dialog and stays there, however often it moves on.
    for _ in 0..6 {
        let inside = "return document.activeElement.closest('dialog') !== null || document.activeElement === document.body";
        assert_eq!(browser.run(inside, Value::Null).await, Ok(json!(true)));
        browser.press(&Key::Tab).await;
    }
    browser.enter_frame(WIDGET).await;
    let faker = format!("[data-template='{FAKER}']");
    browser.tab_to(&faker).await;
    browser.press(&Key::Enter).await;
    browser.tab_to("#field-count").await;
    browser.press("10").await;
    browser.press(&Key::Enter).await;
    let id = browser.text("#created-id").await;
    browser.press(&Key::Escape).await;
    browser.leave_frame().await;

    browser.wait_until_gone("dialog").await;
    browser.wait_for_text("#events", &id).await;
    let focused = browser.focused().await.prop("id").await.unwrap();
    assert_eq!(focused.as_deref(), Some("open-widget"));
}

#[tokio::test]
async fn connects_source_by_keyboard_with_form() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in_by_keyboard(&browser, site.page()).await;
    browser.tab_to("#template").await;
    browser.press("Faker").await;
    browser.tab_to(&field("count")).await;
    browser.press("10").await;
    browser.press(&Key::Enter).await;

    browser.wait_for_text(MESSAGE, "Connected.").await;
    assert_eq!(site.airbyte.sources().len(), 1);
}

/// Signs in as alice, whose name is there already.
async fn sign_in_by_keyboard(browser: &Browser, page: &str) {
    browser.go_to(page).await;
    browser.element("#sign-in-form").await;
    browser.tab_to("#user-name").await;
    browser.press(&Key::Enter).await;
    browser.wait_for_text("#user", "alice").await;
}

async fn connects_source_with_form_after_field_errors(generation: Generation) {
    let site = Site::for_generation(generation).await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    choose_template(&browser, POSTGRES).await;
    browser.fill(&field("host"), "db.example.com").await;
    browser.press(&Key::Enter).await;

    browser
        .wait_for_text(ERRORS, "Check what you entered.")
        .await;
    browser.screenshots(&shot(generation, "form-errors")).await;
    let described = "return [...document.querySelectorAll('[aria-invalid=true]')].map((control) => [
        control.name,
        control.getAttribute('aria-describedby').split(' ').map((id) => document.getElementById(id))
            .filter((node) => node.className === 'field-error').map((node) => node.textContent).join(),
        document.querySelector(`#source-form [role=alert] a[href='#${control.id}']`)?.textContent,
    ])";
    let described = browser.run(described, Value::Null).await.unwrap();
    let described: Vec<[String; 3]> = serde_json::from_value(described).unwrap();
    let names: Vec<_> = described
        .iter()
        .map(|[name, ..]| name.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["database", "username", "password"]);
    for [name, at_field, in_summary] in &described {
        assert!(
            !at_field.is_empty() && in_summary.ends_with(at_field.as_str()),
            "{name}: {at_field:?}, {in_summary:?}"
        );
    }
    let focused = browser.focused().await.attr("name").await.unwrap();
    assert_eq!(
        focused.as_deref(),
        Some("/connection_configuration/database")
    );
    assert!(site.airbyte.sources().is_empty());

    for (name, value) in [
        ("database", "shop"),
        ("username", "reader"),
        ("password", "s3cret"),
    ] {
        browser.fill(&field(name), value).await;
    }
    browser.press(&Key::Enter).await;
    browser.wait_for_text(MESSAGE, "Connected.").await;
    browser.screenshots(&shot(generation, "form-done")).await;
    let sources = site.airbyte.sources();
    assert_eq!(
        browser.text(&format!("{MESSAGE} code")).await,
        sources[0].id.to_string()
    );
    let configuration: Value = serde_json::from_str(&sources[0].connection_configuration).unwrap();
    let expected = json!({ "host": "db.example.com", "database": "shop", "username": "reader", "password": "s3cret" });
    assert_eq!(configuration, expected);
    // The credentials are not left on the page.
    let values = "return [...document.querySelectorAll('#source-form input')].map(({ value }) => value).join('')";
    assert_eq!(browser.run(values, Value::Null).await, Ok(json!("")));
}

/// Direct access, which only one generation has.
#[tokio::test]
async fn connects_source_with_credentials() {
    const HELPDESK: Uuid = uuid!("6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e03");
    let site = Site::for_generation(Generation::Agents).await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    choose_template(&browser, HELPDESK).await;
    browser
        .fill("[name='/environment/subdomain']", "acme")
        .await;
    browser.click(CONNECT).await;
    browser.wait_for_text(ERRORS, "API token").await;
    browser.screenshots("credentials-errors").await;
    let token = "[name='/credentials/api_token']";
    let invalid = format!("{token}[type=password][aria-invalid=true]");
    browser.element(&invalid).await;
    browser.fill(token, "of-the-form").await;
    browser.click(CONNECT).await;
    browser.wait_for_text(MESSAGE, "Connected.").await;

    open_widget(&browser).await;
    browser
        .click(&format!("[data-template='{HELPDESK}']"))
        .await;
    browser
        .fill("#field-credentials-api_token", "of-the-widget")
        .await;
    browser.click("#create").await;
    let id = browser.text("#created-id").await;

    let sources = site.airbyte.sources();
    let objects = |source: &Source| [source.credentials.clone(), source.environment.clone()];
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(sources.len(), 2);
    assert_eq!(
        objects(&sources[0]),
        [
            some(r#"{"api_token":"of-the-form"}"#),
            some(r#"{"subdomain":"acme"}"#)
        ]
    );
    assert_eq!(
        objects(&sources[1]),
        [some(r#"{"api_token":"of-the-widget"}"#), None]
    );
    assert_eq!(sources[1].id.to_string(), id);
}

#[tokio::test]
async fn blocks_page_on_unlisted_origin() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    // The issuer does not block it: anyone can sign in there.
    sign_in(&browser, site.outside_page(), "alice").await;

    browser.click("#open-widget").await;
    browser.wait_for_text("#widget-message", UNREACHABLE).await;
    choose_faker(&browser).await;
    browser.click(CONNECT).await;
    browser.wait_for_text(MESSAGE, UNREACHABLE).await;
    browser.screenshots("outside-origin").await;

    // Its scripts cannot read any response either, with a preflight or without.
    let attempts = "const { apiUrl, issuerUrl } = await (await fetch('/config.json')).json();
        const authorization = `Bearer ${await (await fetch(`${issuerUrl}/token?sub=alice`)).text()}`;
        const body = JSON.stringify(args);
        const requests = ['/token', '/sources'].flatMap((path) => [
            [path, { headers: { authorization, 'content-type': 'application/json' }, body }],
            [path, { headers: { 'content-type': 'text/plain' }, body }],
            [path, {}],
        ]);
        const attempt = ([path, options]) => fetch(apiUrl + path, { method: 'POST', ...options })
            .then(({ status }) => status, (error) => error.name);
        return Promise.all(requests.map(attempt));";
    let results = browser.run(attempts, e2e::faker_source()).await;
    assert_eq!(results, Ok(json!(vec!["TypeError"; 6])));
    assert!(
        site.airbyte.requests().is_empty(),
        "nothing reached Airbyte"
    );
}

#[tokio::test]
async fn lets_allowed_page_read_every_kind_of_error() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;

    let attempts = "const { createClient } = await import('/airbyte-embedded-web/index.js');
        const { apiUrl, issuerUrl } = await (await fetch('/config.json')).json();
        const accessToken = await (await fetch(`${issuerUrl}/token?sub=alice`)).text();
        const client = (token) => createClient({ apiUrl, getAccessToken: () => token });
        const error = (promise) => promise.then(
            () => 'no error',
            ({ name, status, type, errors }) => [name, status, type, errors?.map(({ pointer }) => pointer).sort()],
        );
        const create = (templateId, configuration) => client(accessToken).createSource({ templateId, configuration });
        return [
            await error(client('no access token').mintToken()),
            await error(create('no UUID', [])),
            await error(create(args, { count: 'many' })),
        ];";
    let results = browser.run(attempts, json!(FAKER)).await;
    let expected = json!([
        ["ProblemError", 401, "unauthenticated", []],
        [
            "ProblemError",
            400,
            "invalid-request",
            ["/connection_configuration", "/source_config_template_id"]
        ],
        [
            "ProblemError",
            422,
            "source-rejected",
            ["/connection_configuration/count"]
        ],
    ]);
    assert_eq!(results, Ok(expected));
}

#[tokio::test]
async fn binds_tokens_to_origin_of_their_page() {
    let site = Site::start().await;
    let (first, second) = tokio::join!(Browser::open(), Browser::open());
    tokio::join!(
        sign_in(&first, site.page(), "alice"),
        sign_in(&second, site.other_page(), "bob")
    );
    // The handshake succeeds on both pages: each token is bound to the origin of its own page.
    tokio::join!(open_widget(&first), open_widget(&second));
    let mut origins = allowed_origins(&site.airbyte);
    origins.sort();
    let mut pages = [site.page(), site.other_page()];
    pages.sort_unstable();
    assert_eq!(origins, pages);

    // A token of the first page does not work on the second one: the page at its `widgetUrl` talks to the first only.
    first.leave_frame().await;
    second.leave_frame().await;
    let mint = "const { createClient } = await import('/airbyte-embedded-web/index.js');
        const { apiUrl, issuerUrl } = await (await fetch('/config.json')).json();
        const accessToken = await (await fetch(`${issuerUrl}/token?sub=alice`)).text();
        return createClient({ apiUrl, getAccessToken: () => accessToken }).mintToken();";
    let of_first_page = first.run(mint, Value::Null).await.unwrap();
    let _ = second.console().await;
    let open = "document.querySelector('dialog').close();
        const { openWidget } = await import('/airbyte-embedded-web/widget.js');
        await openWidget({ client: { mintToken: async () => args } });";
    second.run(open, of_first_page).await.unwrap();
    let asked_the_first = format!("('{}')", site.page());
    second.wait_for_console(&asked_the_first).await;
    second.enter_frame(WIDGET).await;
    assert_eq!(second.text("#waiting").await, "Connecting…");
}

#[tokio::test]
async fn shows_problem_with_advice_and_reference() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    let refusal =
        FaultKind::Respond(CannedResponse::new(500).json(&json!({ "message": "broken" })));
    site.airbyte.inject(Fault::new(Route::WidgetToken, refusal));

    browser.click("#open-widget").await;
    browser
        .element("#widget-message[data-kind=error] code")
        .await;
    browser.screenshots("problem").await;
    browser
        .wait_until_gone("#open-widget[aria-busy=true]")
        .await;
}

#[tokio::test]
async fn marks_button_busy_while_request_is_pending() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    site.airbyte
        .inject(Fault::new(Route::WidgetToken, FaultKind::Delay(Duration::from_secs(4))).times(1));

    browser.click("#open-widget").await;
    browser.element("#open-widget[aria-busy=true]").await;
    browser.click("#open-widget").await;
    browser.screenshots("loading").await;
    browser.element(WIDGET).await;
    assert_eq!(
        requests(&site.airbyte, Route::WidgetToken).len(),
        1,
        "the second click did nothing"
    );
}

#[tokio::test]
async fn leaves_nothing_on_page_when_session_ends() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    open_widget(&browser).await;
    browser.click("#close").await;
    browser.leave_frame().await;
    browser.wait_for_text("#events", CLOSED).await;
    choose_template(&browser, POSTGRES).await;
    browser.fill(&field("host"), "typed-host").await;
    browser.fill(&field("password"), "typed-password").await;
    let a_day_later = "const now = Date.now; Date.now = () => now() + 86_400_000;";
    browser.run(a_day_later, Value::Null).await.unwrap();

    browser.click(CONNECT).await;
    browser
        .wait_for_text("#session-message", "Your session has ended.")
        .await;
    browser.screenshots("session-ended").await;
    let left = "const values = [...document.querySelectorAll('input, textarea')].map(({ value }) => value);
        const page = document.body.textContent + document.body.innerHTML + values.join();
        return ['typed-host', 'typed-password', 'Widget closed'].filter((text) => page.includes(text))";
    assert_eq!(browser.run(left, Value::Null).await, Ok(json!([])));

    browser.click("#sign-in-form button").await;
    choose_faker(&browser).await;
    browser.click(CONNECT).await;
    browser.wait_for_text(MESSAGE, "Connected.").await;
}

#[tokio::test]
async fn shows_nothing_of_previous_user() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    choose_template(&browser, POSTGRES).await;
    browser.fill(&field("password"), "s3cret").await;
    open_widget(&browser).await;
    browser.click("#close").await;
    browser.leave_frame().await;
    browser.wait_for_text("#events", CLOSED).await;

    change_user(&browser, "bob").await;
    browser.element("#no-events").await;
    let password = browser.element(&field("password")).await;
    let value = password.prop("value").await.unwrap();
    assert_eq!(value.as_deref(), Some(""));
}

#[tokio::test]
async fn drops_pending_requests_of_previous_user() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    let slow = |route| Fault::new(route, FaultKind::Delay(Duration::from_secs(4))).times(1);
    let workspace = |user| site.airbyte.workspace_of(Config::ORGANIZATION_ID, user);
    let workspace_of_source = |id: &str| {
        let sources = site.airbyte.sources();
        let source = sources.iter().find(|source| source.id.to_string() == id);
        source.map(|source| source.workspace_id)
    };

    sign_in(&browser, site.page(), "alice").await;
    site.airbyte.inject(slow(Route::WidgetToken));
    browser.click("#open-widget").await;
    browser.element("#open-widget[aria-busy=true]").await;
    change_user(&browser, "bob").await;
    open_widget(&browser).await;
    let id = create_in_widget(&browser).await;
    assert_eq!(workspace_of_source(&id), workspace("bob"));
    browser.click("#done").await;
    browser.leave_frame().await;
    browser.wait_until_gone("dialog").await;

    site.airbyte.inject(slow(Route::Sources));
    choose_faker(&browser).await;
    browser.click(CONNECT).await;
    browser.element(&format!("{CONNECT}[aria-busy=true]")).await;
    change_user(&browser, "carol").await;
    choose_faker(&browser).await;
    browser.click(CONNECT).await;
    let id = browser.text(&format!("{MESSAGE} code")).await;
    assert_eq!(workspace_of_source(&id), workspace("carol"));
}

#[tokio::test]
async fn shows_that_it_is_offline_and_keeps_input() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;
    browser.element("#sign-in-form").await;
    browser.set_offline(true).await;
    browser.wait_for_text("#offline", "You are offline.").await;
    browser.click("#sign-in-form button").await;
    browser.wait_for_text("#sign-in-message", UNREACHABLE).await;
    browser.set_offline(false).await;
    browser.wait_until_gone("#offline").await;
    browser.click("#sign-in-form button").await;
    choose_faker(&browser).await;

    browser.set_offline(true).await;
    browser.wait_for_text("#offline", "You are offline.").await;
    browser.click(CONNECT).await;
    browser.wait_for_text(MESSAGE, UNREACHABLE).await;
    browser.click("#open-widget").await;
    browser.wait_for_text("#widget-message", UNREACHABLE).await;
    browser.screenshots("offline").await;
    browser.set_offline(false).await;
    browser.wait_until_gone("#offline").await;
    browser.click(CONNECT).await;
    browser.wait_for_text(MESSAGE, "Connected.").await;
    assert_eq!(site.airbyte.sources().len(), 1);
}
