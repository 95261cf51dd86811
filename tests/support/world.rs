//! Everything one test needs.

use airbyte_sim::{Airbyte, CannedResponse, Fault, FaultKind, Options, Route};

use crate::{Binary, Environment, Function, Secret, SecretsManager};

/// An Airbyte simulator, a Secrets Manager and the organization's secret, for one test.
pub struct World {
    /// The simulator that the functions call.
    pub airbyte: Airbyte,
    /// The Secrets Manager that the functions call.
    pub secrets_manager: SecretsManager,
    /// The secret that holds the organization's credential.
    pub secret: Secret,
}

impl World {
    /// An organization token that the simulator accepts, as a plain string in the secret.
    pub async fn new() -> World {
        World::with_secret(Secret::create("dev-organization-token").await).await
    }

    /// The same with another secret.
    pub async fn with_secret(secret: Secret) -> World {
        World::with(Options::default(), secret).await
    }

    /// The same with another simulator.
    pub async fn with(options: Options, secret: Secret) -> World {
        let airbyte = Airbyte::start(options).await.expect("a free port");
        World {
            airbyte,
            secrets_manager: SecretsManager::start().await,
            secret,
        }
    }

    /// A whole configuration for a function in this world.
    #[must_use]
    pub fn environment(&self) -> Environment {
        Environment::new(
            &self.airbyte.url(),
            &self.secrets_manager.url(),
            self.secret.name(),
        )
    }

    /// Starts a function in this world.
    pub async fn start(&self, binary: Binary) -> Function {
        Function::start(binary, &self.environment()).await
    }

    /// Starts `mint-token` in this world.
    pub async fn mint_token(&self) -> Function {
        self.start(Binary::MintToken).await
    }

    /// Starts `create-source` in this world.
    pub async fn create_source(&self) -> Function {
        self.start(Binary::CreateSource).await
    }

    /// Has Airbyte answer every further request on a route like this, and no longer as it was told before.
    pub fn airbyte_answers(&self, route: Route, answer: CannedResponse) {
        self.airbyte.clear_faults();
        self.airbyte
            .inject(Fault::new(route, FaultKind::Respond(answer)));
    }
}
