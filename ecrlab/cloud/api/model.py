"""botocore's model of ECR: what a request may hold, what an answer holds.

The model is read from the installed botocore, so that a new botocore brings a new model. It is read as the JSON that it
is: botocore's own classes would take most of the time in which the cloud has to be ready.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ecrlab.cloud.api.writer import Writers
from ecrlab.cloud.core.errors import EcrError, InvalidParameter, Validation

Shape = Mapping[str, Any]

# Patterns of the model that cost Python time exponential in the text, each with a linear one for the same texts.
_LINEAR = {
    r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$": r"[a-z0-9*](?:[._\-/]?[a-z0-9*])*",
}


class SerializationError(EcrError):
    """The body is not the JSON that the model describes."""

    code = "SerializationException"


class Model:
    """The operations and shapes of a JSON 1.1 service."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.target_prefix: str = document["metadata"]["targetPrefix"]
        self.operations: dict[str, Shape] = document["operations"]
        self._shapes: dict[str, Shape] = document["shapes"]
        self._writers = Writers(self._shapes)

    def errors(self, operation: str) -> set[str]:
        """Return the error classes that an operation may answer."""
        return {error["shape"] for error in self.operations[operation].get("errors", ())}

    def read(self, operation: str, body: bytes) -> dict[str, Any]:
        """Return an operation's parameters from a request's body, blobs decoded.

        Raises SerializationError, and for what breaks the model InvalidParameter, or Validation where that is the
        operation's class for it.
        """
        try:
            document = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            raise SerializationError("The request body is not valid JSON") from None
        try:
            parameters: dict[str, Any] = self._read(self.operations[operation]["input"]["shape"], document, "")
        except InvalidParameter as error:
            known = self.errors(operation)
            if error.code not in known and Validation.code in known:
                raise Validation(error.message) from None
            raise
        return parameters

    def write(self, operation: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return an operation's answer as JSON values: members that are None left out, blobs encoded.

        Raises TypeError for a member that the model does not know.
        """
        write = self._writers.of(self.operations[operation]["output"]["shape"])
        assert write is not None  # an output is a structure
        written: dict[str, Any] = write(result)
        return written

    def _read(self, name: str, value: Any, path: str) -> Any:
        shape = self._shapes[name]
        match shape["type"]:
            case "structure":
                return self._read_structure(shape, _expect(dict, value, path), path)
            case "list":
                _check_length(shape, _expect(list, value, path), path)
                member = shape["member"]["shape"]
                return [self._read(member, item, f"{path}.{index}") for index, item in enumerate(value, 1)]
            case "map":
                key, member = shape["key"]["shape"], shape["value"]["shape"]
                return {
                    self._read(key, item, path): self._read(member, content, f"{path}.{item}")
                    for item, content in _expect(dict, value, path).items()
                }
            case "blob":
                try:
                    content = base64.b64decode(_expect(str, value, path), validate=True)
                except ValueError:  # not base64, or not even ASCII
                    raise SerializationError(f"The value at '{path}' is not valid base64") from None
                _check_length(shape, content, path)
                return content
            case "string":
                return _check_string(shape, _expect(str, value, path), path)
            case "boolean":
                return _expect(bool, value, path)
            case "integer" | "long":
                _check_value(shape, _expect(int, value, path), path)
                return value
            case "timestamp" | "double" | "float":
                return float(_expect((int, float), value, path))
            case other:  # a new botocore may bring a type that this reader has to learn
                raise NotImplementedError(f"shape type {other}")

    def _read_structure(self, shape: Shape, value: dict[str, Any], path: str) -> dict[str, Any]:
        members = shape["members"]
        for name in shape.get("required", ()):
            if value.get(name) is None:
                raise InvalidParameter(_join(path, name), "Member must not be null")
        return {
            name: self._read(members[name]["shape"], item, _join(path, name))
            for name, item in value.items()
            if name in members and item is not None
        }


def matches(pattern: str, text: str) -> bool:
    """Tell whether the whole text satisfies a pattern of the model."""
    return re.fullmatch(_LINEAR.get(pattern, pattern), text) is not None


@cache
def ecr() -> Model:
    """Return the model of ECR that the installed botocore brings."""
    spec = importlib.util.find_spec("botocore")
    assert spec is not None
    assert spec.origin is not None
    versions = Path(spec.origin).parent / "data" / "ecr"
    latest = max(folder for folder in versions.iterdir() if folder.is_dir())
    return Model(json.loads(gzip.decompress((latest / "service-2.json.gz").read_bytes())))


def _expect(kind: type | tuple[type, ...], value: Any, path: str) -> Any:
    # In Python a bool is an int; in JSON it is not.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SerializationError(f"The value at '{path}' has an unexpected type" if path else "Expected a JSON object")
    return value


def _check_string(shape: Shape, value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        raise SerializationError(f"The value at '{path}' is not valid Unicode") from None
    _check_length(shape, value, path)
    if "enum" in shape and value not in shape["enum"]:
        raise InvalidParameter(path, f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]")
    # The length is checked first: it bounds what a pattern may cost.
    if "pattern" in shape and not matches(shape["pattern"], value):
        raise InvalidParameter(path, f"must satisfy regular expression '{shape['pattern']}'")
    return value


def _check_length(shape: Shape, value: str | bytes | list[Any], path: str) -> None:
    if len(value) < shape.get("min", 0):
        raise InvalidParameter(path, f"Member must have length greater than or equal to {shape['min']}")
    if "max" in shape and len(value) > shape["max"]:
        raise InvalidParameter(path, f"Member must have length less than or equal to {shape['max']}")


def _check_value(shape: Shape, value: int, path: str) -> None:
    if "min" in shape and value < shape["min"]:
        raise InvalidParameter(path, f"Member must have value greater than or equal to {shape['min']}")
    if "max" in shape and value > shape["max"]:
        raise InvalidParameter(path, f"Member must have value less than or equal to {shape['max']}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
