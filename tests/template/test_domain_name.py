"""The API under a domain name of the owner's."""

import pytest

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
OWN = {"DomainName": "airbyte.example.com", "CertificateArn": CERTIFICATE}


def test_without_one_the_address_is_api_gateways(stack):
    assert stack.outputs["ApiUrl"] == "${HttpApi.ApiEndpoint}"
    assert "DomainNameTarget" not in stack.outputs
    assert not stack.of_type("AWS::ApiGatewayV2::DomainName") and not stack.of_type("AWS::ApiGatewayV2::ApiMapping")


def test_it_leads_to_the_api(deploy):
    stack = deploy(**OWN)
    assert stack.of_type("AWS::ApiGatewayV2::DomainName") == {
        "CustomDomainName": {
            "DomainName": "airbyte.example.com",
            "DomainNameConfigurations": [
                {"CertificateArn": CERTIFICATE, "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2"}
            ],
        }
    }
    assert stack.of_type("AWS::ApiGatewayV2::ApiMapping") == {
        "CustomDomainMapping": {"ApiId": "${HttpApi}", "DomainName": "${CustomDomainName}", "Stage": "${Stage}"}
    }
    assert stack.outputs["ApiUrl"] == "https://airbyte.example.com"
    assert stack.outputs["DomainNameTarget"] == "${CustomDomainName.RegionalDomainName}"


def test_its_record_is_made_where_the_zone_is_given(deploy):
    assert deploy(**OWN).of_type("AWS::Route53::RecordSet") == {}
    assert deploy(**OWN, HostedZoneId="Z0123456789ABC").of_type("AWS::Route53::RecordSet") == {
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


def test_it_needs_a_certificate(deploy):
    (description,) = deploy(DomainName="airbyte.example.com").broken_rules()
    assert "CertificateArn" in description
    assert deploy(**OWN).broken_rules() == []


@pytest.mark.parametrize("name", ["https://airbyte.example.com", "airbyte.example.com/", "Airbyte.example.com", "airbyte"])
def test_what_is_no_domain_name_is_refused(deploy, name):
    with pytest.raises(AssertionError, match="DomainName does not take"):
        deploy(DomainName=name, CertificateArn=CERTIFICATE)
