"""The archive storage class on both planes (ecr-semantics section 18: UG/archive-image, UG/archive_restore_image)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.conftest import Repository, make_image, make_index, make_layer, sha256
from tests.cloud.support import advance, digests, make_referrer, refusal, repository_in
from tests.conftest import ACCOUNT, RunningCloud, running_cloud


@pytest.fixture
def app(travelling: RunningCloud) -> Repository:
    return repository_in(travelling)


def move(repository: Repository, storage_class: str, **image_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = repository.ecr.update_image_storage_class(
        repositoryName=repository.name, imageId=image_id, targetStorageClass=storage_class
    )
    return answer


def test_when_an_image_is_archived_then_only_a_filter_shows_it(repository: Repository) -> None:
    archived, active = make_image(note="archived"), make_image(note="active")
    repository.push(archived, "old")
    repository.push(active, "new")
    answer = move(repository, "ARCHIVE", imageTag="old")
    assert answer["registryId"] == ACCOUNT
    assert answer["repositoryName"] == repository.name
    assert answer["imageId"] == {"imageDigest": archived.digest, "imageTag": "old"}
    assert answer["imageStatus"] == "ARCHIVED"
    for status, expected in {
        "ACTIVE": {active.digest},
        "ARCHIVED": {archived.digest},
        "ACTIVATING": set(),
        "ANY": {archived.digest, active.digest},
    }.items():
        assert digests(repository, status) == expected
        listed = repository.ecr.list_images(repositoryName=repository.name, filter={"imageStatus": status})["imageIds"]
        assert {item["imageDigest"] for item in listed} == expected
    # Without a filter active images only: botocore's model.
    assert [detail["imageDigest"] for detail in repository.describe()] == [active.digest]
    assert len(repository.ecr.list_images(repositoryName=repository.name)["imageIds"]) == 1
    (detail,) = repository.describe(imageIds=[{"imageTag": "old"}])
    assert detail["imageStatus"] == "ARCHIVED"
    assert detail["imageTags"] == ["old"]
    assert detail["lastArchivedAt"] >= detail["imagePushedAt"]
    assert "lastActivatedAt" not in detail


def test_when_an_image_is_archived_then_neither_plane_gives_it_out(repository: Repository) -> None:
    image = make_image(note="archived")
    repository.push(image, "old")
    move(repository, "ARCHIVE", imageDigest=image.digest)
    got = repository.ecr.batch_get_image(repositoryName=repository.name, imageIds=[{"imageTag": "old"}])
    assert got["images"] == []
    assert [failure["failureCode"] for failure in got["failures"]] == ["ImageInaccessible"]
    with repository.session as session:
        for reference in ("old", image.digest):
            for method in ("GET", "HEAD"):
                answer = session.request(method, repository.url(f"manifests/{reference}"))
                assert answer.status_code == 404
            assert session.get(answer.url).json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    assert "lastRecordedPullTime" not in repository.describe(imageIds=[{"imageTag": "old"}])[0]


def test_when_all_images_of_a_layer_are_archived_then_the_layer_is(repository: Repository) -> None:
    shared, own = make_layer({"shared": b"1"}), make_layer({"own": b"2"})
    repository.push(make_image(shared, own, note="archived"), "old")
    repository.push(make_image(shared, note="active"), "new")
    move(repository, "ARCHIVE", imageTag="old")
    asked = [sha256(shared), sha256(own), sha256(b"absent")]
    check = repository.ecr.batch_check_layer_availability
    layers = check(repositoryName=repository.name, layerDigests=asked)["layers"]
    assert [layer["layerAvailability"] for layer in layers] == ["AVAILABLE", "ARCHIVED", "UNAVAILABLE"]
    assert [layer.get("layerSize") for layer in layers] == [len(shared), len(own), None]


def test_when_an_archived_image_is_to_be_scanned_then_it_is_refused(repository: Repository) -> None:
    repository.push(make_image(note="archived"), "old")
    move(repository, "ARCHIVE", imageTag="old")
    code, _message = refusal(
        repository.ecr.start_image_scan, repositoryName=repository.name, imageId={"imageTag": "old"}
    )
    assert code == "ImageArchivedException"


def test_when_an_image_is_restored_then_it_is_active_after_twenty_minutes(app: Repository) -> None:
    image = make_image(note="restored")
    app.push(image, "v1")
    move(app, "ARCHIVE", imageTag="v1")
    advance(app.cloud, days=1)
    assert move(app, "STANDARD", imageTag="v1")["imageStatus"] == "ACTIVATING"
    advance(app.cloud, minutes=10)
    assert digests(app, "ACTIVATING") == {image.digest}
    assert digests(app, "ACTIVE") == set()
    got = app.ecr.batch_get_image(repositoryName=app.name, imageIds=[{"imageTag": "v1"}])
    assert [failure["failureCode"] for failure in got["failures"]] == ["ImageInaccessible"]
    with app.session as session:
        assert session.get(app.url("manifests/v1")).status_code == 404
    assert "lastActivatedAt" not in app.describe(imageIds=[{"imageTag": "v1"}])[0]
    advance(app.cloud, minutes=10)
    (detail,) = app.describe()
    assert detail["imageStatus"] == "ACTIVE"
    assert detail["lastActivatedAt"] - detail["lastArchivedAt"] >= timedelta(days=1)
    with app.session as session:
        assert session.get(app.url("manifests/v1")).content == image.manifest


def test_when_a_restored_image_is_archived_again_then_both_times_are_told(app: Repository) -> None:
    app.push(make_image(note="to and fro"), "v1")
    for storage_class in ("ARCHIVE", "STANDARD"):
        move(app, storage_class, imageTag="v1")
        advance(app.cloud, hours=1)
    activated = app.describe()[0]["lastActivatedAt"]
    assert move(app, "ARCHIVE", imageTag="v1")["imageStatus"] == "ARCHIVED"
    (detail,) = app.describe(imageIds=[{"imageTag": "v1"}])
    assert detail["lastActivatedAt"] == activated
    assert detail["lastArchivedAt"] > activated


def test_when_a_restore_is_taken_back_then_the_image_was_never_activated(app: Repository) -> None:
    app.push(make_image(note="taken back"), "v1")
    for storage_class in ("ARCHIVE", "STANDARD", "ARCHIVE"):
        move(app, storage_class, imageTag="v1")
    (detail,) = app.describe(imageIds=[{"imageTag": "v1"}])
    assert detail["imageStatus"] == "ARCHIVED"
    assert "lastActivatedAt" not in detail


def test_when_an_archived_image_is_pushed_again_then_it_is_active_at_once(repository: Repository) -> None:
    image = make_image(note="again")
    repository.push(image, "v1")
    move(repository, "ARCHIVE", imageTag="v1")
    repository.push(image, "v1")
    (detail,) = repository.describe()
    assert (detail["imageDigest"], detail["imageStatus"]) == (image.digest, "ACTIVE")
    assert detail["lastActivatedAt"] >= detail["lastArchivedAt"]


def test_when_an_index_moves_then_its_images_go_with_it_and_never_alone(app: Repository) -> None:
    child = make_image(note="child")
    index = make_index(child)
    app.push(child)
    app.put(index, "v1")
    code, message = refusal(
        app.ecr.update_image_storage_class,
        repositoryName=app.name,
        imageId={"imageDigest": child.digest},
        targetStorageClass="ARCHIVE",
    )
    assert code == "ImageStorageClassUpdateNotSupportedException"
    assert child.digest in message
    move(app, "ARCHIVE", imageTag="v1")
    assert digests(app, "ARCHIVED") == {child.digest, index.digest}
    move(app, "STANDARD", imageTag="v1")
    assert digests(app, "ACTIVATING") == {child.digest, index.digest}
    advance(app.cloud, minutes=20)
    assert digests(app) == {child.digest, index.digest}


def test_when_an_image_belongs_to_two_indexes_then_it_is_archived_with_the_second(repository: Repository) -> None:
    # UG/LifecyclePolicies: what an index names cannot be archived before the index.
    shared, own = make_image(note="shared"), make_image(note="own")
    first, second = make_index(shared, own), make_index(shared)
    repository.push(shared)
    repository.push(own)
    repository.put(first, "first")
    repository.put(second, "second")
    move(repository, "ARCHIVE", imageTag="first")
    assert digests(repository) == {shared.digest, second.digest}
    move(repository, "ARCHIVE", imageTag="second")
    assert digests(repository) == set()


def test_when_an_archived_index_is_pushed_again_then_its_images_are_active_too(repository: Repository) -> None:
    child = make_image(note="child")
    repository.push(child)
    repository.put(make_index(child), "v1")
    move(repository, "ARCHIVE", imageTag="v1")
    repository.put(make_index(child), "v1")
    assert digests(repository) == {child.digest, make_index(child).digest}


def test_when_an_image_refers_to_another_then_it_cannot_move(repository: Repository) -> None:
    subject = make_image(note="subject")
    repository.push(subject, "v1")
    repository.push(make_referrer(subject))
    code, _message = refusal(
        repository.ecr.update_image_storage_class,
        repositoryName=repository.name,
        imageId={"imageDigest": make_referrer(subject).digest},
        targetStorageClass="ARCHIVE",
    )
    assert code == "ImageStorageClassUpdateNotSupportedException"


def test_when_an_archived_image_is_deleted_by_hand_then_no_minimum_holds_it(repository: Repository) -> None:
    # The 90 days bind policies; BatchDeleteImage deletes (and the rest is billed).
    repository.push(make_image(note="deleted"), "v1")
    move(repository, "ARCHIVE", imageTag="v1")
    answer = repository.ecr.batch_delete_image(repositoryName=repository.name, imageIds=[{"imageTag": "v1"}])
    assert answer["failures"] == []
    assert digests(repository, "ANY") == set()


def test_when_the_image_is_in_that_class_already_then_nothing_happens(repository: Repository) -> None:
    repository.push(make_image(note="standard"), "v1")
    assert move(repository, "STANDARD", imageTag="v1")["imageStatus"] == "ACTIVE"
    assert "lastActivatedAt" not in repository.describe()[0]
    move(repository, "ARCHIVE", imageTag="v1")
    (first,) = repository.describe(imageIds=[{"imageTag": "v1"}])
    assert move(repository, "ARCHIVE", imageTag="v1")["imageStatus"] == "ARCHIVED"
    assert repository.describe(imageIds=[{"imageTag": "v1"}]) == [first]


def test_when_there_is_no_such_image_then_that_is_the_error(repository: Repository) -> None:
    move_image = repository.ecr.update_image_storage_class
    absent = {"imageId": {"imageTag": "absent"}, "targetStorageClass": "ARCHIVE"}
    assert refusal(move_image, repositoryName=repository.name, **absent)[0] == "ImageNotFoundException"
    assert refusal(move_image, repositoryName="absent", **absent)[0] == "RepositoryNotFoundException"


def test_when_the_cloud_starts_again_then_archived_images_still_are(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        app = repository_in(cloud, name="app")
        app.push(make_image(note="archived"), "archived")
        app.push(make_image(note="restored"), "restored")
        for tag in ("archived", "restored"):
            move(app, "ARCHIVE", imageTag=tag)
        move(app, "STANDARD", imageTag="restored")
    with running_cloud(tmp_path) as cloud:
        app = Repository(cloud, cloud.client(), "app")
        assert digests(app, "ARCHIVED") == {make_image(note="archived").digest}
        assert digests(app, "ACTIVATING") == {make_image(note="restored").digest}
        advance(cloud, minutes=20)
        assert digests(app) == {make_image(note="restored").digest}


def test_when_an_image_is_archived_then_its_tags_are_not_listed_to_docker(repository: Repository) -> None:
    repository.push(make_image(note="listed"), "new")
    repository.push(make_image(note="not listed"), "old")
    move(repository, "ARCHIVE", imageTag="old")
    with repository.session as session:
        assert session.get(repository.url("tags/list")).json()["tags"] == ["new"]


def test_when_an_image_is_restored_then_it_is_scanned_like_a_new_one(travelling: RunningCloud) -> None:
    """A restored image counts as newly pushed (section 18)."""
    app = repository_in(travelling)
    image = make_image(note="restored and scanned")
    app.push(image, "v1")
    move(app, "ARCHIVE", imageTag="v1")
    app.ecr.put_image_scanning_configuration(repositoryName=app.name, imageScanningConfiguration={"scanOnPush": True})
    which = {"repositoryName": app.name, "imageId": {"imageTag": "v1"}}
    with pytest.raises(app.ecr.exceptions.ScanNotFoundException):
        app.ecr.describe_image_scan_findings(**which)
    move(app, "STANDARD", imageTag="v1")
    assert app.ecr.describe_image_scan_findings(**which)["imageScanStatus"]["status"]
