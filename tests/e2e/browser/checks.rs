//! Checks of the package's modules in JavaScript, each with a simulated network and clock.

use e2e::{Browser, Site};
use serde_json::json;

/// Runs a file of checks in the demo page.
async fn run_checks(file: &str) {
    let site = Site::start().await;
    let browser = Browser::open().await;
    browser.go_to(site.page()).await;
    browser.element("#sign-in-form").await;
    let script = [include_str!("support.js"), file, include_str!("report.js")].concat();

    let report = browser
        .run(&script, json!({ "airbyteUrl": site.airbyte.url() }))
        .await
        .unwrap();

    assert_eq!(report["failed"], json!([]));
    assert_ne!(report["passed"], json!([]), "no check ran");
}

#[tokio::test]
async fn passes_checks_of_client() {
    run_checks(include_str!("client.js")).await;
}

#[tokio::test]
async fn passes_checks_of_form() {
    run_checks(include_str!("form.js")).await;
}

#[tokio::test]
async fn passes_checks_of_widget() {
    run_checks(include_str!("widget.js")).await;
}
