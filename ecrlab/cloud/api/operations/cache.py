"""Operations on pull through cache rules."""

from __future__ import annotations

from typing import Any

from ecrlab.cloud.api.call import Call, Operation
from ecrlab.cloud.core.errors import Validation
from ecrlab.cloud.core.settings import Setting


async def _create(call: Call) -> dict[str, Any]:
    prefix, fields = _split(call)
    rule = await call.core.cache_rules.create(call.registry, prefix, fields)
    return {**_named(call, rule), "createdAt": rule.created_at}


async def _update(call: Call) -> dict[str, Any]:
    prefix, fields = _split(call)
    rule = await call.core.cache_rules.update(call.registry, prefix, fields)
    members = _without(_named(call, rule), "upstreamRegistryUrl", "upstreamRegistry")
    return {**members, "updatedAt": rule.updated_at}


def _delete(call: Call) -> dict[str, Any]:
    rule = call.core.cache_rules.delete(call.registry, _prefix(call))
    return {**_without(_named(call, rule), "upstreamRegistry"), "createdAt": rule.created_at}


def _describe(call: Call) -> dict[str, Any]:
    prefixes = call.parameters.get("ecrRepositoryPrefixes")
    if prefixes is None:
        page = call.core.cache_rules.describe(call.registry, limit=call.limit, token=call.next_token)
        found, next_token = list(page.items), page.next_token
    elif "maxResults" in call.parameters or "nextToken" in call.parameters:
        raise Validation("maxResults and nextToken cannot be given together with ecrRepositoryPrefixes")
    else:
        found, next_token = [call.core.cache_rules.get(call.registry, prefix) for prefix in prefixes], None
    return {
        "pullThroughCacheRules": [
            {**_named(call, rule), "createdAt": rule.created_at, "updatedAt": rule.updated_at} for rule in found
        ],
        "nextToken": next_token,
    }


async def _validate(call: Call) -> dict[str, Any]:
    rule, failure = await call.core.cache.validate(call.registry, _prefix(call))
    return {**_without(_named(call, rule), "upstreamRegistry"), "isValid": failure is None, "failure": failure}


OPERATIONS: dict[str, Operation] = {
    "CreatePullThroughCacheRule": _create,
    "UpdatePullThroughCacheRule": _update,
    "DeletePullThroughCacheRule": _delete,
    "DescribePullThroughCacheRules": _describe,
    "ValidatePullThroughCacheRule": _validate,
}


def _prefix(call: Call) -> str:
    prefix: str = call.parameters["ecrRepositoryPrefix"]
    return prefix


def _split(call: Call) -> tuple[str, dict[str, Any]]:
    members = ("upstreamRegistryUrl", "upstreamRegistry", "credentialArn", "customRoleArn", "upstreamRepositoryPrefix")
    return _prefix(call), {name: call.parameters[name] for name in members if name in call.parameters}


def _named(call: Call, rule: Setting) -> dict[str, Any]:
    return {**rule.value, "ecrRepositoryPrefix": rule.name, "registryId": call.registry.account}


def _without(members: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}
