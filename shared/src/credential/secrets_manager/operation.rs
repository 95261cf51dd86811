//! The AWS SDK's `GetSecretValue`, put together from the SDK's parts without its client.
//!
//! Making that client parses a table of all of AWS's partitions, with a regular expression for each, even where the
//! endpoint is given. Together with what else it sets up, that is a third of what a cold start computes. So the parts
//! that matter here are taken one by one: the operation itself (what it sends, how its answers are read, which of its
//! errors pass), signing, retries, time-outs, and the correction of a wrong clock. Left out is what tells AWS about the
//! caller and the attempt (`user-agent`, `amz-sdk-invocation-id`, `amz-sdk-request`, `x-amzn-trace-id`), spans and
//! metrics, and what is for other operations or another HTTP client.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::service_clock_skew::ServiceClockSkewInterceptor;
use aws_sdk_secretsmanager::config::endpoint::{DefaultResolver, ResolveEndpoint as _};
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{
    BehaviorVersion, IdentityCache, Region, StalledStreamProtectionConfig,
};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValue;
use aws_smithy_runtime::client::defaults::{DefaultPluginParams, default_plugins};
use aws_smithy_runtime::client::orchestrator::AuthSchemeAndEndpointOrchestrationV2;
use aws_smithy_runtime::client::orchestrator::endpoints::StaticUriEndpointResolver;
use aws_smithy_runtime::client::retries::classifiers::HttpStatusCodeClassifier;
use aws_smithy_runtime_api::client::auth::SharedAuthScheme;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::endpoint::SharedEndpointResolver;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::{RuntimePlugins, StaticRuntimePlugin};
use aws_smithy_types::config_bag::{FrozenLayer, Layer};
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use secrecy::ExposeSecret as _;

use crate::aws::AwsConfig;
use crate::aws::SdkConnector;

/// The service's name in signatures.
const SERVICE: &str = "secretsmanager";

/// How long one try may take; up to three are made.
const ATTEMPT: Duration = Duration::from_secs(2);

/// How long is waited before the second try, at most; twice as long before the third.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);

/// All that it takes to run the operation.
pub(super) fn plugins(aws: &AwsConfig, http: SdkConnector) -> RuntimePlugins {
    let defaults = DefaultPluginParams::new()
        .with_retry_partition_name(SERVICE)
        .with_behavior_version(BehaviorVersion::latest());
    let ours = StaticRuntimePlugin::new()
        .with_config(settings(aws))
        .with_runtime_components(components(aws, http));
    RuntimePlugins::new()
        .with_client_plugins(default_plugins(defaults))
        .with_client_plugin(ours)
        .with_operation_plugin(GetSecretValue::new())
}

fn settings(aws: &AwsConfig) -> FrozenLayer {
    let region = Region::new(aws.region.clone());
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT)
        .build();
    let mut settings = Layer::new(SERVICE);
    settings.store_put(SigningName::from_static(SERVICE));
    settings.store_put(SigningRegion::from(region.clone()));
    settings.store_put(region);
    settings.store_put(RetryConfig::standard().with_initial_backoff(INITIAL_BACKOFF));
    settings.store_put(timeouts);
    // Answers are small and come whole; the time-out is enough.
    settings.store_put(StalledStreamProtectionConfig::disabled());
    // The order that today's clients ask for: the older one resolves the endpoint first.
    settings.store_put(AuthSchemeAndEndpointOrchestrationV2);
    settings.freeze()
}

