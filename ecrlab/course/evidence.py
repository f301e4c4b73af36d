"""What a check may look at: the registry and Docker, through the clients that a learner uses."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import docker
from botocore.config import Config
from botocore.exceptions import ClientError
from docker.errors import DockerException, ImageNotFound

from ecrlab import samples

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# Where a learner who forgot the region is most likely to have worked.
OTHER_REGIONS = ("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2")
# From the most to the least severe (ecr-semantics section 13).
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED")

_PATIENCE = Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 2})


@dataclass(frozen=True)
class Image:
    """One image of a repository: its digest, its tags, and the config digests of its platforms.

    The config digest says which image it is, however the layers were compressed on the way.
    """

    digest: str
    tags: tuple[str, ...]
    configs: frozenset[str]
    is_index: bool


@dataclass(frozen=True)
class Scan:
    """The state of an image's scan; `severities` counts the findings by severity (an absent severity is 0)."""

    status: str
    description: str
    severities: dict[str, int]

    @property
    def worst(self) -> str | None:
        """The most severe severity found, or None without findings."""
        return next((severity for severity in SEVERITIES if self.severities.get(severity)), None)


class Evidence:
    """Reads the registry of the caller's account in the region of the environment. It never changes anything.

    Raises what boto3 raises when the registry does not answer; a check need not handle that.
    """

    def __init__(self) -> None:
        self.ecr = boto3.client("ecr", config=_PATIENCE)
        self.region: str = self.ecr.meta.region_name

    def repository(self, name: str) -> dict[str, Any] | None:
        """Return the repository as DescribeRepositories gives it, or None."""
        return _repository(self.ecr, name)

    def repository_names(self) -> tuple[str, ...]:
        """Return the names of all repositories in the registry."""
        pages = self.ecr.get_paginator("describe_repositories").paginate()
        return tuple(repository["repositoryName"] for page in pages for repository in page["repositories"])

    def similar_repository(self, name: str) -> str | None:
        """Return a repository whose name was probably meant to be `name`, or None."""
        plain = {_letters(other): other for other in self.repository_names() if other != name}
        near = difflib.get_close_matches(_letters(name), plain, n=1, cutoff=0.85)
        return plain[near[0]] if near else None

    def region_with_repository(self, name: str) -> str | None:
        """Return another region in which a repository with this name stands, or None."""
        for region in OTHER_REGIONS:
            if region != self.region:
                try:
                    if _repository(boto3.client("ecr", region_name=region, config=_PATIENCE), name):
                        return region
                except ClientError:
                    continue  # a region that this principal may not read holds no evidence
        return None

    def resource_tags(self, repository: dict[str, Any]) -> dict[str, str]:
        """Return the resource tags of a repository (labels on the repository, not image tags)."""
        tags = self.ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"]
        return {tag["Key"]: tag["Value"] for tag in tags}

    def images(self, repository: str) -> tuple[Image, ...]:
        """Return the images of a repository, each with the configs that its manifest (or its index) names."""
        pages = self.ecr.get_paginator("describe_images").paginate(repositoryName=repository)
        details = [detail for page in pages for detail in page["imageDetails"]]
        manifests = {detail["imageDigest"]: self._manifest(repository, detail["imageDigest"]) for detail in details}
        return tuple(
            Image(
                detail["imageDigest"],
                tuple(sorted(detail.get("imageTags", ()))),
                frozenset(_configs(manifests[detail["imageDigest"]], manifests)),
                "manifests" in manifests[detail["imageDigest"]],
            )
            for detail in details
        )

    def scan(self, repository: str, digest: str) -> Scan | None:
        """Return the scan of an image, or None when it was never scanned."""
        try:
            answer = self.ecr.describe_image_scan_findings(repositoryName=repository, imageId={"imageDigest": digest})
        except self.ecr.exceptions.ScanNotFoundException:
            return None
        status = answer["imageScanStatus"]
        counts = answer.get("imageScanFindings", {}).get("findingSeverityCounts", {})
        return Scan(status["status"], status.get("description", ""), dict(counts))

    def docker_has(self, reference: str) -> bool:
        """Return whether the Docker engine in use holds an image under this name; False when no engine answers."""
        try:
            client = docker.from_env(timeout=10)
        except DockerException:
            return False
        try:
            client.images.get(reference)
        except (ImageNotFound, DockerException):
            return False
        finally:
            client.close()
        return True

    def _manifest(self, repository: str, digest: str) -> dict[str, Any]:
        answer = self.ecr.batch_get_image(
            repositoryName=repository, imageIds=[{"imageDigest": digest}], acceptedMediaTypes=list(MANIFEST_TYPES)
        )
        if not answer["images"]:
            return {}  # deleted between the two calls
        manifest: dict[str, Any] = json.loads(answer["images"][0]["imageManifest"])
        return manifest


def sample_in(image: Image) -> str | None:
    """Return the name of the sample ("simplehttp") that an image of the registry is, or None."""
    return next((name for name in samples.names() if image.configs & sample_configs(name)), None)


@cache
def sample_configs(name: str) -> frozenset[str]:
    """Return the config digests of a sample image, one for each platform."""
    layout = samples.layout(name)
    return frozenset(_layout_configs(layout, json.loads((layout / "index.json").read_text("utf-8"))))


def environment_points_at() -> str:
    """Return where AWS calls go at the moment, in words."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_ECR") or os.environ.get("AWS_ENDPOINT_URL")
    return f"`{endpoint}`" if endpoint else "AWS itself (`AWS_ENDPOINT_URL` is not set)"


def _layout_configs(layout: Path, document: dict[str, Any]) -> Iterator[str]:
    if "config" in document:
        yield document["config"]["digest"]
    for descriptor in document.get("manifests", ()):
        algorithm, _, value = descriptor["digest"].partition(":")
        yield from _layout_configs(layout, json.loads((layout / "blobs" / algorithm / value).read_text("utf-8")))


def _configs(manifest: dict[str, Any], manifests: dict[str, dict[str, Any]]) -> Iterator[str]:
    if "config" in manifest:
        yield manifest["config"]["digest"]
    for descriptor in manifest.get("manifests", ()):
        yield from _configs(manifests.get(descriptor["digest"], {}), manifests)


def _repository(ecr: Any, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    except ecr.exceptions.RepositoryNotFoundException:
        return None
    return found


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
