//! Settings that a simulator starts with.

use std::env;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use crate::generation::Generation;

/// The settings of a simulator. The [default](Options::default) suits development and most tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on: a loopback address, with port 0 for any free port.
    pub address: SocketAddr,
    /// The base of every `widgetUrl` and the issuer of every token; `None` for the simulator's own URL.
    pub cloud_url: Option<String>,
    /// The organization tokens that are accepted unchanged.
    pub organization_tokens: Vec<String>,
    /// The applications whose credentials can be exchanged for an application token.
    pub applications: Vec<Application>,
    /// The IDs of the organizations that exist; `None` accepts every ID.
    ///
    /// Unless there is exactly one, requests with an organization's token to the `agents` generation need the header
    /// `X-Organization-Id`.
    pub organizations: Option<Vec<Uuid>>,
    /// The lifetime of a scoped token, in whole seconds. Airbyte's default is 20 minutes.
    pub scoped_token_lifetime: Duration,
    /// The lifetime of an application token, in whole seconds. `expires_in` is 900 regardless, as seen at Airbyte.
    pub application_token_lifetime: Duration,
    /// The generations of the API that are served. The paths of the others return 404.
    pub generations: Vec<Generation>,
    /// The bearer tokens that `POST /api/v1/integrations/connectors` accepts.
    pub sources_bearer: SourcesBearer,
    /// The time between looking for a user's workspace and creating it. There is no lock, as at Airbyte: first mints of
    /// one user that overlap in this time each create a workspace, and later mints of that user fail.
    pub workspace_creation_time: Duration,
    /// The number of exchanges that the request log keeps. The oldest are dropped.
    pub request_log_capacity: usize,
    /// Whether each request is printed to standard error: method, path, status.
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
            generations: Generation::ALL.into(),
            sources_bearer: SourcesBearer::Any,
            workspace_creation_time: Duration::from_millis(50),
            request_log_capacity: 100_000,
            print_requests: false,
        }
    }
}

impl Options {
    /// Reads the settings that have an environment variable; the others get their default.
    ///
    /// | variable | value |
    /// | --- | --- |
    /// | `AIRBYTE_SIM_GENERATIONS` | comma-separated: `embedded`, `agents` |
    /// | `AIRBYTE_SIM_SOURCES_BEARER` | `any`, `scoped` or `organization` |
    /// | `AIRBYTE_SIM_WORKSPACE_CREATION_MS` | milliseconds |
    ///
    /// # Errors
    /// A variable is invalid. An empty one counts as unset.
    pub fn from_env() -> Result<Self, InvalidVariable> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidVariable> {
        let mut options = Self::default();
        if let Some(generations) = parse(&get, "AIRBYTE_SIM_GENERATIONS", |names| {
            names
                .split(',')
                .map(|name| name.trim().parse())
                .collect::<Result<Vec<_>, _>>()
        })? {
            options.generations = generations;
        }
        if let Some(bearer) = parse(&get, "AIRBYTE_SIM_SOURCES_BEARER", SourcesBearer::from_str)? {
            options.sources_bearer = bearer;
        }
        if let Some(time) = parse(&get, "AIRBYTE_SIM_WORKSPACE_CREATION_MS", u64::from_str)? {
            options.workspace_creation_time = Duration::from_millis(time);
        }
        Ok(options)
    }
}

fn parse<T, E: fmt::Display>(
    get: impl Fn(&str) -> Option<String>,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, InvalidVariable> {
    get(name)
        .filter(|value| !value.is_empty())
        .map(|value| parse(&value))
        .transpose()
        .map_err(|error| InvalidVariable {
            name,
            reason: error.to_string(),
        })
}

/// An invalid environment variable.
#[derive(Debug)]
pub struct InvalidVariable {
    name: &'static str,
    reason: String,
}

impl fmt::Display for InvalidVariable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "invalid {}: {}", self.name, self.reason)
    }
}

impl std::error::Error for InvalidVariable {}

/// The bearer tokens that the `agents` generation accepts for creating a source. Airbyte's documents disagree about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcesBearer {
    /// A scoped token or an organization's token.
    Any,
    /// Scoped tokens only.
    Scoped,
    /// An organization's token only.
    Organization,
}

impl FromStr for SourcesBearer {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "any" => Ok(Self::Any),
            "scoped" => Ok(Self::Scoped),
            "organization" => Ok(Self::Organization),
            _ => Err("expected any, scoped or organization"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Options, InvalidVariable> {
        Options::from_variables(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn reads_variables() {
        let options = from(&[
            ("AIRBYTE_SIM_GENERATIONS", "agents"),
            ("AIRBYTE_SIM_SOURCES_BEARER", "organization"),
            ("AIRBYTE_SIM_WORKSPACE_CREATION_MS", "250"),
        ])
        .unwrap();

        assert_eq!(options.generations, [Generation::Agents]);
        assert_eq!(options.sources_bearer, SourcesBearer::Organization);
        assert_eq!(options.workspace_creation_time, Duration::from_millis(250));
    }

    #[test]
    fn treats_empty_variables_as_unset() {
        let options = from(&[("AIRBYTE_SIM_GENERATIONS", "")]).unwrap();

        assert_eq!(options.generations, Generation::ALL);
    }

    #[test]
    fn names_invalid_variables() {
        for (name, value, message) in [
            (
                "AIRBYTE_SIM_GENERATIONS",
                "embedded,next",
                "invalid AIRBYTE_SIM_GENERATIONS: expected embedded or agents",
            ),
            (
                "AIRBYTE_SIM_SOURCES_BEARER",
                "none",
                "invalid AIRBYTE_SIM_SOURCES_BEARER: expected any, scoped or organization",
            ),
            (
                "AIRBYTE_SIM_WORKSPACE_CREATION_MS",
                "1 s",
                "invalid AIRBYTE_SIM_WORKSPACE_CREATION_MS: invalid digit found in string",
            ),
        ] {
            assert_eq!(from(&[(name, value)]).unwrap_err().to_string(), message);
        }
    }
}
