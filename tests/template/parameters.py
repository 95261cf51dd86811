"""What an owner must say to deploy the template, and nothing else, for each of its authorizers."""

SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:airbyte/organization-token-AbCdEf"

JWT_PARAMETERS = {
    "AllowedOrigins": "https://app.example.com,https://admin.example.com:8443",
    "JwtIssuer": "https://issuer.example.com/",
    "JwtAudience": "web-app,mobile-app",
    "AirbyteOrganizationId": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
    "OrganizationTokenSecretArn": SECRET_ARN,
}
IAM_PARAMETERS = {
    "AllowedOrigins": "https://app.example.com",
    "AuthorizerType": "IAM",
    "AirbyteOrganizationId": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
    "OrganizationTokenSecretArn": SECRET_ARN,
}
