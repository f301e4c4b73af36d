"""Operations on repositories, their settings and their resource tags."""

from __future__ import annotations

from typing import Any

from ecrlab.cloud.api.call import Call
from ecrlab.cloud.core import Registry
from ecrlab.cloud.core.errors import InvalidParameter, InvalidTag
from ecrlab.cloud.core.repositories import Repository


def _create(call: Call) -> dict[str, Any]:
    parameters = call.parameters
    encryption = parameters.get("encryptionConfiguration", {})
    repository = call.core.repositories.create(
        call.registry,
        parameters["repositoryName"],
        tag_mutability=parameters.get("imageTagMutability", "MUTABLE"),
        mutability_filters=_filters(parameters),
        scan_on_push=parameters.get("imageScanningConfiguration", {}).get("scanOnPush", False),
        encryption_type=encryption.get("encryptionType", "AES256"),
        kms_key=encryption.get("kmsKey"),
        tags=_read_tags(parameters.get("tags", [])),
    )
    return {"repository": _repository(call, repository)}


def _describe(call: Call) -> dict[str, Any]:
    names = call.parameters.get("repositoryNames")
    if names is None:
        page = call.core.repositories.describe(call.registry, limit=call.limit, token=call.next_token)
        return {"repositories": [_repository(call, item) for item in page.items], "nextToken": page.next_token}
    if "maxResults" in call.parameters or "nextToken" in call.parameters:
        raise InvalidParameter("maxResults", "cannot be given together with repositoryNames")
    return {"repositories": [_repository(call, call.core.repositories.get(call.registry, name)) for name in names]}


def _delete(call: Call) -> dict[str, Any]:
    force = call.parameters.get("force", False)
    repository = call.core.repositories.delete(call.registry, call.parameters["repositoryName"], force=force)
    return {"repository": _repository(call, repository)}


def _put_image_tag_mutability(call: Call) -> dict[str, Any]:
    mode = call.parameters["imageTagMutability"]
    repository = call.core.repositories.set_tag_mutability(call.repository(), mode, _filters(call.parameters))
    return {
        "registryId": repository.registry.account,
        "repositoryName": repository.name,
        "imageTagMutability": repository.tag_mutability,
        "imageTagMutabilityExclusionFilters": _write_filters(repository),
    }


def _put_image_scanning_configuration(call: Call) -> dict[str, Any]:
    scan_on_push = call.parameters["imageScanningConfiguration"].get("scanOnPush", False)
    repository = call.core.repositories.set_scan_on_push(call.repository(), scan_on_push)
    return {
        "registryId": repository.registry.account,
        "repositoryName": repository.name,
        "imageScanningConfiguration": {"scanOnPush": repository.scan_on_push},
    }


def _tag_resource(call: Call) -> dict[str, Any]:
    call.core.repositories.tag(_by_arn(call), _read_tags(call.parameters["tags"]))
    return {}


def _untag_resource(call: Call) -> dict[str, Any]:
    call.core.repositories.untag(_by_arn(call), call.parameters["tagKeys"])
    return {}


def _list_tags_for_resource(call: Call) -> dict[str, Any]:
    tags = call.core.repositories.tags(_by_arn(call))
    return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


OPERATIONS = {
    "CreateRepository": _create,
    "DescribeRepositories": _describe,
    "DeleteRepository": _delete,
    "PutImageTagMutability": _put_image_tag_mutability,
    "PutImageScanningConfiguration": _put_image_scanning_configuration,
    "TagResource": _tag_resource,
    "UntagResource": _untag_resource,
    "ListTagsForResource": _list_tags_for_resource,
}


def _repository(call: Call, repository: Repository) -> dict[str, Any]:
    return {
        "repositoryArn": repository.arn,
        "registryId": repository.registry.account,
        "repositoryName": repository.name,
        "repositoryUri": f"{call.context.host(repository.registry)}/{repository.name}",
        "createdAt": repository.created_at,
        "imageTagMutability": repository.tag_mutability,
        "imageTagMutabilityExclusionFilters": _write_filters(repository),
        "imageScanningConfiguration": {"scanOnPush": repository.scan_on_push},
        "encryptionConfiguration": {"encryptionType": repository.encryption_type, "kmsKey": repository.kms_key},
    }


def _filters(parameters: dict[str, Any]) -> list[str]:
    return [item["filter"] for item in parameters.get("imageTagMutabilityExclusionFilters", [])]


def _write_filters(repository: Repository) -> list[dict[str, str]] | None:
    return [{"filterType": "WILDCARD", "filter": item} for item in repository.mutability_filters] or None


def _read_tags(tags: list[dict[str, str]]) -> dict[str, str]:
    read = {tag["Key"]: tag["Value"] for tag in tags}
    if len(read) < len(tags):
        raise InvalidTag("A tag key can be given only once")
    return read


def _by_arn(call: Call) -> Repository:
    arn: str = call.parameters["resourceArn"]
    parts = arn.split(":", 5)
    if parts[:3] != ["arn", "aws", "ecr"] or not parts[5].startswith("repository/"):
        raise InvalidParameter("resourceArn", "must be the ARN of a repository")
    return call.core.repositories.get(Registry(parts[4], parts[3]), parts[5].removeprefix("repository/"))
