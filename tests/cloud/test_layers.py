"""Layers through the ECR API, with boto3."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.cloud.conftest import Repository, make_image, sha256

MIB = 1024 * 1024


def part(first: int, content: bytes) -> dict[str, Any]:
    return {"partFirstByte": first, "partLastByte": first + len(content) - 1, "layerPartBlob": content}


def test_when_a_layer_comes_in_parts_then_it_is_whole(repository: Repository) -> None:
    ecr, name = repository.ecr, repository.name
    content = random.Random(1).randbytes(11 * MIB)
    started = ecr.initiate_layer_upload(repositoryName=name)
    assert started["partSize"] == 10 * MIB
    upload = {"repositoryName": name, "uploadId": started["uploadId"]}
    assert ecr.upload_layer_part(**upload, **part(0, content[: 6 * MIB]))["lastByteReceived"] == 6 * MIB - 1
    assert ecr.upload_layer_part(**upload, **part(6 * MIB, content[6 * MIB :]))["lastByteReceived"] == 11 * MIB - 1
    completed = ecr.complete_layer_upload(**upload, layerDigests=[sha256(content)])
    assert completed["layerDigest"] == sha256(content)
    checked = ecr.batch_check_layer_availability(repositoryName=name, layerDigests=[sha256(content)])
    assert checked["layers"] == [
        {"layerDigest": sha256(content), "layerAvailability": "AVAILABLE", "layerSize": 11 * MIB}
    ]


def test_when_a_part_does_not_continue_then_the_last_byte_is_told(repository: Repository) -> None:
    ecr = repository.ecr
    upload = {"repositoryName": repository.name}
    upload["uploadId"] = ecr.initiate_layer_upload(**upload)["uploadId"]
    ecr.upload_layer_part(**upload, **part(0, b"x" * 5 * MIB))
    with pytest.raises(ecr.exceptions.InvalidLayerPartException) as error:
        ecr.upload_layer_part(**upload, **part(1, b"y" * 5 * MIB))
    assert error.value.response["lastValidByteReceived"] == 5 * MIB - 1
    assert error.value.response["uploadId"] == upload["uploadId"]


def test_when_a_part_in_the_middle_is_small_then_it_is_refused(repository: Repository) -> None:
    ecr = repository.ecr
    upload = {"repositoryName": repository.name}
    upload["uploadId"] = ecr.initiate_layer_upload(**upload)["uploadId"]
    ecr.upload_layer_part(**upload, **part(0, b"small"))
    ecr.upload_layer_part(**upload, **part(5, b"more"))
    # botocore's model lists this error for CompleteLayerUpload alone.
    with pytest.raises(ecr.exceptions.LayerPartTooSmallException):
        ecr.complete_layer_upload(**upload, layerDigests=[sha256(b"smallmore")])


@pytest.mark.parametrize("digest", ["sha256:12", "shake_128:00", "nothing:ab", f"sha256:{'A' * 64}"])
def test_when_it_is_no_digest_then_the_upload_stays_as_it_was(repository: Repository, digest: str) -> None:
    ecr = repository.ecr
    upload = {"repositoryName": repository.name}
    upload["uploadId"] = ecr.initiate_layer_upload(**upload)["uploadId"]
    ecr.upload_layer_part(**upload, **part(0, b"content"))
    with pytest.raises(ecr.exceptions.InvalidParameterException, match="layerDigests"):
        ecr.complete_layer_upload(**upload, layerDigests=[digest])
    assert ecr.complete_layer_upload(**upload, layerDigests=[sha256(b"content")])["layerDigest"] == sha256(b"content")


def test_when_the_bytes_have_another_digest_then_there_is_no_layer(repository: Repository) -> None:
    ecr = repository.ecr
    wrong = sha256(b"something else")
    upload = {"repositoryName": repository.name}
    upload["uploadId"] = ecr.initiate_layer_upload(**upload)["uploadId"]
    ecr.upload_layer_part(**upload, **part(0, b"content"))
    with pytest.raises(ecr.exceptions.InvalidLayerException):
        ecr.complete_layer_upload(**upload, layerDigests=[wrong])
    checked = ecr.batch_check_layer_availability(
        repositoryName=repository.name, layerDigests=[wrong, sha256(b"content"), "sha256:x"]
    )
    assert [layer["layerAvailability"] for layer in checked["layers"]] == ["UNAVAILABLE", "UNAVAILABLE"]
    assert [failure["failureCode"] for failure in checked["failures"]] == ["InvalidLayerDigest"]


def test_when_an_upload_has_no_bytes_or_is_unknown_then_it_is_not_completed(
    repository: Repository, new_repository: Callable[..., Repository]
) -> None:
    ecr = repository.ecr
    started = ecr.initiate_layer_upload(repositoryName=repository.name)["uploadId"]
    digests = {"layerDigests": [sha256(b"")]}
    with pytest.raises(ecr.exceptions.EmptyUploadException):
        ecr.complete_layer_upload(repositoryName=repository.name, uploadId=started, **digests)
    for name, upload_id in (
        (repository.name, "00000000-0000-0000-0000-000000000000"),
        (new_repository().name, started),
    ):
        with pytest.raises(ecr.exceptions.UploadNotFoundException):
            ecr.complete_layer_upload(repositoryName=name, uploadId=upload_id, **digests)


def test_when_a_layer_is_there_then_a_second_upload_says_so(
    repository: Repository, new_repository: Callable[..., Repository]
) -> None:
    repository.upload(b"twice")
    with pytest.raises(repository.ecr.exceptions.LayerAlreadyExistsException):
        repository.upload(b"twice")
    # Layers are per repository: another one does not see it, but may have it too.
    other = new_repository()
    checked = other.ecr.batch_check_layer_availability(repositoryName=other.name, layerDigests=[sha256(b"twice")])
    assert checked["layers"][0]["layerAvailability"] == "UNAVAILABLE"
    assert other.upload(b"twice") == sha256(b"twice")


def test_when_an_image_needs_a_layer_then_its_url_gives_the_bytes(repository: Repository) -> None:
    image = make_image()
    repository.push(image, "v1")
    for digest, content in image.blobs.items():
        answer = repository.ecr.get_download_url_for_layer(repositoryName=repository.name, layerDigest=digest)
        assert requests.get(answer["downloadUrl"], timeout=10).content == content


def test_when_a_layer_url_is_changed_then_it_is_refused(repository: Repository) -> None:
    image = make_image()
    repository.push(image, "v1")
    first, second = list(image.blobs)[:2]
    url = repository.ecr.get_download_url_for_layer(repositoryName=repository.name, layerDigest=first)["downloadUrl"]
    for changed in (url.replace(first, second), url.replace("expires=", "expires=9"), url.partition("?")[0]):
        assert requests.get(changed, timeout=10).status_code == 403


def test_when_no_image_needs_a_layer_then_it_is_inaccessible(repository: Repository) -> None:
    digest = repository.upload(b"lonely")
    ecr = repository.ecr
    with pytest.raises(ecr.exceptions.LayerInaccessibleException):
        ecr.get_download_url_for_layer(repositoryName=repository.name, layerDigest=digest)
    with pytest.raises(ecr.exceptions.LayersNotFoundException):
        ecr.get_download_url_for_layer(repositoryName=repository.name, layerDigest=sha256(b"absent"))
