//! The page that the widget's iframe shows. What it does is for a browser to test.

use crate::client::Request;
use crate::{airbyte, opaque, widget_token_request};

#[tokio::test]
async fn the_widgets_address_leads_to_the_page() {
    let airbyte = airbyte().await;
    let opaque = opaque(&widget_token_request("alice").send(&airbyte).await);
    let path = opaque["widgetUrl"]
        .as_str()
        .unwrap()
        .strip_prefix(&airbyte.url())
        .unwrap();

    let page = Request::get(path).send(&airbyte).await;

    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    for (file, content_type) in [
        ("page.js", "text/javascript; charset=utf-8"),
        ("page.css", "text/css; charset=utf-8"),
    ] {
        let file = format!("/embedded-widget/{file}");
        assert!(page.text().contains(&format!("\"{file}\"")), "{file}");
        let reply = Request::get(&file).send(&airbyte).await;
        assert_eq!(
            (reply.status, reply.headers["content-type"].as_str()),
            (200, content_type)
        );
    }
}

#[tokio::test]
async fn it_is_not_in_the_journal() {
    let airbyte = airbyte().await;
    Request::get("/embedded-widget?workspaceId=x&allowedOrigin=y")
        .send(&airbyte)
        .await;

    assert!(airbyte.requests().is_empty());
}
