//! Settings of `make dev`: environment variables.

use std::net::{Ipv4Addr, SocketAddr};

use airbyte_sim::Generation;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

/// The settings, with their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) ports: Ports,
    /// `ALLOWED_ORIGINS`, the template's parameter.
    pub(super) allowed_origins: String,
    /// Other parameters of the template: those that have a [variable](PARAMETER_VARIABLES), then those in
    /// `PARAMETER_OVERRIDES`, which has the form of `sam deploy --parameter-overrides`.
    pub(super) parameters: Vec<(String, String)>,
    /// `WIDGET_JS_URL`: Airbyte's widget script, instead of the package's widget host.
    pub(super) widget_script_url: Option<String>,
    /// `WIDGET_JS_INTEGRITY`: its hash, for the `integrity` attribute of the script element.
    pub(super) widget_script_integrity: Option<String>,
    /// `FUNCTION_CONCURRENCY`: the maximum number of instances of each function.
    pub(super) concurrency: u16,
}

/// The ports that the stack listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) gateway: u16,
    pub(super) issuer: u16,
    pub(super) airbyte: u16,
    pub(super) demo: u16,
    pub(super) invoke: u16,
}

/// The parameters of Airbyte's API, each with its variable, which is the functions' variable of the same meaning.
const PARAMETER_VARIABLES: [(&str, &str); 7] = [
    ("AirbyteApi", AIRBYTE_API),
    ("AirbyteSourcesBearer", "AIRBYTE_SOURCES_BEARER"),
    ("AirbyteRegionId", "AIRBYTE_REGION_ID"),
    ("SourceTemplateTags", "SOURCE_TEMPLATE_TAGS"),
    ("SourceTemplateTagsMode", "SOURCE_TEMPLATE_TAGS_MODE"),
    ("ConnectionTemplateTags", "CONNECTION_TEMPLATE_TAGS"),
    (
        "ConnectionTemplateTagsMode",
        "CONNECTION_TEMPLATE_TAGS_MODE",
    ),
];

const AIRBYTE_API: &str = "AIRBYTE_API";

const DEFAULT_CONCURRENCY: u16 = 4;

/// Returns the variables that set a parameter of the template.
pub(super) fn variables_of(parameter: &str) -> String {
    const ALL: &str = "PARAMETER_OVERRIDES";
    let mut variables = PARAMETER_VARIABLES.iter();
    let variable = match variables.find(|(name, _)| *name == parameter) {
        Some((_, variable)) => variable,
        None if parameter == "AllowedOrigins" => "ALLOWED_ORIGINS",
        None => return ALL.to_owned(),
    };
    format!("{variable} or {ALL}")
}

/// An invalid setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}={value} is invalid: expected {expected}")]
pub(super) struct SettingsError {
    variable: &'static str,
    value: String,
    expected: &'static str,
}

impl Settings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// If a variable is invalid.
    pub(super) fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    pub(super) fn from_lookup(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let number = |variable, default, expected| match set(variable) {
            None => Ok(default),
            Some(value) => match value.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(SettingsError {
                    variable,
                    value,
                    expected,
                }),
            },
        };
        let checked = |variable, is_valid: fn(&str) -> bool, expected| match set(variable) {
            Some(value) if !is_valid(&value) => Err(SettingsError {
                variable,
                value,
                expected,
            }),
            value => Ok(value),
        };
        let port = |variable, default| number(variable, default, "a port between 1 and 65535");
        let ports = Ports {
            gateway: port("GATEWAY_PORT", 3000)?,
            issuer: port("ISSUER_PORT", 3001)?,
            airbyte: port("AIRBYTE_PORT", 3002)?,
            demo: port("DEMO_PORT", 5173)?,
            invoke: port("INVOKE_PORT", 9000)?,
        };
        let demo = ports.demo;
        let is_generation = |name: &str| name.parse::<Generation>().is_ok();
        checked(AIRBYTE_API, is_generation, "embedded or agents")?;
        let of_variables = PARAMETER_VARIABLES
            .iter()
            .filter_map(|(name, variable)| Some(((*name).to_owned(), set(variable)?)));
        let overrides = parse_overrides(&set("PARAMETER_OVERRIDES").unwrap_or_default())?;
        Ok(Self {
            ports,
            allowed_origins: set("ALLOWED_ORIGINS").unwrap_or_else(|| {
                ["localhost", "127.0.0.1"]
                    .map(|host| origin(host, demo))
                    .join(",")
            }),
            parameters: of_variables.chain(overrides).collect(),
            widget_script_url: checked(
                "WIDGET_JS_URL",
                is_script_url,
                "an http:// or https:// URL, or a path on the demo page's own origin",
            )?,
            // Checked, because browsers ignore an attribute without a valid hash, and run any script.
            widget_script_integrity: checked(
                "WIDGET_JS_INTEGRITY",
                is_integrity,
                "sha256-, sha384- or sha512- and the hash in base64",
            )?,
            concurrency: number(
                "FUNCTION_CONCURRENCY",
                DEFAULT_CONCURRENCY,
                "a number of instances",
            )?,
        })
    }

    /// Whether the demo page may call the API.
    pub(super) fn allows_demo_page(&self) -> bool {
        self.allows(&local_url(self.ports.demo))
    }

    /// Whether a page of this origin may call the API.
    pub(super) fn allows(&self, origin: &str) -> bool {
        self.allowed_origins
            .split(',')
            .any(|allowed| allowed.trim() == origin)
    }
}

