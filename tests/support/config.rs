//! Configuration of a function.

use std::collections::BTreeMap;

/// The environment variables of a function, which inherits no others.
#[derive(Clone, Debug)]
pub struct Config(BTreeMap<String, String>);

impl Config {
    /// The ID of the simulator's development organization.
    pub const ORGANIZATION_ID: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
    /// The first configured origin.
    pub const ORIGIN: &str = "https://app.example.com";
    /// The second configured origin.
    pub const OTHER_ORIGIN: &str = "https://admin.example.com:8443";

    /// Creates a configuration with Lambda's variables and test credentials, but without the functions' variables.
    #[must_use]
    pub fn bare() -> Self {
        Config(BTreeMap::new())
            .with("AWS_REGION", "us-east-1")
            .with("AWS_DEFAULT_REGION", "us-east-1")
            .with("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .with("AWS_SECRET_ACCESS_KEY", "test-secret-access-key")
            .with("AWS_SESSION_TOKEN", "test-session-token")
            .with("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .with("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .with("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .with("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/test")
            .with("AWS_LAMBDA_LOG_STREAM_NAME", "2026/03/12/[$LATEST]test")
            .with("TZ", ":UTC")
    }

    /// Creates a complete configuration for this Airbyte, Secrets Manager and secret.
    #[must_use]
    pub fn new(airbyte_url: &str, secrets_manager_url: &str, secret: &str) -> Self {
        Self::bare()
            .with("AIRBYTE_API_URL", airbyte_url)
            .with("AIRBYTE_ORGANIZATION_ID", Self::ORGANIZATION_ID)
            .with(
                "ALLOWED_ORIGINS",
                &format!("{},{}", Self::ORIGIN, Self::OTHER_ORIGIN),
            )
            .with("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets_manager_url)
            .with("ORGANIZATION_TOKEN_SECRET_ARN", secret)
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}
