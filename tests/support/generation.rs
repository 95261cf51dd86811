//! Generations of the Airbyte API.

use crate::Config;

/// A generation of the Airbyte API that the functions support.
///
/// A test that must hold for all of them takes a generation and is listed in [`test_each_generation`](crate::test_each_generation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The default: Airbyte's documentation of 2025.
    Embedded,
    /// Airbyte's documentation of 2026.
    Agents,
}

/// The paths and field names of a generation.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The path of a mint.
    pub mint_path: &'static str,
    /// The path of a create.
    pub create_path: &'static str,
    /// The field of a mint with the user.
    pub user: &'static str,
    /// The field of a mint with the origin.
    pub origin: &'static str,
    /// The field of a create with the template.
    pub template: &'static str,
    /// The field of a create with the configuration.
    pub configuration: &'static str,
}

impl Generation {
    /// Returns the paths and field names.
    #[must_use]
    pub fn names(self) -> Names {
        match self {
            Generation::Embedded => Names {
                mint_path: "/api/v1/embedded/widget_token",
                create_path: "/api/v1/integrations/sources/",
                user: "externalUserId",
                origin: "allowedOrigin",
                template: "source_config_template_id",
                configuration: "connection_configuration",
            },
            Generation::Agents => Names {
                mint_path: "/api/v1/account/applications/widget-token",
                create_path: "/api/v1/integrations/connectors",
                user: "workspace_name",
                origin: "allowed_origin",
                template: "source_template_id",
                configuration: "replication_config",
            },
        }
    }

    /// Returns the status of Airbyte's response to a successful create.
    #[must_use]
    pub fn create_status(self) -> u16 {
        match self {
            Generation::Embedded => 201,
            Generation::Agents => 200,
        }
    }

    /// Returns the value of `X-Organization-Id` in every request.
    #[must_use]
    pub fn organization_header(self) -> Option<&'static str> {
        match self {
            Generation::Embedded => None,
            Generation::Agents => Some(Config::ORGANIZATION_ID),
        }
    }

    /// Configures a function for this generation.
    pub(crate) fn configure(self, config: Config) -> Config {
        match self {
            Generation::Embedded => config,
            Generation::Agents => config.with("AIRBYTE_API", "agents"),
        }
    }
}

/// Defines the tests with these names once per [`Generation`], each of which calls the function of its name with the
/// generation: `embedded::rejects_unlisted_origin` and so on.
#[macro_export]
macro_rules! test_each_generation {
    ($($test:ident),+ $(,)?) => {
        $crate::test_each_generation!(@tests embedded, Embedded: $($test),+);
        $crate::test_each_generation!(@tests agents, Agents: $($test),+);
    };
    (@tests $module:ident, $generation:ident: $($test:ident),+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($crate::Generation::$generation).await;
                }
            )+
        }
    };
}
