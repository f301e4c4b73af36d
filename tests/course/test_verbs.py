from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecrlab.course import catalogue, check, hint, progress, recording, solution
from ecrlab.course.outcomes import Outcome, Verdict
from ecrlab.course.verbs import examine

TASK = catalogue.task("01.1")


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {
        "ECRLAB_WORKSPACE": str(tmp_path),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # nothing listens there
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(recording.RESULTS_VARIABLE, raising=False)
    monkeypatch.delenv(recording.EXPECT_VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the check of task 01.1 answer what a test gives."""

    def _answers(outcome: Outcome, found: str = "this", where: str = "") -> None:
        task = replace(TASK, check=lambda _: Verdict(outcome, "that", found, where))
        monkeypatch.setattr(catalogue, "task", lambda _: task)

    return _answers


@pytest.mark.parametrize("outcome", list(Outcome))
def test_when_a_check_answers_then_the_message_begins_with_the_outcome(answers: Any, outcome: Outcome, capsys) -> None:
    answers(outcome, where="there")
    check("01.1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{outcome.value}. Task 01.1, Create a repository that scans."
    assert lines[1:4] == ["Looked for: that", "Found: this", "Where to look: there"]
    assert (lines[4:] == ['For a hint: `hint("01.1")`']) is (outcome in (Outcome.NOT_YET, Outcome.NOT_ATTEMPTED))
    assert progress.read()["tasks"]["01.1"]["outcome"] == outcome.value


def test_when_no_registry_answers_then_the_check_could_not_be_made_and_shows_no_traceback(capsys) -> None:
    check("01.1")
    shown = capsys.readouterr().out
    assert shown.startswith("Could not check. ")
    assert "no answer from `http://127.0.0.1:9`" in shown
    assert "Traceback" not in shown
    check("01.1", traceback=True)
    assert "Traceback" in capsys.readouterr().out


def test_when_the_keys_are_refused_then_the_service_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    def refused(_: object) -> Verdict:
        raise ClientError({"Error": {"Code": "UnrecognizedClientException", "Message": "The token is invalid."}}, "Any")

    verdict, trace = examine(replace(TASK, check=refused))
    assert verdict.outcome is Outcome.COULD_NOT_CHECK
    assert "refused Any with UnrecognizedClientException: The token is invalid." in verdict.found
    assert trace


def test_when_no_region_is_set_then_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    verdict, _ = examine(TASK)
    assert (verdict.outcome, verdict.found) == (Outcome.COULD_NOT_CHECK, "no region is set")


def test_when_a_check_has_a_fault_of_its_own_then_the_learner_is_not_blamed() -> None:
    verdict, trace = examine(replace(TASK, check=lambda _: {}["missing"]))
    assert verdict.outcome is Outcome.COULD_NOT_CHECK
    assert "a fault of ecrlab, not yours" in verdict.where
    assert "KeyError" in trace


def test_when_progress_cannot_be_saved_then_the_answer_is_given_all_the_same(
    answers: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (workspace / "file").write_text("")
    monkeypatch.setenv("ECRLAB_WORKSPACE", str(workspace / "file"))
    answers(Outcome.CORRECT)
    check("01.1")
    shown = capsys.readouterr().out
    assert shown.startswith("Correct. ")
    assert "Note: Progress was not saved" in shown


def test_when_validating_then_an_answer_is_recorded_and_any_other_than_correct_raises(
    answers: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = workspace / "results.jsonl"
    monkeypatch.setenv(recording.RESULTS_VARIABLE, str(results))
    answers(Outcome.CORRECT)
    check("01.1")
    answers(Outcome.NOT_YET)
    with pytest.raises(recording.UnexpectedOutcomeError, match=r"^Not yet\. "):
        check("01.1")
    monkeypatch.setenv(recording.EXPECT_VARIABLE, "Not yet")
    check("01.1")
    lines = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    assert [(line["kind"], line["id"], line["outcome"]) for line in lines] == [
        ("task", "01.1", "Correct"),
        ("task", "01.1", "Not yet"),
        ("task", "01.1", "Not yet"),
    ]
    assert not (workspace / "progress.json").exists()  # a run of the tests is not the learner's work


def test_when_a_hint_is_asked_for_then_each_level_leads_to_the_next(capsys) -> None:
    hint("01.1")
    first = capsys.readouterr().out
    assert first.startswith("Hint. 1 of 3 for task 01.1.")
    assert 'More: `hint("01.1", 2)`' in first
    hint("01.1", 3)
    assert 'More: `solution("01.1")`' in capsys.readouterr().out
    with pytest.raises(ValueError, match="level 1, 2 and 3"):
        hint("01.1", 4)


def test_when_the_solution_is_asked_for_then_its_code_is_shown(capsys) -> None:
    solution("01.1")
    shown = capsys.readouterr().out
    assert shown.startswith("Solution. ")
    assert TASK.solution in shown


@pytest.mark.parametrize("verb", [check, hint, solution])
def test_when_a_task_is_unknown_then_every_verb_says_so(verb: Any) -> None:
    with pytest.raises(catalogue.UnknownIdError):
        verb("99.1")
