"""Policies of repositories and of the registry through the ECR API (ecr-semantics sections 8 and 17)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.conftest import Repository
from tests.cloud.support import own_region, refusal, repository_in
from tests.conftest import ACCOUNT, RunningCloud, running_cloud

STATEMENT = {"Sid": "pull", "Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage"]}


def policy(*statements: dict[str, Any], **members: Any) -> str:
    document = {"Version": "2012-10-17", "Statement": list(statements or (STATEMENT,)), **members}
    return json.dumps(document, indent=1)


def without(member: str, **others: Any) -> dict[str, Any]:
    return {key: value for key, value in {**STATEMENT, **others}.items() if key != member}


BROKEN = [
    "",
    "text",
    "[]",
    "{}",
    "null",
    '{"Version": "2012-10-17"}',
    pytest.param("[" * 5000, id="deep"),
    policy(Version="2020-01-01"),
    policy(Version=["2012-10-17"]),
    policy(Statement=[]),
    policy(Statement="all"),
    policy(Statements=[STATEMENT]),
    policy(without("Effect")),
    policy(without("Principal")),  # a resource policy names its principals
    policy(without("Action")),
    policy({**STATEMENT, "Effect": "Maybe"}),
    policy({**STATEMENT, "Effect": ["Allow"]}),
    policy({**STATEMENT, "NotAction": "ecr:*"}),
    policy({**STATEMENT, "Actions": "ecr:*"}),
]
VALID = [
    policy(),  # [D] without Resource: it is the repository
    policy({**STATEMENT, "Effect": "Deny"}, STATEMENT, Id="two statements"),
    policy(without("Action", NotAction="ecr:DeleteRepository")),
    policy(without("Principal", NotPrincipal={"AWS": ACCOUNT})),
    policy({**STATEMENT, "Condition": {"StringLike": {"aws:sourceArn": "arn:*"}}}),
    json.dumps({"Statement": STATEMENT}),  # one statement needs no list, and the version has a default
]


@pytest.fixture
def registry(shared_cloud: RunningCloud) -> Any:
    """The ECR client of a registry that is this test's own."""
    return shared_cloud.client(region=own_region())


@pytest.mark.parametrize("text", VALID)
def test_when_a_repository_policy_is_set_then_its_text_comes_back_as_it_was(repository: Repository, text: str) -> None:
    ecr, name = repository.ecr, repository.name
    expected = {"registryId": ACCOUNT, "repositoryName": name, "policyText": text}
    for answer in (
        ecr.set_repository_policy(repositoryName=name, policyText=text),
        ecr.get_repository_policy(repositoryName=name),
        ecr.delete_repository_policy(repositoryName=name),
    ):
        assert {member: answer[member] for member in expected} == expected


def test_when_a_repository_has_no_policy_then_that_is_the_error(repository: Repository) -> None:
    for operation in (repository.ecr.get_repository_policy, repository.ecr.delete_repository_policy):
        code, message = refusal(operation, repositoryName=repository.name)
        assert code == "RepositoryPolicyNotFoundException"
        assert message == (
            f"Repository policy does not exist for the repository with name '{repository.name}' in the registry with "
            f"id '{ACCOUNT}'"
        )
        assert refusal(operation, repositoryName="absent")[0] == "RepositoryNotFoundException"
    code, _message = refusal(repository.ecr.set_repository_policy, repositoryName="absent", policyText=policy())
    assert code == "RepositoryNotFoundException"


@pytest.mark.parametrize("text", BROKEN)
def test_when_a_text_is_no_policy_then_the_old_one_stays(repository: Repository, registry: Any, text: str) -> None:
    ecr, name = repository.ecr, repository.name
    ecr.set_repository_policy(repositoryName=name, policyText=policy())
    assert refusal(ecr.set_repository_policy, repositoryName=name, policyText=text) == (
        "InvalidParameterException",
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'",
    )
    assert ecr.get_repository_policy(repositoryName=name)["policyText"] == policy()
    assert refusal(registry.put_registry_policy, policyText=text) == (
        "InvalidParameterException",
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided'",
    )
    assert refusal(registry.get_registry_policy)[0] == "RegistryPolicyNotFoundException"


