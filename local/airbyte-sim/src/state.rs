//! The state of a simulator: settings, workspaces, sources, injected faults, the request log.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

use crate::clock;
use crate::fault::FaultQueue;
use crate::generation::Generation;
use crate::jwt::Key;
use crate::options::{Application, Options, SourcesBearer};
use crate::request_log::RequestLog;
use crate::source::Source;
use crate::template::Template;
use crate::workspace::{DuplicateWorkspaces, Workspace};

/// The audience of every token.
const AUDIENCE: &str = "airbyte-server";
/// The type of a scoped token.
const SCOPED_TOKEN: &str = "io.airbyte.auth.embedded_v1";
/// The type of an application token.
const APPLICATION_TOKEN: &str = "io.airbyte.auth.service_account_v1";
/// The user on whose behalf an organization's credential acts.
const OPERATOR: Uuid = uuid!("c2b1f0de-6f0a-4d3c-9a57-0b7a6d1e5f10");

pub(crate) struct State {
    /// The base of every `widgetUrl`, and the issuer of every token.
    pub(crate) cloud_url: String,
    pub(crate) settings: Mutex<Settings>,
    pub(crate) templates: Vec<Template>,
    pub(crate) sources: Mutex<Vec<Source>>,
    pub(crate) faults: Mutex<FaultQueue>,
    pub(crate) request_log: Arc<RequestLog>,
    /// The number of accepted connections.
    pub(crate) connections: AtomicU64,
    organizations: Option<Vec<Uuid>>,
    /// The workspaces, in order of creation. Their names are not unique.
    workspaces: Mutex<Vec<Workspace>>,
}

/// The settings that can change while the simulator runs.
pub(crate) struct Settings {
    pub(crate) organization_tokens: Vec<String>,
    pub(crate) applications: Vec<Application>,
    pub(crate) scoped_token_lifetime: Duration,
    pub(crate) application_token_lifetime: Duration,
    pub(crate) generations: Vec<Generation>,
    pub(crate) sources_bearer: SourcesBearer,
    pub(crate) workspace_creation_time: Duration,
    /// Replacing a key revokes the tokens that it signed.
    pub(crate) scoped_token_key: Key,
    pub(crate) application_token_key: Key,
}

/// The principal that a bearer token authenticates.
pub(crate) enum Principal {
    /// An administrator of the organizations.
    Organization,
    /// An end user, confined to one workspace.
    EndUser {
        workspace_id: Uuid,
        external_user_id: String,
    },
}

impl State {
    pub(crate) fn new(options: Options, url: String) -> Self {
        Self {
            cloud_url: options.cloud_url.unwrap_or(url),
            settings: Mutex::new(Settings {
                organization_tokens: options.organization_tokens,
                applications: options.applications,
                scoped_token_lifetime: options.scoped_token_lifetime,
                application_token_lifetime: options.application_token_lifetime,
                generations: options.generations,
                sources_bearer: options.sources_bearer,
                workspace_creation_time: options.workspace_creation_time,
                scoped_token_key: Key::random(),
                application_token_key: Key::random(),
            }),
            templates: Template::all(),
            sources: Mutex::default(),
            faults: Mutex::default(),
            request_log: Arc::new(RequestLog::new(
                options.request_log_capacity,
                options.print_requests,
            )),
            connections: AtomicU64::new(0),
            organizations: options.organizations,
            workspaces: Mutex::default(),
        }
    }

    pub(crate) fn has_organization(&self, id: Uuid) -> bool {
        self.organizations
            .as_ref()
            .is_none_or(|organizations| organizations.contains(&id))
    }

    /// Returns the template with this ID.
    pub(crate) fn template(&self, id: Uuid) -> Option<&Template> {
        self.templates.iter().find(|template| template.id == id)
    }

    /// Returns the organization if there is exactly one.
    pub(crate) fn sole_organization(&self) -> Option<Uuid> {
        match self.organizations.as_deref() {
            Some(&[organization]) => Some(organization),
            _ => None,
        }
    }

    pub(crate) fn serves(&self, generation: Generation) -> bool {
        lock(&self.settings).generations.contains(&generation)
    }

    /// Returns every workspace, in order of creation.
    pub(crate) fn workspaces(&self) -> Vec<Workspace> {
        lock(&self.workspaces).clone()
    }

