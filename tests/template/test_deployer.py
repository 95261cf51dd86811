"""The roles for deployments by tag: enough for the workflow and the stack, and no more."""

import fnmatch
import json

import cfnlint.api
import cfnlint.schema
import pytest

import cloudformation
from parameters import EVERYTHING, SECRET_ARN

SUBJECT = "repo:octocat@123456/functions@456789:environment:production"
PARAMETERS = {"Subject": SUBJECT, "OrganizationTokenSecretArn": SECRET_ARN, "HostedZoneId": EVERYTHING["HostedZoneId"]}
ACCOUNT = "arn:aws:{}:eu-central-1:123456789012:"
BOUNDARY = "${Boundary}"


@pytest.fixture(scope="module")
def deployer(repository) -> cloudformation.Stack:
    return cloudformation.Stack(cloudformation.load(repository / "deployer.yaml"), PARAMETERS)


def statements(stack, name: str) -> list[dict]:
    resource = stack.resources[name]["Properties"]
    documents = [resource["PolicyDocument"]] if "PolicyDocument" in resource else []
    documents += [policy["PolicyDocument"] for policy in resource.get("Policies", [])]
    return [statement for document in documents for statement in document["Statement"]]


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def is_allowed(policy: list[dict], action: str, resource: str, **context: str) -> bool:
    """Whether a policy of `Allow` statements allows an action on a resource. Condition keys have `_` for `:`."""

    def holds(condition: dict) -> bool:
        ((operator, keys),) = condition.items()
        assert operator == "StringEquals", operator
        return all(context.get(key.replace(":", "_")) in as_list(values) for key, values in keys.items())

    return any(
        any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in as_list(statement["Action"]))
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in as_list(statement["Resource"]))
        and holds(statement.get("Condition", {"StringEquals": {}}))
        for statement in policy
    )


def test_github_assumes_role_from_one_environment_only(deployer):
    (statement,) = deployer.resources["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Federated": "${OidcProvider}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                "token.actions.githubusercontent.com:sub": SUBJECT,
            }
        },
    }


def test_uses_existing_identity_provider(repository):
    provider = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    template = cloudformation.load(repository / "deployer.yaml")
    stack = cloudformation.Stack(template, PARAMETERS | {"OidcProviderArn": provider})
    (statement,) = stack.resources["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Federated": provider}
    assert "OidcProvider" not in stack.resources


@pytest.mark.parametrize("subject", [SUBJECT, "repo:octocat/functions:environment:production"])
def test_accepts_both_forms_of_subject(repository, subject):
    cloudformation.Stack(cloudformation.load(repository / "deployer.yaml"), PARAMETERS | {"Subject": subject})


@pytest.mark.parametrize("subject", ["repo:octocat/*:environment:production", "repo:octocat/functions:*", "*", ""])
def test_rejects_subject_that_others_have(repository, subject):
    with pytest.raises(cloudformation.TemplateError, match="^Parameters.Subject: "):
        cloudformation.Stack(cloudformation.load(repository / "deployer.yaml"), PARAMETERS | {"Subject": subject})


def test_github_passes_one_role_to_cloudformation_only(deployer):
    policy = statements(deployer, "DeployRole")
    pass_role = [s for s in policy if any(a.startswith("iam:") for a in as_list(s["Action"]))]
    assert [(s["Action"], s["Resource"]) for s in pass_role] == [("iam:PassRole", "${ExecutionRole.Arn}")]
    cloudformation_service = {"iam_PassedToService": "cloudformation.amazonaws.com"}
    assert is_allowed(policy, "iam:PassRole", "${ExecutionRole.Arn}", **cloudformation_service)
    assert not is_allowed(policy, "iam:PassRole", "${ExecutionRole.Arn}", iam_PassedToService="lambda.amazonaws.com")
    stack = ACCOUNT.format("cloudformation") + "stack/airbyte-embedded/0"
    role = {"cloudformation_RoleArn": "${ExecutionRole.Arn}"}
    assert is_allowed(policy, "cloudformation:CreateChangeSet", stack, **role)
    # Without the role CloudFormation would use this one, and there is nothing that it could do.
    assert not is_allowed(policy, "cloudformation:CreateChangeSet", stack)
    other = stack.replace("airbyte-embedded", "other")
    assert not is_allowed(policy, "cloudformation:CreateChangeSet", other, **role)
    services = {action.split(":")[0] for s in policy for action in as_list(s["Action"])}
    assert services == {"cloudformation", "iam", "s3"}


ROLE = "arn:aws:iam::123456789012:role/airbyte-embedded-MintTokenRole-0123456789AB"

