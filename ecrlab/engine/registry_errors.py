"""Errors of registries, turned into the words that Docker shows for them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecrlab.engine.credentials import Challenge
from ecrlab.engine.errors import EngineError, NotFound, Unauthorized
from ecrlab.engine.manifest import parse_object
from ecrlab.engine.reference import Reference

_SHOWN = 500


@dataclass(frozen=True)
class Failure:
    """An answer of a registry that is an error: its HTTP status and its body."""

    status: int
    body: bytes
    challenge: Challenge | None = None

    @property
    def errors(self) -> list[tuple[str, str]]:
        """The error codes and messages of the OCI error document; empty when the body is none."""
        if self.challenge is not None and self.challenge.parameters.get("error") == "insufficient_scope":
            # The token was good, but not for this: Docker Hub answers so for repositories that are not there.
            return [("DENIED", "requested access to the resource is denied")]
        try:
            found = json.loads(self.body)["errors"]
            return [(str(error["code"]), str(error.get("message") or "")) for error in found]
        except (ValueError, KeyError, TypeError, AttributeError):
            return []

    @property
    def words(self) -> str:
        """The error as Docker prints it: `name unknown: The repository with name …`."""
        errors = self.errors
        if not errors:
            if self.status == 401:
                return "unauthorized: authentication required"
            if not self.body.strip():
                return f"received unexpected HTTP status: {self.status}"
            text = self.body[:_SHOWN].decode(errors="replace")
            return f"error parsing HTTP {self.status} response body: {json.dumps(text, ensure_ascii=False)}"
        lines = [f"{code.lower().replace('_', ' ')}: {message}" for code, message in errors]
        return lines[0] if len(lines) == 1 else "errors:\n" + "\n".join(lines) + "\n"


def pull_error(reference: Reference, failure: Failure) -> EngineError:
    """Return the error for a manifest that could not be had."""
    code = failure.errors[0][0] if failure.errors else ""
    name = reference.familiar_name
    if code == "DENIED":
        return NotFound(
            f"pull access denied for {name}, repository does not exist or may require 'docker login': {failure.words}"
        )
    if code == "MANIFEST_UNKNOWN":
        return NotFound(f"manifest for {reference} not found: {failure.words}")
    if code == "NAME_UNKNOWN":
        return NotFound(f"repository {name} not found: {failure.words}")
    return Unauthorized(failure.words) if failure.status == 401 else EngineError(failure.words)


def push_error(failure: Failure) -> EngineError:
    """Return the error for an upload or a manifest that the registry refused."""
    return Unauthorized(failure.words) if failure.status == 401 else EngineError(failure.words)


def token_error(failure: Failure) -> EngineError:
    """Return the error for a token that was not given."""
    if failure.status != 401:
        return EngineError(failure.words)
    return Unauthorized(failure.words if failure.errors else "unauthorized: incorrect username or password")


def unknown_blob() -> NotFound:
    """Return the error for a layer that the registry does not have."""
    return NotFound("unknown blob")


def document(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object that a registry answered; raises EngineError when it is none."""
    return parse_object(body, "answer of the registry")
