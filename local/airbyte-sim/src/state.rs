//! What a stand-in remembers: credentials, workspaces, sources, orders, the journal.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

use crate::clock;
use crate::fault::FaultQueue;
use crate::jwt::Key;
use crate::options::{Application, Options};
use crate::request_log::RequestLog;
use crate::source::Source;
use crate::template::Template;

/// The audience of every token.
const AUDIENCE: &str = "airbyte-server";
/// The type of a user's scoped token.
const SCOPED_TOKEN: &str = "io.airbyte.auth.embedded_v1";
/// The type of an application's token.
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
    /// How many connections were accepted.
    pub(crate) connections: AtomicU64,
    organizations: Option<Vec<Uuid>>,
    /// The workspace of each external user of each organization.
    workspaces: Mutex<HashMap<(Uuid, String), Uuid>>,
}

/// The credentials that are accepted, and how long those are valid that are given out.
pub(crate) struct Settings {
    pub(crate) organization_tokens: Vec<String>,
    pub(crate) applications: Vec<Application>,
    pub(crate) scoped_token_lifetime: Duration,
    pub(crate) application_token_lifetime: Duration,
    /// The keys: to replace one is to revoke all that it signed.
    pub(crate) scoped_token_key: Key,
    pub(crate) application_token_key: Key,
}

/// Who a request's bearer token speaks for.
pub(crate) enum Principal {
    /// The organization's administrator.
    Organization,
    /// An end user, in one workspace.
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

    /// The template with this id.
    pub(crate) fn template(&self, id: Uuid) -> Option<&Template> {
        self.templates.iter().find(|template| template.id == id)
    }

    /// The user's workspace in the organization, if there is one.
    pub(crate) fn find_workspace(&self, organization: Uuid, external_user: &str) -> Option<Uuid> {
        lock(&self.workspaces)
            .get(&(organization, external_user.to_owned()))
            .copied()
    }

    /// The user's workspace in the organization, made now if there is none.
    pub(crate) fn find_or_create_workspace(&self, organization: Uuid, external_user: &str) -> Uuid {
        *lock(&self.workspaces)
            .entry((organization, external_user.to_owned()))
            .or_insert_with(Uuid::new_v4)
    }

    /// A token that lets an end user act in one workspace.
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

    /// A token for the application with these credentials; `None` if there is no such application.
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

    /// Who `token` speaks for; `None` if it is unknown, forged, revoked or expired.
    pub(crate) fn bearer(&self, token: &str) -> Option<Principal> {
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

/// Locks what a panic elsewhere may have poisoned: each value is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn expiry(lifetime: Duration) -> u64 {
    clock::unix_seconds().saturating_add(lifetime.as_secs())
}

/// The claims of a user's scoped token, in the order of the vendor's documented sample.
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

    #[test]
    fn each_user_of_each_organization_has_one_workspace() {
        let state = state(Options::default());
        let alice = state.find_or_create_workspace(ORGANIZATION, "alice");

        assert_eq!(state.find_or_create_workspace(ORGANIZATION, "alice"), alice);
        assert_ne!(state.find_or_create_workspace(ORGANIZATION, "bob"), alice);
        assert_ne!(state.find_or_create_workspace(Uuid::nil(), "alice"), alice);
        assert_eq!(state.find_workspace(ORGANIZATION, "alice"), Some(alice));
        assert_eq!(state.find_workspace(ORGANIZATION, "carol"), None);
    }

    #[test]
    fn a_scoped_tokens_claims_are_in_the_documented_order() {
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
    fn a_token_speaks_for_whom_it_was_issued_until_it_expires_or_is_revoked() {
        let state = state(Options::default());
        let token = state.issue_scoped_token(ORGANIZATION, "alice").unwrap();
        assert!(matches!(
            state.bearer(&token),
            Some(Principal::EndUser { workspace_id: ORGANIZATION, external_user_id }) if external_user_id == "alice"
        ));

        lock(&state.settings).scoped_token_key = Key::random();
        assert!(state.bearer(&token).is_none());

        lock(&state.settings).scoped_token_lifetime = Duration::ZERO;
        assert!(
            state
                .bearer(&state.issue_scoped_token(ORGANIZATION, "alice").unwrap())
                .is_none()
        );
    }

    #[test]
    fn an_applications_token_speaks_for_the_organization() {
        let state = state(Options::default());
        let application = Options::default().applications.remove(0);
        let token = state
            .issue_application_token(&application)
            .unwrap()
            .unwrap();
        assert!(matches!(
            state.bearer(&token),
            Some(Principal::Organization)
        ));

        let stranger = Application {
            client_secret: "guessed".to_owned(),
            ..application
        };
        assert!(state.issue_application_token(&stranger).is_none());
    }
}
