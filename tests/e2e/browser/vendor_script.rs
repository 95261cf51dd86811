//! The demo page with Airbyte's widget script, which the page loads from another origin.

use e2e::{Browser, Generation, Site};
use serde_json::{Value, json};

use super::{CLOSED, WIDGET, create_in_widget, open_widget, sign_in};

e2e::test_each_generation!(connects_source_with_vendor_script);

async fn connects_source_with_vendor_script(generation: Generation) {
    let site = Site::with_vendor_script(generation).await;
    let browser = Browser::open().await;
    sign_in(&browser, site.page(), "alice").await;
    open_widget(&browser).await;
    let id = create_in_widget(&browser).await;
    browser.click("#done").await;
    browser.leave_frame().await;

    browser.wait_for_text("#events", &id).await;
    browser.wait_for_text("#events", "source created").await;
    browser.wait_for_text("#events", CLOSED).await;
    browser.wait_until_gone("dialog").await;
    assert_eq!(site.airbyte.sources()[0].id.to_string(), id);
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn stops_renewal_only_with_own_dialog() {
    let site = Site::with_vendor_script(Generation::Embedded).await;
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
    browser.wait_for_text("#events", CLOSED).await;
}

#[tokio::test]
async fn stops_waiting_for_script_after_abort() {
    let site = Site::with_vendor_script(Generation::Embedded).await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;
    let leave = "const { openVendorWidget } = await import('/vendor-widget.js');
        const client = { mintToken: async () => ({}) };
        document.head.append = () => {}; // the script never arrives
        const left = new AbortController();
        const options = { client, scriptUrl: '/widget.js', signal: left.signal };
        const opening = openVendorWidget(options).then(() => 'opened', ({ name }) => name);
        left.abort();
        return opening;";
    assert_eq!(
        browser.run(leave, Value::Null).await,
        Ok(json!("AbortError"))
    );
}

#[tokio::test]
async fn runs_script_only_with_matching_integrity() {
    let site = Site::with_vendor_script(Generation::Embedded).await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;

    let attempts = "const { openVendorWidget } = await import('/vendor-widget.js');
        const { createClient } = await import('/airbyte-embedded-web/index.js');
        const { apiUrl, issuerUrl, widgetScriptUrl } = await (await fetch('/config.json')).json();
        const accessToken = await (await fetch(`${issuerUrl}/token?sub=alice`)).text();
        const client = createClient({ apiUrl, getAccessToken: () => accessToken });
        const open = (scriptUrl, integrity) =>
            openVendorWidget({ client, scriptUrl, integrity }).then(() => 'opened', ({ message }) => message);
        const hash = async (text) => {
            const digest = new Uint8Array(await crypto.subtle.digest('SHA-384', new TextEncoder().encode(text)));
            return `sha384-${btoa(String.fromCharCode(...digest))}`;
        };
        return [
            await open('/no-such-script.js'),
            await open('/session.js'),
            await open(widgetScriptUrl.replace('1.0.0', '2.0.0')),
            await open(widgetScriptUrl, await hash('another script')),
            await open(widgetScriptUrl, await hash(args)),
        ];";
    let not_loaded = "The widget's script could not be loaded.";
    let not_the_widget = "The widget's script is not the one for <script> elements: it sets no AirbyteEmbeddedWidget.";
    assert_eq!(
        browser
            .run(attempts, json!(include_str!("vendor-script.js")))
            .await,
        Ok(json!([
            not_loaded,
            not_the_widget,
            not_loaded,
            not_loaded,
            "opened"
        ]))
    );
    browser.element(WIDGET).await;
}
