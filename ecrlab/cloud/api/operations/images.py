"""Operations on images."""

from __future__ import annotations

from typing import Any

from ecrlab.cloud.api.call import Call, write_image_id
from ecrlab.cloud.core.errors import InvalidParameter
from ecrlab.cloud.core.images import Failure, Image, ImageId
from ecrlab.cloud.core.pages import Page


def _put(call: Call) -> dict[str, Any]:
    parameters = call.parameters
    repository = call.repository()
    tag = parameters.get("imageTag")
    image = call.core.images.put(
        repository,
        parameters["imageManifest"].encode(),
        media_type=parameters.get("imageManifestMediaType"),
        tag=tag,
        digest=parameters.get("imageDigest"),
    )
    return {"image": _manifest(call, image, tag)}


def _batch_get(call: Call) -> dict[str, Any]:
    repository = call.repository()
    accepted = call.parameters.get("acceptedMediaTypes")
    images, failures = [], []
    for image_id in call.image_ids():
        found = call.core.images.find(repository, image_id)
        if isinstance(found, Image) and accepted and found.media_type not in accepted:
            found = Failure(image_id, "ImageNotFound", "Requested image not found")
        if isinstance(found, Failure):
            failures.append(_failure(found))
        else:
            call.core.images.note_pull(found)
            images.append(_manifest(call, found, image_id.tag))
    return {"images": images, "failures": failures}


def _batch_delete(call: Call) -> dict[str, Any]:
    deleted, failures = call.core.images.delete(call.repository(), call.image_ids())
    return {"imageIds": [write_image_id(item) for item in deleted], "failures": [_failure(item) for item in failures]}


def _describe(call: Call) -> dict[str, Any]:
    repository = call.repository()
    page: Page[Image]
    if "imageIds" in call.parameters:
        if "maxResults" in call.parameters or "nextToken" in call.parameters:
            raise InvalidParameter("maxResults", "cannot be given together with imageIds")
        found = [call.core.images.get(repository, image_id) for image_id in call.image_ids()]
        page = Page(list({image.id: image for image in found}.values()))
    elif not _wants_active(call):
        page = Page([])
    else:
        page = call.core.images.describe(
            repository, limit=call.limit, token=call.next_token, tagged=_wants_tagged(call)
        )
    return {"imageDetails": [_detail(image) for image in page.items], "nextToken": page.next_token}


def _list(call: Call) -> dict[str, Any]:
    repository = call.repository()
    page: Page[ImageId] = Page([])
    if _wants_active(call):
        page = call.core.images.ids(repository, limit=call.limit, token=call.next_token, tagged=_wants_tagged(call))
    return {"imageIds": [write_image_id(item) for item in page.items], "nextToken": page.next_token}


OPERATIONS = {
    "PutImage": _put,
    "BatchGetImage": _batch_get,
    "BatchDeleteImage": _batch_delete,
    "DescribeImages": _describe,
    "ListImages": _list,
}


def _manifest(call: Call, image: Image, tag: str | None) -> dict[str, Any]:
    return {
        "registryId": image.repository.registry.account,
        "repositoryName": image.repository.name,
        "imageId": write_image_id(ImageId(image.digest, tag)),
        "imageManifest": call.core.images.manifest(image).decode(),
        "imageManifestMediaType": image.media_type,
    }


def _detail(image: Image) -> dict[str, Any]:
    return {
        "registryId": image.repository.registry.account,
        "repositoryName": image.repository.name,
        "imageDigest": image.digest,
        "imageTags": list(image.tags) or None,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "artifactMediaType": image.artifact_type,
        "lastRecordedPullTime": image.pulled_at,
        "subjectManifestDigest": image.subject,
        "imageStatus": "ACTIVE",
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "imageId": write_image_id(failure.image_id),
        "failureCode": failure.code,
        "failureReason": failure.reason,
    }


def _wants_tagged(call: Call) -> bool | None:
    status = call.parameters.get("filter", {}).get("tagStatus", "ANY")
    return {"TAGGED": True, "UNTAGGED": False, "ANY": None}[status]


def _wants_active(call: Call) -> bool:
    # Nothing is archived yet, so every image is active.
    return call.parameters.get("filter", {}).get("imageStatus", "ACTIVE") in ("ACTIVE", "ANY")
