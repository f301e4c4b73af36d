"""Operations on a registry as a whole."""

from __future__ import annotations

import base64
from typing import Any

from ecrlab.cloud.api.call import Call, read_image_id, write_image_id
from ecrlab.cloud.core import Registry
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.identity.tokens import USER


def _get_authorization_token(call: Call) -> dict[str, Any]:
    accounts = call.parameters.get("registryIds") or [call.registry.account]
    return {"authorizationData": [_authorization(call, Registry(item, call.registry.region)) for item in accounts]}


def _describe_registry(call: Call) -> dict[str, Any]:
    return {
        "registryId": call.registry.account,
        "replicationConfiguration": call.core.replication.get(call.registry),
    }


def _put_replication(call: Call) -> dict[str, Any]:
    configuration = call.core.replication.put(call.registry, call.parameters["replicationConfiguration"])
    return {"replicationConfiguration": configuration}


def _describe_replication_status(call: Call) -> dict[str, Any]:
    image_id = read_image_id(call.parameters["imageId"])
    image = call.core.images.get(call.repository(), image_id)
    return {
        "repositoryName": image.repository.name,
        "imageId": write_image_id(ImageId(image.digest, image_id.tag)),
        "replicationStatuses": [
            {
                "region": status.destination.region,
                "registryId": status.destination.account,
                "status": status.status,
                "failureCode": status.failure_code,
            }
            for status in call.core.replication.status(image)
        ],
    }


def _get_account_setting(call: Call) -> dict[str, Any]:
    name = call.parameters["name"]
    return {"name": name, "value": call.core.account_settings.get(call.registry, name)}


def _put_account_setting(call: Call) -> dict[str, Any]:
    name, value = call.parameters["name"], call.parameters["value"]
    call.core.account_settings.put(call.registry, name, value)
    return {"name": name, "value": value}


def _register_exclusion(call: Call) -> dict[str, Any]:
    exclusion = call.core.exclusions.register(call.registry, call.parameters["principalArn"])
    return {"principalArn": exclusion.name, "createdAt": exclusion.created_at}


def _deregister_exclusion(call: Call) -> dict[str, Any]:
    arn = call.parameters["principalArn"]
    call.core.exclusions.deregister(call.registry, arn)
    return {"principalArn": arn}


def _list_exclusions(call: Call) -> dict[str, Any]:
    page = call.core.exclusions.describe(call.registry, limit=call.limit, token=call.next_token)
    return {"pullTimeUpdateExclusions": [item.name for item in page.items], "nextToken": page.next_token}


OPERATIONS = {
    "GetAuthorizationToken": _get_authorization_token,
    "DescribeRegistry": _describe_registry,
    "PutReplicationConfiguration": _put_replication,
    "DescribeImageReplicationStatus": _describe_replication_status,
    "GetAccountSetting": _get_account_setting,
    "PutAccountSetting": _put_account_setting,
    "RegisterPullTimeUpdateExclusion": _register_exclusion,
    "DeregisterPullTimeUpdateExclusion": _deregister_exclusion,
    "ListPullTimeUpdateExclusions": _list_exclusions,
}


def _authorization(call: Call, registry: Registry) -> dict[str, Any]:
    password, expires_at = call.context.tokens.issue(call.principal, registry)
    scheme = "https" if call.context.uri_style == "aws" else "http"
    return {
        "authorizationToken": base64.b64encode(f"{USER}:{password}".encode()).decode(),
        "expiresAt": round(expires_at, 3),
        "proxyEndpoint": f"{scheme}://{call.context.host(registry)}",
    }
