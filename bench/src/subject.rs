//! What is measured: a program, and the call that it has to answer.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Result;
use crate::upstreams::{opaque_token, workspace_of};

/// Who calls.
const USER: &str = "alice";

/// A program with a call.
pub(crate) struct Subject {
    /// As in the heading of its column.
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    /// In payload format 2.0.
    pub(crate) event: Vec<u8>,
    expected: Expected,
}

struct Expected {
    status: u64,
    /// A member of the answer's body, and what it has to be.
    member: Option<(&'static str, String)>,
}

impl Subject {
    /// A function that does nothing.
    pub(crate) fn floor(programs: &Path) -> Result<Self> {
        Ok(Self {
            name: "floor",
            program: programs.join("floor"),
            event: token_event(USER)?,
            expected: Expected {
                status: 200,
                member: None,
            },
        })
    }

    /// `POST /token`
    pub(crate) fn mint_token(programs: &Path) -> Result<Self> {
        Ok(Self {
            name: "mint-token",
            program: programs.join("mint-token"),
            event: token_event(USER)?,
            expected: Expected {
                status: 200,
                member: Some(("workspaceId", workspace_of(USER).to_string())),
            },
        })
    }

    /// `POST /sources` with the caller's token.
    pub(crate) fn create_source_with_token(programs: &Path) -> Result<Self> {
        let mut body = source_body();
        body["token"] = json!(opaque_token(USER));
        Self::create_source("create-source, token sent", programs, &body)
    }

    /// `POST /sources` without a token: the function gets one, and keeps it for the next call.
    pub(crate) fn create_source_without_token(programs: &Path) -> Result<Self> {
        Self::create_source("create-source, none sent", programs, &source_body())
    }

    fn create_source(name: &'static str, programs: &Path, body: &Value) -> Result<Self> {
        Ok(Self {
            name,
            program: programs.join("create-source"),
            event: source_event(USER, body)?,
            expected: Expected {
                status: 201,
                member: Some(("workspace_id", workspace_of(USER).to_string())),
            },
        })
    }

    /// Whether an answer is what it should be.
    pub(crate) fn check(&self, answer: &[u8]) -> Result<()> {
        let Expected { status, member } = &self.expected;
        let body = body_of(answer, *status)?;
        match member {
            Some((name, value)) if body[name] != json!(value) => {
                Err(format!("{}: {name} should be {value}: {body}", self.name).into())
            }
            _ => Ok(()),
        }
    }
}

/// The JSON body of a function's answer, which has to have this status.
pub(crate) fn body_of(answer: &[u8], status: u64) -> Result<Value> {
    let answer: Value = serde_json::from_slice(answer)?;
    if answer["statusCode"] != json!(status) {
        return Err(format!("an answer of status {status} was expected, not {answer}").into());
    }
    Ok(serde_json::from_str(
        answer["body"].as_str().unwrap_or_default(),
    )?)
}

/// `POST /token` by this user.
pub(crate) fn token_event(user: &str) -> Result<Vec<u8>> {
    event(
        include_str!("../../events/mint-token-jwt.json"),
        user,
        &json!({}),
    )
}

/// `POST /sources` by this user.
pub(crate) fn source_event(user: &str, body: &Value) -> Result<Vec<u8>> {
    event(
        include_str!("../../events/create-source-jwt.json"),
        user,
        body,
    )
}

/// A body of `POST /sources` without a token.
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
