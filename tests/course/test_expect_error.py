from __future__ import annotations

import subprocess
import sys

import pytest
from botocore.exceptions import ClientError
from docker.errors import APIError, ImageNotFound

from ecrlab.course import expect_error
from ecrlab.course.errors import ExpectedErrorMissingError

REFUSED = "The repository with name 'x' cannot be deleted because it still contains images"


def client_error(code: str = "RepositoryNotEmptyException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": REFUSED}}, "DeleteRepository")


def command(text: str, status: int = 1) -> None:
    program = f"import sys; sys.stderr.write({text!r}); sys.exit({status})"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)


def test_when_aws_answers_the_expected_code_then_it_is_caught_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with expect_error("RepositoryNotEmptyException") as caught:
        raise client_error()
    assert caught.code == "RepositoryNotEmptyException"
    assert REFUSED in caught.message
    shown = capsys.readouterr().out
    assert shown.startswith("Expected error. `RepositoryNotEmptyException`.")
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        ("still contains images", client_error()),
        ("no basic auth credentials", APIError("no basic auth credentials")),
        ("no basic auth credentials", APIError("500", explanation="push: no basic auth credentials")),
        ("ImageNotFound", ImageNotFound("404")),
        ("APIError", ImageNotFound("404")),
        ("ValueError", ValueError("bad")),
    ],
)
def test_when_the_error_matches_by_code_class_or_words_then_it_is_caught(expected: str, error: Exception) -> None:
    with expect_error(expected) as caught:
        raise error
    assert caught.exception is error


def test_when_a_command_says_the_expected_words_then_it_is_caught() -> None:
    with expect_error("RepositoryNotEmptyException") as caught:
        command("An error occurred (RepositoryNotEmptyException) when calling the DeleteRepository operation")
    assert caught.code == "exit status 1"


def test_when_nothing_is_raised_then_it_fails() -> None:
    with pytest.raises(ExpectedErrorMissingError, match="nothing was raised"), expect_error("ValueError"):
        pass


@pytest.mark.parametrize(
    "error",
    [
        client_error("RepositoryNotFoundException"),
        client_error("RepositoryNotEmptyExceptionX"),
        ValueError("RepositoryNotEmptyExceptions"),
        APIError("denied"),
    ],
)
def test_when_another_error_is_raised_then_it_fails_and_names_both(error: Exception) -> None:
    with (
        pytest.raises(ExpectedErrorMissingError, match=r"RepositoryNotEmptyException.*but this one") as raised,
        expect_error("RepositoryNotEmptyException"),
    ):
        raise error
    assert raised.value.__cause__ is error


def test_when_a_code_is_only_mentioned_in_another_errors_message_then_it_does_not_count() -> None:
    mentioned = ClientError({"Error": {"Code": "Other", "Message": "like RepositoryNotEmptyException"}}, "X")
    with pytest.raises(ExpectedErrorMissingError), expect_error("RepositoryNotEmptyException"):
        raise mentioned


def test_when_the_output_of_a_command_was_not_captured_then_the_way_to_do_so_is_told() -> None:
    with pytest.raises(ExpectedErrorMissingError, match="capture_output=True"), expect_error("denied"):
        subprocess.run([sys.executable, "-c", "raise SystemExit(2)"], check=True)


def test_when_the_learner_interrupts_then_it_is_no_answer() -> None:
    with pytest.raises(KeyboardInterrupt), expect_error("KeyboardInterrupt"):
        raise KeyboardInterrupt


def test_when_no_error_is_named_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="name the error"):
        expect_error("  ")
