//! Start-up: what both functions do before their first request, in Lambda's init phase.

use std::error::Error;
use std::time::Duration;

use crate::airbyte::Airbyte;
use crate::config::Config;
use crate::http_client::preconnect::Preconnect;
use crate::http_client::{self, SdkConnector};
use crate::invocation::Invocation;
use crate::mint::Mint;
use crate::organization::Organization;
use crate::secrets_manager::SecretsManager;
use crate::telemetry;

/// How long start-up waits for the secret. Lambda allows ten seconds for the whole of it.
const WARM_UP: Duration = Duration::from_secs(5);

/// What the functions work with.
#[derive(Debug)]
pub struct Services {
    /// The configuration.
    pub config: Config,
    /// The client for Airbyte.
    pub airbyte: Airbyte,
    /// Where user-scoped tokens come from.
    pub mint: Mint,
}

/// Sets up logging, reads the configuration, builds the clients and reads the secret.
///
/// A secret that cannot be read does not stop the start; everything else that is wrong does, and the error says what.
pub async fn services() -> Result<Services, Box<dyn Error + Send + Sync>> {
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
    let airbyte = Airbyte::new(http, &config.airbyte_api_url);
    // A client of its own: the connection that is being opened ahead leads to Airbyte.
    let http = SdkConnector(http_client::build(None)?);
    let secrets = SecretsManager::new(&config.aws, config.secret_id.clone(), http);
    let organization = Organization::new(secrets, airbyte.clone(), config.secret_ttl);
    let mint = Mint::new(airbyte.clone(), organization, config.organization_id);
    mint.warm_up(&Invocation::start_up(WARM_UP)).await;
    Ok(Services {
        config,
        airbyte,
        mint,
    })
}
