//! The generations of Airbyte's API.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A generation of Airbyte's API. A simulator serves both over one state, unless one is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// The API of mid-2025: `POST /api/v1/embedded/widget_token`, `POST /api/v1/integrations/sources/`.
    Embedded,
    /// The API documented in 2026: `POST /api/v1/account/applications/widget-token`,
    /// `POST /api/v1/integrations/connectors`.
    Agents,
}

impl Generation {
    /// Every generation.
    pub const ALL: [Self; 2] = [Self::Embedded, Self::Agents];

    /// Returns its name: `embedded` or `agents`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Agents => "agents",
        }
    }

    /// Returns the generation that alone serves `path`; `None` if both do, or neither.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        const EMBEDDED: [&str; 4] = [
            "/api/v1/embedded/widget_token",
            "/api/v1/integrations/sources",
            "/api/v1/integrations/sources/",
            "/embedded-widget",
        ];
        const AGENTS: [&str; 5] = [
            "/api/v1/account/applications/widget-token",
            "/api/v1/account/applications/scoped-token",
            "/api/v1/account/applications/scoped-token/info",
            "/api/v1/integrations/connectors",
            "/quick-start/widget",
        ];
        if EMBEDDED.contains(&path) {
            return Some(Self::Embedded);
        }
        let serves = AGENTS.contains(&path) || path.starts_with("/api/v1/integrations/connectors/");
        serves.then_some(Self::Agents)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Generation {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|generation| generation.as_str() == name)
            .ok_or("expected embedded or agents")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_its_own_names_only() {
        for generation in Generation::ALL {
            assert_eq!(generation.to_string().parse(), Ok(generation));
        }
        assert!("Agents".parse::<Generation>().is_err());
    }

    #[test]
    fn shared_paths_belong_to_no_generation() {
        for path in [
            "/api/v1/account/applications/token",
            "/api/v1/integrations/templates/sources/1",
            "/api/v1/integrations/connectorsque",
        ] {
            assert_eq!(Generation::of_path(path), None, "{path}");
        }
    }
}