fn is_script_url(text: &str) -> bool {
    let is_http = |url: Url| matches!(url.scheme(), "http" | "https");
    // Two slashes lead to another origin.
    (text.starts_with('/') && !text.starts_with("//")) || Url::parse(text).is_ok_and(is_http)
}

/// Whether a string is a valid `integrity` attribute: hashes, separated by spaces.
fn is_integrity(text: &str) -> bool {
    !text.trim().is_empty()
        && text.split_whitespace().all(|hash| {
            let lengths = [("sha256-", 32), ("sha384-", 48), ("sha512-", 64)];
            lengths.iter().any(|(name, length)| {
                let digest = hash.strip_prefix(name).map(|hash| STANDARD.decode(hash));
                matches!(digest, Some(Ok(bytes)) if bytes.len() == *length)
            })
        })
}

/// Parses `Name=value Other="value with spaces"`.
fn parse_overrides(text: &str) -> Result<Vec<(String, String)>, SettingsError> {
    let invalid = |value: &str| SettingsError {
        variable: "PARAMETER_OVERRIDES",
        value: value.to_owned(),
        expected: "Name=value, separated by spaces, with quotes around a value that has spaces",
    };
    shlex::split(text)
        .ok_or_else(|| invalid(text))?
        .iter()
        .map(|word| {
            let split = word.split_once('=').filter(|(name, _)| !name.is_empty());
            split
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or_else(|| invalid(word))
        })
        .collect()
}

impl Ports {
    /// Returns each port with what listens there, and the variable that sets it.
    pub(super) fn named(self) -> [(u16, &'static str, &'static str); 5] {
        [
            (self.gateway, "the gateway", "GATEWAY_PORT"),
            (self.issuer, "the issuer", "ISSUER_PORT"),
            (self.airbyte, "the Airbyte simulator", "AIRBYTE_PORT"),
            (self.demo, "the demo page", "DEMO_PORT"),
            (self.invoke, "Lambda's Invoke API", "INVOKE_PORT"),
        ]
    }
}

/// Returns the address that a part of the stack binds.
pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Returns the URL that a developer sees.
pub(super) fn local_url(port: u16) -> String {
    origin("localhost", port)
}

