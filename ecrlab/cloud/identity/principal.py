"""Who a credential stands for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `is_administrator`: the lab's own administrator, who may do everything in every registry."""

    account: str
    arn: str
    is_administrator: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key as the lab knows it. `session_token` is set for the keys of a role session."""

    access_key_id: str
    secret_access_key: str
    principal: Principal
    session_token: str | None = None
