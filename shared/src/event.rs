//! The API Gateway event: an HTTP request in payload format 2.0.
//!
//! Only what the functions use is read, and leniently: a strange event is answered like any other bad request instead of
//! failing the invocation. (`lambda_http` panics on a body that is not base64 although the event says so, and refuses
//! events with unknown shapes.)
//! Source: AWS, "Create AWS Lambda proxy integrations for HTTP APIs".

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;
use serde_json::value::RawValue;

/// An HTTP request as API Gateway hands it to the function.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpEvent {
    /// The few headers that matter.
    pub headers: Headers,
    /// What API Gateway says about the request, the caller above all.
    pub request_context: RequestContext,
    /// The body as text, or base64 of it.
    pub body: Option<String>,
    /// Whether `body` is base64. The content type says nothing about it.
    pub is_base64_encoded: bool,
}

/// The part of an event's `requestContext` that is used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestContext {
    /// What an authorizer found out about the caller; see [`crate::caller`].
    pub authorizer: Value,
    /// API Gateway's id of the request, which its access log has.
    pub request_id: Option<String>,
}

/// The headers that matter. Names come in lower case, repeated headers joined by commas.
#[derive(Debug, Default)]
pub struct Headers {
    /// `Origin` (RFC 6454, section 7).
    pub origin: Option<String>,
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OriginOnly;
        impl<'de> Visitor<'de> for OriginOnly {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Headers, E> {
                Ok(Headers::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut origin: Option<String> = None;
                while let Some(name) = map.next_key::<Name>()? {
                    if name.0 {
                        let value: String = map.next_value()?;
                        // Twice the same header is no valid origin, however it got here.
                        match &mut origin {
                            None => origin = Some(value),
                            Some(first) => {
                                first.push(',');
                                first.push_str(&value);
                            }
                        }
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Headers { origin })
            }
        }
        deserializer.deserialize_any(OriginOnly)
    }
}

/// Whether a header's name is `origin`, without keeping it.
struct Name(bool);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IsOrigin;
        impl Visitor<'_> for IsOrigin {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a header's name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
                Ok(Name(name.eq_ignore_ascii_case("origin")))
            }
        }
        deserializer.deserialize_str(IsOrigin)
    }
}

/// Any event at all: `Err` holds what is not an HTTP event, so that it can be answered.
#[derive(Debug)]
pub struct Event(pub Result<HttpEvent, NotAnHttpEvent>);

/// The event is not an HTTP request in payload format 2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnHttpEvent;

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Box<RawValue> = Deserialize::deserialize(deserializer)?;
        // serde would fill the members from an array, too, in their order.
        if !raw.get().starts_with('{') {
            return Ok(Self(Err(NotAnHttpEvent)));
        }
        Ok(Self(
            serde_json::from_str(raw.get()).map_err(|_| NotAnHttpEvent),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn event(value: &Value) -> Result<HttpEvent, NotAnHttpEvent> {
        serde_json::from_str::<Event>(&value.to_string()).unwrap().0
    }

    #[test]
    fn what_matters_is_read_and_the_rest_is_not_looked_at() {
        let event = event(&json!({
            "version": "2.0",
            "headers": {"host": "x", "origin": "https://app.example.com", "cookie": "a=b"},
            "requestContext": {"authorizer": {"jwt": {"claims": {"sub": "alice"}}}, "requestId": "J=", "http": 7},
            "body": "e30=",
            "isBase64Encoded": true,
            "cookies": "strange",
        }))
        .unwrap();
        assert_eq!(
            event.headers.origin.as_deref(),
            Some("https://app.example.com")
        );
        assert_eq!(
            event.request_context.authorizer["jwt"]["claims"]["sub"],
            "alice"
        );
        assert_eq!(event.request_context.request_id.as_deref(), Some("J="));
        assert_eq!(
            (event.body.as_deref(), event.is_base64_encoded),
            (Some("e30="), true)
        );
    }

    #[test]
    fn two_origin_headers_do_not_become_one() {
        let event =
            r#"{"headers": {"origin": "https://a.example", "Origin": "https://b.example"}}"#;
        let event = serde_json::from_str::<Event>(event).unwrap().0.unwrap();
        assert_eq!(
            event.headers.origin.as_deref(),
            Some("https://a.example,https://b.example")
        );
    }

    #[test]
    fn an_event_without_anything_is_a_request_without_anything() {
        for value in [json!({}), json!({"headers": null, "body": null})] {
            let event = event(&value).unwrap();
            assert!(event.headers.origin.is_none() && event.body.is_none());
            assert!(event.request_context.authorizer.is_null());
        }
    }

    #[test]
    fn other_events_are_said_to_be_none_of_ours() {
        for value in [
            json!("text"),
            json!([1]),
            json!([{}, {}, "body", false]),
            json!({"body": 7}),
            json!({"headers": {"origin": 1}}),
        ] {
            assert_eq!(event(&value).unwrap_err(), NotAnHttpEvent, "of {value}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let name = prop_oneof![
            Just("headers".to_owned()),
            Just("origin".to_owned()),
            Just("requestContext".to_owned()),
            Just("authorizer".to_owned()),
            Just("body".to_owned()),
            Just("isBase64Encoded".to_owned()),
            any::<String>(),
        ];
        leaf.prop_recursive(5, 48, 6, move |element| {
            prop_oneof![
                prop::collection::vec(element.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), element, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_json_comes_is_an_event_or_said_to_be_none(value in json()) {
            let event = event(&value);
            prop_assert!(event.is_err() || value.is_object());
            if let Ok(event) = event {
                prop_assert_eq!(event.body.as_deref(), value.get("body").and_then(Value::as_str));
            }
        }
    }
}
