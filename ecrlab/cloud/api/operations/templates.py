"""Operations on repository creation templates."""

from __future__ import annotations

from typing import Any

from ecrlab.cloud.api.call import Call
from ecrlab.cloud.core.errors import TemplateNotFound, Validation
from ecrlab.cloud.core.settings import Setting


def _create(call: Call) -> dict[str, Any]:
    prefix, fields = _split(call)
    return _answer(call, call.core.templates.create(call.registry, prefix, fields))


def _update(call: Call) -> dict[str, Any]:
    prefix, fields = _split(call)
    return _answer(call, call.core.templates.update(call.registry, prefix, fields))


def _delete(call: Call) -> dict[str, Any]:
    return _answer(call, call.core.templates.delete(call.registry, call.parameters["prefix"]))


def _describe(call: Call) -> dict[str, Any]:
    prefixes = call.parameters.get("prefixes")
    if prefixes is None:
        page = call.core.templates.describe(call.registry, limit=call.limit, token=call.next_token)
        found, next_token = list(page.items), page.next_token
    elif "maxResults" in call.parameters or "nextToken" in call.parameters:
        raise Validation("maxResults and nextToken cannot be given together with prefixes")
    else:
        # The operation knows no TemplateNotFoundException: what is absent is left out.
        found, next_token = [], None
        for prefix in prefixes:
            try:
                found.append(call.core.templates.get(call.registry, prefix))
            except TemplateNotFound:
                continue
    return {
        "registryId": call.registry.account,
        "repositoryCreationTemplates": [_template(item) for item in found],
        "nextToken": next_token,
    }


OPERATIONS = {
    "CreateRepositoryCreationTemplate": _create,
    "UpdateRepositoryCreationTemplate": _update,
    "DeleteRepositoryCreationTemplate": _delete,
    "DescribeRepositoryCreationTemplates": _describe,
}


def _split(call: Call) -> tuple[str, dict[str, Any]]:
    fields = dict(call.parameters)
    return fields.pop("prefix"), fields


def _answer(call: Call, template: Setting) -> dict[str, Any]:
    return {"registryId": call.registry.account, "repositoryCreationTemplate": _template(template)}


def _template(template: Setting) -> dict[str, Any]:
    return {
        "imageTagMutability": "MUTABLE",
        "encryptionConfiguration": {"encryptionType": "AES256"},
        **template.value,
        "prefix": template.name,
        "createdAt": template.created_at,
        "updatedAt": template.updated_at,
    }
