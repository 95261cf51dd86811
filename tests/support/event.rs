//! HTTP API events in payload format 2.0, as API Gateway sends them.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::binary::repository;

/// An event; begins as one of the files in `events/` and is changed from there.
#[derive(Clone, Debug)]
pub struct Event(Value);

impl Event {
    /// `POST /token` by user `user` from [`Environment::ORIGIN`](crate::Environment::ORIGIN), without a body.
    #[must_use]
    pub fn mint_token(user: &str) -> Event {
        Event::fixture("mint-token-jwt.json")
            .user(user)
            .origin("https://app.example.com")
            .no_body()
    }

    /// `POST /sources` by user `user` from [`Environment::ORIGIN`](crate::Environment::ORIGIN), with this body.
    #[must_use]
    pub fn create_source(user: &str, body: &Value) -> Event {
        Event::fixture("create-source-jwt.json")
            .user(user)
            .origin("https://app.example.com")
            .json(body)
    }

    /// A file of `events/`.
    ///
    /// # Panics
    /// When it is not there or not JSON.
    #[must_use]
    pub fn fixture(name: &str) -> Event {
        let path = repository().join("events").join(name);
        let text =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Event(
            serde_json::from_slice(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        )
    }

    /// A JWT caller whose `sub` is `user`.
    #[must_use]
    pub fn user(self, user: &str) -> Event {
        self.claims(&json!({
            "aud": "client-1",
            "exp": "1893456000",
            "iss": "https://issuer.example.com/",
            "sub": user,
        }))
    }

    /// A JWT caller with these claims.
    #[must_use]
    pub fn claims(self, claims: &Value) -> Event {
        self.authorizer(&json!({ "jwt": { "claims": claims, "scopes": null } }))
    }

    /// A caller with an IAM signature: a backend's role.
    #[must_use]
    pub fn iam(self) -> Event {
        self.authorizer(&json!({ "iam": {
            "accessKey": "ASIAIOSFODNN7EXAMPLE",
            "accountId": "123456789012",
            "callerId": "AROAIOSFODNN7EXAMPLE:backend",
            "cognitoIdentity": null,
            "principalOrgId": "o-a1b2c3d4e5",
            "userArn": "arn:aws:sts::123456789012:assumed-role/backend/backend",
            "userId": "AROAIOSFODNN7EXAMPLE:backend",
        } }))
    }

    /// `requestContext.authorizer` as given.
    #[must_use]
    pub fn authorizer(mut self, authorizer: &Value) -> Event {
        self.0["requestContext"]["authorizer"] = authorizer.clone();
        self
    }

    /// A request that no authorizer has seen.
    #[must_use]
    pub fn no_authorizer(mut self) -> Event {
        self.0["requestContext"]
            .as_object_mut()
            .expect("a request context")
            .remove("authorizer");
        self
    }

    /// Whether an authorizer has seen it.
    #[must_use]
    pub fn has_authorizer(&self) -> bool {
        self.0["requestContext"].get("authorizer").is_some()
    }

    /// The `Origin` header.
    #[must_use]
    pub fn origin(self, origin: &str) -> Event {
        self.header("origin", origin)
    }

    /// No `Origin` header: not a browser.
    #[must_use]
    pub fn no_origin(mut self) -> Event {
        self.headers().remove("origin");
        self
    }

    /// A header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Event {
        self.headers().insert(name.to_owned(), json!(value));
        self
    }

    /// A body as text.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Event {
        self.0["body"] = json!(body.into());
        self.0["isBase64Encoded"] = json!(false);
        self
    }

    /// A JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Event {
        self.body(body.to_string())
    }

    /// A body that API Gateway took for binary.
    #[must_use]
    pub fn base64_body(self, body: &[u8]) -> Event {
        self.raw_base64_body(&BASE64_STANDARD.encode(body))
    }

    /// A body said to be base64, as given.
    #[must_use]
    pub fn raw_base64_body(mut self, body: &str) -> Event {
        self.0["body"] = json!(body);
        self.0["isBase64Encoded"] = json!(true);
        self
    }

    /// No body.
    #[must_use]
    pub fn no_body(mut self) -> Event {
        self.0.as_object_mut().expect("an event").remove("body");
        self.0["isBase64Encoded"] = json!(false);
        self
    }

    /// The event as JSON, to change it in other ways.
    #[must_use]
    pub fn into_json(self) -> Value {
        self.0
    }

    fn headers(&mut self) -> &mut serde_json::Map<String, Value> {
        self.0["headers"].as_object_mut().expect("headers")
    }
}

/// An event that was changed as JSON.
impl From<Value> for Event {
    fn from(event: Value) -> Event {
        Event(event)
    }
}

/// The event as it is handed to a function.
impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A body of `POST /sources` for the simulator's "Faker" template, with a whole configuration.
#[must_use]
pub fn faker_source() -> Value {
    json!({ "source_config_template_id": FAKER, "connection_configuration": { "count": 10 } })
}

/// The simulator's template "Faker", which requires `count`.
pub const FAKER: Uuid = Uuid::from_u128(0x6e4c_9d0a_1b7f_4f0e_9a53_2f6b_8c1d_7e02);
/// The simulator's template "Postgres", which requires `host`, `database`, `username` and `password`.
pub const POSTGRES: Uuid = Uuid::from_u128(0x6e4c_9d0a_1b7f_4f0e_9a53_2f6b_8c1d_7e01);
