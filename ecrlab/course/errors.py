"""Errors that a lesson produces on purpose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from subprocess import CalledProcessError
from types import TracebackType

from botocore.exceptions import ClientError
from docker.errors import APIError

from ecrlab.course.messages import Message


class ExpectedErrorMissingError(AssertionError):
    """The cell was to show a certain error, and raised nothing or another one."""


@dataclass
class CaughtError:
    """What `expect_error` caught: the error's code or class, its message in the tool's own words, the exception."""

    code: str = ""
    message: str = ""
    exception: Exception | None = None


class expect_error:  # noqa: N801 - reads as a verb: with expect_error(…)
    """Run a block that must raise a certain error, and show the error without a traceback.

    `expected` is an AWS error code ("RepositoryNotEmptyException"), the class name of an exception, or words of the
    message
    ("no basic auth credentials"). It is looked for in botocore's ClientError (the code; a phrase also in the message),
    in docker's APIError,
    in the captured output of a failed `subprocess.run(..., check=True, capture_output=True)`, and in the class and
    text of anything else.
    Raises ExpectedErrorMissingError when nothing, or another error, is raised.
    """

    def __init__(self, expected: str) -> None:
        if not expected.strip():
            raise ValueError("name the error that is expected")
        self.expected = expected
        self._caught = CaughtError()

    def __enter__(self) -> CaughtError:
        return self._caught

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            raise ExpectedErrorMissingError(f"expected the error {self.expected!r}, but nothing was raised")
        if not isinstance(error, Exception):
            return False  # an interrupt or an exit is not an answer
        code, message = describe(error)
        if not matches(self.expected, error, code, message):
            raise ExpectedErrorMissingError(
                f"expected the error {self.expected!r}, but this one was raised: {code}: {message}"
            ) from error
        self._caught.code, self._caught.message, self._caught.exception = code, message, error
        Message("Expected error", f"`{self.expected}`.", (("In the tool's words", message),)).show()
        return True


def describe(error: Exception) -> tuple[str, str]:
    """Return an error's code (AWS code, or class name) and its message in the words of the tool that raised it."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")), str(error)
    if isinstance(error, APIError):
        return type(error).__name__, str(error.explanation or error)
    if isinstance(error, CalledProcessError):
        output = [part.decode(errors="replace") if isinstance(part, bytes) else part for part in _captured(error)]
        said = "\n".join(part.strip() for part in output if part and part.strip())
        return (
            f"exit status {error.returncode}",
            said or f"{error} (its output was not captured: add capture_output=True)",
        )
    return type(error).__name__, str(error)


def matches(expected: str, error: Exception, code: str, message: str) -> bool:
    """Return whether an error is the expected one."""
    is_name = re.fullmatch(r"\w+", expected) is not None
    if is_name and isinstance(error, ClientError):
        return code == expected
    if is_name and any(expected == kind.__name__ for kind in type(error).__mro__ if kind not in (Exception, object)):
        return True
    return re.search(rf"(?<!\w){re.escape(expected)}(?!\w)", message) is not None


def _captured(error: CalledProcessError) -> tuple[str | bytes | None, str | bytes | None]:
    return error.stderr, error.stdout
