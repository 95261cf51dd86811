//! State tables in moto.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Config, SecretsManager, moto};

/// A DynamoDB table of one test, with a unique name.
pub struct StateTable {
    /// The API through which the functions use the table. It logs requests and injects failures.
    pub api: SecretsManager,
    name: String,
}

impl StateTable {
    /// Creates a table like that of the template.
    pub async fn create() -> StateTable {
        let name = format!("state-{}", Uuid::new_v4());
        let parameters = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        });
        dynamodb("CreateTable", &parameters).await;
        StateTable {
            // It forwards requests to any service of moto.
            api: SecretsManager::start().await,
            name,
        }
    }

    /// Configures a function to use the table.
    #[must_use]
    pub fn configure(&self, config: &Config) -> Config {
        config
            .clone()
            .with("STATE_TABLE", &self.name)
            .with("AWS_ENDPOINT_URL_DYNAMODB", &self.api.url())
    }

    /// Returns all items in DynamoDB's JSON.
    ///
    /// # Panics
    /// If moto returns something else.
    pub async fn items(&self) -> Vec<Value> {
        let scan = dynamodb("Scan", &json!({ "TableName": self.name })).await;
        scan["Items"].as_array().expect("a list of items").clone()
    }

    /// Writes an item in DynamoDB's JSON.
    pub async fn put(&self, item: &Value) {
        let parameters = json!({ "TableName": self.name, "Item": item });
        dynamodb("PutItem", &parameters).await;
    }

    /// Returns the actions of all requests so far, as in `PutItem`.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        let action = |target: &str| target.rsplit('.').next().unwrap_or_default().to_owned();
        let requests = self.api.requests();
        requests
            .iter()
            .map(|request| action(&request.target))
            .collect()
    }
}

/// Calls an action of DynamoDB.
async fn dynamodb(action: &str, parameters: &Value) -> Value {
    let request = Request::post(moto::url())
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("DynamoDB_20120810.{action}"))
        // moto reads only the service's name, from the scope of the credential.
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(Bytes::from(parameters.to_string()))
        .expect("a well-formed request");
    let response = moto::send(request).await;
    let body = String::from_utf8_lossy(response.body()).into_owned();
    assert!(response.status().is_success(), "{action}: {body}");
    serde_json::from_str(&body).expect("a JSON response of moto")
}
