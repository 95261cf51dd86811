"""The API's endpoint: API Gateway's own, or a custom domain name."""

import pytest

import cloudformation

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
CUSTOM = {"DomainName": "airbyte.example.com", "CertificateArn": CERTIFICATE}


def test_uses_api_gateway_endpoint_by_default(stack):
    assert stack.outputs["ApiUrl"] == "${HttpApi.ApiEndpoint}"
    assert "DomainNameTarget" not in stack.outputs
    assert not stack.of_type("AWS::ApiGatewayV2::DomainName") and not stack.of_type("AWS::ApiGatewayV2::ApiMapping")


def test_maps_custom_domain_name_to_the_api(deploy):
    stack = deploy(**CUSTOM)
    assert stack.of_type("AWS::ApiGatewayV2::DomainName") == {
        "CustomDomainName": {
            "DomainName": "airbyte.example.com",
            "DomainNameConfigurations": [
                {
                    "CertificateArn": CERTIFICATE,
                    "EndpointType": "REGIONAL",
                    "SecurityPolicy": "TLS_1_2",
                    "IpAddressType": "ipv4",
                }
            ],
        }
    }
    assert stack.of_type("AWS::ApiGatewayV2::ApiMapping") == {
        "CustomDomainMapping": {"ApiId": "${HttpApi}", "DomainName": "${CustomDomainName}", "Stage": "${Stage}"}
    }
    assert stack.outputs["ApiUrl"] == "https://airbyte.example.com"
    assert stack.outputs["DomainNameTarget"] == "${CustomDomainName.RegionalDomainName}"


def test_creates_record_in_hosted_zone(deploy):
    assert deploy(**CUSTOM).of_type("AWS::Route53::RecordSet") == {}
    assert deploy(**CUSTOM, HostedZoneId="Z0123456789ABC").of_type("AWS::Route53::RecordSet") == {
        "CustomDomainRecord": {
            "HostedZoneId": "Z0123456789ABC",
            "Name": "airbyte.example.com",
            "Type": "A",
            "AliasTarget": {
                "DNSName": "${CustomDomainName.RegionalDomainName}",
                "HostedZoneId": "${CustomDomainName.RegionalHostedZoneId}",
            },
        }
    }


def test_custom_domain_name_requires_certificate(deploy):
    (description,) = deploy(DomainName="airbyte.example.com").broken_rules()
    assert "CertificateArn" in description
    assert deploy(**CUSTOM).broken_rules() == []


@pytest.mark.parametrize("name", ["https://airbyte.example.com", "airbyte.example.com/", "Airbyte.example.com", "airbyte"])
def test_rejects_invalid_domain_name(deploy, name):
    with pytest.raises(cloudformation.TemplateError, match="^Parameters.DomainName: "):
        deploy(DomainName=name, CertificateArn=CERTIFICATE)


@pytest.mark.parametrize("name", ["airbyte.example.com", "airbyte.xn--bcher-kva.example", "airbyte.xn--p1ai"])
def test_accepts_domain_name(deploy, name):
    deploy(DomainName=name, CertificateArn=CERTIFICATE)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("CertificateArn", CERTIFICATE), ("HostedZoneId", "Z0123456789ABC"), ("DisableExecuteApiEndpoint", "true")],
)
def test_rejects_parameter_without_effect(deploy, parameter, value):
    (description,) = deploy(**{parameter: value}).broken_rules()
    assert description.startswith(parameter)


def test_disables_execute_api_endpoint(stack, deploy):
    assert stack.of_type("AWS::ApiGatewayV2::Api")["HttpApi"]["DisableExecuteApiEndpoint"] is False
    disabled = deploy(**CUSTOM, DisableExecuteApiEndpoint="true")
    assert disabled.broken_rules() == []
    assert disabled.of_type("AWS::ApiGatewayV2::Api")["HttpApi"]["DisableExecuteApiEndpoint"] is True


def test_serves_ipv6_if_dualstack(stack, deploy):
    assert stack.of_type("AWS::ApiGatewayV2::Api")["HttpApi"]["IpAddressType"] == "ipv4"
    dualstack = deploy(**CUSTOM, HostedZoneId="Z0123456789ABC", IpAddressType="dualstack")
    assert dualstack.of_type("AWS::ApiGatewayV2::Api")["HttpApi"]["IpAddressType"] == "dualstack"
    (domain,) = dualstack.of_type("AWS::ApiGatewayV2::DomainName").values()
    assert domain["DomainNameConfigurations"][0]["IpAddressType"] == "dualstack"
    records = dualstack.of_type("AWS::Route53::RecordSet").values()
    assert {record["Type"] for record in records} == {"A", "AAAA"}
    assert len({str(record | {"Type": ""}) for record in records}) == 1
