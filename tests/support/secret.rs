//! Secrets in moto.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::moto::secrets_manager;

/// A secret of one test, with a unique name.
pub struct Secret {
    name: String,
}

impl Secret {
    /// Picks a name without creating the secret.
    #[must_use]
    pub fn absent() -> Secret {
        Secret {
            name: format!("test/{}", Uuid::new_v4()),
        }
    }

    /// Creates a secret with a string value.
    pub async fn create(value: &str) -> Secret {
        let secret = Secret::absent();
        secret.create_now(value).await;
        secret
    }

    /// Creates a secret with a JSON value.
    pub async fn create_json(value: &Value) -> Secret {
        Secret::create(&value.to_string()).await
    }

    /// Creates a secret with the credential of the simulator's application.
    pub async fn application(client_secret: &str) -> Secret {
        Secret::create(&Secret::application_value(client_secret)).await
    }

    /// Returns the value of a secret with the credential of the simulator's application.
    #[must_use]
    pub fn application_value(client_secret: &str) -> String {
        json!({ "client_id": "dev-client-id", "client_secret": client_secret }).to_string()
    }

    /// Creates a secret with a binary value, which the functions do not support.
    pub async fn create_binary(base64: &str) -> Secret {
        let secret = Secret::absent();
        secrets_manager(
            "CreateSecret",
            &json!({ "Name": secret.name, "SecretBinary": base64 }),
        )
        .await;
        secret
    }

    /// Creates a secret without a value.
    pub async fn create_empty() -> Secret {
        let secret = Secret::absent();
        secrets_manager("CreateSecret", &json!({ "Name": secret.name })).await;
        secret
    }

    /// Creates the secret if it is [absent](Self::absent).
    pub async fn create_now(&self, value: &str) {
        let parameters = json!({ "Name": self.name, "SecretString": value });
        secrets_manager("CreateSecret", &parameters).await;
    }

    /// Sets a new current value, as a rotation does.
    pub async fn put(&self, value: &str) {
        let parameters = json!({ "SecretId": self.name, "SecretString": value });
        secrets_manager("PutSecretValue", &parameters).await;
    }

    /// Deletes the secret immediately.
    pub async fn delete(&self) {
        secrets_manager(
            "DeleteSecret",
            &json!({ "SecretId": self.name, "ForceDeleteWithoutRecovery": true }),
        )
        .await;
    }

    /// Returns the secret's name, which `ORGANIZATION_TOKEN_SECRET_ARN` accepts like its ARN.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the secret's ARN.
    pub async fn arn(&self) -> String {
        let secret = secrets_manager("DescribeSecret", &json!({ "SecretId": self.name })).await;
        secret["ARN"]
            .as_str()
            .expect("a secret has an ARN")
            .to_owned()
    }
}
