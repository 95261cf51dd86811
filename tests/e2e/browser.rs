//! The demo page in a real browser: what a web page on an allowed origin can do, and that one on another origin cannot.
//!
//! The page, the gateway, the functions and the Airbyte simulator each have an origin of their own, so everything that
//! the page does crosses origins as it does in production. A test that shows a state of the page for the first time
//! leaves screenshots of it in `target/screenshots/`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use airbyte_sim::{Airbyte, CannedResponse, Fault, FaultKind, Options, Route};
use e2e::{Browser, Config, FAKER, POSTGRES, Site, eventually};
use fantoccini::key::Key;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exchange::{WIDGET_TOKEN, calls};

const WIDGET: &str = "dialog iframe";
const CONNECT: &str = "#source-form button.primary";
const UNREACHABLE: &str = "The service could not be reached.";

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

/// Opens the widget and goes on inside of it, where the templates are listed: the page's token has arrived and is good.
async fn open_widget(browser: &Browser) {
    browser.click("#open-widget").await;
    browser.enter_frame(WIDGET).await;
    browser.element("#templates button").await;
}

/// Inside of the widget: creates a source, and gives the id that the widget shows.
async fn create_in_widget(browser: &Browser) -> String {
    browser.click(&format!("[data-template='{FAKER}']")).await;
    browser.fill("#field-count", "10").await;
    browser.click("#create").await;
    browser.text("#created-id").await
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

/// The origins that Airbyte was told to bind tokens to, in order.
fn allowed_origins(airbyte: &Airbyte) -> Vec<String> {
    let origin = |body: Value| {
        body["allowedOrigin"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    calls(airbyte, WIDGET_TOKEN)
        .iter()
        .map(|exchange| origin(exchange.json().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_source_is_connected_with_the_widget() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;
    browser.element("#sign-in-form").await;
    browser.screenshots("sign-in").await;
    sign_in(&browser, site.page(), "alice").await;
    browser.screenshots("signed-in").await;

    open_widget(&browser).await;
    browser.leave_frame().await;
    browser.screenshots("widget").await;
    browser.enter_frame(WIDGET).await;
    let id = create_in_widget(&browser).await;
    browser.click("#done").await;
    browser.leave_frame().await;

    // The page was told of the source, and the dialog is gone.
    browser.wait_for_text("#events", &id).await;
    browser.wait_until_gone("dialog").await;
    browser.wait_for_text("#events", "Widget closed").await;
    browser.screenshots("widget-done").await;
    let sources = site.airbyte.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0].id.to_string(), id);
    let workspace = site.airbyte.workspace_of(Config::ORGANIZATION_ID, "alice");
    assert_eq!(Some(sources[0].workspace_id), workspace);
    assert_eq!(allowed_origins(&site.airbyte), [site.page()]);
}

#[tokio::test]
async fn the_keyboard_comes_back_to_where_the_widget_was_opened() {
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

#[tokio::test]
async fn the_page_keeps_and_prints_nothing() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    choose_faker(&browser).await;
    browser.click(CONNECT).await;
    browser.wait_for_text("#form-message", "Connected.").await;
    open_widget(&browser).await;
    create_in_widget(&browser).await;
    browser.click("#done").await;
    browser.leave_frame().await;
    browser.wait_until_gone("dialog").await;

    let stored = "return [localStorage.length, sessionStorage.length, document.cookie, (await caches.keys()).length]";
    assert_eq!(
        browser.run(stored, Value::Null).await,
        Ok(json!([0, 0, "", 0]))
    );
    // Neither a line of the page's own nor a breach of its Content-Security-Policy.
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn the_widget_gives_its_token_to_its_own_page_only() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    open_widget(&browser).await;
    browser.leave_frame().await;

    // The page itself asks; whatever comes before the answer to a message sent after that would be the widget's.
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

#[tokio::test]
async fn a_widget_left_open_keeps_working_because_its_token_is_renewed() {
    let lifetime = Duration::from_secs(8);
    let site = Site::with(Options {
        scoped_token_lifetime: lifetime,
        ..Options::default()
    })
    .await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    open_widget(&browser).await;
    let first_minted = calls(&site.airbyte, WIDGET_TOKEN)[0].at;
    let first_ends = UNIX_EPOCH + Duration::from_millis(first_minted) + lifetime;

    eventually("the first token's end", || SystemTime::now() > first_ends).await;

    let id = create_in_widget(&browser).await;
    assert_eq!(site.airbyte.sources()[0].id.to_string(), id);
    let minted = calls(&site.airbyte, WIDGET_TOKEN);
    assert!(minted.len() > 1, "the token was not renewed");
    let renewed = UNIX_EPOCH + Duration::from_millis(minted[1].at);
    assert!(renewed < first_ends, "the token was renewed after its end");
    // The widget never came to use a token that had ended: it was given a fresh one ahead of that.
    let refused = site
        .airbyte
        .requests()
        .into_iter()
        .filter(|exchange| exchange.status == Some(401))
        .count();
    assert_eq!(refused, 0);
}

#[tokio::test]
async fn a_closed_widget_is_not_renewed() {
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
    browser.wait_for_text("#events", "Widget closed").await;
    let minted = calls(&site.airbyte, WIDGET_TOKEN).len();

    let end = SystemTime::now() + Duration::from_secs(4);
    eventually("the token's end", || SystemTime::now() > end).await;
    assert_eq!(calls(&site.airbyte, WIDGET_TOKEN).len(), minted);
}

#[tokio::test]
async fn only_the_widgets_own_dialog_ends_the_renewal() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    open_widget(&browser).await;
    browser.leave_frame().await;

    let close_another =
        "const dialog = document.body.appendChild(document.createElement('dialog'));
        const closed = new Promise((resolve) => dialog.addEventListener('close', resolve));
        dialog.showModal();
        dialog.close();
        await closed;
        return document.querySelector('#events').textContent.includes('Widget closed');";
    assert_eq!(
        browser.run(close_another, Value::Null).await,
        Ok(json!(false))
    );
    browser.enter_frame(WIDGET).await;
    browser.click("#close").await;
    browser.leave_frame().await;
    browser.wait_for_text("#events", "Widget closed").await;
}

#[tokio::test]
async fn who_has_left_does_not_wait_for_the_widgets_script() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;
    let leave = "const { openWidget } = await import('/connect-widget.js');
        const client = { mintToken: async () => ({}) };
        document.head.append = () => {}; // the script never comes
        const left = new AbortController();
        const options = { client, scriptUrl: '/widget.js', signal: left.signal };
        const opening = openWidget(options).then(() => 'opened', ({ name }) => name);
        left.abort();
        return opening;";
    assert_eq!(
        browser.run(leave, Value::Null).await,
        Ok(json!("AbortError"))
    );
}

#[tokio::test]
async fn the_widgets_script_is_run_only_if_it_is_what_it_should_be() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;

    let attempts = "const { openWidget } = await import('/connect-widget.js');
        const { createClient } = await import('/airbyte-embedded.js');
        const { apiUrl, issuerUrl } = await (await fetch('/config.json')).json();
        const accessToken = await (await fetch(`${issuerUrl}/token?sub=alice`)).text();
        const client = createClient({ apiUrl, getAccessToken: () => accessToken });
        const open = (scriptUrl, integrity) =>
            openWidget({ client, scriptUrl, integrity, onToken() {} }).then(() => 'opened', ({ message }) => message);
        const hash = async (path) => {
            const bytes = await (await fetch(path)).arrayBuffer();
            const digest = new Uint8Array(await crypto.subtle.digest('SHA-384', bytes));
            return `sha384-${btoa(String.fromCharCode(...digest))}`;
        };
        return [
            await open('/no-such-script.js'),
            await open('/session.js'),
            await open('/widget.js', await hash('/session.js')),
            await open('/widget.js', await hash('/widget.js')),
        ];";
    let not_loaded = "The widget's script could not be loaded.";
    let not_the_widget = "The widget's script is not the one for <script> elements: it sets no AirbyteEmbeddedWidget.";
    assert_eq!(
        browser.run(attempts, Value::Null).await,
        Ok(json!([not_loaded, not_the_widget, not_loaded, "opened"]))
    );
    browser.element(WIDGET).await;
}

#[tokio::test]
async fn a_source_is_connected_with_the_form_after_its_errors_are_mended() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    choose_template(&browser, POSTGRES).await;
    browser.fill(&field("host"), "db.example.com").await;
    browser.press(&Key::Enter).await;

    browser
        .wait_for_text("#form-errors", "Please check what you entered.")
        .await;
    browser.screenshots("form-errors").await;
    let described = "return [...document.querySelectorAll('[aria-invalid=true]')].map((control) => [
        control.name,
        control.getAttribute('aria-describedby').split(' ').map((id) => document.getElementById(id))
            .filter((node) => node.className === 'field-error').map((node) => node.textContent).join(),
        document.querySelector(`#form-errors a[href='#${control.id}']`)?.textContent,
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
    browser.wait_for_text("#form-message", "Connected.").await;
    browser.screenshots("form-done").await;
    let sources = site.airbyte.sources();
    assert_eq!(
        browser.text("#form-message code").await,
        sources[0].id.to_string()
    );
    let configuration: Value = serde_json::from_str(&sources[0].connection_configuration).unwrap();
    let expected = json!({ "host": "db.example.com", "database": "shop", "username": "reader", "password": "s3cret" });
    assert_eq!(configuration, expected);
    // The credentials are not left on the page.
    let values = "return [...document.querySelectorAll('#template-fields input')].map(({ value }) => value).join('')";
    assert_eq!(browser.run(values, Value::Null).await, Ok(json!("")));
}

