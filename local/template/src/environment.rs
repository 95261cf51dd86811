//! Environments of child processes.
//!
//! A child gets the variables that are listed here, and those that its caller adds. Inheriting the developer's whole
//! environment would let it decide what runs: an AWS profile that does not exist, a foreign `PYTHONPATH`, a `RUST_LOG`.

use std::ffi::{OsStr, OsString};
use std::process::Command;

/// What every program may need: where programs, the home directory and temporary files are, and how to print text.
const BASE: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TERM",
    "NO_COLOR",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
];

/// How to reach the internet: proxies and root certificates.
const NETWORK: [&str; 13] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "AWS_CA_BUNDLE",
];

/// A set of variables of this process.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// The variables that any program may need.
    #[must_use]
    pub fn base() -> Self {
        Self::default().with(|name| BASE.contains(&name))
    }

    /// Adds proxies and root certificates.
    #[must_use]
    pub fn with_network(self) -> Self {
        self.with(|name| NETWORK.contains(&name))
    }

    /// Adds the variables of this process whose names are selected.
    #[must_use]
    pub fn with(mut self, is_selected: impl Fn(&str) -> bool) -> Self {
        let selected =
            std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(&is_selected));
        self.0.extend(selected);
        self
    }

    /// Adds a variable, or replaces it.
    #[must_use]
    pub fn set(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.0
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives a command this environment, and nothing else.
    pub fn apply(self, command: &mut Command) {
        command.env_clear().envs(self.0);
    }
}
