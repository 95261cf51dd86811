//! The environment of one test.

use airbyte_sim::{Airbyte, CannedResponse, Fault, FaultKind, Options, Route};

use crate::{Binary, Config, Function, Secret, SecretsManager};

/// An Airbyte simulator, a Secrets Manager and a secret with the organization's credential.
pub struct TestEnv {
    /// The simulator that the functions call.
    pub airbyte: Airbyte,
    /// The Secrets Manager that the functions call.
    pub secrets_manager: SecretsManager,
    /// The secret with the organization's credential.
    pub secret: Secret,
}

impl TestEnv {
    /// An organization token that the simulator accepts.
    pub const ORGANIZATION_TOKEN: &str = "dev-organization-token";

    /// Starts an environment whose secret is an organization token.
    pub async fn new() -> TestEnv {
        TestEnv::with_options(Options::default()).await
    }

    /// Starts an environment with other options of the simulator.
    pub async fn with_options(options: Options) -> TestEnv {
        TestEnv::with(options, Secret::create(Self::ORGANIZATION_TOKEN).await).await
    }

    /// Starts an environment with another secret.
    pub async fn with_secret(secret: Secret) -> TestEnv {
        TestEnv::with(Options::default(), secret).await
    }

    /// Starts an environment with other options of the simulator and another secret.
    pub async fn with(options: Options, secret: Secret) -> TestEnv {
        TestEnv {
            airbyte: Airbyte::start(options).await.expect("a free port"),
            secrets_manager: SecretsManager::start().await,
            secret,
        }
    }

    /// Creates a complete configuration of a function in this environment.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::new(
            &self.airbyte.url(),
            &self.secrets_manager.url(),
            self.secret.name(),
        )
    }

    /// Starts a function.
    pub async fn start(&self, binary: Binary) -> Function {
        Function::start(binary, &self.config()).await
    }

    /// Starts `mint-token`.
    pub async fn mint_token(&self) -> Function {
        self.start(Binary::MintToken).await
    }

    /// Starts `create-source`.
    pub async fn create_source(&self) -> Function {
        self.start(Binary::CreateSource).await
    }

    /// Replaces the injected failures by this one, for every request on a route.
    pub fn inject(&self, route: Route, kind: FaultKind) {
        self.airbyte.clear_faults();
        self.airbyte.inject(Fault::new(route, kind));
    }

    /// Replaces the injected failures by this one, for the next `times` requests on a route.
    pub fn inject_times(&self, times: u32, route: Route, kind: FaultKind) {
        self.airbyte.clear_faults();
        self.airbyte.inject(Fault::new(route, kind).times(times));
    }

    /// Replaces the injected failures by this response, for every request on a route.
    pub fn respond(&self, route: Route, response: CannedResponse) {
        self.inject(route, FaultKind::Respond(response));
    }
}
