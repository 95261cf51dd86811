//! What a developer can choose: environment variables of `make dev`.

use std::net::{Ipv4Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

/// The choices, with their defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) ports: Ports,
    /// `ALLOWED_ORIGINS`, the template's parameter.
    pub(super) allowed_origins: String,
    /// `PARAMETER_OVERRIDES`: more of the template's parameters, as `sam deploy --parameter-overrides` takes them.
    pub(super) parameter_overrides: Vec<(String, String)>,
    /// `WIDGET_JS_URL`: Airbyte's widget script, instead of the package's widget host.
    pub(super) widget_script_url: Option<String>,
    /// `WIDGET_JS_INTEGRITY`: its hash, for the script element's `integrity`.
    pub(super) widget_script_integrity: Option<String>,
    /// `FUNCTION_CONCURRENCY`: how many instances of each function may run at a time.
    pub(super) concurrency: u16,
}

/// Where everything listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) gateway: u16,
    pub(super) issuer: u16,
    pub(super) airbyte: u16,
    pub(super) demo: u16,
    pub(super) invoke: u16,
}

const DEFAULT_CONCURRENCY: u16 = 4;

/// Something that cannot be chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}={value} cannot be used: expected {expected}")]
pub struct SettingsError {
    variable: &'static str,
    value: String,
    expected: &'static str,
}

impl Settings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, SettingsError> {
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
        let checked = |variable, is_right: fn(&str) -> bool, expected| match set(variable) {
            Some(value) if !is_right(&value) => Err(SettingsError {
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
        let parameter_overrides = set("PARAMETER_OVERRIDES").unwrap_or_default();
        Ok(Self {
            ports,
            allowed_origins: set("ALLOWED_ORIGINS").unwrap_or_else(|| {
                ["localhost", "127.0.0.1"]
                    .map(|host| origin(host, demo))
                    .join(",")
            }),
            parameter_overrides: parameter_overrides
                .split_whitespace()
                .map(override_of)
                .collect::<Result<_, _>>()?,
            widget_script_url: checked(
                "WIDGET_JS_URL",
                is_script_address,
                "an http:// or https:// address, or a path on the demo page's own origin",
            )?,
            // Browsers take what is no hash for no condition at all, and run whatever they get.
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
    pub(super) fn allow_the_demo_page(&self) -> bool {
        self.allow(&local_url(self.ports.demo))
    }

    /// Whether a page of this origin may call the API.
    pub(super) fn allow(&self, origin: &str) -> bool {
        self.allowed_origins
            .split(',')
            .any(|allowed| allowed.trim() == origin)
    }
}

fn is_script_address(text: &str) -> bool {
    let is_http = |url: Url| matches!(url.scheme(), "http" | "https");
    // Two slashes lead to another origin.
    (text.starts_with('/') && !text.starts_with("//")) || Url::parse(text).is_ok_and(is_http)
}

/// What `integrity` attributes say: hashes, separated by spaces, of which one must fit.
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

/// `Name=value`.
fn override_of(text: &str) -> Result<(String, String), SettingsError> {
    let split = text.split_once('=').filter(|(name, _)| !name.is_empty());
    split
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| SettingsError {
            variable: "PARAMETER_OVERRIDES",
            value: text.to_owned(),
            expected: "Name=value, separated by spaces",
        })
}

impl Ports {
    /// Each port with what listens there and the variable that changes it.
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

/// The address that a part of the stack binds.
pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The address that a developer sees.
pub(super) fn local_url(port: u16) -> String {
    origin("localhost", port)
}

/// As browsers send it: without the default port.
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
    fn everything_has_a_default() {
        let expected = Settings {
            ports: Ports {
                gateway: 3000,
                issuer: 3001,
                airbyte: 3002,
                demo: 5173,
                invoke: 9000,
            },
            allowed_origins: "http://localhost:5173,http://127.0.0.1:5173".to_owned(),
            parameter_overrides: vec![],
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
    fn the_demo_page_is_allowed_at_its_own_port_unless_origins_are_chosen() {
        let moved = settings(&[("DEMO_PORT", "8080")]).unwrap();
        assert_eq!(
            moved.allowed_origins,
            "http://localhost:8080,http://127.0.0.1:8080"
        );
        assert!(moved.allow_the_demo_page());
        let default_port = settings(&[("DEMO_PORT", "80")]).unwrap();
        assert_eq!(
            default_port.allowed_origins,
            "http://localhost,http://127.0.0.1"
        );
        assert!(default_port.allow_the_demo_page());
        let chosen =
            settings(&[("ALLOWED_ORIGINS", "https://a.example, https://b.example")]).unwrap();
        assert!(!chosen.allow_the_demo_page());
    }

    #[test]
    fn overrides_are_pairs_separated_by_spaces() {
        let chosen = settings(&[(
            "PARAMETER_OVERRIDES",
            "LogLevel=debug  JwtAudience=a,b Empty=",
        )])
        .unwrap();
        let pairs = [("LogLevel", "debug"), ("JwtAudience", "a,b"), ("Empty", "")];
        assert_eq!(
            chosen.parameter_overrides,
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert_eq!(
            settings(&[("PARAMETER_OVERRIDES", "LogLevel")]).unwrap_err(),
            "PARAMETER_OVERRIDES=LogLevel cannot be used: expected Name=value, separated by spaces"
        );
    }

    #[test]
    fn what_cannot_be_used_is_said_by_name() {
        for value in ["0", "65536", "http"] {
            assert_eq!(
                settings(&[("ISSUER_PORT", value)]).unwrap_err(),
                format!("ISSUER_PORT={value} cannot be used: expected a port between 1 and 65535")
            );
        }
        assert_eq!(
            settings(&[("FUNCTION_CONCURRENCY", "0")]).unwrap_err(),
            "FUNCTION_CONCURRENCY=0 cannot be used: expected a number of instances"
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
                    "WIDGET_JS_URL={value} cannot be used: expected an http:// or https:// address, or a path on the demo \
                     page's own origin"
                )
            );
        }
    }

    #[test]
    fn the_widgets_integrity_is_a_hash_that_browsers_compare() {
        let hash = |length| STANDARD.encode(vec![7; length]);
        let (sha256, sha384) = (hash(32), hash(48));
        for right in [
            format!("sha384-{sha384}"),
            format!("sha256-{sha256} sha384-{sha384}"),
        ] {
            let chosen = settings(&[("WIDGET_JS_INTEGRITY", &right)]).unwrap();
            assert_eq!(chosen.widget_script_integrity, Some(right));
        }
        // To browsers the first ones are no condition, and the last ones never fit.
        for wrong in [
            "  ".to_owned(),
            sha384.clone(),
            format!("sha-384-{sha384}"),
            format!("SHA384-{sha384}"),
            format!("sha384-{sha256}"),
            format!("sha384-{}", "ab".repeat(48)),
        ] {
            let refused = settings(&[("WIDGET_JS_INTEGRITY", &wrong)]).unwrap_err();
            assert!(
                refused.ends_with("expected sha256-, sha384- or sha512- and the hash in base64"),
                "{refused}"
            );
        }
    }
}
