"""Repository creation templates and creation on push (ecr-semantics section 16: UG/repository-creation-templates)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cloud.conftest import Repository, make_image
from tests.cloud.support import lifecycle, own_region, refusal, rule
from tests.cloud.test_model import call
from tests.conftest import ACCOUNT, RunningCloud, running_cloud

ROLE = f"arn:aws:iam::{ACCOUNT}:role/creator"
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "all", "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}],
    }
)
LIFECYCLE = lifecycle(rule(1, "imageCountMoreThan", 3))


@pytest.fixture
def region() -> str:
    return own_region()


@pytest.fixture
def registry(shared_cloud: RunningCloud, region: str) -> Any:
    """The ECR client of a registry that is this test's own."""
    return shared_cloud.client(region=region)


def start_upload(cloud: RunningCloud, ecr: Any, name: str) -> requests.Response:
    """Begin to push as docker does."""
    with Repository(cloud, ecr, name).session as session:
        return session.post(f"{cloud.endpoint}/v2/{name}/blobs/uploads/")


def described(ecr: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    return found


# Templates


def test_when_a_template_is_created_then_it_is_answered_and_described(registry: Any) -> None:
    fields = {
        "prefix": "team/blue",
        "description": "for the blue team",
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "dev-*"}],
        "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": ""},
        "resourceTags": [{"Key": "team", "Value": "blue"}],
        "repositoryPolicy": POLICY,
        "lifecyclePolicy": LIFECYCLE,
        "appliedFor": ["CREATE_ON_PUSH", "REPLICATION"],
        "customRoleArn": ROLE,
    }
    answer = registry.create_repository_creation_template(**fields)
    assert answer["registryId"] == ACCOUNT
    created = answer["repositoryCreationTemplate"]
    assert created.pop("createdAt") == created.pop("updatedAt")
    assert created == fields
    (found,) = registry.describe_repository_creation_templates()["repositoryCreationTemplates"]
    assert {name: found[name] for name in fields} == fields


def test_when_a_template_says_little_then_the_defaults_are_shown(registry: Any) -> None:
    answer = registry.create_repository_creation_template(prefix="ROOT", appliedFor=["REPLICATION"])
    created = answer["repositoryCreationTemplate"]
    assert created["imageTagMutability"] == "MUTABLE"
    assert created["encryptionConfiguration"] == {"encryptionType": "AES256"}
    assert created["appliedFor"] == ["REPLICATION"]


def test_when_a_template_is_updated_then_only_what_is_given_changes(registry: Any) -> None:
    created = registry.create_repository_creation_template(
        prefix="team", description="first", appliedFor=["REPLICATION"], imageTagMutability="IMMUTABLE"
    )["repositoryCreationTemplate"]
    updated = registry.update_repository_creation_template(prefix="team", description="second")
    template = updated["repositoryCreationTemplate"]
    assert template["description"] == "second"
    assert template["imageTagMutability"] == "IMMUTABLE"
    assert template["createdAt"] == created["createdAt"]
    assert template["updatedAt"] >= created["updatedAt"]


def test_when_the_mode_is_updated_then_the_filters_of_the_old_one_go(registry: Any) -> None:
    registry.create_repository_creation_template(
        prefix="team",
        appliedFor=["CREATE_ON_PUSH"],
        imageTagMutability="MUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "v*"}],
    )
    template = registry.update_repository_creation_template(prefix="team", imageTagMutability="IMMUTABLE")
    assert template["repositoryCreationTemplate"]["imageTagMutability"] == "IMMUTABLE"
    assert "imageTagMutabilityExclusionFilters" not in template["repositoryCreationTemplate"]


def test_when_a_prefix_ends_with_a_slash_then_it_is_the_same_prefix(
    shared_cloud: RunningCloud, region: str, registry: Any
) -> None:
    registry.create_repository_creation_template(prefix="team/", appliedFor=["CREATE_ON_PUSH"])
    code, _message = refusal(registry.create_repository_creation_template, prefix="team", appliedFor=["CREATE_ON_PUSH"])
    assert code == "TemplateAlreadyExistsException"
    assert start_upload(shared_cloud, registry, "team/app").status_code == 202
    registry.delete_repository_creation_template(prefix="team/")
    assert registry.describe_repository_creation_templates()["repositoryCreationTemplates"] == []


def test_when_a_template_is_deleted_then_it_is_answered_once_more(registry: Any) -> None:
    registry.create_repository_creation_template(prefix="team", description="gone", appliedFor=["CREATE_ON_PUSH"])
    answer = registry.delete_repository_creation_template(prefix="team")
    assert answer["repositoryCreationTemplate"]["description"] == "gone"
    for operation in (registry.delete_repository_creation_template, registry.update_repository_creation_template):
        code, message = refusal(operation, prefix="team")
        assert code == "TemplateNotFoundException"
        assert "'team'" in message


