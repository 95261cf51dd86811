//! The configuration: environment variables, read once at startup.
//!
//! All errors are returned at once, in one line. Each names its variable and the expected value.

use std::time::Duration;

use http::Uri;
use secrecy::SecretString;
use url::{Host, Url};
use uuid::Uuid;

use crate::airbyte::{Agents, Api, SourcesBearer, TagsMode, TemplateTags};
use crate::aws::AwsConfig;
use crate::request::origin::AllowedOrigins;

/// The configuration of a function, each field read from the variable that it names.
#[derive(Debug)]
pub struct Config {
    /// `ORGANIZATION_TOKEN_SECRET_ARN`: name or ARN of the secret with the organization's credential.
    pub secret_id: String,
    /// `AIRBYTE_ORGANIZATION_ID`.
    pub organization_id: Uuid,
    /// `ALLOWED_ORIGINS`, comma-separated.
    pub allowed_origins: AllowedOrigins,
    /// `AIRBYTE_API_URL`, without a trailing slash.
    pub airbyte_api_url: Url,
    /// `AIRBYTE_API` and the settings of that generation of the API.
    pub airbyte_api: Api,
    /// `EXTERNAL_USER_ID_CLAIM`: the claim of the caller's JWT with the user's ID.
    pub external_user_id_claim: String,
    /// `SECRET_TTL_SECONDS`: the age at which the cached secret is read again.
    pub secret_ttl: Duration,
    /// `STATE_TABLE`: the name of the DynamoDB table that the functions share.
    pub state_table: Option<String>,
    /// The variables that Lambda sets for the AWS SDK.
    pub aws: AwsConfig,
}

/// Variables that are missing or invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// Returns the errors. Each begins with the name of its variable.
    #[must_use]
    pub fn errors(&self) -> &[String] {
        &self.0
    }
}

impl Config {
    /// Reads the environment of the process.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// Reads the variables that `lookup` returns. An empty value counts as missing.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut read = Reader {
            lookup,
            errors: Vec::new(),
        };
        let secret_id = read.required(
            "ORGANIZATION_TOKEN_SECRET_ARN",
            "the name or ARN of a secret in Secrets Manager",
        );
        let organization_id = read.parsed(
            "AIRBYTE_ORGANIZATION_ID",
            None,
            "a UUID: the Airbyte organization's ID",
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
        let airbyte_api = read.airbyte_api();
        let claim = read.parsed(
            "EXTERNAL_USER_ID_CLAIM",
            Some("sub"),
            "the name of a claim, without whitespace",
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
        let state_table = read.parsed(
            "STATE_TABLE",
            Some(""),
            "the name of a DynamoDB table: 3 to 255 letters, digits, `_`, `-` and `.`",
            |text| optional(text, table_name),
        );
        let aws = read.aws();
        read.finish(|| {
            Some(Self {
                secret_id: secret_id?,
                organization_id: organization_id?,
                allowed_origins: allowed_origins?,
                airbyte_api_url: airbyte_api_url?,
                airbyte_api: airbyte_api?,
                external_user_id_claim: claim?,
                secret_ttl: secret_ttl?,
                state_table: state_table?,
                aws: aws?,
            })
        })
    }
}

struct Reader<F> {
    lookup: F,
    errors: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    /// Returns the configuration that `build` creates, or all errors.
    fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, ConfigError> {
        match build() {
            Some(config) if self.errors.is_empty() => Ok(config),
            _ => Err(ConfigError(self.errors)),
        }
    }

    fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str, expected: &str) -> Option<String> {
        let value = self.optional(name);
        if value.is_none() {
            self.errors
                .push(format!("{name} is not set: it must be {expected}"));
        }
        value
    }

    /// Parses a variable. The error names the expected value, not the actual one, because a secret may be in the wrong
    /// variable.
    fn parsed<T>(
        &mut self,
        name: &str,
        default: Option<&str>,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, ()>,
    ) -> Option<T> {
        let value = match default {
            Some(default) => self.optional(name).unwrap_or_else(|| default.to_owned()),
            None => self.required(name, expected)?,
        };
        let parsed = parse(&value).ok();
        if parsed.is_none() {
            self.errors
                .push(format!("{name} is not valid: it must be {expected}"));
        }
        parsed
    }

    fn airbyte_api(&mut self) -> Option<Api> {
        const TAGS: &str = "a comma-separated list of tags, none of them empty";
        const MODE: &str = "`any` or `all`";
        let is_agents = self.parsed(
            "AIRBYTE_API",
            Some("embedded"),
            "`embedded` or `agents`",
            |text| match text {
                "embedded" => Ok(false),
                "agents" => Ok(true),
                _ => Err(()),
            },
        )?;
        let mut setting = AgentsSettings {
            reader: self,
            is_agents,
        };
        let sources_bearer = setting.parsed(
            "AIRBYTE_SOURCES_BEARER",
            "scoped",
            "`scoped` or `organization`",
            |text| match text {
                "scoped" => Ok(SourcesBearer::Scoped),
                "organization" => Ok(SourcesBearer::Organization),
                _ => Err(()),
            },
        );
        let region_id = setting.parsed("AIRBYTE_REGION_ID", "", "a UUID", |text| {
            optional(text, |text| Uuid::try_parse(text).map_err(drop))
        });
        let [source_tags, connection_tags] = ["SOURCE_TEMPLATE_TAGS", "CONNECTION_TEMPLATE_TAGS"]
            .map(|name| setting.parsed(name, "", TAGS, tags));
        let [source_mode, connection_mode] =
            ["SOURCE_TEMPLATE_TAGS_MODE", "CONNECTION_TEMPLATE_TAGS_MODE"]
                .map(|name| setting.parsed(name, "any", MODE, tags_mode));
        if !is_agents {
            return Some(Api::Embedded);
        }
        Some(Api::Agents(Agents {
            sources_bearer: sources_bearer?,
            region_id: region_id?,
            source_template_tags: TemplateTags {
                tags: source_tags?,
                mode: source_mode?,
            },
            connection_template_tags: TemplateTags {
                tags: connection_tags?,
                mode: connection_mode?,
            },
        }))
    }

    fn aws(&mut self) -> Option<AwsConfig> {
        let region = self
            .optional("AWS_REGION")
            .or_else(|| self.optional("AWS_DEFAULT_REGION"));
        if region.is_none() {
            self.errors
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
        let secrets_manager_endpoint = self.endpoint("AWS_ENDPOINT_URL_SECRETS_MANAGER");
        let dynamodb_endpoint = self.endpoint("AWS_ENDPOINT_URL_DYNAMODB");
        Some(AwsConfig {
            region: region?,
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?.into(),
            session_token: self.optional("AWS_SESSION_TOKEN").map(SecretString::from),
            secrets_manager_endpoint,
            dynamodb_endpoint,
        })
    }

    /// Reads the endpoint of one AWS service, else the general one.
    fn endpoint(&mut self, name: &str) -> Option<String> {
        let (name, value) = [name, "AWS_ENDPOINT_URL"]
            .into_iter()
            .find_map(|name| self.optional(name).map(|value| (name, value)))?;
        if !is_http_address(&value) {
            let error = format!("{name} is not valid: it must be an http(s):// address");
            if !self.errors.contains(&error) {
                self.errors.push(error);
            }
        }
        Some(value)
    }
}

/// The settings of `AIRBYTE_API=agents`.
struct AgentsSettings<'a, F> {
    reader: &'a mut Reader<F>,
    is_agents: bool,
}

impl<F: Fn(&str) -> Option<String>> AgentsSettings<'_, F> {
    /// Parses a variable. With the other API, a value other than the default is an error, because it has no effect.
    fn parsed<T>(
        &mut self,
        name: &str,
        default: &str,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, ()>,
    ) -> Option<T> {
        if self.is_agents {
            return self.reader.parsed(name, Some(default), expected, parse);
        }
        if self
            .reader
            .optional(name)
            .is_some_and(|value| value != default)
        {
            let error =
                format!("{name} is not valid: it must be unset unless AIRBYTE_API is `agents`");
            self.reader.errors.push(error);
        }
        None
    }
}

/// Parses a value unless it is empty.
fn optional<T>(text: &str, parse: impl Fn(&str) -> Result<T, ()>) -> Result<Option<T>, ()> {
    (!text.is_empty()).then(|| parse(text)).transpose()
}

fn tags(text: &str) -> Result<Vec<String>, ()> {
    let split = |text: &str| {
        let tag = |tag: &str| (!tag.is_empty()).then(|| tag.to_owned()).ok_or(());
        text.split(',').map(str::trim).map(tag).collect()
    };
    Ok(optional(text, split)?.unwrap_or_default())
}

fn tags_mode(text: &str) -> Result<TagsMode, ()> {
    match text {
        "any" => Ok(TagsMode::Any),
        "all" => Ok(TagsMode::All),
        _ => Err(()),
    }
}

fn table_name(text: &str) -> Result<String, ()> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_valid = (3..=255).contains(&text.len()) && text.chars().all(is_allowed);
    is_valid.then(|| text.to_owned()).ok_or(())
}

/// Stricter than [`Url`], which also accepts `http:/host`: the AWS SDK does not.
fn is_http_address(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    })
}

