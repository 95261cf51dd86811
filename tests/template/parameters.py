"""Parameter values: the required ones for each authorizer, and such that every resource exists."""

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
# Every resource that the template can create exists.
EVERYTHING = JWT_PARAMETERS | {
    "Deployment": "Canary10Percent5Minutes",
    "AlarmEmail": "on-call@example.com",
    "TracingEnabled": "true",
    "IpAddressType": "dualstack",
    "DomainName": "airbyte.example.com",
    "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555",
    "HostedZoneId": "Z0123456789ABC",
}