def test_when_a_policy_is_too_long_then_the_bound_is_named(repository: Repository, registry: Any) -> None:
    longest = policy().ljust(10_240)
    repository.ecr.set_repository_policy(repositoryName=repository.name, policyText=longest)
    registry.put_registry_policy(policyText=longest)
    for operation, more in (
        (repository.ecr.set_repository_policy, {"repositoryName": repository.name}),
        (registry.put_registry_policy, {}),
    ):
        code, message = refusal(operation, policyText=longest + " ", **more)
        assert code in ("InvalidParameterException", "ValidationException")
        assert "less than or equal to 10240" in message


@pytest.mark.parametrize("text", VALID)
def test_when_a_registry_policy_is_put_then_its_text_comes_back_as_it_was(registry: Any, text: str) -> None:
    for answer in (
        registry.put_registry_policy(policyText=text),
        registry.get_registry_policy(),
        registry.delete_registry_policy(),
    ):
        assert (answer["registryId"], answer["policyText"]) == (ACCOUNT, text)


def test_when_a_registry_has_no_policy_then_that_is_the_error(registry: Any, shared_cloud: RunningCloud) -> None:
    for operation in (registry.get_registry_policy, registry.delete_registry_policy):
        assert refusal(operation) == (
            "RegistryPolicyNotFoundException",
            f"Registry policy does not exist in the registry with id '{ACCOUNT}'",
        )
    registry.put_registry_policy(policyText=policy())
    other = shared_cloud.client(region=own_region())
    assert refusal(other.get_registry_policy)[0] == "RegistryPolicyNotFoundException"


# Account settings


@pytest.mark.parametrize(
    ("name", "default", "values"),
    [
        ("BASIC_SCAN_TYPE_VERSION", "AWS_NATIVE", ["AWS_NATIVE"]),
        ("REGISTRY_POLICY_SCOPE", "V2", ["V2"]),
        ("BLOB_MOUNTING", "DISABLED", ["ENABLED", "DISABLED"]),
    ],
)
def test_when_an_account_setting_is_put_then_it_is_got(registry: Any, name: str, default: str, values: Any) -> None:
    answer = registry.get_account_setting(name=name)
    assert (answer["name"], answer["value"]) == (name, default)
    for value in values:
        answer = registry.put_account_setting(name=name, value=value)
        assert (answer["name"], answer["value"]) == (name, value)
        assert registry.get_account_setting(name=name)["value"] == value
    for wrong in ("V1", "CLAIR", "enabled"):
        code, message = refusal(registry.put_account_setting, name=name, value=wrong)
        assert code in ("ValidationException", "InvalidParameterException")
        assert wrong in message
    assert registry.get_account_setting(name=name)["value"] == values[-1]


def test_when_an_account_setting_is_unknown_then_the_known_ones_are_named(registry: Any) -> None:
    for operation, more in ((registry.get_account_setting, {}), (registry.put_account_setting, {"value": "V2"})):
        code, message = refusal(operation, name="SCAN_SPEED", **more)
        assert code in ("ValidationException", "InvalidParameterException")
        assert "BLOB_MOUNTING" in message


def test_when_the_cloud_starts_again_then_policies_and_settings_are_there(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        ecr = repository_in(cloud, name="app").ecr
        ecr.set_repository_policy(repositoryName="app", policyText=policy())
        ecr.put_registry_policy(policyText=policy())
        ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    with running_cloud(tmp_path) as cloud:
        ecr = cloud.client()
        assert ecr.get_repository_policy(repositoryName="app")["policyText"] == policy()
        assert ecr.get_registry_policy()["policyText"] == policy()
        assert ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "ENABLED"
