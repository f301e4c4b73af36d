"""Operations on managed signing."""

from __future__ import annotations

from typing import Any

from ecrlab.cloud.api.call import Call, read_image_id, write_image_id
from ecrlab.cloud.core.image import ImageId


def _put(call: Call) -> dict[str, Any]:
    configuration = call.core.signing.put(call.registry, call.parameters["signingConfiguration"])
    return {"signingConfiguration": configuration}


def _get(call: Call) -> dict[str, Any]:
    return {"registryId": call.registry.account, "signingConfiguration": call.core.signing.get(call.registry)}


def _delete(call: Call) -> dict[str, Any]:
    return {"registryId": call.registry.account, "signingConfiguration": call.core.signing.delete(call.registry)}


def _describe_status(call: Call) -> dict[str, Any]:
    image_id = read_image_id(call.parameters["imageId"])
    image = call.core.images.get(call.repository(), image_id)
    return {
        "registryId": call.registry.account,
        "repositoryName": image.repository.name,
        "imageId": write_image_id(ImageId(image.digest, image_id.tag)),
        "signingStatuses": [
            {
                "signingProfileArn": item.profile,
                "status": item.status,
                "failureCode": item.failure_code,
                "failureReason": item.failure_reason,
            }
            for item in call.core.signing.statuses(image)
        ],
    }


OPERATIONS = {
    "PutSigningConfiguration": _put,
    "GetSigningConfiguration": _get,
    "DeleteSigningConfiguration": _delete,
    "DescribeImageSigningStatus": _describe_status,
}
