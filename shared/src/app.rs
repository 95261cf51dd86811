//! The initialization of a function in Lambda's init phase: logging, configuration and clients.

use std::error::Error;
use std::time::Duration;

use crate::airbyte::Airbyte;
use crate::aws::SdkConnector;
use crate::config::Config;
use crate::credential::CredentialStore;
use crate::credential::secrets_manager::SecretsManager;
use crate::http_client;
use crate::http_client::preconnect::Preconnect;
use crate::invocation::Invocation;
use crate::mint::Minter;
use crate::state::StateTable;
use crate::state::lease::WorkspaceLeases;
use crate::telemetry;

/// The timeout of the first read of the secret. Lambda limits the whole init phase to ten seconds.
const INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration and the clients of a function.
#[derive(Debug)]
pub struct App {
    /// The configuration.
    pub config: Config,
    /// The client for Airbyte.
    pub airbyte: Airbyte,
    /// Mints user-scoped tokens.
    pub minter: Minter,
    /// The state table, if there is one.
    pub state_table: Option<StateTable>,
}

impl App {
    /// Initializes logging, reads the configuration, builds the clients and reads the secret.
    ///
    /// # Errors
    ///
    /// Fails if the configuration is invalid. A secret that cannot be read is not an error here, because the first request
    /// reads it again.
    pub async fn init() -> Result<Self, Box<dyn Error + Send + Sync>> {
        telemetry::init(|name| std::env::var(name).ok())?;
        if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
            return Err("AWS_LAMBDA_RUNTIME_API is not set: this program runs inside AWS Lambda; to run it locally, use \
                        `make dev` or `cargo lambda watch`"
                .into());
        }
        let config = Config::from_env()?;
        let preconnect = Preconnect::default();
        let http = http_client::build(Some(preconnect.clone()))?;
        preconnect.open(&http, &config.airbyte_api_url);
        let airbyte = Airbyte::new(
            http,
            &config.airbyte_api_url,
            config.organization_id,
            config.airbyte_api.clone(),
        );
        // A separate client, because the first client's next connection is the one that is being opened to Airbyte.
        let http = SdkConnector(http_client::build(None)?);
        let secrets = SecretsManager::new(&config.aws, config.secret_id.clone(), http.clone());
        let credentials = CredentialStore::new(secrets, airbyte.clone(), config.secret_ttl);
        let state_table = config
            .state_table
            .clone()
            .map(|name| StateTable::new(&config.aws, name, config.organization_id, http));
        let leases = state_table.clone().map(WorkspaceLeases::new);
        let minter = Minter::new(airbyte.clone(), credentials, leases);
        minter.warm_up(&Invocation::for_init(INIT_TIMEOUT)).await;
        Ok(Self {
            config,
            airbyte,
            minter,
            state_table,
        })
    }
}