    /// Returns the workspace with this ID.
    pub(crate) fn workspace(&self, id: Uuid) -> Option<Workspace> {
        lock(&self.workspaces)
            .iter()
            .find(|workspace| workspace.id == id)
            .cloned()
    }

    /// Returns the user's workspace in the organization, if there is one.
    pub(crate) fn find_workspace(
        &self,
        organization_id: Uuid,
        name: &str,
    ) -> Result<Option<Workspace>, DuplicateWorkspaces> {
        let workspaces = lock(&self.workspaces);
        let mut found = workspaces.iter().filter(|workspace| {
            workspace.organization_id == organization_id && workspace.name == name
        });
        let first = found.next().cloned();
        match found.next() {
            Some(_) => Err(DuplicateWorkspaces),
            None => Ok(first),
        }
    }

    /// Returns the user's workspace in the organization, and creates it if there is none.
    ///
    /// It is not locked between the two steps, as at Airbyte: concurrent calls for a new user each create one.
    pub(crate) async fn find_or_create_workspace(
        &self,
        organization_id: Uuid,
        name: &str,
        region_id: Option<Uuid>,
    ) -> Result<Workspace, DuplicateWorkspaces> {
        if let Some(workspace) = self.find_workspace(organization_id, name)? {
            return Ok(workspace);
        }
        let creation_time = lock(&self.settings).workspace_creation_time;
        tokio::time::sleep(creation_time).await;
        let workspace = Workspace {
            id: Uuid::new_v4(),
            organization_id,
            name: name.to_owned(),
            region_id,
            created_at: clock::rfc3339(),
        };
        lock(&self.workspaces).push(workspace.clone());
        Ok(workspace)
    }

    /// Returns a token that confines an end user to one workspace.
    pub(crate) fn issue_scoped_token(
        &self,
        workspace: Uuid,
        external_user: &str,
    ) -> serde_json::Result<String> {
        let settings = lock(&self.settings);
        settings.scoped_token_key.sign(&ScopedClaims {
            aud: AUDIENCE.into(),
            sub: OPERATOR.to_string(),
            workspace_scope: WorkspaceScope {
                workspace_id: workspace,
            },
            act: Actor {
                sub: external_user.to_owned(),
            },
            roles: vec!["EMBEDDED_END_USER".to_owned()],
            iss: self.cloud_url.clone(),
            typ: SCOPED_TOKEN.to_owned(),
            exp: expiry(settings.scoped_token_lifetime),
        })
    }

    /// Returns a token for the application with these credentials; `None` if there is no such application.
    pub(crate) fn issue_application_token(
        &self,
        application: &Application,
    ) -> Option<serde_json::Result<String>> {
        let settings = lock(&self.settings);
        settings.applications.contains(application).then(|| {
            settings.application_token_key.sign(&ApplicationClaims {
                iss: self.cloud_url.clone(),
                aud: AUDIENCE.to_owned(),
                sub: application.client_id.clone(),
                typ: APPLICATION_TOKEN.to_owned(),
                exp: expiry(settings.application_token_lifetime),
            })
        })
    }

    /// Returns the principal of `token`; `None` if it is unknown, forged, revoked or expired.
    pub(crate) fn authenticate(&self, token: &str) -> Option<Principal> {
        let settings = lock(&self.settings);
        if settings
            .organization_tokens
            .iter()
            .any(|known| known == token)
        {
            return Some(Principal::Organization);
        }
        let now = clock::unix_seconds();
        if let Some(claims) = settings.scoped_token_key.verify::<ScopedClaims>(token) {
            return (claims.exp > now).then_some(Principal::EndUser {
                workspace_id: claims.workspace_scope.workspace_id,
                external_user_id: claims.act.sub,
            });
        }
        let claims = settings
            .application_token_key
            .verify::<ApplicationClaims>(token)?;
        (claims.exp > now).then_some(Principal::Organization)
    }
}

/// Locks a mutex that a panic elsewhere may have poisoned, because each value is consistent between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn expiry(lifetime: Duration) -> u64 {
    clock::unix_seconds().saturating_add(lifetime.as_secs())
}

/// The claims of a scoped token, in the order of the vendor's documented sample.
#[derive(Serialize, Deserialize)]
struct ScopedClaims {
    aud: String,
    sub: String,
    #[serde(rename = "io.airbyte.auth.workspace_scope")]
    workspace_scope: WorkspaceScope,
    act: Actor,
    roles: Vec<String>,
    iss: String,
    typ: String,
    exp: u64,
}

