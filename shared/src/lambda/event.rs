//! API Gateway events: HTTP requests in payload format 2.0.
//!
//! The event's types are those of `lambda_http`. Its own conversion panics on a URL that it cannot parse, and on a body
//! that the event declares as base64 and that is not. This conversion returns an error instead.
//! Source: AWS, "Create AWS Lambda proxy integrations for HTTP APIs".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::http::Uri;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _};
use serde_json::value::RawValue;

use crate::outcome::ProblemType;
use crate::problem::Problem;

/// An event that is not a readable HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The event is not an HTTP request in payload format 2.0.
    #[error("not an API Gateway event in payload format 2.0")]
    NotHttp,
    /// The event declares its body as base64, but it is not.
    #[error("body is not valid base64")]
    NotBase64,
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        let detail = match error {
            EventError::NotHttp => {
                "The event is not an HTTP request from API Gateway (payload format 2.0). Call the API's URL."
            }
            EventError::NotBase64 => {
                "The request body is not valid base64, although the event declares it so. Send JSON encoded as UTF-8."
            }
        };
        Self::new(ProblemType::InvalidRequest, detail)
    }
}

/// Parses an event into an HTTP request with its [`RequestContext`].
pub fn parse(event: &RawValue) -> Result<Request, EventError> {
    // `HeaderMap` panics beyond 32,768 headers. API Gateway sends no such event, but a principal that may invoke the function can.
    std::panic::catch_unwind(|| convert(event)).unwrap_or(Err(EventError::NotHttp))
}

fn convert(event: &RawValue) -> Result<Request, EventError> {
    // serde also fills a struct from an array, in the order of its fields.
    if !event.get().starts_with('{') {
        return Err(EventError::NotHttp);
    }
    let event: ApiGatewayV2httpRequest =
        serde_json::from_str(event.get()).map_err(|_| EventError::NotHttp)?;
    let body = match event.body {
        None => Body::Empty,
        Some(body) if event.is_base64_encoded => {
            Body::Binary(STANDARD.decode(body).map_err(|_| EventError::NotBase64)?)
        }
        Some(body) => Body::Text(body),
    };
    let mut request = Request::new(body);
    *request.method_mut() = event.request_context.http.method.clone();
    *request.uri_mut() = uri(event.raw_path, event.raw_query_string)?;
    *request.headers_mut() = event.headers;
    Ok(request.with_request_context(RequestContext::ApiGatewayV2(event.request_context)))
}

/// Returns the request's path and query.
fn uri(path: Option<String>, query: Option<String>) -> Result<Uri, EventError> {
    let mut uri = path.unwrap_or_else(|| "/".to_owned());
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        uri.push('?');
        uri.push_str(&query);
    }
    uri.parse().map_err(|_| EventError::NotHttp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn parse(event: &Value) -> Result<Request, EventError> {
        super::parse(&serde_json::value::to_raw_value(event).unwrap())
    }

    fn event(fields: Value) -> Value {
        let mut event = json!({
            "version": "2.0", "rawPath": "/token", "rawQueryString": "a=b%20c",
            "headers": {"origin": "https://app.example.com", "cookie": "a=b"},
            "requestContext": {
                "http": {"method": "POST"}, "requestId": "J=", "authorizer": {"jwt": {"claims": {"sub": "alice"}}},
            },
        });
        let (Value::Object(event_fields), Value::Object(fields)) = (&mut event, fields) else {
            unreachable!()
        };
        event_fields.extend(fields);
        event
    }

    #[test]
    fn parses_http_request_with_context() {
        let request = parse(&event(json!({"body": "{}"}))).unwrap();

        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "/token?a=b%20c");
        assert_eq!(request.headers()["origin"], "https://app.example.com");
        assert_eq!(request.body(), &Body::Text("{}".to_owned()));
        let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else {
            panic!("no context")
        };
        assert_eq!(context.request_id.as_deref(), Some("J="));
        let jwt = context.authorizer.as_ref().unwrap().jwt.as_ref().unwrap();
        assert_eq!(jwt.claims["sub"], "alice");
    }

    #[test]
    fn decodes_base64_only_where_declared() {
        for (fields, body) in [
            (
                json!({"body": "e30=", "isBase64Encoded": true}),
                Body::Binary(b"{}".to_vec()),
            ),
            (
                json!({"body": "e30=", "isBase64Encoded": false}),
                Body::Text("e30=".to_owned()),
            ),
            (json!({"body": null, "isBase64Encoded": true}), Body::Empty),
        ] {
            let request = parse(&event(fields.clone())).unwrap();
            assert_eq!(request.body(), &body, "{fields}");
        }
    }

    #[test]
    fn rejects_body_that_is_not_base64() {
        let error = parse(&event(json!({"body": "%%%", "isBase64Encoded": true})));
        assert_eq!(error.unwrap_err(), EventError::NotBase64);
    }

    #[test]
    fn rejects_other_events() {
        for event in [
            json!("text"),
            json!([1]),
            json!([{}, {}, "body", false]),
            json!({}),
            json!({"Records": []}),
            event(json!({"body": 7})),
            event(json!({"headers": {"origin": 1}})),
            event(json!({"rawPath": "/a b"})),
            event(json!({"requestContext": {"http": {"method": "POST"}, "authorizer": "alice"}})),
        ] {
            assert_eq!(parse(&event).unwrap_err(), EventError::NotHttp, "{event}");
        }
    }

    #[test]
    fn rejects_too_many_headers() {
        let headers: serde_json::Map<_, _> =
            (0..40_000).map(|n| (format!("x-{n}"), json!(""))).collect();
        let error = parse(&event(json!({ "headers": headers }))).unwrap_err();
        assert_eq!(error, EventError::NotHttp);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("headers".to_owned()),
            Just("origin".to_owned()),
            Just("rawPath".to_owned()),
            Just("requestContext".to_owned()),
            Just("authorizer".to_owned()),
            Just("body".to_owned()),
            Just("isBase64Encoded".to_owned()),
            any::<String>(),
        ];
        leaf.prop_recursive(5, 48, 6, move |element| {
            prop_oneof![
                prop::collection::vec(element.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), element, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn parses_any_json_without_panic(value in json(), path in any::<String>(), host in "\\PC*") {
            let _ = parse(&value);
            let _ = parse(&event(json!({"rawPath": path, "headers": {"host": host}, "body": value})));
        }
    }
}