def test_when_templates_are_described_then_by_prefix_or_in_pages(registry: Any) -> None:
    for prefix in ("c", "a", "b"):
        registry.create_repository_creation_template(prefix=prefix, appliedFor=["REPLICATION"])
    pages = list(
        registry.get_paginator("describe_repository_creation_templates").paginate(PaginationConfig={"PageSize": 2})
    )
    assert [[item["prefix"] for item in page["repositoryCreationTemplates"]] for page in pages] == [["a", "b"], ["c"]]
    answer = registry.describe_repository_creation_templates(prefixes=["c", "absent", "a"])
    assert [item["prefix"] for item in answer["repositoryCreationTemplates"]] == ["c", "a"]
    code, _message = refusal(registry.describe_repository_creation_templates, prefixes=["a"], maxResults=1)
    assert code in ("ValidationException", "InvalidParameterException")


@pytest.mark.parametrize(
    "fields",
    [
        {"appliedFor": []},
        {"appliedFor": ["SOMETIMES"]},
        {"prefix": "Upper"},
        # [D] tags and KMS need a role that may set them
        {"resourceTags": [{"Key": "team", "Value": "blue"}]},
        {"encryptionConfiguration": {"encryptionType": "KMS"}},
        {"resourceTags": [{"Key": "k" * 129, "Value": ""}], "customRoleArn": ROLE},
        {"resourceTags": [{"Key": str(number), "Value": ""} for number in range(51)], "customRoleArn": ROLE},
        {"encryptionConfiguration": {"encryptionType": "AES256", "kmsKey": f"arn:aws:kms:a-b-1:{ACCOUNT}:key/1"}},
        {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"},
        {"lifecyclePolicy": "{}"},
        {"lifecyclePolicy": LIFECYCLE.replace("any", "all")},
        {"repositoryPolicy": "{}"},
        {"description": "x" * 257},
    ],
)
def test_when_a_template_could_not_be_applied_then_it_is_refused(registry: Any, fields: dict[str, Any]) -> None:
    given = {"prefix": "team", "appliedFor": ["CREATE_ON_PUSH"], **fields}
    code, message = refusal(registry.create_repository_creation_template, **given)
    assert code in ("ValidationException", "InvalidParameterException")
    assert message
    assert registry.describe_repository_creation_templates()["repositoryCreationTemplates"] == []
    # An update is held to the same rules, and what was stored stays.
    registry.create_repository_creation_template(prefix="team", appliedFor=["REPLICATION"])
    code, _message = refusal(registry.update_repository_creation_template, **{**fields, "prefix": given["prefix"]})
    assert code in ("ValidationException", "InvalidParameterException")
    (stored,) = registry.describe_repository_creation_templates()["repositoryCreationTemplates"]
    assert stored["appliedFor"] == ["REPLICATION"]


def test_when_policy_texts_are_empty_then_they_are_none(shared_cloud: RunningCloud, registry: Any) -> None:
    # [D] model: unlike PutLifecyclePolicy, a template takes a text of no characters.
    registry.create_repository_creation_template(
        prefix="team", appliedFor=["CREATE_ON_PUSH"], lifecyclePolicy="", repositoryPolicy=""
    )
    assert start_upload(shared_cloud, registry, "team/app").status_code == 202
    code, _message = refusal(registry.get_lifecycle_policy, repositoryName="team/app")
    assert code == "LifecyclePolicyNotFoundException"
    assert refusal(registry.get_repository_policy, repositoryName="team/app")[0] == "RepositoryPolicyNotFoundException"


# Creation on push


def test_when_no_template_is_for_pushes_then_there_is_no_repository(shared_cloud: RunningCloud, registry: Any) -> None:
    registry.create_repository_creation_template(prefix="ROOT", appliedFor=["REPLICATION", "PULL_THROUGH_CACHE"])
    answer = start_upload(shared_cloud, registry, "team/app")
    assert answer.status_code == 404
    (error,) = answer.json()["errors"]
    assert (error["code"], error["message"]) == (
        "NAME_UNKNOWN",
        f"The repository with name 'team/app' does not exist in the registry with id '{ACCOUNT}'",
    )
    assert registry.describe_repositories()["repositories"] == []


def test_when_a_template_is_for_pushes_then_the_first_push_creates_the_repository_by_it(
    shared_cloud: RunningCloud, region: str, registry: Any
) -> None:
    registry.create_repository_creation_template(
        prefix="team",
        appliedFor=["CREATE_ON_PUSH"],
        imageTagMutability="IMMUTABLE",
        encryptionConfiguration={"encryptionType": "KMS", "kmsKey": f"arn:aws:kms:a-b-1:{ACCOUNT}:key/1"},
        resourceTags=[{"Key": "team", "Value": "blue"}],
        repositoryPolicy=POLICY,
        lifecyclePolicy=LIFECYCLE,
        customRoleArn=ROLE,
    )
    assert start_upload(shared_cloud, registry, "team/app").status_code == 202
    repository = described(registry, "team/app")
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["encryptionConfiguration"] == {
        "encryptionType": "KMS",
        "kmsKey": f"arn:aws:kms:a-b-1:{ACCOUNT}:key/1",
    }
    tags = registry.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"]
    assert tags == [{"Key": "team", "Value": "blue"}]
    assert registry.get_repository_policy(repositoryName="team/app")["policyText"] == POLICY
    assert registry.get_lifecycle_policy(repositoryName="team/app")["lifecyclePolicyText"] == LIFECYCLE
    Repository(shared_cloud, registry, "team/app").push(make_image(), "v1")


def test_when_several_templates_match_then_the_longest_prefix_wins(shared_cloud: RunningCloud, registry: Any) -> None:
    for prefix, reason, mode in [
        ("ROOT", "CREATE_ON_PUSH", "MUTABLE"),
        ("team", "CREATE_ON_PUSH", "IMMUTABLE"),
        ("team/blue", "CREATE_ON_PUSH", "MUTABLE"),
        ("team/red", "REPLICATION", "MUTABLE"),
    ]:
        registry.create_repository_creation_template(prefix=prefix, appliedFor=[reason], imageTagMutability=mode)
    for name, mode in [
        ("team/app", "IMMUTABLE"),
        ("team/blue/app", "MUTABLE"),
        ("team/blueish/app", "IMMUTABLE"),
        ("team/red/app", "IMMUTABLE"),  # the longer prefix is for another reason
        ("team", "MUTABLE"),  # the prefix is `team/`: ROOT is left
        ("teams/app", "MUTABLE"),
        ("other", "MUTABLE"),
    ]:
        assert start_upload(shared_cloud, registry, name).status_code == 202
        assert (name, described(registry, name)["imageTagMutability"]) == (name, mode)


def test_when_the_repository_exists_then_a_template_changes_nothing(shared_cloud: RunningCloud, registry: Any) -> None:
    registry.create_repository(repositoryName="team/app")
    registry.create_repository_creation_template(
        prefix="team", appliedFor=["CREATE_ON_PUSH"], imageTagMutability="IMMUTABLE"
    )
    assert start_upload(shared_cloud, registry, "team/app").status_code == 202
    assert described(registry, "team/app")["imageTagMutability"] == "MUTABLE"


def test_when_a_pushed_name_is_not_a_repositorys_then_a_template_does_not_create_it(
    shared_cloud: RunningCloud, registry: Any
) -> None:
    registry.create_repository_creation_template(prefix="ROOT", appliedFor=["CREATE_ON_PUSH"])
    for name in ("Upper", "a..b", "x" * 257, "a"):
        assert start_upload(shared_cloud, registry, name).status_code in (400, 404, 405)
    assert registry.describe_repositories()["repositories"] == []


def test_when_the_api_pushes_then_no_template_creates_a_repository(shared_cloud: RunningCloud, ecr: Any) -> None:
    answer = call(shared_cloud, "InitiateLayerUpload", {"repositoryName": "absent/app"})
    assert answer.json()["__type"] == "RepositoryNotFoundException"


def test_when_the_cloud_starts_again_then_templates_are_there(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        cloud.client().create_repository_creation_template(prefix="team", appliedFor=["CREATE_ON_PUSH"])
        (stored,) = cloud.client().describe_repository_creation_templates()["repositoryCreationTemplates"]
    with running_cloud(tmp_path) as cloud:
        ecr = cloud.client()
        assert ecr.describe_repository_creation_templates()["repositoryCreationTemplates"] == [stored]
        assert start_upload(cloud, ecr, "team/app").status_code == 202


def test_when_an_unreadable_manifest_is_pushed_then_no_repository_is_made(
    shared_cloud: RunningCloud, registry: Any
) -> None:
    registry.create_repository_creation_template(prefix="ROOT", appliedFor=["CREATE_ON_PUSH"])
    with Repository(shared_cloud, registry, "made/app").session as session:
        answer = session.put(f"{shared_cloud.endpoint}/v2/made/app/manifests/v1", data=b"{")
    assert answer.json()["errors"][0]["code"] == "UNSUPPORTED"
    with pytest.raises(registry.exceptions.RepositoryNotFoundException):
        described(registry, "made/app")