# What a compromised workflow would try.
ESCALATIONS = {
    "create an unlimited role": ("iam:CreateRole", ROLE, {}),
    "create a role with another boundary": ("iam:CreateRole", ROLE, {"iam_PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    "remove a boundary": ("iam:DeleteRolePermissionsBoundary", ROLE, {"iam_PermissionsBoundary": BOUNDARY}),
    "replace a boundary": ("iam:PutRolePermissionsBoundary", ROLE, {}),
    "attach a policy to an unlimited role": ("iam:AttachRolePolicy", ROLE, {}),
    "write a policy into an unlimited role": ("iam:PutRolePolicy", ROLE, {}),
    "create a role outside of the stack": ("iam:CreateRole", "arn:aws:iam::123456789012:role/admin", {"iam_PermissionsBoundary": BOUNDARY}),
    "change the boundary": ("iam:CreatePolicyVersion", "arn:aws:iam::123456789012:policy/deployer/airbyte-embedded-deployer-Boundary-1", {}),
    "change its own role": ("iam:PutRolePolicy", "arn:aws:iam::123456789012:role/deployer/airbyte-embedded-deployer-ExecutionRole-1", {"iam_PermissionsBoundary": BOUNDARY}),
    "let itself be assumed": ("iam:UpdateAssumeRolePolicy", "arn:aws:iam::123456789012:role/deployer/airbyte-embedded-deployer-ExecutionRole-1", {}),
    "pass a role outside of the stack": ("iam:PassRole", "arn:aws:iam::123456789012:role/admin", {"iam_PassedToService": "lambda.amazonaws.com"}),
    "pass a role to EC2": ("iam:PassRole", ROLE, {"iam_PassedToService": "ec2.amazonaws.com"}),
    "create a user": ("iam:CreateUser", "arn:aws:iam::123456789012:user/airbyte-embedded-user", {}),
    "create an access key": ("iam:CreateAccessKey", "arn:aws:iam::123456789012:user/admin", {}),
    "read a secret": ("secretsmanager:GetSecretValue", SECRET_ARN, {}),
    "read another table": ("dynamodb:GetItem", ACCOUNT.format("dynamodb") + "table/airbyte-embedded-State-1", {}),
    "delete another table": ("dynamodb:DeleteTable", ACCOUNT.format("dynamodb") + "table/payroll", {}),
    "change another function": ("lambda:UpdateFunctionCode", ACCOUNT.format("lambda") + "function:payroll", {}),
    "read another bucket": ("s3:GetObject", "arn:aws:s3:::payroll/airbyte-embedded/x", {"aws_ResourceAccount": "123456789012"}),
}  # fmt: skip


@pytest.mark.parametrize(("action", "resource", "context"), ESCALATIONS.values(), ids=ESCALATIONS)
def test_execution_role_denies(deployer, action, resource, context):
    assert not is_allowed(statements(deployer, "ExecutionRole"), action, resource, **context)


def test_execution_role_allows_roles_within_boundary(deployer):
    policy = statements(deployer, "ExecutionRole")
    assert is_allowed(policy, "iam:CreateRole", ROLE, iam_PermissionsBoundary=BOUNDARY)
    assert is_allowed(policy, "iam:PutRolePolicy", ROLE, iam_PermissionsBoundary=BOUNDARY)
    assert is_allowed(policy, "iam:PassRole", ROLE, iam_PassedToService="lambda.amazonaws.com")


def test_no_policy_grants_all_actions(deployer):
    for name in ("DeployRole", "ExecutionRole", "Boundary"):
        actions = [action for statement in statements(deployer, name) for action in as_list(statement["Action"])]
        assert actions and not [action for action in actions if "*" in action]


def test_boundary_covers_roles_of_the_stack(deployer, template):
    """With the boundary the stack's roles keep all that their policies allow."""
    stack = cloudformation.Stack(template, EVERYTHING | {"SecretKmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1"})
    names = {
        "MintTokenFunction": ACCOUNT.format("lambda") + "function:airbyte-embedded-MintTokenFunction-1",
        "CreateSourceFunction": ACCOUNT.format("lambda") + "function:airbyte-embedded-CreateSourceFunction-1",
        "MintTokenLogGroup": ACCOUNT.format("logs") + "log-group:/aws/lambda/airbyte-embedded-mint-token:*",
        "CreateSourceLogGroup": ACCOUNT.format("logs") + "log-group:/aws/lambda/airbyte-embedded-create-source:*",
        "State": ACCOUNT.format("dynamodb") + "table/airbyte-embedded-State-1",
    }
    boundary = statements(deployer, "Boundary")
    roles = [name for name, resource in stack.resources.items() if resource["Type"] in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")]
    assert len(roles) == 6
    for name in roles:
        for statement in statements(stack, name):
            context = {
                key.replace(":", "_"): value for key, value in statement.get("Condition", {}).get("StringEquals", {}).items()
            }
            for resource in as_list(statement["Resource"]):
                for reference, arn in names.items():
                    resource = resource.replace(f"${{{reference}.Arn}}", arn)
                for action in as_list(statement["Action"]):
                    assert is_allowed(boundary, action, resource, **context), (name, action, resource)


def test_boundary_denies_everything_else(deployer):
    boundary = statements(deployer, "Boundary")
    assert {action.split(":")[0] for s in boundary for action in as_list(s["Action"])} == {
        *("cloudwatch", "dynamodb", "kms", "lambda", "logs", "secretsmanager", "xray"),
    }
    assert not is_allowed(boundary, "secretsmanager:GetSecretValue", SECRET_ARN.replace("airbyte", "payroll"))
    assert not is_allowed(boundary, "kms:Decrypt", "arn:aws:kms:eu-central-1:123456789012:key/1")
    assert not is_allowed(boundary, "lambda:UpdateFunctionCode", ACCOUNT.format("lambda") + "function:airbyte-embedded-1")


# What CloudFormation's schemas list for other uses of these resource types than this template's.
NOT_NEEDED = {
    *("ec2:*", "elasticfilesystem:*", "s3files:*", "firehose:*", "s3:REST.PUT.OBJECT"),
    # Of a table: imports, replicas, streams, and data.
    *("dynamodb:*Item", "dynamodb:Query", "dynamodb:Scan", "dynamodb:*Import*", "dynamodb:*TableReplica"),
    *("dynamodb:*ableKinesisStreamingDestination", "dynamodb:UpdateKinesisStreamingDestination", "kinesis:*"),
    *("dynamodb:PutResourcePolicy", "dynamodb:DeleteResourcePolicy", "dynamodb:UpdateContinuousBackups"),
    *("dynamodb:UpdateContributorInsights", "s3:GetObjectMetadata", "s3:ListBucket", "logs:*LogStream*", "logs:PutLogEvents"),
    *("iam:*GroupPolicy", "iam:*UserPolicy", "iam:DeleteRolePermissionsBoundary"),
    *("kms:*", "codedeploy:RegisterOnPremisesInstance"),
    *("lambda:AssociateRuntimeAlias", "lambda:*CodeSigningConfig", "lambda:GetLayerVersion", "lambda:PassCapacityProvider"),
    *("lambda:PutFunctionRecursionConfig", "lambda:PutFunctionScalingConfig", "lambda:*ProvisionedConcurrencyConfig"),
    *("logs:*DataProtectionPolicy", "logs:*IndexPolicy", "logs:DeleteResourcePolicy", "logs:PutBearerTokenAuthentication"),
    "sns:PutDataProtectionPolicy",
    # Not an action of IAM's: API Gateway tags with its methods.
    *("apigateway:TagResource", "apigateway:UntagResource"),
}


def test_execution_role_manages_every_resource_type(deployer, everything, template):
    """By the permissions that the schemas of CloudFormation's resource types list."""
    policy = statements(deployer, "ExecutionRole")
    allowed = {action.lower() for statement in policy for action in as_list(statement["Action"])}
    stack = cloudformation.Stack(template, everything)
    missing = set()
    for kind in {resource["Type"] for resource in stack.resources.values()}:
        handlers = cfnlint.schema.PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-central-1", kind).schema["handlers"]
        needed = {action for name in handlers.keys() - {"list"} for action in handlers[name]["permissions"]}
        missing |= {action for action in needed if action.lower() not in allowed}
    unknown = {action for action in missing if not any(fnmatch.fnmatchcase(action, pattern) for pattern in NOT_NEEDED)}
    assert unknown == set()


def test_policies_fit_into_iams_limits(deployer):
    """Source: AWS, "IAM and AWS STS quotas": characters without whitespace."""
    for name, limit in {"DeployRole": 10_240, "ExecutionRole": 10_240, "Boundary": 6_144}.items():
        text = json.dumps(statements(deployer, name), separators=(",", ":"))
        assert len(text) < 0.95 * limit, name


def test_cfn_lint_accepts_deployer(repository):
    config = cfnlint.api.ManualArgs(regions=["eu-central-1", "us-gov-west-1", "cn-north-1"])
    assert [str(match) for match in cfnlint.api.lint_file(repository / "deployer.yaml", config=config)] == []
