"""A policy's JSON held against its shape, refused in the words of the JSON schema validator that ECR uses.

The sentences for missing and unknown properties, types, enumerations, minima and lengths are that validator's, as
public threads show them for ECR (ecr-semantics section 11).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ecrlab.cloud.core.errors import InvalidParameter

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def refusal(detail: str) -> InvalidParameter:
    """Return ECR's error for a policy that cannot be accepted."""
    return InvalidParameter("LifecyclePolicyText", f"Lifecycle policy validation failure: {detail}")


def show(value: Any) -> str:
    """Write a value as compact JSON, in characters that every encoding of an answer can carry."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


def check_object(value: Any, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Return an object that has every required property and no unknown one. Raises InvalidParameter."""
    document: dict[str, Any] = _check_kind(value, dict)
    if missing := sorted(set(required) - document.keys()):
        raise refusal(f"object has missing required properties ({show(missing)})")
    if unknown := sorted(document.keys() - set(required) - set(optional)):
        raise refusal(f"object instance has properties which are not allowed by the schema: {show(unknown)}")
    return document


def check_array(value: Any, *, least: int, most: int) -> list[Any]:
    """Return an array of `least` to `most` elements. Raises InvalidParameter."""
    items: list[Any] = _check_kind(value, list)
    if len(items) < least:
        raise refusal(f"array is too short: must have at least {least} elements but instance has {len(items)} elements")
    if len(items) > most:
        raise refusal(f"array is too long: must have at most {most} elements but instance has {len(items)} elements")
    return items


def check_positive(value: Any) -> int:
    """Return a whole number of at least 1. Raises InvalidParameter; 1.0 and true are no whole numbers."""
    number: int = _check_kind(value, int)
    if number < 1:
        raise refusal(f"numeric instance is lower than the required minimum (minimum: 1, found: {number})")
    return number


def check_text(value: Any, *, least: int = 0) -> str:
    """Return a string of at least `least` characters. Raises InvalidParameter."""
    text: str = _check_kind(value, str)
    if len(text) < least:
        raise refusal(f"string {show(text)} is too short (length: {len(text)}, required minimum: {least})")
    return text


def check_enum(value: Any, possible: Sequence[str]) -> str:
    """Return one of the possible strings. Raises InvalidParameter."""
    # Containment alone would compare with anything; only a string can be one of these.
    if not isinstance(value, str) or value not in possible:
        raise refusal(f"instance value ({show(value)}) not found in enum (possible values: {show(list(possible))})")
    return value


def _check_kind(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise refusal(
            f"instance type ({_KINDS[type(value)]}) does not match any allowed primitive type "
            f"(allowed: {show([_KINDS[kind]])})"
        )
    return value