#[derive(Serialize, Deserialize)]
struct WorkspaceScope {
    #[serde(rename = "workspaceId")]
    workspace_id: Uuid,
}

#[derive(Serialize, Deserialize)]
struct Actor {
    sub: String,
}

#[derive(Serialize, Deserialize)]
struct ApplicationClaims {
    iss: String,
    aud: String,
    sub: String,
    typ: String,
    exp: u64,
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const ORGANIZATION: Uuid = uuid!("0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d");

    fn state(options: Options) -> State {
        State::new(options, "http://127.0.0.1:3002".to_owned())
    }

    #[tokio::test]
    async fn creates_one_workspace_per_user_and_organization() {
        let state = state(Options::default());
        let create = async |organization, name| {
            state
                .find_or_create_workspace(organization, name, None)
                .await
                .unwrap()
        };
        let alice = create(ORGANIZATION, "alice").await;

        assert_eq!(create(ORGANIZATION, "alice").await, alice);
        assert_ne!(create(ORGANIZATION, "bob").await.id, alice.id);
        assert_ne!(create(Uuid::nil(), "alice").await.id, alice.id);
        assert_eq!(state.workspace(alice.id), Some(alice));
        assert!(
            state
                .find_workspace(ORGANIZATION, "carol")
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn concurrent_first_calls_create_duplicates() {
        let state = state(Options::default());
        let create = || state.find_or_create_workspace(ORGANIZATION, "alice", None);

        let (first, second) = tokio::join!(create(), create());

        assert_ne!(first.unwrap().id, second.unwrap().id);
        assert!(create().await.is_err());
        assert!(state.find_workspace(ORGANIZATION, "alice").is_err());
    }

    #[test]
    fn orders_scoped_claims_as_documented() {
        let state = state(Options::default());
        let token = state.issue_scoped_token(Uuid::nil(), "alice").unwrap();
        let mut parts = token.split('.').map(|part| {
            String::from_utf8_lossy(&URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).into_owned()
        });

        assert_eq!(parts.next().unwrap(), r#"{"alg":"HS256"}"#);
        let (claims, expiry) = parts
            .next()
            .unwrap()
            .rsplit_once(':')
            .map(|(claims, expiry)| (claims.to_owned(), expiry.to_owned()))
            .unwrap();
        assert_eq!(
            claims,
            "{\"aud\":\"airbyte-server\",\"sub\":\"c2b1f0de-6f0a-4d3c-9a57-0b7a6d1e5f10\",\
             \"io.airbyte.auth.workspace_scope\":{\"workspaceId\":\"00000000-0000-0000-0000-000000000000\"},\
             \"act\":{\"sub\":\"alice\"},\"roles\":[\"EMBEDDED_END_USER\"],\"iss\":\"http://127.0.0.1:3002\",\
             \"typ\":\"io.airbyte.auth.embedded_v1\",\"exp\""
        );
        let expiry: u64 = expiry.trim_end_matches('}').parse().unwrap();
        assert!(
            (1199..=1200).contains(&(expiry - clock::unix_seconds())),
            "{expiry}"
        );
    }

    #[test]
    fn authenticates_scoped_tokens_until_expiry_or_revocation() {
        let state = state(Options::default());
        let token = state.issue_scoped_token(ORGANIZATION, "alice").unwrap();
        assert!(matches!(
            state.authenticate(&token),
            Some(Principal::EndUser { workspace_id: ORGANIZATION, external_user_id }) if external_user_id == "alice"
        ));

        lock(&state.settings).scoped_token_key = Key::random();
        assert!(state.authenticate(&token).is_none());

        lock(&state.settings).scoped_token_lifetime = Duration::ZERO;
        assert!(
            state
                .authenticate(&state.issue_scoped_token(ORGANIZATION, "alice").unwrap())
                .is_none()
        );
    }

    #[test]
    fn authenticates_application_tokens_as_organization() {
        let state = state(Options::default());
        let application = Options::default().applications.remove(0);
        let token = state
            .issue_application_token(&application)
            .unwrap()
            .unwrap();
        assert!(matches!(
            state.authenticate(&token),
            Some(Principal::Organization)
        ));

        let unknown = Application {
            client_secret: "guessed".to_owned(),
            ..application
        };
        assert!(state.issue_application_token(&unknown).is_none());
    }
}
