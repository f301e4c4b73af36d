"""Operations on the policies of repositories and of the registry."""

from __future__ import annotations

from typing import Any

from ecrlab.cloud.api.call import Call


def _set(call: Call) -> dict[str, Any]:
    text = call.parameters["policyText"]
    call.core.policies.put(call.repository(), text)
    return _answer(call, text)


def _get(call: Call) -> dict[str, Any]:
    return _answer(call, call.core.policies.get(call.repository()))


def _delete(call: Call) -> dict[str, Any]:
    return _answer(call, call.core.policies.delete(call.repository()))


def _put_of_registry(call: Call) -> dict[str, Any]:
    text = call.parameters["policyText"]
    call.core.policies.put_of_registry(call.registry, text)
    return {"registryId": call.registry.account, "policyText": text}


def _get_of_registry(call: Call) -> dict[str, Any]:
    return {"registryId": call.registry.account, "policyText": call.core.policies.get_of_registry(call.registry)}


def _delete_of_registry(call: Call) -> dict[str, Any]:
    return {"registryId": call.registry.account, "policyText": call.core.policies.delete_of_registry(call.registry)}


OPERATIONS = {
    "SetRepositoryPolicy": _set,
    "GetRepositoryPolicy": _get,
    "DeleteRepositoryPolicy": _delete,
    "PutRegistryPolicy": _put_of_registry,
    "GetRegistryPolicy": _get_of_registry,
    "DeleteRegistryPolicy": _delete_of_registry,
}


def _answer(call: Call, text: str) -> dict[str, Any]:
    name = call.parameters["repositoryName"]
    return {"registryId": call.registry.account, "repositoryName": name, "policyText": text}
