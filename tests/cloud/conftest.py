"""What the tests of the cloud share: repositories of their own, and images made in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.conftest import RunningCloud, running_cloud

_numbers = itertools.count()


@dataclass(frozen=True)
class MadeImage:
    """An image made in memory: its manifest's bytes and the blobs it needs."""

    manifest: bytes
    media_type: str
    blobs: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        return sha256(self.manifest)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def make_layer(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def make_image(*layers: bytes, note: str = "", **fields: Any) -> MadeImage:
    """Make an OCI image; `note` goes into its config, so that images can differ, `fields` into its manifest."""
    contents = layers or (make_layer({"hello": b"hello"}),)
    config = json.dumps({"architecture": "amd64", "os": "linux", "note": note}).encode()
    blobs = {sha256(content): content for content in (config, *contents)}
    media_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(content, "application/vnd.oci.image.layer.v1.tar+gzip") for content in contents],
        **fields,
    }
    return MadeImage(json.dumps(manifest).encode(), media_type, blobs)


def make_index(*children: MadeImage) -> MadeImage:
    media_type = "application/vnd.oci.image.index.v1+json"
    manifests = [
        {**descriptor(child.manifest, child.media_type), "platform": {"os": "linux", "architecture": architecture}}
        for child, architecture in zip(children, ("amd64", "arm64"), strict=False)
    ]
    content = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}).encode()
    return MadeImage(content, media_type, {})


def descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}


@dataclass(frozen=True)
class Repository:
    """A repository of one test, on both planes."""

    cloud: RunningCloud
    ecr: Any
    name: str

    def url(self, path: str) -> str:
        return f"{self.cloud.endpoint}/v2/{self.name}/{path}"

    @property
    def session(self) -> requests.Session:
        """A client of the data plane, logged in."""
        session = requests.Session()
        token = self.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        session.headers["Authorization"] = f"Basic {token}"
        return session

    def upload(self, content: bytes) -> str:
        """Upload a layer through the API."""
        digest = sha256(content)
        upload_id = self.ecr.initiate_layer_upload(repositoryName=self.name)["uploadId"]
        part = {"partFirstByte": 0, "partLastByte": len(content) - 1, "layerPartBlob": content}
        self.ecr.upload_layer_part(repositoryName=self.name, uploadId=upload_id, **part)
        self.ecr.complete_layer_upload(repositoryName=self.name, uploadId=upload_id, layerDigests=[digest])
        return digest

    def push(self, image: MadeImage, tag: str | None = None) -> dict[str, Any]:
        """Push an image through the API; layers that are there already are left alone."""
        for content in image.blobs.values():
            try:
                self.upload(content)
            except self.ecr.exceptions.LayerAlreadyExistsException:
                continue
        return self.put(image, tag)

    def put(self, image: MadeImage, tag: str | None = None, **more: str) -> dict[str, Any]:
        tagged = {"imageTag": tag} if tag else {}
        answer: dict[str, Any] = self.ecr.put_image(
            repositoryName=self.name, imageManifest=image.manifest.decode(), **tagged, **more
        )
        return answer["image"]

    def describe(self, **parameters: Any) -> list[dict[str, Any]]:
        details: list[dict[str, Any]] = self.ecr.describe_images(repositoryName=self.name, **parameters)["imageDetails"]
        return details


@pytest.fixture(scope="module")
def travelling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud whose clock the tests of this module may move."""
    with running_cloud(tmp_path_factory.mktemp("travelling")) as cloud:
        yield cloud


@pytest.fixture
def ecr(shared_cloud: RunningCloud) -> Any:
    return shared_cloud.client()


@pytest.fixture
def new_name() -> Callable[[], str]:
    return lambda: f"team/app-{next(_numbers)}"


@pytest.fixture
def new_repository(shared_cloud: RunningCloud, ecr: Any, new_name: Callable[[], str]) -> Callable[..., Repository]:
    def create(**settings: Any) -> Repository:
        name = new_name()
        ecr.create_repository(repositoryName=name, **settings)
        return Repository(shared_cloud, ecr, name)

    return create


@pytest.fixture
def repository(new_repository: Callable[..., Repository]) -> Repository:
    return new_repository()
