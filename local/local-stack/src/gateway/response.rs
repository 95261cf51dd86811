//! The HTTP response that a function's result stands for, in payload format 2.0.
//!
//! The result is read more leniently than by `aws_lambda_events::ApiGatewayV2httpResponse`, which requires `cookies`, and
//! rejects a `statusCode` that is a string and a header that is a number. API Gateway accepts all of these.

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Headers of the connection, which API Gateway sets itself.
const CONNECTION_HEADERS: [HeaderName; 5] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// The name under which API Gateway passes on a function's `www-authenticate`.
///
/// Documented for REST APIs and reported for an HTTP API; unverified otherwise.
const REMAPPED_WWW_AUTHENTICATE: HeaderName =
    HeaderName::from_static("x-amzn-remapped-www-authenticate");

/// A result that has a `statusCode`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explicit {
    status_code: Value,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// Returns the response that a function's result stands for. The error describes what is wrong with the result.
///
/// Unverified on AWS, and decided here: an explicit response with a body and no `content-type` is `text/plain`.
pub(super) fn from_result(result: &[u8]) -> Result<Response, String> {
    let value: Value =
        serde_json::from_slice(result).map_err(|error| format!("not valid JSON: {error}"))?;
    if value.get("statusCode").is_some() {
        let explicit = Explicit::deserialize(value)
            .map_err(|error| format!("not in payload format 2.0: {error}"))?;
        return from_explicit(explicit);
    }
    // Anything else is the body of a 200.
    let body = match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

fn from_explicit(explicit: Explicit) -> Result<Response, String> {
    let body = explicit.body.unwrap_or_default();
    let body = if explicit.is_base64_encoded == Some(true) {
        STANDARD
            .decode(body)
            .map_err(|error| format!("`body` is not valid base64: {error}"))?
    } else {
        body.into_bytes()
    };
    let has_body = !body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status(&explicit.status_code)?;

    let headers = response.headers_mut();
    for (name, value) in explicit.headers.unwrap_or_default() {
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return Err(format!("header `{name}` is not a string")),
        };
        let header_name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name:?} is not a header name"))?;
        let text = HeaderValue::from_str(&text)
            .map_err(|_| format!("header `{name}` contains an invalid character"))?;
        if header_name == header::WWW_AUTHENTICATE {
            headers.insert(REMAPPED_WWW_AUTHENTICATE, text);
        } else if !CONNECTION_HEADERS.contains(&header_name) {
            headers.insert(header_name, text);
        }
    }
    for cookie in explicit.cookies.unwrap_or_default() {
        let cookie = HeaderValue::from_str(&cookie)
            .map_err(|_| "a cookie contains an invalid character".to_owned())?;
        headers.append(header::SET_COOKIE, cookie);
    }
    if has_body && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
    }
    Ok(response)
}

fn status(code: &Value) -> Result<StatusCode, String> {
    let number = match code {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .and_then(|number| StatusCode::from_u16(number).ok())
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| format!("`statusCode` is {code}"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    /// Status, headers (name: value, sorted) and body of the response.
    async fn response(result: Value) -> (u16, Vec<String>, String) {
        let (head, body) = from_result(result.to_string().as_bytes())
            .unwrap()
            .into_parts();
        let mut headers: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let body = body.collect().await.unwrap().to_bytes();
        (
            head.status.as_u16(),
            headers,
            String::from_utf8(body.into()).unwrap(),
        )
    }

    #[tokio::test]
    async fn sends_explicit_response() {
        let result = json!({
            "statusCode": 201,
            "headers": {
                "Content-Type": "application/json",
                "X-Number": 7,
                "Content-Length": "99",
                "WWW-Authenticate": "Bearer",
            },
            "cookies": ["a=1", "b=2"],
            "body": "{}",
        });
        let headers = [
            "content-type: application/json",
            "set-cookie: a=1",
            "set-cookie: b=2",
            "x-amzn-remapped-www-authenticate: Bearer",
            "x-number: 7",
        ];
        assert_eq!(
            response(result).await,
            (201, headers.map(str::to_owned).into(), "{}".to_owned())
        );
    }

    #[tokio::test]
    async fn decodes_base64_body() {
        let result = json!({"statusCode": "200", "body": "aGk=", "isBase64Encoded": true});
        let headers = vec!["content-type: text/plain; charset=utf-8".to_owned()];
        assert_eq!(response(result).await, (200, headers, "hi".to_owned()));
    }

    #[tokio::test]
    async fn takes_json_without_status_for_200() {
        let headers = || vec!["content-type: application/json".to_owned()];
        assert_eq!(
            response(json!({"a": 1})).await,
            (200, headers(), "{\"a\":1}".to_owned())
        );
        assert_eq!(
            response(json!("hi")).await,
            (200, headers(), "hi".to_owned())
        );
        assert_eq!(
            response(Value::Null).await,
            (200, headers(), "null".to_owned())
        );
    }

    #[test]
    fn reports_invalid_results() {
        let cases = [
            (
                "{",
                "not valid JSON: EOF while parsing an object at line 1 column 1",
            ),
            (r#"{"statusCode": 99}"#, "`statusCode` is 99"),
            (r#"{"statusCode": null}"#, "`statusCode` is null"),
            (
                r#"{"statusCode": 200, "body": "*", "isBase64Encoded": true}"#,
                "`body` is not valid base64: Invalid symbol 42, offset 0.",
            ),
            (
                r#"{"statusCode": 200, "headers": {"a b": "c"}}"#,
                "\"a b\" is not a header name",
            ),
            (
                r#"{"statusCode": 200, "headers": {"a": "b\n"}}"#,
                "header `a` contains an invalid character",
            ),
            (
                r#"{"statusCode": 200, "headers": {"a": []}}"#,
                "header `a` is not a string",
            ),
        ];
        for (result, problem) in cases {
            assert_eq!(
                from_result(result.as_bytes()).unwrap_err(),
                problem,
                "{result}"
            );
        }
    }
}
