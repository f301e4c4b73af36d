"""The tokens that `docker login` stores: who, for which registry, until when (ecr-semantics section 9)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.identity.principal import Principal

LIFETIME = 12 * 3600  # seconds
USER = "AWS"


class TokenInvalid(Exception):
    """Not a token of this lab."""


class TokenExpired(Exception):
    """The token was valid once."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says; `expires_at` in seconds since the epoch, UTC, on the lab's clock."""

    principal: Principal
    registry: Registry
    expires_at: float


class Tokens:
    """Issues and reads tokens. The key that signs them is kept in the state folder, so that they survive a restart."""

    def __init__(self, key_file: Path, clock: Clock) -> None:
        self._clock = clock
        self._key = _load_key(key_file)

    def issue(self, principal: Principal, registry: Registry) -> tuple[str, float]:
        """Return a new password for the user `AWS`, and when it expires."""
        expires_at = self._clock.now() + LIFETIME
        payload = json.dumps(
            {
                "type": "DATA_KEY",
                "version": "2",
                "arn": principal.arn,
                "account": principal.account,
                "administrator": principal.is_administrator,
                "registry": [registry.account, registry.region],
                "expiration": expires_at,
                # AWS's passwords have about 2 kB; a client that cannot take that should fail here too.
                "nonce": base64.b64encode(os.urandom(768)).decode(),
            },
            separators=(",", ":"),
        ).encode()
        return base64.urlsafe_b64encode(self._mac(payload) + payload).decode(), expires_at

    def read(self, password: str) -> Token:
        """Return what a password says. Raises TokenInvalid, TokenExpired."""
        try:
            content = base64.b64decode(password.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            raise TokenInvalid("not a token") from None
        mac, payload = content[:32], content[32:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise TokenInvalid("not signed by this lab")
        fields = json.loads(payload)
        if self._clock.now() >= fields["expiration"]:
            raise TokenExpired("Your authorization token has expired. Reauthenticate and try again.")
        principal = Principal(fields["account"], fields["arn"], fields["administrator"])
        return Token(principal, Registry(*fields["registry"]), fields["expiration"])

    def sign(self, text: str) -> str:
        """Return the lab's signature under a text, as hexadecimal digits: for signed layer URLs."""
        return self._mac(text.encode()).hex()

    def _mac(self, content: bytes) -> bytes:
        return hmac.new(self._key, content, hashlib.sha256).digest()


def _load_key(path: Path) -> bytes:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_bytes(os.urandom(32))
        temporary.replace(path)
    return path.read_bytes()