/// Parses a URL that may receive organization tokens: unencrypted only on loopback.
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
    fn uses_documented_defaults() {
        let config = read(&[]).unwrap();
        assert_eq!(config.airbyte_api_url.as_str(), "https://api.airbyte.ai/");
        assert_eq!(config.external_user_id_claim, "sub");
        assert_eq!(config.secret_ttl, Duration::from_secs(300));
        assert_eq!(config.state_table, None);
        assert_eq!(config.aws.secrets_manager_endpoint, None);
        assert_eq!(config.aws.dynamodb_endpoint, None);
    }

    #[test]
    fn prefers_endpoint_of_service() {
        let general = ("AWS_ENDPOINT_URL", "http://localhost:1");
        let secrets_manager = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://localhost:2");
        let dynamodb = ("AWS_ENDPOINT_URL_DYNAMODB", "http://localhost:3");
        let endpoints = |changes: &[_]| {
            let aws = read(changes).unwrap().aws;
            [aws.secrets_manager_endpoint, aws.dynamodb_endpoint].map(Option::unwrap)
        };
        assert_eq!(
            endpoints(&[general]),
            ["http://localhost:1", "http://localhost:1"]
        );
        assert_eq!(
            endpoints(&[general, secrets_manager]),
            ["http://localhost:2", "http://localhost:1"]
        );
        assert_eq!(
            endpoints(&[general, dynamodb]),
            ["http://localhost:1", "http://localhost:3"]
        );
    }

    #[test]
    fn reports_all_missing_variables_in_one_line() {
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
    fn names_invalid_variable_without_its_value() {
        for (name, value) in [
            ("AIRBYTE_ORGANIZATION_ID", "canary"),
            ("ALLOWED_ORIGINS", "https://canary.example/"),
            ("ALLOWED_ORIGINS", "*"),
            ("AIRBYTE_API_URL", "http://canary.example.com"),
            ("AIRBYTE_API_URL", "https://canary:canary@example.com"),
            ("AIRBYTE_API_URL", "https://example.com?canary"),
            ("AIRBYTE_API_URL", "canary"),
            ("AIRBYTE_API", "canary"),
            ("AIRBYTE_API", "Agents"),
            ("EXTERNAL_USER_ID_CLAIM", "canary claim"),
            ("SECRET_TTL_SECONDS", "canary"),
            ("STATE_TABLE", "canary table"),
            ("STATE_TABLE", "ca"),
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
    fn allows_http_on_loopback_only() {
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
    fn reads_settings_of_agents_api() {
        let api = |changes: &[_]| read(changes).unwrap().airbyte_api;
        let agents = ("AIRBYTE_API", "agents");
        assert_eq!(api(&[]), Api::Embedded);
        assert_eq!(api(&[agents]), Api::Agents(Agents::default()));
        assert_eq!(
            api(&[
                agents,
                ("AIRBYTE_SOURCES_BEARER", "organization"),
                ("AIRBYTE_REGION_ID", "645a183f-b12b-4c6e-8ad3-99e165603450"),
                ("SOURCE_TEMPLATE_TAGS", "crm, files"),
                ("SOURCE_TEMPLATE_TAGS_MODE", "all"),
                ("CONNECTION_TEMPLATE_TAGS", "daily"),
            ]),
            Api::Agents(Agents {
                sources_bearer: SourcesBearer::Organization,
                region_id: Uuid::try_parse("645a183f-b12b-4c6e-8ad3-99e165603450").ok(),
                source_template_tags: TemplateTags {
                    tags: vec!["crm".into(), "files".into()],
                    mode: TagsMode::All,
                },
                connection_template_tags: TemplateTags {
                    tags: vec!["daily".into()],
                    mode: TagsMode::Any,
                },
            })
        );
    }

    #[test]
    fn rejects_invalid_settings_of_agents_api() {
        for (name, value) in [
            ("AIRBYTE_SOURCES_BEARER", "canary"),
            ("AIRBYTE_REGION_ID", "canary"),
            ("SOURCE_TEMPLATE_TAGS", "canary,,"),
            ("CONNECTION_TEMPLATE_TAGS", ","),
            ("SOURCE_TEMPLATE_TAGS_MODE", "canary"),
            ("CONNECTION_TEMPLATE_TAGS_MODE", "canary"),
        ] {
            let error = read(&[("AIRBYTE_API", "agents"), (name, value)]);
            let error = error.unwrap_err().to_string();
            let expected = format!("{name} is not valid: it must be ");
            assert!(error.starts_with(&expected), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn rejects_settings_of_agents_api_with_embedded_api() {
        let defaults = [
            ("AIRBYTE_SOURCES_BEARER", "scoped"),
            ("SOURCE_TEMPLATE_TAGS", ""),
            ("SOURCE_TEMPLATE_TAGS_MODE", "any"),
        ];
        assert_eq!(read(&defaults).unwrap().airbyte_api, Api::Embedded);
        for (name, value) in [
            ("AIRBYTE_SOURCES_BEARER", "organization"),
            ("AIRBYTE_REGION_ID", "645a183f-b12b-4c6e-8ad3-99e165603450"),
            ("SOURCE_TEMPLATE_TAGS", "crm"),
            ("SOURCE_TEMPLATE_TAGS_MODE", "all"),
            ("CONNECTION_TEMPLATE_TAGS", "daily"),
            ("CONNECTION_TEMPLATE_TAGS_MODE", "all"),
        ] {
            assert_eq!(
                read(&[(name, value)]).unwrap_err().to_string(),
                format!("{name} is not valid: it must be unset unless AIRBYTE_API is `agents`")
            );
        }
    }

    #[test]
    fn debug_hides_keys() {
        assert!(!format!("{:?}", read(&[]).unwrap()).contains("canary-key"));
    }
}