/// Returns an origin as browsers send it: without the default port.
fn origin(host: &str, port: u16) -> String {
    match port {
        80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Settings::from_lookup(find).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_every_setting() {
        let expected = Settings {
            ports: Ports {
                gateway: 3000,
                issuer: 3001,
                airbyte: 3002,
                demo: 5173,
                invoke: 9000,
            },
            allowed_origins: "http://localhost:5173,http://127.0.0.1:5173".to_owned(),
            parameters: vec![],
            widget_script_url: None,
            widget_script_integrity: None,
            concurrency: 4,
        };
        assert_eq!(settings(&[]), Ok(expected.clone()));
        assert_eq!(
            settings(&[("GATEWAY_PORT", ""), ("ALLOWED_ORIGINS", "")]),
            Ok(expected)
        );
    }

    #[test]
    fn allows_demo_page_unless_origins_are_set() {
        let moved = settings(&[("DEMO_PORT", "8080")]).unwrap();
        assert_eq!(
            moved.allowed_origins,
            "http://localhost:8080,http://127.0.0.1:8080"
        );
        assert!(moved.allows_demo_page());
        let default_port = settings(&[("DEMO_PORT", "80")]).unwrap();
        assert_eq!(
            default_port.allowed_origins,
            "http://localhost,http://127.0.0.1"
        );
        assert!(default_port.allows_demo_page());
        let chosen =
            settings(&[("ALLOWED_ORIGINS", "https://a.example, https://b.example")]).unwrap();
        assert!(!chosen.allows_demo_page());
    }

    #[test]
    fn parses_parameter_overrides() {
        let chosen = settings(&[(
            "PARAMETER_OVERRIDES",
            "LogLevel=debug  JwtAudience=\"a,b\" Empty= Spaces='a b'",
        )])
        .unwrap();
        let pairs = [
            ("LogLevel", "debug"),
            ("JwtAudience", "a,b"),
            ("Empty", ""),
            ("Spaces", "a b"),
        ];
        assert_eq!(
            chosen.parameters,
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert_eq!(
            settings(&[("PARAMETER_OVERRIDES", "LogLevel")]).unwrap_err(),
            "PARAMETER_OVERRIDES=LogLevel is invalid: expected Name=value, separated by spaces, with quotes around a \
             value that has spaces"
        );
        assert!(settings(&[("PARAMETER_OVERRIDES", "JwtAudience=\"a")]).is_err());
    }

    #[test]
    fn sets_parameters_of_airbytes_api() {
        let chosen = settings(&[
            ("AIRBYTE_API", "agents"),
            ("SOURCE_TEMPLATE_TAGS", "crm,files"),
            ("SOURCE_TEMPLATE_TAGS_MODE", ""),
            ("PARAMETER_OVERRIDES", "LogLevel=debug AirbyteApi=embedded"),
        ]);

        // The last one counts.
        let pairs = [
            ("AirbyteApi", "agents"),
            ("SourceTemplateTags", "crm,files"),
            ("LogLevel", "debug"),
            ("AirbyteApi", "embedded"),
        ];
        assert_eq!(
            chosen.unwrap().parameters,
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn names_variables_of_parameter() {
        for (parameter, expected) in [
            ("AllowedOrigins", "ALLOWED_ORIGINS or PARAMETER_OVERRIDES"),
            (
                "AirbyteRegionId",
                "AIRBYTE_REGION_ID or PARAMETER_OVERRIDES",
            ),
            ("LogLevel", "PARAMETER_OVERRIDES"),
        ] {
            assert_eq!(variables_of(parameter), expected);
        }
    }

    #[test]
    fn rejects_invalid_settings_by_name() {
        assert_eq!(
            settings(&[("AIRBYTE_API", "Agents")]).unwrap_err(),
            "AIRBYTE_API=Agents is invalid: expected embedded or agents"
        );
        for value in ["0", "65536", "http"] {
            assert_eq!(
                settings(&[("ISSUER_PORT", value)]).unwrap_err(),
                format!("ISSUER_PORT={value} is invalid: expected a port between 1 and 65535")
            );
        }
        assert_eq!(
            settings(&[("FUNCTION_CONCURRENCY", "0")]).unwrap_err(),
            "FUNCTION_CONCURRENCY=0 is invalid: expected a number of instances"
        );
        for value in [
            "widget.js",
            "localhost:8000/widget.js",
            "file:///widget.js",
            "//cdn.example.com/widget.js",
        ] {
            assert_eq!(
                settings(&[("WIDGET_JS_URL", value)]).unwrap_err(),
                format!(
                    "WIDGET_JS_URL={value} is invalid: expected an http:// or https:// URL, or a path on the demo page's \
                     own origin"
                )
            );
        }
    }

    #[test]
    fn accepts_hashes_as_integrity() {
        let hash = |length| STANDARD.encode(vec![7; length]);
        let (sha256, sha384) = (hash(32), hash(48));
        for valid in [
            format!("sha384-{sha384}"),
            format!("sha256-{sha256} sha384-{sha384}"),
        ] {
            let chosen = settings(&[("WIDGET_JS_INTEGRITY", &valid)]).unwrap();
            assert_eq!(chosen.widget_script_integrity, Some(valid));
        }
        // Browsers ignore the first ones, and the last ones never match.
        for invalid in [
            "  ".to_owned(),
            sha384.clone(),
            format!("sha-384-{sha384}"),
            format!("SHA384-{sha384}"),
            format!("sha384-{sha256}"),
            format!("sha384-{}", "ab".repeat(48)),
        ] {
            let error = settings(&[("WIDGET_JS_INTEGRITY", &invalid)]).unwrap_err();
            assert!(
                error.ends_with("expected sha256-, sha384- or sha512- and the hash in base64"),
                "{error}"
            );
        }
    }
}
