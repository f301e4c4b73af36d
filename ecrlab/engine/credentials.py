"""Registry credentials as clients send them, and the challenges that registries answer with."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecrlab.engine.errors import InvalidParameter

_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')
_HEADER = "X-Registry-Auth"


@dataclass(frozen=True)
class Credentials:
    """What a client knows about itself on one registry."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def basic(self) -> str | None:
        """The value of an Authorization header, None without a user name."""
        if not self.username:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


ANONYMOUS = Credentials()


@dataclass(frozen=True)
class Challenge:
    """How a registry wants to be asked: `scheme` is basic or bearer, in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def from_header(value: str | None) -> Credentials:
    """Return the credentials in an X-Registry-Auth header; raises InvalidParameter when it cannot be read."""
    if not value:
        return ANONYMOUS
    try:
        padded = value + "=" * (-len(value) % 4)
        document = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidParameter(f"invalid {_HEADER} header: {error}") from None
    if document is None:
        return ANONYMOUS
    if not isinstance(document, dict):
        raise InvalidParameter(f"invalid {_HEADER} header: a JSON object is expected")
    return from_document(document)


def from_document(document: Mapping[str, Any]) -> Credentials:
    """Return the credentials in Docker's AuthConfig object; raises InvalidParameter for a bad `auth` member."""
    username, password, identity, registry, joined = (
        str(document.get(key) or "") for key in ("username", "password", "identitytoken", "registrytoken", "auth")
    )
    if joined and not username:
        try:
            username, _, password = base64.b64decode(joined, validate=True).decode().partition(":")
        except (binascii.Error, ValueError) as error:
            raise InvalidParameter(f"invalid {_HEADER} header: auth: {error}") from None
    return Credentials(username, password, identity, registry)


def challenge(header: str | None) -> Challenge | None:
    """Return the challenge in a Www-Authenticate header, None when there is none to understand."""
    scheme, _, rest = (header or "").strip().partition(" ")
    if scheme.lower() not in ("basic", "bearer"):
        return None
    found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
    return Challenge(scheme.lower(), found)
