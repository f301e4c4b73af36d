"""Blob mounting: a layer that another repository of the registry has need not be uploaded (ecr-semantics 16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.cloud.conftest import Repository, make_image, make_layer, sha256
from tests.conftest import RunningCloud

REGION = "eu-south-1"  # the account setting is the registry's: no other test uses this one


@pytest.fixture
def mounting(shared_cloud: RunningCloud) -> Any:
    client = shared_cloud.client(region=REGION)
    client.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    return client


@pytest.fixture
def create(shared_cloud: RunningCloud, mounting: Any, new_name: Callable[[], str]) -> Callable[..., Repository]:
    def make(**settings: Any) -> Repository:
        name = new_name()
        mounting.create_repository(repositoryName=name, **settings)
        return Repository(shared_cloud, mounting, name)

    return make


def mount(target: Repository, source: Repository | str, digest: str) -> requests.Response:
    name = source if isinstance(source, str) else source.name
    with target.session as session:
        return session.post(target.url("blobs/uploads/"), params={"mount": digest, "from": name})


def test_when_mounting_is_enabled_then_a_pushed_layer_is_mounted(create: Callable[..., Repository]) -> None:
    image = make_image(make_layer({"shared": b"shared"}), note="mounted")
    source, target = create(), create()
    source.push(image, "v1")
    for digest, content in image.blobs.items():
        answer = mount(target, source, digest)
        assert answer.status_code == 201
        assert answer.headers["Docker-Content-Digest"] == digest
        with target.session as session:
            assert session.get(target.cloud.endpoint + answer.headers["Location"]).content == content
    target.put(image, "v1")
    assert target.describe()[0]["imageDigest"] == image.digest


def test_when_mounting_is_disabled_then_the_layer_is_uploaded(create: Callable[..., Repository], mounting: Any) -> None:
    image = make_image(note="disabled")
    source, target = create(), create()
    source.push(image)
    mounting.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")
    answer = mount(target, source, next(iter(image.blobs)))
    assert answer.status_code == 202
    assert "/blobs/uploads/" in answer.headers["Location"]


def test_when_no_manifest_references_the_layer_then_it_is_uploaded(create: Callable[..., Repository]) -> None:
    source, target = create(), create()
    digest = source.upload(b"a layer of no image")
    answer = mount(target, source, digest)
    assert answer.status_code == 202
    availability = target.ecr.batch_check_layer_availability(repositoryName=target.name, layerDigests=[digest])
    assert availability["layers"][0]["layerAvailability"] == "UNAVAILABLE"


def test_when_the_source_is_absent_or_has_no_such_layer_then_it_is_uploaded(create: Callable[..., Repository]) -> None:
    source, target = create(), create()
    source.push(make_image())
    assert mount(target, "team/absent", sha256(b"x")).status_code == 202
    assert mount(target, source, sha256(b"x")).status_code == 202


def test_when_the_encryption_differs_then_it_is_uploaded(create: Callable[..., Repository]) -> None:
    image = make_image(note="encrypted")
    source = create(encryptionConfiguration={"encryptionType": "KMS"})
    source.push(image)
    digest = next(iter(image.blobs))
    assert mount(create(), source, digest).status_code == 202
    alike = create(encryptionConfiguration={"encryptionType": "KMS"})
    assert mount(alike, source, digest).status_code == 201


def test_when_the_mounted_digest_is_malformed_then_it_is_refused(create: Callable[..., Repository]) -> None:
    source, target = create(), create()
    assert mount(target, source, "sha256:zz").status_code == 405
