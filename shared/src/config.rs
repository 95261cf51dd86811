//! The configuration, read once at start from the environment.
//!
//! Every fault is told at once, in one line, each naming its variable and what it should look like.

use std::time::Duration;

use http::Uri;
use secrecy::SecretString;
use url::{Host, Url};
use uuid::Uuid;

use crate::aws::AwsConfig;
use crate::request::origin::AllowedOrigins;

/// What the functions are told by their environment.
#[derive(Debug)]
pub struct Config {
    /// `ORGANIZATION_TOKEN_SECRET_ARN`: name or ARN of the secret with the organization's credential.
    pub secret_id: String,
    /// `AIRBYTE_ORGANIZATION_ID`.
    pub organization_id: Uuid,
    /// `ALLOWED_ORIGINS`, comma-separated.
    pub allowed_origins: AllowedOrigins,
    /// `AIRBYTE_API_URL`, without a slash at its end.
    pub airbyte_api_url: Url,
    /// `EXTERNAL_USER_ID_CLAIM`: the claim of the caller's JWT that holds the user's id.
    pub external_user_id_claim: String,
    /// `SECRET_TTL_SECONDS`: how long the secret's value is used before it is read again.
    pub secret_ttl: Duration,
    /// AWS's own variables.
    pub aws: AwsConfig,
}

/// One or more variables are missing or wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl Config {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// Reads the variables that `lookup` finds. An empty value counts as none.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut read = Reader {
            lookup,
            faults: Vec::new(),
        };
        let secret_id = read.required(
            "ORGANIZATION_TOKEN_SECRET_ARN",
            "the name or ARN of a secret in Secrets Manager",
        );
        let organization_id = read.parsed(
            "AIRBYTE_ORGANIZATION_ID",
            None,
            "a UUID: the Airbyte organization's id",
            |text| Uuid::try_parse(text).map_err(drop),
        );
        let allowed_origins = read.parsed(
            "ALLOWED_ORIGINS",
            None,
            "a comma-separated list such as https://app.example.com,https://staging.example.com \
             (scheme and host, no path, no trailing slash, no wildcard)",
            |text| AllowedOrigins::parse(text).map_err(drop),
        );
        let airbyte_api_url = read.parsed(
            "AIRBYTE_API_URL",
            Some("https://api.airbyte.ai"),
            "an https:// address (http:// for loopback only), without user, query or fragment",
            airbyte_api_url,
        );
        let claim = read.parsed(
            "EXTERNAL_USER_ID_CLAIM",
            Some("sub"),
            "the name of a claim, without blanks",
            |text| {
                if text.contains(char::is_whitespace) {
                    Err(())
                } else {
                    Ok(text.to_owned())
                }
            },
        );
        let secret_ttl = read.parsed(
            "SECRET_TTL_SECONDS",
            Some("300"),
            "whole seconds, 1 to 86400",
            |text| {
                text.parse()
                    .ok()
                    .filter(|seconds| (1..=86_400).contains(seconds))
                    .map(Duration::from_secs)
                    .ok_or(())
            },
        );
        let aws = read.aws();
        match (
            read.faults.is_empty(),
            secret_id,
            organization_id,
            allowed_origins,
            airbyte_api_url,
            claim,
            secret_ttl,
            aws,
        ) {
            (
                true,
                Some(secret_id),
                Some(organization_id),
                Some(allowed_origins),
                Some(airbyte_api_url),
                Some(external_user_id_claim),
                Some(secret_ttl),
                Some(aws),
            ) => Ok(Self {
                secret_id,
                organization_id,
                allowed_origins,
                airbyte_api_url,
                external_user_id_claim,
                secret_ttl,
                aws,
            }),
            _ => Err(ConfigError(read.faults)),
        }
    }
}

struct Reader<F> {
    lookup: F,
    faults: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str, should_be: &str) -> Option<String> {
        let value = self.optional(name);
        if value.is_none() {
            self.faults
                .push(format!("{name} is not set: it must be {should_be}"));
        }
        value
    }

    /// The faults say what a value should be, not what it is: a secret may be in the wrong variable.
    fn parsed<T>(
        &mut self,
        name: &str,
        default: Option<&str>,
        should_be: &str,
        parse: impl Fn(&str) -> Result<T, ()>,
    ) -> Option<T> {
        let value = match default {
            Some(default) => self.optional(name).unwrap_or_else(|| default.to_owned()),
            None => self.required(name, should_be)?,
        };
        let parsed = parse(&value).ok();
        if parsed.is_none() {
            self.faults
                .push(format!("{name} is not valid: it must be {should_be}"));
        }
        parsed
    }

    fn aws(&mut self) -> Option<AwsConfig> {
        let region = self
            .optional("AWS_REGION")
            .or_else(|| self.optional("AWS_DEFAULT_REGION"));
        if region.is_none() {
            self.faults
                .push("AWS_REGION is not set: it must be a region such as eu-central-1".to_owned());
        }
        let access_key_id = self.required(
            "AWS_ACCESS_KEY_ID",
            "set, as Lambda does from the function's role",
        );
        let secret_access_key = self.required(
            "AWS_SECRET_ACCESS_KEY",
            "set, as Lambda does from the function's role",
        );
        let endpoint = ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"]
            .into_iter()
            .find_map(|name| self.optional(name).map(|value| (name, value)));
        if let Some((name, value)) = &endpoint
            && !is_http_address(value)
        {
            self.faults.push(format!(
                "{name} is not valid: it must be an http(s):// address"
            ));
        }
        Some(AwsConfig {
            region: region?,
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?.into(),
            session_token: self.optional("AWS_SESSION_TOKEN").map(SecretString::from),
            secrets_manager_endpoint: endpoint.map(|(_, value)| value),
        })
    }
}

