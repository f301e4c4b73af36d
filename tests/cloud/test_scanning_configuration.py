"""Which repositories are scanned, and when (ecr-semantics section 13: UG/image-scanning-filters, botocore model)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.conftest import Repository, make_image, make_layer
from tests.cloud.support import own_region, refusal, repository_in
from tests.conftest import ACCOUNT, RunningCloud, running_cloud

Put = Callable[..., dict[str, Any]]


@pytest.fixture
def region() -> str:
    return own_region()


@pytest.fixture
def registry(shared_cloud: RunningCloud, region: str) -> Any:
    """The ECR client of a registry that is this test's own."""
    return shared_cloud.client(region=region)


def rule(frequency: str, *filters: str) -> dict[str, Any]:
    return {
        "scanFrequency": frequency,
        "repositoryFilters": [{"filter": item, "filterType": "WILDCARD"} for item in filters],
    }


def schedule(ecr: Any, *names: str) -> list[tuple[str | None, bool, list[str]]]:
    answer = ecr.batch_get_repository_scanning_configuration(repositoryNames=list(names))
    assert answer["failures"] == []
    return [
        (item.get("scanFrequency"), item["scanOnPush"], [each["filter"] for each in item["appliedScanFilters"]])
        for item in answer["scanningConfigurations"]
    ]


def test_when_nothing_was_configured_then_scanning_is_basic_without_rules(registry: Any) -> None:
    answer = registry.get_registry_scanning_configuration()
    assert answer["registryId"] == ACCOUNT
    assert answer["scanningConfiguration"] == {"scanType": "BASIC", "rules": []}


def test_when_a_configuration_is_put_then_it_replaces_the_whole(registry: Any) -> None:
    first = [rule("SCAN_ON_PUSH", "prod*"), rule("CONTINUOUS_SCAN", "*")]
    answer = registry.put_registry_scanning_configuration(scanType="ENHANCED", rules=first)
    assert answer["registryScanningConfiguration"] == {"scanType": "ENHANCED", "rules": first}
    assert registry.get_registry_scanning_configuration()["scanningConfiguration"]["rules"] == first
    registry.put_registry_scanning_configuration(scanType="BASIC", rules=[])
    answer = registry.get_registry_scanning_configuration()
    assert answer["scanningConfiguration"] == {"scanType": "BASIC", "rules": []}


@pytest.mark.parametrize(
    ("scan_type", "rules"),
    [
        ("BASIC", [rule("CONTINUOUS_SCAN", "*")]),
        ("BASIC", [rule("MANUAL", "*")]),
        ("ENHANCED", [rule("MANUAL", "*")]),
        ("ENHANCED", [rule("SCAN_ON_PUSH", "a*"), rule("SCAN_ON_PUSH", "b*")]),
        ("ENHANCED", [rule("SCAN_ON_PUSH", "a"), rule("CONTINUOUS_SCAN", "b"), rule("SCAN_ON_PUSH", "c")]),
        ("ENHANCED", [rule("SCAN_ON_PUSH", "Upper")]),
        ("BASIC", [rule("SOMETIMES", "*")]),
    ],
)
def test_when_type_and_rules_do_not_go_together_then_nothing_changes(
    registry: Any, scan_type: str, rules: Sequence[dict[str, Any]]
) -> None:
    code, _message = refusal(registry.put_registry_scanning_configuration, scanType=scan_type, rules=rules)
    assert code in ("ValidationException", "InvalidParameterException")
    answer = registry.get_registry_scanning_configuration()
    assert answer["scanningConfiguration"] == {"scanType": "BASIC", "rules": []}


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("prod", "my-prod-app", True),  # without a wildcard: every name that contains it
        ("prod", "prod", True),
        ("prod", "pro/d", False),
        ("prod*", "prod/app", True),
        ("prod*", "my-prod", False),
        ("*prod", "my-prod", True),
        ("*prod", "prod/app", False),
        ("*prod*", "my-prod-app", True),
        ("team*prod", "team/x/prod", True),
        ("team*prod", "team/x/prod2", False),
        ("a.b", "a-b", False),  # a dot is a dot
        ("*", "anything", True),
    ],
)
def test_when_a_filter_is_given_then_it_matches_as_aws_says(
    registry: Any, pattern: str, name: str, matches: bool
) -> None:
    registry.create_repository(repositoryName=name)
    registry.put_registry_scanning_configuration(scanType="BASIC", rules=[rule("SCAN_ON_PUSH", pattern)])
    expected = ("SCAN_ON_PUSH", True, [pattern]) if matches else ("MANUAL", False, [])
    assert schedule(registry, name) == [expected]


def test_when_both_kinds_of_rules_match_then_continuous_scanning_wins(registry: Any) -> None:
    for name in ("team/app", "team/other", "alone"):
        registry.create_repository(repositoryName=name)
    rules = [rule("SCAN_ON_PUSH", "team*", "zzz"), rule("CONTINUOUS_SCAN", "*app")]
    registry.put_registry_scanning_configuration(scanType="ENHANCED", rules=rules)
    assert schedule(registry, "team/app", "team/other", "alone") == [
        ("CONTINUOUS_SCAN", True, ["*app"]),
        ("SCAN_ON_PUSH", True, ["team*"]),
        (None, False, []),  # ENHANCED without a match: scanning is off
    ]


