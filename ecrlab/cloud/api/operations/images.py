"""Operations on images."""

from __future__ import annotations

import json
from typing import Any

from ecrlab.cloud.api.call import Call, Operation, read_image_id, write_image_id
from ecrlab.cloud.core.cache_errors import UpstreamError
from ecrlab.cloud.core.errors import InvalidParameter
from ecrlab.cloud.core.image import Failure, Image, ImageId, Status
from ecrlab.cloud.core.pages import Page

REFERRERS = 20  # items on a page of ListImageReferrers, where the caller names no maxResults (botocore model)


def _put(call: Call) -> dict[str, Any]:
    parameters = call.parameters
    repository = call.repository()
    tag = parameters.get("imageTag")
    image = call.core.pushes.put(
        repository,
        parameters["imageManifest"].encode(),
        media_type=parameters.get("imageManifestMediaType"),
        tag=tag,
        digest=parameters.get("imageDigest"),
    )
    return {"image": _manifest(call, image, tag)}


async def _batch_get(call: Call) -> dict[str, Any]:
    name, image_ids = call.parameters["repositoryName"], call.image_ids()
    failed: dict[ImageId, Failure] = {}
    for image_id in image_ids:
        actions = call.core.cache.needs(call.registry, name, image_id)
        if not actions:
            continue
        call.allow(*actions)
        try:
            await call.core.cache.pull(call.registry, name, image_id)
        except UpstreamError as error:
            failed[image_id] = Failure(image_id, error.code, error.message)
    if len(failed) == len(set(image_ids)):  # there may be no repository
        return {"images": [], "failures": [_failure(item) for item in failed.values()]}
    repository = call.repository()
    accepted = call.parameters.get("acceptedMediaTypes")
    excluded = call.core.exclusions.covers(call.registry, call.principal.arn)
    images, failures = [], []
    for image_id in image_ids:
        found = failed.get(image_id) or call.core.images.find(repository, image_id)
        if isinstance(found, Image) and accepted and found.media_type not in accepted:
            found = Failure(image_id, "ImageNotFound", "Requested image not found")
        if isinstance(found, Image) and found.status != "ACTIVE":
            found = Failure(image_id, "ImageInaccessible", "Requested image is archived")
        if isinstance(found, Failure):
            failures.append(_failure(found))
        else:
            if not excluded:
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
    else:
        page = call.core.images.describe(
            repository, limit=call.limit, token=call.next_token, tagged=wants_tagged(call), status=_wants_status(call)
        )
    return {"imageDetails": [_detail(image) for image in page.items], "nextToken": page.next_token}


def _list(call: Call) -> dict[str, Any]:
    repository = call.repository()
    page = call.core.images.ids(
        repository, limit=call.limit, token=call.next_token, tagged=wants_tagged(call), status=_wants_status(call)
    )
    return {"imageIds": [write_image_id(item) for item in page.items], "nextToken": page.next_token}


def _list_referrers(call: Call) -> dict[str, Any]:
    filters = call.parameters.get("filter", {})
    page = call.core.images.referrers(
        call.repository(),
        call.parameters["subjectId"]["imageDigest"],
        limit=call.parameters.get("maxResults", REFERRERS),
        token=call.next_token,
        artifact_types=filters.get("artifactTypes", ()),
        status=filters.get("artifactStatus", "ACTIVE"),
    )
    return {"referrers": [_referrer(call, image) for image in page.items], "nextToken": page.next_token}


def _update_storage_class(call: Call) -> dict[str, Any]:
    image_id = read_image_id(call.parameters["imageId"])
    image = call.core.images.get(call.repository(), image_id)
    moved = call.core.archive.move(image, call.parameters["targetStorageClass"])
    return {
        "registryId": call.registry.account,
        "repositoryName": moved.repository.name,
        "imageId": write_image_id(ImageId(moved.digest, image_id.tag)),
        "imageStatus": moved.status,
    }


OPERATIONS: dict[str, Operation] = {
    "ListImageReferrers": _list_referrers,
    "UpdateImageStorageClass": _update_storage_class,
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
        "imageStatus": image.status,
        "lastArchivedAt": image.archived_at,
        "lastActivatedAt": image.activated_at if image.status != "ACTIVATING" else None,
    }


def _referrer(call: Call, image: Image) -> dict[str, Any]:
    content = call.core.images.manifest(image)
    return {
        "digest": image.digest,
        "mediaType": image.media_type,
        "artifactType": image.artifact_type,
        "size": len(content),
        "annotations": json.loads(content).get("annotations"),
        "artifactStatus": image.status,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "imageId": write_image_id(failure.image_id),
        "failureCode": failure.code,
        "failureReason": failure.reason,
    }


def wants_tagged(call: Call) -> bool | None:
    """Return what a call's filter says of tags: True, False, or None for any."""
    status = call.parameters.get("filter", {}).get("tagStatus", "ANY")
    return {"TAGGED": True, "UNTAGGED": False, "ANY": None}[status]


def _wants_status(call: Call) -> Status:
    status: Status = call.parameters.get("filter", {}).get("imageStatus", "ACTIVE")
    return status