/// Stricter than [`Url`], which takes `http:/host` too: the SDK does not.
fn is_http_address(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    })
}

/// Organization tokens go to this address: in the clear only where nobody else can listen.
fn airbyte_api_url(text: &str) -> Result<Url, ()> {
    let mut url = Url::parse(text).map_err(drop)?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let safe = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !safe || !plain {
        return Err(());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn environment() -> HashMap<&'static str, &'static str> {
        HashMap::from([
            (
                "ORGANIZATION_TOKEN_SECRET_ARN",
                "airbyte/organization-token",
            ),
            (
                "AIRBYTE_ORGANIZATION_ID",
                "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
            ),
            ("ALLOWED_ORIGINS", "https://app.example.com"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "canary-key"),
        ])
    }

    fn read(changes: &[(&'static str, &'static str)]) -> Result<Config, ConfigError> {
        let mut environment = environment();
        environment.extend(changes.iter().copied());
        Config::from_lookup(|name| environment.get(name).map(ToString::to_string))
    }

    #[test]
    fn what_is_not_set_has_the_documented_default() {
        let config = read(&[]).unwrap();
        assert_eq!(config.airbyte_api_url.as_str(), "https://api.airbyte.ai/");
        assert_eq!(config.external_user_id_claim, "sub");
        assert_eq!(config.secret_ttl, Duration::from_secs(300));
        assert_eq!(config.aws.secrets_manager_endpoint, None);
    }

    #[test]
    fn the_more_specific_endpoint_wins() {
        let general = ("AWS_ENDPOINT_URL", "http://localhost:1");
        let own = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://localhost:2");
        let endpoint = |changes: &[_]| read(changes).unwrap().aws.secrets_manager_endpoint;
        assert_eq!(endpoint(&[general]).as_deref(), Some("http://localhost:1"));
        assert_eq!(
            endpoint(&[general, own]).as_deref(),
            Some("http://localhost:2")
        );
    }

    #[test]
    fn all_faults_stand_in_one_line_each_with_its_variable() {
        let error = Config::from_lookup(|_| None).unwrap_err().to_string();
        for name in [
            "ORGANIZATION_TOKEN_SECRET_ARN",
            "AIRBYTE_ORGANIZATION_ID",
            "ALLOWED_ORIGINS",
            "AWS_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            assert!(
                error.contains(&format!("{name} is not set")),
                "{name} in {error}"
            );
        }
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_wrong_value_is_named_but_not_shown() {
        for (name, value) in [
            ("AIRBYTE_ORGANIZATION_ID", "canary"),
            ("ALLOWED_ORIGINS", "https://canary.example/"),
            ("ALLOWED_ORIGINS", "*"),
            ("AIRBYTE_API_URL", "http://canary.example.com"),
            ("AIRBYTE_API_URL", "https://canary:canary@example.com"),
            ("AIRBYTE_API_URL", "https://example.com?canary"),
            ("AIRBYTE_API_URL", "canary"),
            ("EXTERNAL_USER_ID_CLAIM", "canary claim"),
            ("SECRET_TTL_SECONDS", "canary"),
            ("SECRET_TTL_SECONDS", "0"),
            ("SECRET_TTL_SECONDS", "-1"),
            ("SECRET_TTL_SECONDS", "100000"),
            ("AWS_ENDPOINT_URL", "canary"),
            ("AWS_ENDPOINT_URL", "http:/canary:5000"),
            ("AWS_ENDPOINT_URL", "ftp://canary"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{name} is not valid: it must be ")),
                "{error}"
            );
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in [
            "http://localhost:3002",
            "http://127.0.0.1:3002/",
            "http://[::1]:3002",
            "https://proxy.example/airbyte/",
        ] {
            assert!(
                !read(&[("AIRBYTE_API_URL", url)])
                    .unwrap()
                    .airbyte_api_url
                    .path()
                    .ends_with("e/"),
                "{url}"
            );
        }
        assert!(read(&[("AIRBYTE_API_URL", "http://localhost.example.com")]).is_err());
    }

    #[test]
    fn debug_output_has_no_key_in_it() {
        assert!(!format!("{:?}", read(&[]).unwrap()).contains("canary-key"));
    }
}
