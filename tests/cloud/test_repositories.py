"""Repositories through the ECR API, with boto3."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cloud.conftest import Repository, make_image
from tests.conftest import ACCOUNT, REGION, running_cloud


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_when_a_repository_is_created_then_the_answer_has_what_aws_answers(ecr: Any) -> None:
    answer = ecr.create_repository(repositoryName="first/app", imageScanningConfiguration={"scanOnPush": True})
    repository = answer["repository"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert abs(repository.pop("createdAt") - datetime.now(UTC)) < timedelta(minutes=1)
    assert repository == {
        "repositoryArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/first/app",
        "registryId": ACCOUNT,
        "repositoryName": "first/app",
        "repositoryUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/first/app",
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }


def test_when_the_style_is_loopback_then_the_uri_is_one_that_docker_reaches(tmp_path: Any) -> None:
    with running_cloud(tmp_path, uri_style="loopback") as cloud:
        repository = cloud.client().create_repository(repositoryName="app")["repository"]
        assert repository["repositoryUri"] == f"{cloud.address}/app"
        token = cloud.client().get_authorization_token()["authorizationData"][0]
        assert token["proxyEndpoint"] == cloud.endpoint


def test_when_the_name_is_taken_then_the_error_names_it(repository: Repository) -> None:
    with pytest.raises(ClientError) as error:
        repository.ecr.create_repository(repositoryName=repository.name)
    assert code_of(error) == (
        "RepositoryAlreadyExistsException",
        f"The repository with name '{repository.name}' already exists in the registry with id '{ACCOUNT}'",
    )


def test_when_another_region_is_asked_then_it_is_another_registry(repository: Repository) -> None:
    other = repository.cloud.client(region="eu-central-1")
    with pytest.raises(ClientError) as error:
        other.describe_repositories(repositoryNames=[repository.name])
    assert code_of(error)[0] == "RepositoryNotFoundException"
    created = other.create_repository(repositoryName=repository.name)["repository"]
    assert created["repositoryArn"].startswith("arn:aws:ecr:eu-central-1:")


@pytest.mark.parametrize("name", ["a..b", "a___b", "a-", "Abc", "-a", "a//b", "a" * 257, "a/"])
def test_when_the_name_breaks_the_pattern_then_it_is_an_invalid_parameter(ecr: Any, name: str) -> None:
    with pytest.raises(ClientError) as error:
        ecr.create_repository(repositoryName=name)
    code, message = code_of(error)
    assert code == "InvalidParameterException"
    assert message.startswith("Invalid parameter at 'repositoryName' failed to satisfy constraint: ")


@pytest.mark.parametrize("name", ["a__b", "a---b", "0a", "a.b/c_d/e-f"])
def test_when_the_name_is_unusual_but_legal_then_it_is_created(ecr: Any, name: str) -> None:
    assert ecr.create_repository(repositoryName=name)["repository"]["repositoryName"] == name


def test_when_there_are_many_repositories_then_pages_hold_each_once(tmp_path: Any) -> None:
    names = [f"r{number:03}" for number in range(7)]
    with running_cloud(tmp_path) as cloud:
        ecr = cloud.client()
        for name in reversed(names):
            ecr.create_repository(repositoryName=name)
        pages = list(ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 3}))
        assert [len(page["repositories"]) for page in pages] == [3, 3, 1]
        assert [item["repositoryName"] for page in pages for item in page["repositories"]] == names


def test_when_a_page_token_is_invented_then_it_is_an_invalid_parameter(ecr: Any) -> None:
    for token in ("x", "WzFd", "bnVsbA=="):
        with pytest.raises(ecr.exceptions.InvalidParameterException, match="nextToken"):
            ecr.describe_repositories(nextToken=token)


def test_when_a_repository_holds_images_then_only_force_deletes_it(repository: Repository) -> None:
    repository.push(make_image(), "v1")
    with pytest.raises(ClientError) as error:
        repository.ecr.delete_repository(repositoryName=repository.name)
    assert code_of(error) == (
        "RepositoryNotEmptyException",
        f"The repository with name '{repository.name}' in registry with id '{ACCOUNT}' cannot be deleted because it "
        "still contains images",
    )
    deleted = repository.ecr.delete_repository(repositoryName=repository.name, force=True)["repository"]
    assert deleted["repositoryName"] == repository.name
    with pytest.raises(repository.ecr.exceptions.RepositoryNotFoundException):
        repository.ecr.list_images(repositoryName=repository.name)


def test_when_a_deleted_repository_comes_again_then_it_is_empty(repository: Repository) -> None:
    image = make_image(note="gone")
    repository.push(image, "v1")
    repository.ecr.delete_repository(repositoryName=repository.name, force=True)
    repository.ecr.create_repository(repositoryName=repository.name)
    assert repository.describe() == []
    with pytest.raises(repository.ecr.exceptions.LayersNotFoundException):
        repository.put(image, "v1")


def test_when_settings_are_changed_then_they_are_described(repository: Repository) -> None:
    ecr, name = repository.ecr, repository.name
    filters = [{"filterType": "WILDCARD", "filter": "dev-*"}]
    answer = ecr.put_image_tag_mutability(
        repositoryName=name,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
    )
    assert answer["imageTagMutabilityExclusionFilters"] == filters
    ecr.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration={"scanOnPush": True})
    described = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    assert described["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert described["imageTagMutabilityExclusionFilters"] == filters
    assert described["imageScanningConfiguration"] == {"scanOnPush": True}


@pytest.mark.parametrize(
    ("mode", "patterns"),
    [
        ("IMMUTABLE_WITH_EXCLUSION", []),
        ("MUTABLE_WITH_EXCLUSION", []),
        ("IMMUTABLE", ["dev-*"]),
        ("MUTABLE_WITH_EXCLUSION", ["*a*b*"]),
    ],
)
def test_when_mode_and_filters_do_not_go_together_then_nothing_changes(
    repository: Repository, mode: str, patterns: list[str]
) -> None:
    filters = [{"filterType": "WILDCARD", "filter": pattern} for pattern in patterns]
    more = {"imageTagMutabilityExclusionFilters": filters} if filters else {}
    with pytest.raises(repository.ecr.exceptions.InvalidParameterException):
        repository.ecr.put_image_tag_mutability(repositoryName=repository.name, imageTagMutability=mode, **more)
    described = repository.ecr.describe_repositories(repositoryNames=[repository.name])["repositories"][0]
    assert described["imageTagMutability"] == "MUTABLE"


def test_when_encryption_is_kms_then_a_key_is_shown(new_repository: Callable[..., Repository]) -> None:
    repository = new_repository(encryptionConfiguration={"encryptionType": "KMS"})
    described = repository.ecr.describe_repositories(repositoryNames=[repository.name])["repositories"][0]
    assert re.fullmatch(
        rf"arn:aws:kms:{REGION}:{ACCOUNT}:key/[0-9a-f-]{{36}}", described["encryptionConfiguration"]["kmsKey"]
    )


def test_when_resource_tags_change_then_they_are_listed(new_repository: Callable[..., Repository]) -> None:
    repository = new_repository(tags=[{"Key": "team", "Value": "blue"}])
    arn = repository.ecr.describe_repositories(repositoryNames=[repository.name])["repositories"][0]["repositoryArn"]
    repository.ecr.tag_resource(
        resourceArn=arn, tags=[{"Key": "stage", "Value": "test"}, {"Key": "team", "Value": "red"}]
    )
    tags = repository.ecr.list_tags_for_resource(resourceArn=arn)["tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "red", "stage": "test"}
    repository.ecr.untag_resource(resourceArn=arn, tagKeys=["team", "absent"])
    assert repository.ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "stage", "Value": "test"}]


def test_when_resource_tags_break_a_rule_then_the_repository_is_not_made(ecr: Any, new_name: Callable[[], str]) -> None:
    many = [{"Key": f"k{number}", "Value": ""} for number in range(51)]
    cases = [
        (many, "TooManyTagsException"),
        ([{"Key": "k" * 129, "Value": ""}], "InvalidTagParameterException"),
        ([{"Key": "aws:x", "Value": ""}], "InvalidTagParameterException"),
        ([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}], "InvalidTagParameterException"),
    ]
    for tags, expected in cases:
        name = new_name()
        with pytest.raises(ClientError) as error:
            ecr.create_repository(repositoryName=name, tags=tags)
        assert code_of(error)[0] == expected
        with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
            ecr.describe_repositories(repositoryNames=[name])


def test_when_the_registry_is_another_accounts_then_access_is_denied(ecr: Any) -> None:
    with pytest.raises(ClientError) as error:
        ecr.create_repository(repositoryName="theirs", registryId="000699977340")
    code, message = code_of(error)
    assert code == "AccessDeniedException"
    assert "no resource-based policy allows the ecr:CreateRepository action" in message