#[tokio::test]
async fn a_page_on_another_origin_is_kept_out_by_the_browser() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    // Anyone can sign in there: it is not the issuer that keeps it out.
    sign_in(&browser, site.outside_page(), "alice").await;

    browser.click("#open-widget").await;
    browser.wait_for_text("#widget-message", UNREACHABLE).await;
    choose_faker(&browser).await;
    browser.click(CONNECT).await;
    browser.wait_for_text("#form-message", UNREACHABLE).await;
    browser.screenshots("outside-origin").await;

    // Nor can its scripts read any answer: not with a preflight, and not with a request that needs none.
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
    let answers = browser.run(attempts, e2e::faker_source()).await;
    assert_eq!(answers, Ok(json!(vec!["TypeError"; 6])));
    assert!(
        site.airbyte.requests().is_empty(),
        "nothing reached Airbyte"
    );
}

#[tokio::test]
async fn an_allowed_page_can_read_every_kind_of_error() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;

    let attempts = "const { createClient } = await import('/airbyte-embedded.js');
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
    let answers = browser.run(attempts, json!(FAKER)).await;
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
    assert_eq!(answers, Ok(expected));
}

#[tokio::test]
async fn two_origins_are_served_at_once_each_with_tokens_of_its_own() {
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

    // A token of the first page is of no use on the second one: what shows it at widgetUrl talks to the first only.
    first.leave_frame().await;
    second.leave_frame().await;
    let mint = "const { createClient } = await import('/airbyte-embedded.js');
        const { apiUrl, issuerUrl } = await (await fetch('/config.json')).json();
        const accessToken = await (await fetch(`${issuerUrl}/token?sub=alice`)).text();
        return createClient({ apiUrl, getAccessToken: () => accessToken }).mintToken();";
    let of_first_page = first.run(mint, Value::Null).await.unwrap();
    let _ = second.console().await;
    let open = "document.querySelector('dialog').close();
        document.querySelector('dialog').remove();
        new AirbyteEmbeddedWidget(args).open();";
    second.run(open, of_first_page).await.unwrap();
    let asked_the_first = format!("('{}')", site.page());
    second.wait_for_console(&asked_the_first).await;
    second.enter_frame(WIDGET).await;
    assert_eq!(second.text("#waiting").await, "Connecting…");
}

