"""Principals whose pulls do not count (ecr-semantics section 19: UG/pull-time-update-exclusions, botocore model)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.exclusions import Exclusions
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.settings import Settings
from ecrlab.cloud.storage import Database
from tests.cloud.conftest import Repository, make_image
from tests.cloud.support import own_region, refusal, repository_in
from tests.conftest import ACCOUNT, RunningCloud, running_cloud

ROLE = f"arn:aws:iam::{ACCOUNT}:role/scanner"


@pytest.fixture
def region() -> str:
    return own_region()


@pytest.fixture
def registry(shared_cloud: RunningCloud, region: str) -> Any:
    """The ECR client of a registry that is this test's own."""
    return shared_cloud.client(region=region)


def test_when_a_principal_is_excluded_then_it_is_answered_and_listed(registry: Any) -> None:
    assert registry.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == []
    answer = registry.register_pull_time_update_exclusion(principalArn=ROLE)
    assert answer["principalArn"] == ROLE
    assert abs(answer["createdAt"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert registry.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == [ROLE]
    assert registry.deregister_pull_time_update_exclusion(principalArn=ROLE)["principalArn"] == ROLE
    assert registry.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == []


def test_when_a_principal_is_excluded_twice_or_not_at_all_then_the_error_names_it(registry: Any) -> None:
    code, message = refusal(registry.deregister_pull_time_update_exclusion, principalArn=ROLE)
    assert code == "ExclusionNotFoundException"
    assert ROLE in message
    registry.register_pull_time_update_exclusion(principalArn=ROLE)
    code, message = refusal(registry.register_pull_time_update_exclusion, principalArn=ROLE)
    assert code == "ExclusionAlreadyExistsException"
    assert ROLE in message


@pytest.mark.parametrize(
    "arn",
    [
        "scanner",
        f"arn:aws:iam::{ACCOUNT}:root",
        f"arn:aws:iam::{ACCOUNT}:group/scanners",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/scanner/session",
        f"arn:aws:iam::{ACCOUNT}:role/",
        f"arn:aws:iam::1:role/{'x' * 20}",
        f"arn:aws:iam::{ACCOUNT}:role/{'x' * 200}",
    ],
)
def test_when_it_is_neither_role_nor_user_then_it_is_refused(registry: Any, arn: str) -> None:
    for operation in (registry.register_pull_time_update_exclusion, registry.deregister_pull_time_update_exclusion):
        assert refusal(operation, principalArn=arn)[0] in ("ValidationException", "InvalidParameterException")
    assert registry.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == []


def test_when_there_are_a_hundred_then_pages_hold_each_once_and_one_more_is_refused(registry: Any) -> None:
    arns = sorted(f"{ROLE}-{number}" for number in range(100))
    for arn in arns:
        registry.register_pull_time_update_exclusion(principalArn=arn)
    code, message = refusal(registry.register_pull_time_update_exclusion, principalArn=ROLE)
    assert code == "LimitExceededException"
    assert "100" in message
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = registry.list_pull_time_update_exclusions(maxResults=33, **token)
        found += answer["pullTimeUpdateExclusions"]
        if "nextToken" not in answer:
            break
        token = {"nextToken": answer["nextToken"]}
    assert found == arns


def test_when_an_excluded_principal_pulls_then_no_plane_counts_it(
    shared_cloud: RunningCloud, region: str, registry: Any
) -> None:
    repository: Repository = repository_in(shared_cloud, region=region)
    repository.push(make_image(), "v1")
    administrator = shared_cloud.settings.administrator.principal.arn
    registry.register_pull_time_update_exclusion(principalArn=administrator)

    def pull() -> None:
        registry.batch_get_image(repositoryName=repository.name, imageIds=[{"imageTag": "v1"}])
        with repository.session as session:
            assert session.get(repository.url("manifests/v1")).status_code == 200

    pull()
    assert "lastRecordedPullTime" not in repository.describe()[0]
    registry.deregister_pull_time_update_exclusion(principalArn=administrator)
    pull()
    assert "lastRecordedPullTime" in repository.describe()[0]


def test_when_a_session_pulls_then_the_exclusion_of_its_role_covers_it(tmp_path: Path) -> None:
    # IAM policies are not evaluated yet, so no session can pull through the API: the rule itself is asked.
    database = Database(tmp_path)
    exclusions = Exclusions(Settings(database, Clock()))
    registry = Registry(ACCOUNT, "us-east-1")
    exclusions.register(registry, ROLE)
    assert exclusions.covers(registry, f"arn:aws:sts::{ACCOUNT}:assumed-role/scanner/session")
    assert not exclusions.covers(registry, f"arn:aws:sts::{ACCOUNT}:assumed-role/scanner-2/session")
    assert not exclusions.covers(registry, f"arn:aws:iam::{ACCOUNT}:user/scanner")
    assert not exclusions.covers(Registry(ACCOUNT, "eu-central-1"), ROLE)
    database.close()


def test_when_the_cloud_starts_again_then_exclusions_are_there(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        cloud.client().register_pull_time_update_exclusion(principalArn=ROLE)
    with running_cloud(tmp_path) as cloud:
        assert cloud.client().list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == [ROLE]
