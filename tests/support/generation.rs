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

impl Generation {
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
