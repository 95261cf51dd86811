//! The event that a function is invoked with, in payload format 2.0.
//!
//! The types are not those of `aws_lambda_events`, because these do not serialize to what API Gateway sends:
//! `ApiGatewayV2httpRequest` adds `httpMethod: "GET"` and five null fields, and leaves out `scopes` where API Gateway sends
//! null.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::Serialize;
use serde_json::{Map, Value};
use template::ACCOUNT;
use time::OffsetDateTime;
use time::macros::format_description;

use super::authorizer::Verified;

/// The parts of an event.
pub(super) struct Source<'a> {
    pub(super) head: &'a Parts,
    pub(super) body: &'a Bytes,
    pub(super) route_key: &'a str,
    pub(super) path_parameters: BTreeMap<String, String>,
    pub(super) stage: &'a str,
    pub(super) request_id: &'a str,
    pub(super) caller_ip: IpAddr,
    pub(super) verified: Option<Verified>,
    pub(super) now: OffsetDateTime,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    version: &'static str,
    route_key: String,
    raw_path: String,
    raw_query_string: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    request_context: RequestContext,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    path_parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    account_id: &'static str,
    api_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<AuthorizerContext>,
    domain_name: String,
    domain_prefix: String,
    http: HttpContext,
    request_id: String,
    route_key: String,
    stage: String,
    time: String,
    /// In milliseconds.
    time_epoch: i128,
}

#[derive(Serialize)]
struct AuthorizerContext {
    jwt: JwtContext,
}

#[derive(Serialize)]
struct JwtContext {
    claims: BTreeMap<String, String>,
    /// Null where the route requires none.
    scopes: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpContext {
    method: String,
    path: String,
    protocol: String,
    source_ip: String,
    user_agent: String,
}

impl Event {
    pub(super) fn new(source: Source<'_>) -> Self {
        let Source {
            head, body, now, ..
        } = source;
        let raw_query_string = head.uri.query().unwrap_or_default();
        let host = text(&head.headers, header::HOST.as_str());
        let domain_name = head
            .uri
            .host()
            .unwrap_or_else(|| without_port(&host))
            .to_owned();
        let path = head.uri.path().to_owned();
        let (body, is_base64_encoded) =
            encoded(body, &text(&head.headers, header::CONTENT_TYPE.as_str()));
        Self {
            version: "2.0",
            route_key: source.route_key.to_owned(),
            raw_path: path.clone(),
            raw_query_string: raw_query_string.to_owned(),
            cookies: cookies(&head.headers),
            headers: headers(&head.headers, source.caller_ip, now),
            query_string_parameters: joined(form_urlencoded::parse(raw_query_string.as_bytes())),
            request_context: RequestContext {
                account_id: ACCOUNT,
                api_id: "local",
                authorizer: source.verified.map(|verified| AuthorizerContext {
                    jwt: JwtContext {
                        claims: stringified(verified.claims),
                        scopes: verified.scopes,
                    },
                }),
                domain_prefix: domain_name.split('.').next().unwrap_or_default().to_owned(),
                domain_name,
                http: HttpContext {
                    method: head.method.to_string(),
                    path,
                    protocol: format!("{:?}", head.version),
                    source_ip: source.caller_ip.to_string(),
                    user_agent: text(&head.headers, header::USER_AGENT.as_str()),
                },
                request_id: source.request_id.to_owned(),
                route_key: source.route_key.to_owned(),
                stage: source.stage.to_owned(),
                time: now
                    .format(format_description!(
                        "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000"
                    ))
                    .unwrap_or_default(),
                time_epoch: now.unix_timestamp_nanos() / 1_000_000,
            },
            path_parameters: source.path_parameters,
            body,
            is_base64_encoded,
        }
    }
}

/// The request's headers, with those that API Gateway adds. Cookies have a place of their own.
fn headers(sent: &HeaderMap, caller_ip: IpAddr, now: OffsetDateTime) -> BTreeMap<String, String> {
    let mut headers = joined(
        sent.iter()
            .filter(|(name, _)| *name != header::COOKIE)
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))),
    );
    let forwarded = match headers.get("x-forwarded-for") {
        Some(before) => format!("{before}, {caller_ip}"),
        None => caller_ip.to_string(),
    };
    headers.insert("x-forwarded-for".to_owned(), forwarded);
    headers.insert("x-forwarded-proto".to_owned(), "http".to_owned());
    let port = headers
        .get("host")
        .and_then(|host| host.rsplit_once(':'))
        .map_or("80", |(_, port)| port)
        .to_owned();
    headers.insert("x-forwarded-port".to_owned(), port);
    headers
        .entry("x-amzn-trace-id".to_owned())
        .or_insert_with(|| {
            // Root=1-TIME-ID, where the id has 96 bits.
            format!(
                "Root=1-{:08x}-{:016x}{:08x}",
                now.unix_timestamp(),
                fastrand::u64(..),
                fastrand::u32(..)
            )
        });
    headers
}

