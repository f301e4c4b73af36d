"""May a principal do this? One question for both planes.

Policies are not evaluated yet, so the lab's administrator may do everything in the own account and nobody else
anything: a call that a policy might allow is refused with the reason, because an answer without evaluation would be
invented.
"""

from __future__ import annotations

from ecrlab.cloud.identity.principal import Principal


class Denied(Exception):
    """The principal may not. The message is AWS's (ecr-semantics section 7)."""


def authorise(principal: Principal, action: str, resource: str) -> None:
    """Return when `principal` may do `action` (for example `ecr:PutImage`) on `resource` (an ARN or `*`).

    Raises Denied.
    """
    refusal = f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} because"
    if resource != "*" and resource.split(":")[4] != principal.account:
        raise Denied(f"{refusal} no resource-based policy allows the {action} action")
    if not principal.is_administrator:
        raise Denied(
            f"{refusal} this version of ecrlab does not evaluate IAM policies yet. Use the access key of the lab's "
            "administrator."
        )