fn components(aws: &AwsConfig, http: SdkConnector) -> RuntimeComponentsBuilder {
    let session_token = aws.session_token.as_ref();
    let credentials = Credentials::new(
        aws.access_key_id.clone(),
        aws.secret_access_key.expose_secret(),
        session_token.map(|token| token.expose_secret().to_owned()),
        None,
        "environment",
    );
    RuntimeComponentsBuilder::new(SERVICE)
        .with_http_client(Some(http))
        .with_endpoint_resolver(Some(endpoint_resolver(aws)))
        .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![
            SCHEME_ID,
        ])))
        .with_identity_resolver(SCHEME_ID, SharedCredentialsProvider::new(credentials))
        .with_identity_cache(Some(IdentityCache::no_cache()))
        .with_retry_classifier(HttpStatusCodeClassifier::default())
        .with_interceptor(ServiceClockSkewInterceptor::new())
}

fn endpoint_resolver(aws: &AwsConfig) -> SharedEndpointResolver {
    let given = aws.secrets_manager_endpoint.clone();
    match given.or_else(|| standard_endpoint(&aws.region)) {
        Some(endpoint) => SharedEndpointResolver::new(StaticUriEndpointResolver::uri(endpoint)),
        // The SDK's own, with its table of partitions.
        None => DefaultResolver::new().into_shared_resolver(),
    }
}

/// The endpoint in a region of the partition `aws`: not in China, a government's or a sovereign cloud, whose domains differ.
fn standard_endpoint(region: &str) -> Option<String> {
    let mut parts = region.split('-');
    let (area, place, number) = (parts.next()?, parts.next()?, parts.next()?);
    let is_standard = parts.next().is_none()
        && ["af", "ap", "ca", "eu", "il", "me", "mx", "sa", "us"].contains(&area)
        && !place.is_empty()
        && place.bytes().all(|byte| byte.is_ascii_lowercase())
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit());
    is_standard.then(|| format!("https://{SERVICE}.{region}.amazonaws.com"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_secretsmanager::config::endpoint::Params;
    use aws_smithy_runtime_api::client::endpoint::{EndpointResolverParams, ResolveEndpoint as _};

    const STANDARD: [&str; 8] = [
        "us-east-1",
        "eu-central-1",
        "ap-southeast-7",
        "ca-west-1",
        "il-central-1",
        "me-south-1",
        "mx-central-1",
        "af-south-1",
    ];

    const OTHERS: [&str; 7] = [
        "cn-north-1",
        "us-gov-west-1",
        "us-iso-east-1",
        "us-isob-east-1",
        "eu-isoe-west-1",
        "eusc-de-east-1",
        "somewhere",
    ];

    async fn endpoint(resolver: &SharedEndpointResolver, region: &str) -> String {
        let params = Params::builder().region(region.to_owned()).build().unwrap();
        let params = EndpointResolverParams::new(params);
        resolver
            .resolve_endpoint(&params)
            .await
            .unwrap()
            .url()
            .to_owned()
    }

    fn aws(region: &str, endpoint: Option<&str>) -> AwsConfig {
        AwsConfig {
            region: region.to_owned(),
            access_key_id: "AKID".to_owned(),
            secret_access_key: "key".into(),
            session_token: None,
            secrets_manager_endpoint: endpoint.map(str::to_owned),
        }
    }

    #[tokio::test]
    async fn every_region_has_the_endpoint_that_the_sdk_knows() {
        let sdk = DefaultResolver::new().into_shared_resolver();
        for region in STANDARD.into_iter().chain(OTHERS) {
            let ours = endpoint_resolver(&aws(region, None));
            assert_eq!(
                endpoint(&ours, region).await,
                endpoint(&sdk, region).await,
                "in {region}"
            );
        }
    }

    #[test]
    fn the_table_of_partitions_is_not_asked_in_a_standard_region() {
        for region in STANDARD {
            assert!(standard_endpoint(region).is_some(), "{region}");
        }
        for region in OTHERS {
            assert_eq!(standard_endpoint(region), None);
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_is_given_is_used() {
        let given = "https://vpce-0a1b.secretsmanager.us-east-1.vpce.amazonaws.com";
        let resolver = endpoint_resolver(&aws("us-east-1", Some(given)));
        assert_eq!(endpoint(&resolver, "us-east-1").await, given);
    }
}