/// Joins the values of a name by commas.
fn joined<N: AsRef<str>, V: AsRef<str>>(
    pairs: impl Iterator<Item = (N, V)>,
) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs {
        joined
            .entry(name.as_ref().to_owned())
            .and_modify(|all| {
                all.push(',');
                all.push_str(value.as_ref());
            })
            .or_insert_with(|| value.as_ref().to_owned());
    }
    joined
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .map(|cookie| cookie.trim().to_owned())
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}

fn without_port(host: &str) -> &str {
    // The colons of an IPv6 address stand in brackets.
    host.rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'))
        .map_or(host, |(name, _)| name)
}

/// The body of the event, and whether it is base64. Only a body with a textual content type is passed on unchanged.
fn encoded(body: &Bytes, content_type: &str) -> (Option<String>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    match std::str::from_utf8(body) {
        Ok(text) if is_text(content_type) => (Some(text.to_owned()), false),
        _ => (Some(STANDARD.encode(body)), true),
    }
}

/// Whether API Gateway takes a content type for textual. A missing one and that of a form are not.
fn is_text(content_type: &str) -> bool {
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind.starts_with("text/")
        || matches!(
            kind.as_str(),
            "application/json" | "application/javascript" | "application/xml"
        )
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
}

/// The claims as a function receives them: every value a string, nulls left out.
fn stringified(claims: Map<String, Value>) -> BTreeMap<String, String> {
    claims
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name, printed(&value)))
        .collect()
}

