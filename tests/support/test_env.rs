//! The environment of one test.

use airbyte_sim::{Airbyte, CannedResponse, Exchange, Fault, FaultKind, Options, Route};
use uuid::Uuid;

use crate::{Binary, Config, Function, Generation, Names, Secret, SecretsManager};

/// An Airbyte simulator, a Secrets Manager and a secret with the organization's credential.
pub struct TestEnv {
    /// The simulator that the functions call.
    pub airbyte: Airbyte,
    /// The Secrets Manager that the functions call.
    pub secrets_manager: SecretsManager,
    /// The secret with the organization's credential.
    pub secret: Secret,
    generation: Generation,
}

impl TestEnv {
    /// An organization token that the simulator accepts.
    pub const ORGANIZATION_TOKEN: &str = "dev-organization-token";

    /// Starts an environment whose secret is an organization token.
    pub async fn new() -> TestEnv {
        TestEnv::with_options(Options::default()).await
    }

    /// Starts an environment whose functions use this generation of the Airbyte API.
    pub async fn of(generation: Generation) -> TestEnv {
        TestEnv::new().await.generation(generation)
    }

    /// Starts an environment whose secret is an application's credential.
    pub async fn with_application() -> TestEnv {
        TestEnv::with_secret(Secret::application("dev-client-secret").await).await
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
            generation: Generation::Embedded,
        }
    }

    /// Sets the generation of the Airbyte API that functions started from now on use.
    #[must_use]
    pub fn generation(self, generation: Generation) -> TestEnv {
        TestEnv { generation, ..self }
    }

    /// Returns the paths and field names of the functions' generation.
    #[must_use]
    pub fn names(&self) -> Names {
        self.generation.names()
    }

    /// Creates a complete configuration of a function in this environment.
    #[must_use]
    pub fn config(&self) -> Config {
        let config = Config::new(
            &self.airbyte.url(),
            &self.secrets_manager.url(),
            self.secret.name(),
        );
        self.generation.configure(config)
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

    /// Returns the routes of all requests to Airbyte since the log was cleared, oldest first.
    ///
    /// # Panics
    /// If a request was none of the three that the functions send.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        const ROUTES: [Route; 3] = [Route::ApplicationToken, Route::WidgetToken, Route::Sources];
        let route = |exchange: Exchange| {
            let covers = |route: &Route| route.covers(&exchange.method, &exchange.path);
            let route = ROUTES.into_iter().find(covers);
            route.unwrap_or_else(|| panic!("unexpected request: {exchange:?}"))
        };
        self.airbyte.requests().into_iter().map(route).collect()
    }

    /// Returns the requests on a route of Airbyte since the log was cleared, oldest first.
    #[must_use]
    pub fn requests(&self, route: Route) -> Vec<Exchange> {
        requests(&self.airbyte, route)
    }

    /// Returns the workspace of a user.
    ///
    /// # Panics
    /// If the user has none.
    #[must_use]
    pub fn workspace_of(&self, user: &str) -> Uuid {
        self.airbyte
            .workspace_of(Config::ORGANIZATION_ID, user)
            .unwrap_or_else(|| panic!("{user} has no workspace"))
    }
}

/// Returns the requests on a route of the simulator since the log was cleared, oldest first.
#[must_use]
pub fn requests(airbyte: &Airbyte, route: Route) -> Vec<Exchange> {
    let mut requests = airbyte.requests();
    requests.retain(|exchange| route.covers(&exchange.method, &exchange.path));
    requests
}
