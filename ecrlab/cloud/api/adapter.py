"""From a request's body to an operation and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ecrlab.cloud.api import model
from ecrlab.cloud.api.call import Call, Context, Operation
from ecrlab.cloud.api.operations import (
    backfills,
    cache,
    images,
    layers,
    lifecycle,
    policies,
    registry,
    repositories,
    scans,
    signing,
    templates,
)
from ecrlab.cloud.core import Registry
from ecrlab.cloud.core.errors import EcrError, InvalidParameter
from ecrlab.cloud.identity import Caller, Denied, authorise

OPERATIONS: dict[str, Operation] = {
    **repositories.OPERATIONS,
    **images.OPERATIONS,
    **layers.OPERATIONS,
    **scans.OPERATIONS,
    **lifecycle.OPERATIONS,
    **policies.OPERATIONS,
    **templates.OPERATIONS,
    **registry.OPERATIONS,
    **cache.OPERATIONS,
    **signing.OPERATIONS,
    **backfills.OPERATIONS,
}

_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to be sent: HTTP status, JSON body, and the error's class if it is one."""

    status: int
    body: bytes
    error: str | None = None


class Api:
    """The ECR API over the core."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @staticmethod
    def operation_of(target: str) -> str | None:
        """Return the operation that an X-Amz-Target header names; None when it belongs to another service."""
        prefix, _, operation = target.partition(".")
        return operation if prefix == model.ecr().target_prefix else None

    async def handle(self, operation: str, caller: Caller, body: bytes) -> Answer:
        """Answer a call. Never raises for what the caller did: a refusal is an answer."""
        ecr = model.ecr()
        if operation not in ecr.operations:
            return error("UnknownOperationException", f"{operation} is not an operation of Amazon ECR")
        run = OPERATIONS.get(operation)
        if run is None:
            return error("NotImplemented", f"This version of ecrlab does not answer {operation} yet", status=501)
        try:
            parameters = ecr.read(operation, body)
            account = parameters.get("registryId", caller.principal.account)
            call = Call(self._context, caller.principal, Registry(account, caller.region), parameters)
            for resource in _resources(call):
                authorise(caller.principal, f"ecr:{operation}", resource)
            result = run(call)
            if not isinstance(result, dict):
                result = await result
            return Answer(200, _encode(ecr.write(operation, result)))
        except Denied as refusal:
            return error("AccessDeniedException", str(refusal))
        except EcrError as refusal:
            return error(refusal.code, refusal.message, **refusal.extra)


def error(code: str, message: str, *, status: int = 400, **members: Any) -> Answer:
    """Return a refusal as the JSON protocol writes it."""
    return Answer(status, _encode({"__type": code, "message": message, **members}), code)


def _resources(call: Call) -> list[str]:
    parameters = call.parameters
    if "resourceArn" in parameters:
        arn: str = parameters["resourceArn"]
        if arn.count(":") < 5:
            raise InvalidParameter("resourceArn", "must be the ARN of a repository")
        return [arn]
    names = [parameters["repositoryName"]] if "repositoryName" in parameters else parameters.get("repositoryNames", [])
    return [call.registry.arn(name) for name in names] or ["*"]


def _encode(value: dict[str, Any]) -> bytes:
    return _to_json(value).encode()
