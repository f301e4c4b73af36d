"""Operations on lifecycle policies and their previews."""

from __future__ import annotations

from typing import Any

from ecrlab.cloud.api.call import Call
from ecrlab.cloud.api.operations.images import wants_tagged
from ecrlab.cloud.core.errors import InvalidParameter


def _put(call: Call) -> dict[str, Any]:
    text = call.parameters["lifecyclePolicyText"]
    call.core.lifecycle.put(call.repository(), text)
    return {**_repository(call), "lifecyclePolicyText": text}


def _get(call: Call) -> dict[str, Any]:
    text, evaluated_at = call.core.lifecycle.get(call.repository())
    return {**_repository(call), "lifecyclePolicyText": text, "lastEvaluatedAt": evaluated_at}


def _delete(call: Call) -> dict[str, Any]:
    text, evaluated_at = call.core.lifecycle.delete(call.repository())
    return {**_repository(call), "lifecyclePolicyText": text, "lastEvaluatedAt": evaluated_at}


def _start_preview(call: Call) -> dict[str, Any]:
    text = call.core.lifecycle.start_preview(call.repository(), call.parameters.get("lifecyclePolicyText"))
    return {**_repository(call), "lifecyclePolicyText": text, "status": "IN_PROGRESS"}


def _get_preview(call: Call) -> dict[str, Any]:
    if "imageIds" in call.parameters and ("maxResults" in call.parameters or "nextToken" in call.parameters):
        raise InvalidParameter("maxResults", "cannot be given together with imageIds")
    preview = call.core.lifecycle.preview(
        call.repository(),
        limit=call.limit,
        token=call.next_token,
        image_ids=call.image_ids(),
        tagged=wants_tagged(call),
    )
    moving = [{"targetStorageClass": "ARCHIVE", "imageTotalCount": preview.transitioning}]
    return {
        **_repository(call),
        "lifecyclePolicyText": preview.policy,
        "status": "COMPLETE",
        "previewResults": [_present(result) for result in preview.results.items],
        "nextToken": preview.results.next_token,
        "summary": {
            "expiringImageTotalCount": preview.expiring,
            "transitioningImageTotalCounts": moving if preview.transitioning else None,
        },
    }


OPERATIONS = {
    "PutLifecyclePolicy": _put,
    "GetLifecyclePolicy": _get,
    "DeleteLifecyclePolicy": _delete,
    "StartLifecyclePolicyPreview": _start_preview,
    "GetLifecyclePolicyPreview": _get_preview,
}


def _repository(call: Call) -> dict[str, Any]:
    return {"registryId": call.registry.account, "repositoryName": call.parameters["repositoryName"]}


def _present(result: Any) -> dict[str, Any]:
    return {name: value for name, value in result.items() if value not in ([], None)}
