"""The lab's clock: what it tells, and what follows it (design, section 4)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cloud.conftest import Repository, make_image, make_layer
from tests.cloud.support import advance, control, digests, lifecycle, own_region, refusal, repository_in, rule
from tests.conftest import ACCOUNT, RunningCloud, running_cloud

NEAR = 60  # seconds that a test may take


@pytest.fixture
def app(travelling: RunningCloud) -> Repository:
    return repository_in(travelling)


def offset(cloud: RunningCloud) -> float:
    told = control(cloud, "GET", "clock").json()
    assert abs(told["now"] - told["offset"] - time.time()) < NEAR
    return float(told["offset"])


def age(moment: datetime) -> timedelta:
    """Return how far a moment of the lab lies ahead of real time."""
    return moment - datetime.now(UTC)


# The control


def test_when_the_clock_is_moved_then_it_tells_the_new_time(travelling: RunningCloud) -> None:
    before = offset(travelling)
    told = control(travelling, "POST", "clock", json={"advance": 1.5}).json()
    assert told["offset"] == before + 1.5
    advance(travelling, days=2)
    advance(travelling)
    assert offset(travelling) == before + 1.5 + 2 * 24 * 3600


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'"advance"',
        b"\xff",
        b'{"advance": null}',
        b'{"advance": "soon"}',
        b'{"advance": -1}',
        b'{"advance": NaN}',
        b'{"advance": Infinity}',
        b'{"advance": 1e300}',
        b'{"advance": ' + b"9" * 400 + b"}",
        b'{"advance": [1]}',
    ],
)
def test_when_it_is_no_step_forward_then_the_clock_stays(travelling: RunningCloud, body: bytes) -> None:
    before = offset(travelling)
    answer = control(travelling, "POST", "clock", data=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Not a step of the clock")
    assert offset(travelling) == before


def test_when_the_labs_token_is_missing_then_the_clock_is_not_told(travelling: RunningCloud) -> None:
    before = offset(travelling)
    for method in ("GET", "POST"):
        answer = requests.request(
            method, f"{travelling.endpoint}/_ecrlab/clock", json={"advance": 9}, headers={"X-Ecrlab-Token": "no"}
        )
        assert answer.status_code == 403
    assert offset(travelling) == before
    assert control(travelling, "DELETE", "clock").status_code == 404


def test_when_the_cloud_starts_again_then_it_is_still_in_the_future(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        advance(cloud, days=15)
    with running_cloud(tmp_path) as cloud:
        assert offset(cloud) == timedelta(days=15).total_seconds()
        ecr = cloud.client()
        created = ecr.create_repository(repositoryName="app")["repository"]["createdAt"]
        assert abs(age(created) - timedelta(days=15)) < timedelta(seconds=NEAR)
        assert control(cloud, "POST", "reset").status_code == 200
        assert offset(cloud) == 0
        assert ecr.describe_repositories()["repositories"] == []
    with running_cloud(tmp_path) as cloud:
        assert offset(cloud) == 0


# What follows it


def test_when_twelve_hours_pass_then_a_docker_token_expires(app: Repository) -> None:
    app.push(make_image(), "v1")
    issued = app.ecr.get_authorization_token()["authorizationData"][0]
    lasts = age(issued["expiresAt"]).total_seconds() - offset(app.cloud)
    assert abs(lasts - 12 * 3600) < NEAR
    headers = {"Authorization": f"Basic {issued['authorizationToken']}"}
    advance(app.cloud, hours=11, minutes=58)
    assert requests.get(app.url("manifests/v1"), headers=headers, timeout=10).status_code == 200
    advance(app.cloud, minutes=2)
    answer = requests.get(app.url("manifests/v1"), headers=headers, timeout=10)
    assert answer.status_code == 403
    assert answer.json()["errors"] == [
        {"code": "DENIED", "message": "Your authorization token has expired. Reauthenticate and try again."}
    ]
    with app.session as session:  # logged in again
        assert session.get(app.url("manifests/v1")).status_code == 200
    # The access keys of the API know nothing of the lab's time.
    assert app.describe()


def test_when_an_hour_passes_then_a_layer_url_expires(app: Repository) -> None:
    image = make_image()
    app.push(image, "v1")
    (digest, content), *_ = image.blobs.items()
    url = app.ecr.get_download_url_for_layer(repositoryName=app.name, layerDigest=digest)["downloadUrl"]
    advance(app.cloud, minutes=58)
    assert requests.get(url, timeout=10).content == content
    advance(app.cloud, minutes=3)
    assert requests.get(url, timeout=10).status_code == 403


def test_when_a_day_passes_then_an_image_can_be_scanned_again(travelling: RunningCloud) -> None:
    app = repository_in(travelling, imageScanningConfiguration={"scanOnPush": True})
    app.push(make_image(make_layer({"app": b"static"}), note="scanned"), "v1")
    asked: dict[str, Any] = {"repositoryName": app.name, "imageId": {"imageTag": "v1"}}
    advance(travelling, hours=23, minutes=58)
    # [D] the scan on push is the one scan of the day
    assert refusal(app.ecr.start_image_scan, **asked) == (
        "LimitExceededException",
        "The scan quota per image has been exceeded. Wait and try again.",
    )
    advance(travelling, minutes=3)
    assert app.ecr.start_image_scan(**asked)["imageScanStatus"]["status"] == "IN_PROGRESS"
    assert refusal(app.ecr.start_image_scan, **asked)[0] == "LimitExceededException"


def test_when_pulls_follow_each_other_then_the_pull_time_changes_once_a_day(app: Repository) -> None:
    app.push(make_image(), "v1")

    def pull() -> datetime:
        app.ecr.batch_get_image(repositoryName=app.name, imageIds=[{"imageTag": "v1"}])
        pulled: datetime = app.describe()[0]["lastRecordedPullTime"]
        return pulled

    first = pull()
    advance(app.cloud, hours=23)
    assert pull() == first
    advance(app.cloud, hours=2)
    assert pull() - first > timedelta(hours=24)


def test_when_the_clock_moves_then_lifecycle_rules_act_and_restores_end(app: Repository) -> None:
    old, restored = make_image(note="old"), make_image(note="restored")
    app.push(old)
    app.push(restored, "v1")
    app.ecr.put_lifecycle_policy(
        repositoryName=app.name,
        lifecyclePolicyText=lifecycle(rule(1, "sinceImagePushed", 14, tagStatus="untagged")),
    )
    image = {"repositoryName": app.name, "imageId": {"imageTag": "v1"}}
    app.ecr.update_image_storage_class(**image, targetStorageClass="ARCHIVE")
    app.ecr.update_image_storage_class(**image, targetStorageClass="STANDARD")
    assert digests(app, "ACTIVATING") == {restored.digest}
    advance(app.cloud, days=15)
    assert digests(app, "ANY") == digests(app) == {restored.digest}


def test_when_the_clock_moves_then_rules_act_in_every_registry(travelling: RunningCloud) -> None:
    apps = [repository_in(travelling, region=own_region()) for _ in range(2)]
    for app in apps:
        app.push(make_image(note="old"))
        app.ecr.put_lifecycle_policy(
            repositoryName=app.name, lifecyclePolicyText=lifecycle(rule(1, "sinceImagePushed", 1))
        )
    advance(travelling, days=2)
    for app in apps:
        assert digests(app) == set()
        answer = app.ecr.get_lifecycle_policy(repositoryName=app.name)
        assert answer["registryId"] == ACCOUNT
        ahead = age(answer["lastEvaluatedAt"]).total_seconds() - offset(travelling)
        assert abs(ahead) < NEAR


def test_when_the_clock_would_go_beyond_ten_years_then_it_stands(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        advance(cloud, days=3650)
        refused = control(cloud, "POST", "clock", json={"advance": 1})
        assert refused.status_code == 400
        assert "ten years" in refused.json()["message"]
        assert offset(cloud) == 3650 * 24 * 3600