#[tokio::test]
async fn a_problem_is_shown_with_what_to_do_and_what_to_quote() {
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
async fn a_button_is_busy_while_its_answer_is_awaited() {
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
        calls(&site.airbyte, WIDGET_TOKEN).len(),
        1,
        "the second click did nothing"
    );
}

#[tokio::test]
async fn an_ended_session_asks_to_sign_in_again_and_keeps_what_was_entered() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    choose_faker(&browser).await;
    let a_day_later = "const now = Date.now; Date.now = () => now() + 86_400_000; window.atLast = () => { Date.now = now; };";
    browser.run(a_day_later, Value::Null).await.unwrap();

    browser.click(CONNECT).await;
    browser
        .wait_for_text("#session-message", "Your session has ended.")
        .await;
    browser.screenshots("session-ended").await;
    browser.run("window.atLast()", Value::Null).await.unwrap();
    browser.click("#sign-in-form button").await;
    browser.click(CONNECT).await;
    browser.wait_for_text("#form-message", "Connected.").await;
    assert_eq!(
        site.airbyte.sources()[0].connection_configuration,
        r#"{"count":10}"#
    );
}

#[tokio::test]
async fn another_user_finds_nothing_of_the_one_before() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    choose_template(&browser, POSTGRES).await;
    browser.fill(&field("password"), "s3cret").await;
    open_widget(&browser).await;
    browser.click("#close").await;
    browser.leave_frame().await;
    browser.wait_for_text("#events", "Widget closed").await;

    change_user(&browser, "bob").await;
    browser.element("#no-events").await;
    assert_eq!(
        browser
            .element(&field("password"))
            .await
            .prop("value")
            .await
            .unwrap()
            .as_deref(),
        Some("")
    );
}

#[tokio::test]
async fn what_is_under_way_for_a_user_does_not_reach_the_next_one() {
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
    let id = browser.text("#form-message code").await;
    assert_eq!(workspace_of_source(&id), workspace("carol"));
}

#[tokio::test]
async fn being_offline_is_said_and_loses_nothing() {
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
    browser.wait_for_text("#form-message", UNREACHABLE).await;
    browser.click("#open-widget").await;
    browser.wait_for_text("#widget-message", UNREACHABLE).await;
    browser.screenshots("offline").await;
    browser.set_offline(false).await;
    browser.wait_until_gone("#offline").await;
    browser.click(CONNECT).await;
    browser.wait_for_text("#form-message", "Connected.").await;
    assert_eq!(site.airbyte.sources().len(), 1);
}

#[tokio::test]
async fn the_browser_client_keeps_its_promises() {
    let site = Site::start().await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;
    let checks = browser
        .run(include_str!("browser/client.js"), Value::Null)
        .await
        .unwrap();
    assert_eq!(checks["failed"], json!([]));
    assert!(
        checks["passed"]
            .as_array()
            .is_some_and(|passed| !passed.is_empty()),
        "no check ran"
    );
}
