//! Fakes of Secrets Manager, DynamoDB and Airbyte on loopback, over plain HTTP. They implement the calls that the functions make, and
//! reject invalid ones, so that no failing call is measured.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Sub;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::{Request, Response, Server};

/// The value of the secret: an organization token.
const ORGANIZATION_TOKEN: &str = "bench-organization-token";

/// A user whom Airbyte denies a token.
pub(crate) const DENIED_USER: &str = "denied-user";

/// Lifetime of a scoped token: longer than any measurement.
const TOKEN_LIFETIME_SECONDS: u64 = 3600;

/// The variable that turns on the state table.
const BENCH_STATE_TABLE: &str = "BENCH_STATE_TABLE";

/// All fakes; they stop when dropped.
pub(crate) struct Upstreams {
    secrets_manager: Server,
    dynamodb: Server,
    airbyte: Server,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    secret_reads: AtomicU32,
    airbyte_calls: AtomicU32,
}

/// Counts of requests and connections.
#[derive(Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// Requests to Secrets Manager so far.
    pub(crate) secret_reads: u32,
    /// Requests to Airbyte so far.
    pub(crate) airbyte_calls: u32,
    /// Connections to either of them so far.
    pub(crate) connections: u32,
}

impl Upstreams {
    pub(crate) fn start() -> io::Result<Self> {
        let counts = Arc::new(Counts::default());
        let (secret_counts, airbyte_counts) = (Arc::clone(&counts), Arc::clone(&counts));
        Ok(Self {
            secrets_manager: Server::start(move |request| {
                secret_counts.secret_reads.fetch_add(1, Ordering::SeqCst);
                Some(secrets_manager(request))
            })?,
            dynamodb: Server::start(|request| Some(dynamodb(request)))?,
            airbyte: Server::start(move |request| {
                airbyte_counts.airbyte_calls.fetch_add(1, Ordering::SeqCst);
                Some(airbyte(request).unwrap_or_else(|error| error))
            })?,
            counts,
        })
    }

    /// Returns the environment of a function that calls these fakes. It has a state table if `BENCH_STATE_TABLE` is set.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:airbyte/token-AbCdEf";
        let mut environment = vec![
            (
                "AIRBYTE_API_URL",
                format!("http://{}", self.airbyte.address()),
            ),
            (
                "AIRBYTE_ORGANIZATION_ID",
                "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d".to_owned(),
            ),
            (
                "ALLOWED_ORIGINS",
                "http://localhost:5173,https://app.example.com".to_owned(),
            ),
            ("ORGANIZATION_TOKEN_SECRET_ARN", secret.to_owned()),
            (
                "AWS_ENDPOINT_URL_SECRETS_MANAGER",
                format!("http://{}", self.secrets_manager.address()),
            ),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
            ("AWS_SESSION_TOKEN", "bench".to_owned()),
            ("AWS_LAMBDA_FUNCTION_NAME", "bench".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench".to_owned()),
            (
                "AWS_LAMBDA_LOG_STREAM_NAME",
                "2026/01/01/[$LATEST]bench".to_owned(),
            ),
        ];
        if std::env::var_os(BENCH_STATE_TABLE).is_some() {
            environment.extend([
                ("STATE_TABLE", "state".to_owned()),
                (
                    "AWS_ENDPOINT_URL_DYNAMODB",
                    format!("http://{}", self.dynamodb.address()),
                ),
            ]);
        }
        environment
    }

    /// Returns the counts so far.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            secret_reads: self.counts.secret_reads.load(Ordering::SeqCst),
            airbyte_calls: self.counts.airbyte_calls.load(Ordering::SeqCst),
            connections: self.secrets_manager.connections() + self.airbyte.connections(),
        }
    }
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            secret_reads: self.secret_reads - before.secret_reads,
            airbyte_calls: self.airbyte_calls - before.airbyte_calls,
            connections: self.connections - before.connections,
        }
    }
}

/// Returns the workspace of a user, which is derived from the user's ID.
pub(crate) fn workspace_of(user: &str) -> Uuid {
    let mut hasher = DefaultHasher::new();
    user.hash(&mut hasher);
    uuid::Builder::from_random_bytes(u128::from(hasher.finish()).to_be_bytes()).into_uuid()
}

