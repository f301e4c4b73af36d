"""Scans through the ECR API, with boto3."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cloud.conftest import Repository, make_image, make_index, make_layer, sha256

OLD_PACKAGES = make_layer(
    {
        "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
        "var/lib/dpkg/status": b"Package: zlib1g\nStatus: install ok installed\nSource: zlib\nVersion: 1:1.2.3\n"
        b"Architecture: amd64\n\n",
        "usr/local/lib/python3.11/site-packages/requests-2.19.1.dist-info/METADATA": b"Metadata-Version: 2.1\n"
        b"Name: requests\nVersion: 2.19.1\n",
    }
)


def wait_for_scan(repository: Repository, tag: str) -> dict[str, object]:
    image_id = {"imageTag": tag}
    waiter = repository.ecr.get_waiter("image_scan_complete")
    waiter.wait(repositoryName=repository.name, imageId=image_id, WaiterConfig={"Delay": 0, "MaxAttempts": 2000})
    answer: dict[str, object] = repository.ecr.describe_image_scan_findings(
        repositoryName=repository.name, imageId=image_id
    )
    return answer


@pytest.fixture
def scanning(new_repository: Callable[..., Repository]) -> Repository:
    return new_repository(imageScanningConfiguration={"scanOnPush": True})


def test_when_an_image_with_old_packages_is_pushed_then_findings_name_them(scanning: Repository) -> None:
    image = make_image(OLD_PACKAGES)
    scanning.push(image, "old")
    answer = wait_for_scan(scanning, "old")
    assert answer["imageScanStatus"]["status"] == "COMPLETE"
    assert answer["imageId"] == {"imageDigest": image.digest, "imageTag": "old"}
    scan = answer["imageScanFindings"]
    found = {finding["name"]: finding for finding in scan["findings"]}
    assert {"CVE-2018-25032", "CVE-2018-18074"} <= found.keys()
    requests_finding = found["CVE-2018-18074"]
    attributes = {item["key"]: item["value"] for item in requests_finding["attributes"]}
    assert requests_finding["severity"] == "HIGH"
    assert attributes["package_name"] == "requests"
    assert attributes["package_version"] == "2.19.1"
    assert attributes["CVSS3_VECTOR"].startswith("CVSS:3.1/AV:N/")
    counted = sum(scan["findingSeverityCounts"].values())
    assert counted == len(scan["findings"])
    assert 0 not in scan["findingSeverityCounts"].values()


def test_when_findings_have_pages_then_each_stands_on_one(scanning: Repository) -> None:
    scanning.push(make_image(OLD_PACKAGES, note="pages"), "old")
    whole = wait_for_scan(scanning, "old")["imageScanFindings"]
    pages = list(
        scanning.ecr.get_paginator("describe_image_scan_findings").paginate(
            repositoryName=scanning.name, imageId={"imageTag": "old"}, PaginationConfig={"PageSize": 1}
        )
    )
    assert len(pages) == len(whole["findings"]) > 1
    assert [page["imageScanFindings"]["findings"][0] for page in pages] == whole["findings"]
    assert all(page["imageScanFindings"]["findingSeverityCounts"] == whole["findingSeverityCounts"] for page in pages)


def test_when_scan_on_push_is_off_then_a_scan_is_started_by_hand_once_a_day(repository: Repository) -> None:
    image_id = {"imageTag": "v1"}
    repository.push(make_image(OLD_PACKAGES, note="by hand"), "v1")
    ecr, name = repository.ecr, repository.name
    with pytest.raises(ecr.exceptions.ScanNotFoundException):
        ecr.describe_image_scan_findings(repositoryName=name, imageId=image_id)
    started = ecr.start_image_scan(repositoryName=name, imageId=image_id)
    assert started["imageScanStatus"]["status"] == "IN_PROGRESS"
    wait_for_scan(repository, "v1")
    with pytest.raises(ecr.exceptions.LimitExceededException, match="The scan quota per image has been exceeded"):
        ecr.start_image_scan(repositoryName=name, imageId=image_id)


def test_when_an_image_has_no_packages_then_it_is_unsupported(scanning: Repository) -> None:
    scanning.push(make_image(make_layer({"app": b"static"})), "scratch")
    answer: dict[str, object] = {}
    while answer.get("imageScanStatus", {"status": "IN_PROGRESS"})["status"] == "IN_PROGRESS":
        answer = scanning.ecr.describe_image_scan_findings(
            repositoryName=scanning.name, imageId={"imageTag": "scratch"}
        )
    assert answer["imageScanStatus"]["status"] == "UNSUPPORTED_IMAGE"
    assert "imageScanFindings" not in answer


def test_when_a_layer_cannot_be_read_then_the_scan_fails_with_the_reason(scanning: Repository) -> None:
    scanning.push(make_image(b"\x1f\x8b not gzip at all"), "broken")
    answer: dict[str, object] = {}
    while answer.get("imageScanStatus", {"status": "IN_PROGRESS"})["status"] == "IN_PROGRESS":
        answer = scanning.ecr.describe_image_scan_findings(repositoryName=scanning.name, imageId={"imageTag": "broken"})
    assert answer["imageScanStatus"]["status"] == "FAILED"
    assert answer["imageScanStatus"]["description"]


def test_when_it_is_an_index_then_it_cannot_be_scanned(scanning: Repository) -> None:
    child = make_image(note="child")
    scanning.push(child)
    scanning.put(make_index(child), "index")
    with pytest.raises(scanning.ecr.exceptions.UnsupportedImageTypeException):
        scanning.ecr.start_image_scan(repositoryName=scanning.name, imageId={"imageTag": "index"})


def test_when_configurations_are_asked_then_absent_repositories_are_failures(scanning: Repository) -> None:
    answer = scanning.ecr.batch_get_repository_scanning_configuration(repositoryNames=[scanning.name, "absent"])
    (configuration,) = answer["scanningConfigurations"]
    assert configuration["scanFrequency"] == "SCAN_ON_PUSH"
    assert [(item["repositoryName"], item["failureCode"]) for item in answer["failures"]] == [
        ("absent", "REPOSITORY_NOT_FOUND")
    ]


def test_when_the_image_is_absent_then_there_is_no_scan(scanning: Repository) -> None:
    with pytest.raises(scanning.ecr.exceptions.ImageNotFoundException):
        scanning.ecr.describe_image_scan_findings(
            repositoryName=scanning.name, imageId={"imageDigest": sha256(b"absent")}
        )
