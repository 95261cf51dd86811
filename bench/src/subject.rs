//! Benchmark subjects: a program and the call that it handles.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Result;
use crate::upstreams::{opaque_token, workspace_of};

/// The user who calls.
const USER: &str = "alice";

/// A program and its call.
pub(crate) struct Subject {
    /// The heading of its column.
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// An event in payload format 2.0.
    pub(crate) event: Vec<u8>,
    /// Environment variables in addition to those of all subjects.
    pub(crate) environment: &'static [(&'static str, &'static str)],
    expected: Expected,
}

struct Expected {
    status: u64,
    /// A field of the response body and its value.
    field: Option<(&'static str, String)>,
}

impl Subject {
    /// The function that does nothing.
    pub(crate) fn floor(programs: &Path) -> Result<Self> {
        Ok(Self {
            name: "floor",
            program: programs.join("floor"),
            event: token_event(USER)?,
            environment: &[],
            expected: Expected {
                status: 200,
                field: None,
            },
        })
    }

    /// `POST /token`
    pub(crate) fn mint_token(programs: &Path) -> Result<Self> {
        Ok(Self {
            name: "mint-token",
            program: programs.join("mint-token"),
            event: token_event(USER)?,
            environment: &[],
            expected: Expected {
                status: 200,
                field: Some(("workspaceId", workspace_of(USER).to_string())),
            },
        })
    }

    /// `POST /sources` with the caller's token.
    pub(crate) fn create_source_with_token(programs: &Path) -> Result<Self> {
        let mut body = source_body();
        body["token"] = json!(opaque_token(USER));
        Self::create_source("create-source, with token", programs, &body)
    }

    /// `POST /sources` without a token: the function mints one and caches it for the next call.
    pub(crate) fn create_source_without_token(programs: &Path) -> Result<Self> {
        Self::create_source("create-source, without token", programs, &source_body())
    }

    /// The functions with the other generation of Airbyte's API.
    pub(crate) fn with_agents_api(programs: &Path) -> Result<[Self; 2]> {
        let mut mint_token = Self::mint_token(programs)?;
        mint_token.name = "mint-token, agents";
        let mut create_source = Self::create_source_without_token(programs)?;
        create_source.name = "create-source, agents";
        let mut subjects = [mint_token, create_source];
        for subject in &mut subjects {
            subject.environment = &[("AIRBYTE_API", "agents")];
        }
        Ok(subjects)
    }

    fn create_source(name: &'static str, programs: &Path, body: &Value) -> Result<Self> {
        Ok(Self {
            name,
            program: programs.join("create-source"),
            event: source_event(USER, body)?,
            environment: &[],
            expected: Expected {
                status: 201,
                field: Some(("workspace_id", workspace_of(USER).to_string())),
            },
        })
    }

    /// Fails if the response is not the expected one.
    pub(crate) fn check(&self, response: &[u8]) -> Result<()> {
        let Expected { status, field } = &self.expected;
        let body = parse_body(response, *status)?;
        match field {
            Some((name, value)) if body[name] != json!(value) => {
                Err(format!("{}: expected `{name}` to be {value}: {body}", self.name).into())
            }
            _ => Ok(()),
        }
    }
}

/// Returns the JSON body of a function's response. Fails if the response has another status.
pub(crate) fn parse_body(response: &[u8], status: u64) -> Result<Value> {
    let response: Value = serde_json::from_slice(response)?;
    if response["statusCode"] != json!(status) {
        return Err(format!("expected status {status}: {response}").into());
    }
    Ok(serde_json::from_str(
        response["body"].as_str().unwrap_or_default(),
    )?)
}

/// Creates an event of `POST /token` by this user.
pub(crate) fn token_event(user: &str) -> Result<Vec<u8>> {
    event(
        include_str!("../../events/mint-token-jwt.json"),
        user,
        &json!({}),
    )
}

/// Creates an event of `POST /sources` by this user.
pub(crate) fn source_event(user: &str, body: &Value) -> Result<Vec<u8>> {
    event(
        include_str!("../../events/create-source-jwt.json"),
        user,
        body,
    )
}

/// Creates a body of `POST /sources` without a token.
pub(crate) fn source_body() -> Value {
    json!({
        "source_config_template_id": "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
        "connection_configuration": {
            "host": "db.example.com",
            "port": 5432,
            "database": "shop",
            "username": "airbyte",
            "password": "not-a-real-password",
        },
    })
}

fn event(file: &str, user: &str, body: &Value) -> Result<Vec<u8>> {
    let mut event: Value = serde_json::from_str(file)?;
    event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = json!(user);
    event["body"] = json!(body.to_string());
    event["isBase64Encoded"] = json!(false);
    Ok(event.to_string().into_bytes())
}