def test_when_a_repository_asks_for_scans_itself_then_only_basic_scanning_listens(registry: Any) -> None:
    registry.create_repository(repositoryName="app", imageScanningConfiguration={"scanOnPush": True})
    assert schedule(registry, "app") == [("SCAN_ON_PUSH", True, [])]
    registry.put_registry_scanning_configuration(scanType="ENHANCED", rules=[])
    assert schedule(registry, "app") == [(None, False, [])]
    registry.put_registry_scanning_configuration(scanType="BASIC", rules=[])
    registry.put_image_scanning_configuration(repositoryName="app", imageScanningConfiguration={"scanOnPush": False})
    assert schedule(registry, "app") == [("MANUAL", False, [])]


def test_when_a_rule_of_the_registry_matches_then_a_pushed_image_is_scanned(
    shared_cloud: RunningCloud, region: str, registry: Any
) -> None:
    registry.put_registry_scanning_configuration(scanType="BASIC", rules=[rule("SCAN_ON_PUSH", "scanned")])
    for name in ("scanned/app", "other"):
        repository = repository_in(shared_cloud, region=region, name=name)
        repository.push(make_image(make_layer({"app": b"static"})), "v1")
    # Scanned, though with nothing to find in it.
    answer = registry.describe_image_scan_findings(repositoryName="scanned/app", imageId={"imageTag": "v1"})
    assert answer["imageScanStatus"]["status"] in ("IN_PROGRESS", "UNSUPPORTED_IMAGE")
    asked = {"repositoryName": "other", "imageId": {"imageTag": "v1"}}
    code, message = refusal(registry.describe_image_scan_findings, **asked)
    assert code == "ScanNotFoundException"
    assert message.startswith(f"Image scan does not exist for the image with '{{imageDigest:'{make_digest()}'")
    # The scan on push is the one scan of the day.
    asked["repositoryName"] = "scanned/app"
    assert refusal(registry.start_image_scan, **asked)[0] == "LimitExceededException"


def make_digest() -> str:
    return make_image(make_layer({"app": b"static"})).digest


def test_when_scanning_is_enhanced_then_no_scan_is_started_by_hand(
    shared_cloud: RunningCloud, region: str, registry: Any
) -> None:
    repository = repository_in(shared_cloud, region=region)
    repository.push(make_image(), "v1")
    registry.put_registry_scanning_configuration(scanType="ENHANCED", rules=[])
    code, message = refusal(registry.start_image_scan, repositoryName=repository.name, imageId={"imageTag": "v1"})
    assert (code, message) == ("ValidationException", "This feature is disabled")


def test_when_repositories_are_absent_then_they_are_failures_and_the_others_are_answered(registry: Any) -> None:
    registry.create_repository(repositoryName="app")
    answer = registry.batch_get_repository_scanning_configuration(repositoryNames=["absent", "app"])
    assert [item["repositoryName"] for item in answer["scanningConfigurations"]] == ["app"]
    assert [(item["repositoryName"], item["failureCode"]) for item in answer["failures"]] == [
        ("absent", "REPOSITORY_NOT_FOUND")
    ]
    many = [f"app-{number}" for number in range(26)]
    code, _message = refusal(registry.batch_get_repository_scanning_configuration, repositoryNames=many)
    assert code in ("ValidationException", "InvalidParameterException")


def test_when_a_filter_is_made_to_be_slow_then_it_is_refused_as_quickly(registry: Any) -> None:
    started = time.monotonic()
    for text in ("a" * 254 + "!", "*" * 254 + "!", "a." * 127 + "!"):
        code, message = refusal(
            registry.put_registry_scanning_configuration, scanType="BASIC", rules=[rule("SCAN_ON_PUSH", text)]
        )
        assert code in ("ValidationException", "InvalidParameterException")
        assert "regular expression" in message
    # A search that tries every split of the text would take years.
    assert time.monotonic() - started < 10


def test_when_a_registry_is_configured_then_others_are_not(shared_cloud: RunningCloud, registry: Any) -> None:
    registry.put_registry_scanning_configuration(scanType="ENHANCED", rules=[])
    other = shared_cloud.client(region=own_region())
    assert other.get_registry_scanning_configuration()["scanningConfiguration"]["scanType"] == "BASIC"


def test_when_the_cloud_starts_again_then_the_configuration_is_there(tmp_path: Path) -> None:
    rules = [rule("CONTINUOUS_SCAN", "*")]
    with running_cloud(tmp_path) as cloud:
        cloud.client().put_registry_scanning_configuration(scanType="ENHANCED", rules=rules)
        repository: Repository = repository_in(cloud, name="app")
        assert schedule(repository.ecr, "app") == [("CONTINUOUS_SCAN", True, ["*"])]
    with running_cloud(tmp_path) as cloud:
        answer = cloud.client().get_registry_scanning_configuration()
        assert answer["scanningConfiguration"] == {"scanType": "ENHANCED", "rules": rules}
        assert schedule(cloud.client(), "app") == [("CONTINUOUS_SCAN", True, ["*"])]
