from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecrlab.course import catalogue, predict, progress, quiz, quizzes, recording
from ecrlab.course.messages import Message

QUESTIONS = list(catalogue.questions().values())


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECRLAB_WORKSPACE", str(tmp_path))
    monkeypatch.delenv(recording.RESULTS_VARIABLE, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("guess", "actual", "word"),
    [
        (0, 0, "Correct"),
        ("0", 0, "Correct"),
        (3, 0, "Not yet"),
        (" Yes ", True, "Correct"),
        (True, True, "Correct"),
        ("no", True, "Not yet"),
        (1, True, "Not yet"),
        ("critical", "CRITICAL", "Correct"),
        (..., 4, "Not attempted"),
        (None, 4, "Not attempted"),
        ("", 4, "Not attempted"),
    ],
)
def test_when_a_prediction_is_compared_then_the_message_begins_with_how_it_went(
    guess: Any, actual: Any, word: str, capsys
) -> None:
    prediction = predict("01.p1", "How many?", guess)
    capsys.readouterr()
    prediction.compare(actual, because="of this")
    shown = capsys.readouterr().out
    assert shown.startswith(f"{word}. ")
    assert "Because: of this" in shown
    assert progress.read()["predictions"]["01.p1"]["outcome"] == word


def test_when_no_guess_is_made_then_the_way_to_make_one_is_told(capsys) -> None:
    predict("01.p1", "How many?", ...)
    assert capsys.readouterr().out.startswith("No prediction yet.\nQuestion: How many?")


def test_when_validating_then_predictions_and_quizzes_are_recorded_and_never_raise(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = workspace / "results.jsonl"
    monkeypatch.setenv(recording.RESULTS_VARIABLE, str(results))
    predict("01.p1", "How many?", 3).compare(4, because="of this")
    quiz("00.q1", "a")
    lines = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    assert [(line["kind"], line["outcome"]) for line in lines] == [("prediction", "Not yet"), ("quiz", "Not yet")]
    assert not (workspace / "progress.json").exists()


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_when_each_option_is_typed_then_it_gets_its_own_message_and_one_is_correct(question, capsys) -> None:
    quiz(question.id)
    asked = capsys.readouterr().out
    words = []
    for letter, option in zip("abcd", question.options, strict=False):
        assert f"{letter}) {option.text}" in asked
        quiz(question.id, letter.upper())
        shown = capsys.readouterr().out
        assert option.feedback in shown
        words.append(shown.partition(".")[0])
    assert sorted(words) == sorted(["Correct"] + ["Not yet"] * (len(question.options) - 1))
    assert progress.read()["quizzes"][question.id]["attempts"] == len(question.options)


@pytest.mark.parametrize("answer", ["", "d", "ab", "1"])
def test_when_the_letter_is_no_option_then_the_options_are_named(answer: str) -> None:
    with pytest.raises(ValueError, match=r"has the options a, b, c"):
        quiz("00.q1", answer)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_when_the_buttons_are_used_then_the_message_appears_below_them(question) -> None:
    _, choice, button, feedback = quizzes.panel(question).children
    button.click()
    assert "<strong>Not attempted.</strong>" in feedback.value
    for index, option in enumerate(question.options):
        choice.value = index
        button.click()
        word = "Correct" if option.correct else "Not yet"
        assert f"<strong>{word}.</strong>" in feedback.value
        assert "role='status'" in feedback.value


def test_when_a_message_holds_markup_then_html_shows_it_as_text() -> None:
    message = Message("Not yet", "<b> & `x<y`", (("Found", "<script>"),), code="a < b")
    html = message._repr_html_()
    assert "<script>" not in html
    assert "<code>x&lt;y</code>" in html
    assert "a &lt; b" in html
    assert "color" not in html  # the theme's own colours keep their contrast, light and dark
