"""Pushes an OCI image layout through the ECR API alone: every platform of a sample, and no Docker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def push_layout(ecr: Any, repository: str, layout: Path, tag: str) -> None:
    (latest,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    index = _blob(layout, latest["digest"])
    for child in json.loads(index)["manifests"]:
        manifest = _blob(layout, child["digest"])
        document = json.loads(manifest)
        for descriptor in (document["config"], *document["layers"]):
            _upload(ecr, repository, descriptor["digest"], _blob(layout, descriptor["digest"]))
        ecr.put_image(repositoryName=repository, imageManifest=manifest.decode(), imageManifestMediaType=MANIFEST)
    ecr.put_image(repositoryName=repository, imageManifest=index.decode(), imageManifestMediaType=INDEX, imageTag=tag)


def _upload(ecr: Any, repository: str, digest: str, content: bytes) -> None:
    answer = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])
    if answer["layers"][0]["layerAvailability"] == "AVAILABLE":
        return
    upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    names = {"repositoryName": repository, "uploadId": upload}
    ecr.upload_layer_part(**names, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content)
    ecr.complete_layer_upload(**names, layerDigests=[digest])


def _blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()