/// Prints a value as API Gateway does. Lists are `[a b]`; the form of objects is unverified.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(printed).collect::<Vec<_>>().join(" ")
        ),
        Value::Object(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| format!("{key}:{}", printed(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    fn event(request: Request<&'static [u8]>, verified: Option<Verified>) -> Value {
        let (head, body) = request.into_parts();
        let event = Event::new(Source {
            head: &head,
            body: &Bytes::from_static(body),
            route_key: "POST /token",
            path_parameters: BTreeMap::new(),
            stage: "$default",
            request_id: "id=",
            caller_ip: IpAddr::from([127, 0, 0, 1]),
            verified,
            now: datetime!(2026-03-12 19:03:58.25 UTC),
        });
        serde_json::to_value(event).unwrap()
    }

    #[test]
    fn builds_whole_payload_format() {
        let request = Request::post("/token?a=1&b=x%20y&a=2")
            .header("Host", "localhost:3000")
            .header("Content-Type", "application/json")
            .header("User-Agent", "curl/8")
            .header("X-Many", "1")
            .header("X-Many", "2")
            .header("Cookie", "k=v; l=w")
            .header("X-Amzn-Trace-Id", "Root=1-0-0")
            .body(&b"{\"a\": 1}"[..])
            .unwrap();
        let claims = json!({"sub": "alice"}).as_object().unwrap().clone();
        let expected = json!({
            "version": "2.0",
            "routeKey": "POST /token",
            "rawPath": "/token",
            "rawQueryString": "a=1&b=x%20y&a=2",
            "cookies": ["k=v", "l=w"],
            "headers": {
                "host": "localhost:3000",
                "content-type": "application/json",
                "user-agent": "curl/8",
                "x-many": "1,2",
                "x-amzn-trace-id": "Root=1-0-0",
                "x-forwarded-for": "127.0.0.1",
                "x-forwarded-port": "3000",
                "x-forwarded-proto": "http",
            },
            "queryStringParameters": {"a": "1,2", "b": "x y"},
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "local",
                "authorizer": {"jwt": {"claims": {"sub": "alice"}, "scopes": null}},
                "domainName": "localhost",
                "domainPrefix": "localhost",
                "http": {
                    "method": "POST",
                    "path": "/token",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": "curl/8",
                },
                "requestId": "id=",
                "routeKey": "POST /token",
                "stage": "$default",
                "time": "12/Mar/2026:19:03:58 +0000",
                "timeEpoch": 1_773_342_238_250_i64,
            },
            "body": "{\"a\": 1}",
            "isBase64Encoded": false,
        });
        assert_eq!(
            event(
                request,
                Some(Verified {
                    claims,
                    scopes: None
                })
            ),
            expected
        );
    }

    /// The keys of an object and of the objects in it, as paths. The names of headers and claims are data.
    fn keys(value: &Value) -> Vec<String> {
        fn collect(value: &Value, path: &str, keys: &mut Vec<String>) {
            for (key, inner) in value.as_object().into_iter().flatten() {
                let path = format!("{path}/{key}");
                if !matches!(key.as_str(), "headers" | "claims") {
                    collect(inner, &path, keys);
                }
                keys.push(path);
            }
        }
        let mut keys = Vec::new();
        collect(value, "", &mut keys);
        keys.sort();
        keys
    }

    #[test]
    fn has_keys_of_example_event() {
        let example = include_str!("../../../../events/create-source-jwt.json");
        let request = Request::post("/sources")
            .header("Host", "localhost:3000")
            .header("Content-Type", "application/json")
            .body(&b"{}"[..])
            .unwrap();
        let verified = Verified {
            claims: Map::new(),
            scopes: None,
        };

        let event = event(request, Some(verified));

        assert_eq!(keys(&event), keys(&serde_json::from_str(example).unwrap()));
    }

    #[test]
    fn omits_absent_fields() {
        let event = event(
            Request::post("/token")
                .header("Host", "127.0.0.1")
                .body(&b""[..])
                .unwrap(),
            None,
        );
        for key in ["body", "cookies", "queryStringParameters", "pathParameters"] {
            assert_eq!(event.get(key), None, "{key}");
        }
        assert_eq!(event["requestContext"].get("authorizer"), None);
        assert_eq!(event["rawQueryString"], "");
        assert_eq!(event["headers"]["x-forwarded-port"], "80");
        let trace = event["headers"]["x-amzn-trace-id"].as_str().unwrap();
        assert_eq!(
            trace.len(),
            "Root=1-67891233-abcdef012345678912345678".len(),
            "{trace}"
        );
    }

    #[test]
    fn encodes_body_unless_content_type_is_text() {
        let body = Bytes::from_static(b"{}");
        for text in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            "image/svg+xml",
            "application/xml",
            "application/javascript",
            "text/plain",
        ] {
            assert_eq!(
                encoded(&body, text),
                (Some("{}".to_owned()), false),
                "{text}"
            );
        }
        for binary in [
            "",
            "application/x-www-form-urlencoded",
            "application/octet-stream",
            "multipart/form-data",
        ] {
            assert_eq!(
                encoded(&body, binary),
                (Some("e30=".to_owned()), true),
                "{binary}"
            );
        }
    }

    #[test]
    fn encodes_body_that_is_not_utf8() {
        assert_eq!(
            encoded(&Bytes::from_static(b"\xff"), "application/json"),
            (Some("/w==".to_owned()), true)
        );
    }

    #[test]
    fn prints_claims_as_strings() {
        let claims = json!({
            "sub": "alice", "exp": 1_700_000_000, "ratio": 0.5, "admin": true, "none": null,
            "roles": ["a", "b"], "levels": [1, 2], "address": {"city": "Ulm"},
        });
        let expected = [
            ("address", "map[city:Ulm]"),
            ("admin", "true"),
            ("exp", "1700000000"),
            ("levels", "[1 2]"),
            ("ratio", "0.5"),
            ("roles", "[a b]"),
            ("sub", "alice"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            stringified(claims.as_object().unwrap().clone()),
            BTreeMap::from(expected)
        );
    }
}
