//! The React example, in React's development mode: effects run twice.

use std::time::{Duration, SystemTime};

use airbyte_sim::{CannedResponse, Fault, FaultKind, Options, Route};
use e2e::{Browser, Generation, Site, build_react_example, eventually, requests};
use serde_json::{Value, json};

use super::{WIDGET, create_in_widget, open_widget, shot};

const SOURCES: &str = "ul[aria-label='Connected sources']";

/// The console, without the hint that React prints in development mode.
async fn console(browser: &Browser) -> Vec<String> {
    let mut lines = browser.console().await;
    lines.retain(|line| !line.contains("React DevTools"));
    lines
}

async fn sign_in(browser: &Browser, site: &Site) {
    browser.go_to(site.react_page()).await;
    browser.click("form button").await;
    browser.element("#open-widget").await;
}

e2e::test_each_generation!(connects_source_in_react_example);

async fn connects_source_in_react_example(generation: Generation) {
    build_react_example().await;
    let site = Site::for_generation(generation).await;
    let browser = Browser::open().await;
    sign_in(&browser, &site).await;
    open_widget(&browser).await;
    browser.leave_frame().await;
    browser.screenshots(&shot(generation, "react-widget")).await;
    browser.enter_frame(WIDGET).await;
    let id = create_in_widget(&browser).await;
    browser.click("#done").await;
    browser.leave_frame().await;

    browser.wait_for_text(SOURCES, &id).await;
    browser.wait_until_gone("dialog").await;
    assert_eq!(site.airbyte.sources()[0].id.to_string(), id);
    assert_eq!(requests(&site.airbyte, Route::WidgetToken).len(), 1);
    browser.screenshots(&shot(generation, "react")).await;
    // It opens again.
    open_widget(&browser).await;
    browser.leave_frame().await;
    assert_eq!(console(&browser).await, [""; 0]);
}

#[tokio::test]
async fn closes_widget_when_component_unmounts() {
    build_react_example().await;
    let site = Site::with(Options {
        scoped_token_lifetime: Duration::from_secs(4),
        ..Options::default()
    })
    .await;
    let browser = Browser::open().await;
    sign_in(&browser, &site).await;
    open_widget(&browser).await;
    browser.leave_frame().await;
    // The dialog covers the page: a click of the mouse does not reach the button.
    let sign_out = "document.querySelector('#sign-out').click()";
    browser.run(sign_out, Value::Null).await.unwrap();

    browser.wait_until_gone("dialog").await;
    let minted = requests(&site.airbyte, Route::WidgetToken).len();
    let end = SystemTime::now() + Duration::from_secs(4);
    eventually("the token's end", || SystemTime::now() > end).await;
    assert_eq!(requests(&site.airbyte, Route::WidgetToken).len(), minted);
    assert_eq!(console(&browser).await, [""; 0]);
}

#[tokio::test]
async fn unmounts_while_widget_opens() {
    build_react_example().await;
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, &site).await;
    let slow = FaultKind::Delay(Duration::from_secs(2));
    site.airbyte
        .inject(Fault::new(Route::WidgetToken, slow).times(1));
    browser.click("#open-widget").await;
    browser.element("#open-widget[aria-busy=true]").await;
    browser.click("#sign-out").await;
    browser.click("form button").await;

    open_widget(&browser).await;
    browser.leave_frame().await;
    let dialogs = "return document.querySelectorAll('dialog').length";
    assert_eq!(browser.run(dialogs, Value::Null).await, Ok(json!(1)));
}

#[tokio::test]
async fn shows_error_of_hook() {
    build_react_example().await;
    let site = Site::start().await;
    let browser = Browser::open().await;
    sign_in(&browser, &site).await;
    let broken = FaultKind::Respond(CannedResponse::new(500).json(&json!({ "message": "broken" })));
    site.airbyte
        .inject(Fault::new(Route::WidgetToken, broken).times(1));
    browser.click("#open-widget").await;

    browser.element("[role=alert]").await;
    browser.element("#open-widget[aria-busy=false]").await;
    browser.screenshots("react-error").await;
    open_widget(&browser).await;
    browser.leave_frame().await;
    browser.wait_until_gone("[role=alert]").await;
}
