"""Operations on layers."""

from __future__ import annotations

from typing import Any

from ecrlab.cloud.api.call import Call
from ecrlab.cloud.core.errors import InvalidParameter
from ecrlab.cloud.core.layers import PART_SIZE, Layer
from ecrlab.cloud.core.repositories import Repository
from ecrlab.cloud.storage.blobs import is_digest

URL_LIFETIME = 3600  # seconds that a signed layer URL may be used


def _batch_check_availability(call: Call) -> dict[str, Any]:
    repository = call.repository()
    layers, failures = [], []
    for digest in call.parameters["layerDigests"]:
        if not is_digest(digest):
            failures.append(
                {
                    "layerDigest": digest,
                    "failureCode": "InvalidLayerDigest",
                    "failureReason": "Invalid layer digest: it must be sha256: and 64 hexadecimal digits",
                }
            )
            continue
        layer = call.core.layers.find(repository, digest)
        layers.append(
            {
                "layerDigest": digest,
                "layerAvailability": _availability(call, repository, layer),
                "layerSize": layer.size if layer else None,
            }
        )
    return {"layers": layers, "failures": failures}


def _initiate_upload(call: Call) -> dict[str, Any]:
    return {"uploadId": call.core.layers.start(call.repository()).id, "partSize": PART_SIZE}


def _upload_part(call: Call) -> dict[str, Any]:
    parameters = call.parameters
    repository = call.repository()
    upload = call.core.layers.write_part(
        repository,
        parameters["uploadId"],
        parameters["partFirstByte"],
        parameters["partLastByte"],
        parameters["layerPartBlob"],
    )
    return {**_upload(repository, upload.id), "lastByteReceived": upload.size - 1}


def _complete_upload(call: Call) -> dict[str, Any]:
    repository = call.repository()
    upload_id, digests = call.parameters["uploadId"], call.parameters["layerDigests"]
    if not all(map(is_digest, digests)):
        raise InvalidParameter("layerDigests", "must be digests, for example sha256: and 64 hexadecimal digits")
    found = call.core.layers.upload(repository, upload_id).digest("sha256")
    digest = found if found in digests else digests[0]
    layer = call.core.layers.complete(repository, upload_id, digest)
    return {**_upload(repository, upload_id), "layerDigest": layer.digest}


def _get_download_url(call: Call) -> dict[str, Any]:
    layer = call.core.layers.download(call.repository(), call.parameters["layerDigest"])
    context = call.context
    expires = int(call.core.clock.now()) + URL_LIFETIME
    signature = context.tokens.sign(f"{layer.digest}?{expires}")
    url = f"{context.endpoint}/_layers/{layer.digest}?expires={expires}&signature={signature}"
    return {"downloadUrl": url, "layerDigest": layer.digest}


OPERATIONS = {
    "BatchCheckLayerAvailability": _batch_check_availability,
    "InitiateLayerUpload": _initiate_upload,
    "UploadLayerPart": _upload_part,
    "CompleteLayerUpload": _complete_upload,
    "GetDownloadUrlForLayer": _get_download_url,
}


def _availability(call: Call, repository: Repository, layer: Layer | None) -> str:
    if layer is None:
        return "UNAVAILABLE"
    return "ARCHIVED" if call.core.layers.is_archived(repository, layer.digest) else "AVAILABLE"


def _upload(repository: Repository, upload_id: str) -> dict[str, Any]:
    return {"registryId": repository.registry.account, "repositoryName": repository.name, "uploadId": upload_id}
