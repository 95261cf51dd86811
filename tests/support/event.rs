//! HTTP API events in payload format 2.0, as API Gateway sends them.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::binary::repository;
use crate::{Binary, Config};

/// An event: one of the files in `events/`, with changes.
#[derive(Clone, Debug)]
pub struct Event(Value);

impl Event {
    /// Creates a `POST /token` by `user` from [`Config::ORIGIN`](crate::Config::ORIGIN), without a body.
    #[must_use]
    pub fn mint_token(user: &str) -> Event {
        Event::fixture("mint-token-jwt.json")
            .user(user)
            .origin(Config::ORIGIN)
            .no_body()
    }

    /// Creates a `POST /sources` by `user` from [`Config::ORIGIN`](crate::Config::ORIGIN), with this body.
    #[must_use]
    pub fn create_source(user: &str, body: &Value) -> Event {
        Event::fixture("create-source-jwt.json")
            .user(user)
            .origin(Config::ORIGIN)
            .json(body)
    }

    /// Creates alice's valid `POST /token`.
    #[must_use]
    pub fn mint() -> Event {
        Event::mint_token("alice")
    }

    /// Creates alice's valid `POST /sources`.
    #[must_use]
    pub fn create() -> Event {
        Event::create_source("alice", &faker_source())
    }

    /// Creates alice's valid request for a function.
    #[must_use]
    pub fn valid(binary: Binary) -> Event {
        match binary {
            Binary::MintToken => Event::mint(),
            Binary::CreateSource => Event::create(),
        }
    }

    /// Reads a file of `events/`.
    ///
    /// # Panics
    /// If it is missing or not JSON.
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

    /// Sets a JWT caller whose `sub` is `user`.
    #[must_use]
    pub fn user(self, user: &str) -> Event {
        self.claims(&json!({
            "aud": "client-1",
            "exp": "1893456000",
            "iss": "https://issuer.example.com/",
            "sub": user,
        }))
    }

    /// Sets a JWT caller with these claims.
    #[must_use]
    pub fn claims(self, claims: &Value) -> Event {
        self.authorizer(&json!({ "jwt": { "claims": claims, "scopes": null } }))
    }

    /// Sets a caller with an IAM signature: the role of a backend.
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

    /// Sets `requestContext.authorizer`.
    #[must_use]
    pub fn authorizer(mut self, authorizer: &Value) -> Event {
        self.0["requestContext"]["authorizer"] = authorizer.clone();
        self
    }

    /// Removes `requestContext.authorizer`: no authorizer verified the caller.
    #[must_use]
    pub fn no_authorizer(mut self) -> Event {
        self.0["requestContext"]
            .as_object_mut()
            .expect("a request context")
            .remove("authorizer");
        self
    }

    /// Sets the `Origin` header.
    #[must_use]
    pub fn origin(self, origin: &str) -> Event {
        self.header("origin", origin)
    }

    /// Removes the `Origin` header, which only browsers send.
    #[must_use]
    pub fn no_origin(mut self) -> Event {
        self.headers().remove("origin");
        self
    }

    /// Sets a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Event {
        self.headers().insert(name.to_owned(), json!(value));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Event {
        self.0["body"] = json!(body.into());
        self.0["isBase64Encoded"] = json!(false);
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Event {
        self.body(body.to_string())
    }

    /// Sets a field of the JSON body.
    ///
    /// # Panics
    /// If the body is not JSON.
    #[must_use]
    pub fn field(self, name: &str, value: impl Into<Value>) -> Event {
        let mut body = match self.0.get("body") {
            None => json!({}),
            Some(body) => serde_json::from_str(body.as_str().expect("a body")).expect("JSON"),
        };
        body[name] = value.into();
        self.json(&body)
    }

    /// Sets a body in base64, as API Gateway encodes binary bodies.
    #[must_use]
    pub fn base64_body(self, body: &[u8]) -> Event {
        self.raw_base64_body(&BASE64_STANDARD.encode(body))
    }

    /// Sets a body that is marked as base64, without encoding it.
    #[must_use]
    pub fn raw_base64_body(mut self, body: &str) -> Event {
        self.0["body"] = json!(body);
        self.0["isBase64Encoded"] = json!(true);
        self
    }

    /// Removes the body.
    #[must_use]
    pub fn no_body(mut self) -> Event {
        self.0.as_object_mut().expect("an event").remove("body");
        self.0["isBase64Encoded"] = json!(false);
        self
    }

    /// Returns the event as JSON, for other changes.
    #[must_use]
    pub fn into_json(self) -> Value {
        self.0
    }

    fn headers(&mut self) -> &mut serde_json::Map<String, Value> {
        self.0["headers"].as_object_mut().expect("headers")
    }
}

impl From<Value> for Event {
    fn from(event: Value) -> Event {
        Event(event)
    }
}

/// Formats the event as JSON, as a function receives it.
impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Creates a body of `POST /sources` for the simulator's "Faker" template, with a complete configuration.
#[must_use]
pub fn faker_source() -> Value {
    json!({ "source_config_template_id": FAKER, "connection_configuration": { "count": 10 } })
}

/// The simulator's "Faker" template, which requires `count`.
pub const FAKER: Uuid = Uuid::from_u128(0x6e4c_9d0a_1b7f_4f0e_9a53_2f6b_8c1d_7e02);
/// The simulator's "Postgres" template, which requires `host`, `database`, `username` and `password`.
pub const POSTGRES: Uuid = Uuid::from_u128(0x6e4c_9d0a_1b7f_4f0e_9a53_2f6b_8c1d_7e01);