/// Creates a user's opaque token, as `POST …/embedded/widget_token` returns it.
pub(crate) fn opaque_token(user: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let workspace = workspace_of(user).to_string();
    let claims = json!({
        "aud": "airbyte-server",
        "sub": "e60d81a5-93df-4f9a-8013-bbbf793cf0a2",
        "io.airbyte.auth.workspace_scope": { "workspaceId": workspace },
        "act": { "sub": user },
        "roles": ["EMBEDDED_END_USER"],
        "iss": "https://cloud.airbyte.com",
        "typ": "io.airbyte.auth.embedded_v1",
        "exp": now.as_secs() + TOKEN_LIFETIME_SECONDS,
    });
    let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let scoped_token = format!(
        "{}.{}.{}",
        part(br#"{"alg":"HS256"}"#),
        part(claims.to_string().as_bytes()),
        part(&[0x5a; 32])
    );
    let widget_url = format!(
        "https://cloud.airbyte.com/embedded-widget?workspaceId={workspace}&allowedOrigin=https%3A%2F%2Fapp.example.com"
    );
    BASE64_STANDARD.encode(json!({ "token": scoped_token, "widgetUrl": widget_url }).to_string())
}

fn secrets_manager(request: &Request) -> Response {
    let signed = request
        .header("authorization")
        .is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 "));
    if !signed || request.header("x-amz-target") != Some("secretsmanager.GetSecretValue") {
        return Response::json(400, r#"{"__type":"AccessDeniedException"}"#);
    }
    let body = json!({
        "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:airbyte/token-AbCdEf",
        "Name": "airbyte/token",
        "VersionId": "5048d3a1-6d1b-4b4e-9d3b-0a5a52a1f001",
        "VersionStages": ["AWSCURRENT"],
        "SecretString": ORGANIZATION_TOKEN,
        "CreatedDate": 1_760_000_000.123,
    });
    Response::json(200, body.to_string())
}

/// Accepts every write: the user is new to each process, and no lease is in the way.
fn dynamodb(request: &Request) -> Response {
    match request.header("x-amz-target") {
        Some("DynamoDB_20120810.PutItem") => Response::json(200, "{}"),
        _ => Response::json(400, r#"{"__type":"ValidationException"}"#),
    }
}

fn airbyte(request: &Request) -> Result<Response, Response> {
    let error = |status: u16| Response::json(status, "{}");
    let body: Value = serde_json::from_slice(&request.body).map_err(|_| error(422))?;
    let field = |name: &str| body[name].as_str().ok_or_else(|| error(422));
    let bearer = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(|| error(401))?;
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/api/v1/account/applications/widget-token") => {
            if bearer != ORGANIZATION_TOKEN {
                return Err(error(401));
            }
            request
                .header("x-organization-id")
                .ok_or_else(|| error(422))?;
            field("allowed_origin")?;
            mint(field("workspace_name")?)
        }
        ("POST", "/api/v1/integrations/connectors") => {
            let workspace = scoped_workspace(bearer).ok_or_else(|| error(401))?;
            field("workspace_name")?;
            let body = json!({
                "id": "3f2c8a52-6b0e-4d54-8f8f-7b1f3a5d9c10",
                "name": "Postgres",
                "workspace_id": workspace,
                "source_template_id": field("source_template_id")?,
            });
            Ok(Response::json(200, body.to_string()))
        }
        ("POST", "/api/v1/embedded/widget_token") => {
            if bearer != ORGANIZATION_TOKEN {
                return Err(error(401));
            }
            field("organizationId")?;
            field("allowedOrigin")?;
            mint(field("externalUserId")?)
        }
        ("POST", "/api/v1/integrations/sources/") => {
            let workspace = scoped_workspace(bearer).ok_or_else(|| error(401))?;
            if field("workspace_id")? != workspace {
                return Err(error(403));
            }
            let body = json!({
                "id": "3f2c8a52-6b0e-4d54-8f8f-7b1f3a5d9c10",
                "name": "Postgres",
                "workspace_id": workspace,
                "source_config_template_id": field("source_config_template_id")?,
            });
            Ok(Response::json(201, body.to_string()))
        }
        _ => Err(error(404)),
    }
}

fn mint(user: &str) -> Result<Response, Response> {
    if user == DENIED_USER {
        return Err(Response::json(403, r#"{"detail": "User is suspended"}"#));
    }
    let body = json!({ "token": opaque_token(user) });
    Ok(Response::json(200, body.to_string()))
}

/// Returns the workspace that a scoped token is valid for.
fn scoped_workspace(token: &str) -> Option<String> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?);
    let claims: Value = serde_json::from_slice(&claims.ok()?).ok()?;
    let workspace = &claims["io.airbyte.auth.workspace_scope"]["workspaceId"];
    workspace.as_str().map(str::to_owned)
}
