"""Operations on a registry as a whole."""

from __future__ import annotations

import base64
from typing import Any

from ecrlab.cloud.api.call import Call
from ecrlab.cloud.core import Registry
from ecrlab.cloud.identity.tokens import USER


def _get_authorization_token(call: Call) -> dict[str, Any]:
    accounts = call.parameters.get("registryIds") or [call.registry.account]
    return {"authorizationData": [_authorization(call, Registry(item, call.registry.region)) for item in accounts]}


def _describe_registry(call: Call) -> dict[str, Any]:
    # No rule can be put yet, so there is none.
    return {"registryId": call.registry.account, "replicationConfiguration": {"rules": []}}


OPERATIONS = {
    "GetAuthorizationToken": _get_authorization_token,
    "DescribeRegistry": _describe_registry,
}


def _authorization(call: Call, registry: Registry) -> dict[str, Any]:
    password, expires_at = call.context.tokens.issue(call.principal, registry)
    scheme = "https" if call.context.uri_style == "aws" else "http"
    return {
        "authorizationToken": base64.b64encode(f"{USER}:{password}".encode()).decode(),
        "expiresAt": round(expires_at, 3),
        "proxyEndpoint": f"{scheme}://{call.context.host(registry)}",
    }
