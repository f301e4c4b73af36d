"""Images through the ECR API, with boto3."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from tests.cloud.conftest import Repository, make_image, make_index, make_layer, sha256
from tests.conftest import ACCOUNT


def test_when_an_image_is_put_then_its_bytes_come_back(repository: Repository) -> None:
    image = make_image(note="bytes")
    put = repository.push(image, "v1")
    assert put["imageId"] == {"imageDigest": image.digest, "imageTag": "v1"}
    for image_id in ({"imageTag": "v1"}, {"imageDigest": image.digest}):
        answer = repository.ecr.batch_get_image(repositoryName=repository.name, imageIds=[image_id])
        assert answer["failures"] == []
        assert answer["images"][0]["imageManifest"].encode() == image.manifest
        assert answer["images"][0]["imageManifestMediaType"] == image.media_type


def test_when_an_image_is_described_then_size_and_types_are_true(repository: Repository) -> None:
    image = make_image()
    repository.push(image, "v1")
    layer_size = sum(item["size"] for item in json.loads(image.manifest)["layers"])
    (detail,) = repository.describe()
    assert detail["imageDigest"] == image.digest
    assert detail["imageTags"] == ["v1"]
    assert detail["imageSizeInBytes"] == layer_size
    assert detail["artifactMediaType"] == "application/vnd.oci.image.config.v1+json"
    assert detail["imageStatus"] == "ACTIVE"
    assert "lastRecordedPullTime" not in detail
    repository.ecr.batch_get_image(repositoryName=repository.name, imageIds=[{"imageTag": "v1"}])
    assert repository.describe()[0]["lastRecordedPullTime"] >= detail["imagePushedAt"]


def test_when_a_tag_moves_then_the_old_image_stays_untagged(repository: Repository) -> None:
    old, new = make_image(note="old"), make_image(note="new")
    repository.push(old, "latest")
    repository.push(new, "latest")
    details = {detail["imageDigest"]: detail.get("imageTags") for detail in repository.describe()}
    assert details == {old.digest: None, new.digest: ["latest"]}
    listed = repository.ecr.list_images(repositoryName=repository.name, filter={"tagStatus": "UNTAGGED"})["imageIds"]
    assert listed == [{"imageDigest": old.digest}]
    listed = repository.ecr.list_images(repositoryName=repository.name, filter={"tagStatus": "TAGGED"})["imageIds"]
    assert listed == [{"imageDigest": new.digest, "imageTag": "latest"}]


def test_when_the_same_image_is_put_again_then_it_exists_already(new_repository: Callable[..., Repository]) -> None:
    for mode in ("MUTABLE", "IMMUTABLE"):
        repository = new_repository(imageTagMutability=mode)
        image = make_image()
        repository.push(image, "v1")
        with pytest.raises(repository.ecr.exceptions.ImageAlreadyExistsException):
            repository.put(image, "v1")


@pytest.mark.parametrize(
    ("settings", "tag", "frozen"),
    [
        ({"imageTagMutability": "MUTABLE"}, "v1", False),
        ({"imageTagMutability": "IMMUTABLE"}, "v1", True),
        ({"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION", "pattern": "dev-*"}, "dev-1", False),
        ({"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION", "pattern": "dev-*"}, "v1", True),
        ({"imageTagMutability": "MUTABLE_WITH_EXCLUSION", "pattern": "v*.0"}, "v1.0", True),
        ({"imageTagMutability": "MUTABLE_WITH_EXCLUSION", "pattern": "v*.0"}, "v1x0", False),
        ({"imageTagMutability": "MUTABLE_WITH_EXCLUSION", "pattern": "v*.0"}, "av1.0", False),
    ],
)
def test_when_a_tag_would_move_then_the_mode_decides(
    new_repository: Callable[..., Repository], settings: dict[str, str], tag: str, frozen: bool
) -> None:
    chosen: dict[str, object] = {"imageTagMutability": settings["imageTagMutability"]}
    if "pattern" in settings:
        chosen["imageTagMutabilityExclusionFilters"] = [{"filterType": "WILDCARD", "filter": settings["pattern"]}]
    repository = new_repository(**chosen)
    repository.push(make_image(note="1"), tag)
    other = make_image(note="2")
    if not frozen:
        assert repository.push(other, tag)["imageId"]["imageDigest"] == other.digest
        return
    with pytest.raises(repository.ecr.exceptions.ImageTagAlreadyExistsException, match="the tag is immutable"):
        repository.push(other, tag)
    assert [detail["imageDigest"] for detail in repository.describe()] == [make_image(note="1").digest]
    # A further tag is another matter, and a deleted tag is free again.
    repository.put(make_image(note="1"), f"{tag}-again")
    repository.ecr.batch_delete_image(repositoryName=repository.name, imageIds=[{"imageTag": tag}])
    repository.push(other, tag)


def test_when_layers_are_missing_then_each_is_named_and_nothing_is_stored(repository: Repository) -> None:
    image = make_image(note="no layers")
    with pytest.raises(repository.ecr.exceptions.LayersNotFoundException) as error:
        repository.put(image, "v1")
    message = error.value.response["Error"]["Message"]
    assert all(digest in message for digest in image.blobs)
    assert repository.describe() == []


def test_when_the_digest_given_is_another_then_it_is_refused(repository: Repository) -> None:
    image = make_image()
    with pytest.raises(ClientError) as error:
        repository.put(image, "v1", imageDigest=sha256(b"other"))
    assert error.value.response["Error"]["Code"] == "ImageDigestDoesNotMatchException"


@pytest.mark.parametrize(
    "manifest",
    ["{", "[]", "{}", '{"schemaVersion": 1}', '{"schemaVersion": 2, "mediaType": "text/plain"}', "[" * 100_000],
)
def test_when_the_manifest_cannot_be_read_then_it_is_an_invalid_parameter(
    repository: Repository, manifest: str
) -> None:
    with pytest.raises(repository.ecr.exceptions.InvalidParameterException, match="ImageManifest"):
        repository.ecr.put_image(repositoryName=repository.name, imageManifest=manifest, imageTag="v1")


@pytest.mark.parametrize("tag", ["-a", ".a", "a" * 129, "a b", "a/b", "ä"])
def test_when_the_tag_is_not_one_then_it_is_an_invalid_parameter(repository: Repository, tag: str) -> None:
    with pytest.raises(repository.ecr.exceptions.InvalidParameterException, match="imageTag"):
        repository.push(make_image(), tag)


def test_when_an_index_is_put_then_its_children_come_first(repository: Repository) -> None:
    children = make_image(note="amd64"), make_image(make_layer({"hello": b"hello, arm64"}), note="arm64")
    index = make_index(*children)
    with pytest.raises(repository.ecr.exceptions.ReferencedImagesNotFoundException):
        repository.put(index, "v1")
    for child in children:
        repository.push(child)
    repository.put(index, "v1")
    detail = next(item for item in repository.describe() if item["imageDigest"] == index.digest)
    assert detail["imageSizeInBytes"] == max(
        item["imageSizeInBytes"] for item in repository.describe() if item["imageDigest"] != index.digest
    )


def test_when_an_index_needs_an_image_then_it_cannot_be_deleted(repository: Repository) -> None:
    child = make_image()
    index = make_index(child)
    repository.push(child)
    repository.put(index, "v1")
    child_id, index_id = {"imageDigest": child.digest}, {"imageDigest": index.digest}
    answer = repository.ecr.batch_delete_image(repositoryName=repository.name, imageIds=[child_id])
    assert answer["failures"][0]["failureCode"] == "ImageReferencedByManifestList"
    assert index.digest in answer["failures"][0]["failureReason"]
    repository.ecr.batch_delete_image(repositoryName=repository.name, imageIds=[index_id])
    answer = repository.ecr.batch_delete_image(repositoryName=repository.name, imageIds=[child_id])
    assert answer["failures"] == []
    assert repository.describe() == []


def test_when_images_are_deleted_then_tags_go_before_images(repository: Repository) -> None:
    image = make_image()
    repository.push(image, "a")
    repository.put(image, "b")
    delete = repository.ecr.batch_delete_image
    answer = delete(repositoryName=repository.name, imageIds=[{"imageTag": "a"}])
    assert answer["imageIds"] == [{"imageDigest": image.digest, "imageTag": "a"}]
    assert repository.describe()[0]["imageTags"] == ["b"]
    repository.put(image, "c")
    answer = delete(repositoryName=repository.name, imageIds=[{"imageDigest": image.digest}])
    assert [item["imageTag"] for item in answer["imageIds"]] == ["b", "c"]
    assert repository.describe() == []


def test_when_an_id_names_no_image_then_the_failure_says_how(repository: Repository) -> None:
    image = make_image()
    repository.push(image, "v1")
    absent = sha256(b"absent")
    ids = [
        {"imageTag": "v2"},
        {"imageDigest": absent},
        {"imageDigest": image.digest, "imageTag": "v2"},
        {},
    ]
    got = repository.ecr.batch_get_image(repositoryName=repository.name, imageIds=ids)
    assert [failure["failureCode"] for failure in got["failures"]] == [
        "ImageNotFound",
        "ImageNotFound",
        "ImageTagDoesNotMatchDigest",
        "MissingDigestAndTag",
    ]
    deleted = repository.ecr.batch_delete_image(repositoryName=repository.name, imageIds=ids)
    assert [failure["failureCode"] for failure in deleted["failures"]] == [
        "ImageNotFound",
        "ImageNotFound",
        "ImageNotFound",
        "MissingDigestAndTag",
    ]
    with pytest.raises(repository.ecr.exceptions.ImageNotFoundException) as error:
        repository.describe(imageIds=[{"imageTag": "v2"}])
    assert error.value.response["Error"]["Message"] == (
        f"The image with imageId {{imageDigest:'null', imageTag:'v2'}} does not exist within the repository with name "
        f"'{repository.name}' in the registry with id '{ACCOUNT}'"
    )


def test_when_a_listing_has_pages_then_each_tag_stands_on_one(repository: Repository) -> None:
    expected = set()
    for number in range(4):
        image = make_image(note=str(number))
        repository.push(image)
        expected.add((image.digest, None))
        for letter in "abc" if number % 2 else "":
            repository.put(image, f"{number}{letter}")
            expected.add((image.digest, f"{number}{letter}"))
            expected.discard((image.digest, None))
    for size in (1, 2, 3, 100):
        pages = repository.ecr.get_paginator("list_images").paginate(
            repositoryName=repository.name, PaginationConfig={"PageSize": size}
        )
        listed = [(item["imageDigest"], item.get("imageTag")) for page in pages for item in page["imageIds"]]
        assert len(listed) == len(expected)
        assert set(listed) == expected


def test_when_an_artifact_is_put_then_its_type_and_subject_are_described(repository: Repository) -> None:
    subject = make_image(note="subject")
    repository.push(subject, "v1")
    reference = {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.manifest)}
    artifact = make_image(note="sbom", artifactType="application/vnd.example.sbom", subject=reference)
    repository.push(artifact)
    (detail,) = repository.describe(imageIds=[{"imageDigest": artifact.digest}])
    assert detail["artifactMediaType"] == "application/vnd.example.sbom"
    assert detail["subjectManifestDigest"] == subject.digest
