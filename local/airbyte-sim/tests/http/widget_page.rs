//! The page that the widget's iframe shows. Its behavior needs a browser, and is tested end to end.

use crate::client::Request;
use crate::{agents_widget_token_request, airbyte, opaque, widget_token_request};

#[tokio::test]
async fn serves_page_at_widget_url() {
    let airbyte = airbyte().await;

    for mint in [
        widget_token_request("alice"),
        agents_widget_token_request("alice"),
    ] {
        let opaque = opaque(&mint.send(&airbyte).await);
        let path = opaque["widgetUrl"]
            .as_str()
            .unwrap()
            .strip_prefix(&airbyte.url())
            .unwrap();

        let page = Request::get(path).send(&airbyte).await;

        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        for (file, content_type) in [
            ("/widget-page/page.js", "text/javascript; charset=utf-8"),
            ("/widget-page/page.css", "text/css; charset=utf-8"),
        ] {
            assert!(page.text().contains(&format!("\"{file}\"")), "{file}");
            let reply = Request::get(file).send(&airbyte).await;
            assert_eq!(
                (reply.status, reply.headers["content-type"].as_str()),
                (200, content_type)
            );
        }
    }
}

#[tokio::test]
async fn is_not_logged() {
    let airbyte = airbyte().await;
    for path in ["/embedded-widget", "/quick-start/widget"] {
        let query = "workspaceId=x&allowedOrigin=y";
        Request::get(&format!("{path}?{query}"))
            .send(&airbyte)
            .await;
    }

    assert!(airbyte.requests().is_empty());
}
