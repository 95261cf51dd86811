//! What a stand-in is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

/// How a stand-in behaves; the [default](Options::default) suits development and most tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen: a loopback address, port 0 for any free port.
    pub address: SocketAddr,
    /// The base of every `widgetUrl` and the issuer of every token; `None` for the stand-in's own URL.
    pub cloud_url: Option<String>,
    /// The organization tokens that are accepted as they are.
    pub organization_tokens: Vec<String>,
    /// The applications whose credentials can be exchanged for an application token.
    pub applications: Vec<Application>,
    /// The organizations that exist, by id; `None` accepts every id.
    pub organizations: Option<Vec<Uuid>>,
    /// How long a user's scoped token is valid, in whole seconds. Airbyte's own default is 20 minutes.
    pub scoped_token_lifetime: Duration,
    /// How long an application token is valid, in whole seconds. Its answer's `expires_in` says 900 whatever this is, as
    /// Airbyte's has been seen to do.
    pub application_token_lifetime: Duration,
    /// How many exchanges the journal keeps; beyond that the oldest are forgotten.
    pub request_log_capacity: usize,
    /// Whether each exchange is printed to standard error: method, path, status.
    pub print_requests: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            cloud_url: None,
            organization_tokens: vec!["dev-organization-token".to_owned()],
            applications: vec![Application {
                client_id: "dev-client-id".to_owned(),
                client_secret: "dev-client-secret".to_owned(),
            }],
            organizations: None,
            scoped_token_lifetime: Duration::from_mins(20),
            application_token_lifetime: Duration::from_mins(15),
            request_log_capacity: 100_000,
            print_requests: false,
        }
    }
}

/// An Airbyte application: the credentials that an organization's backend exchanges for a token.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The application's public name.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: String,
}
