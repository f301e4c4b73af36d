"""Predict, then run: a guess that is made before the cell runs, and compared after."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType

from ecrlab.course import progress, recording
from ecrlab.course.messages import Message
from ecrlab.course.outcomes import Outcome

Guess = str | int | float | bool | EllipsisType | None


@dataclass(frozen=True)
class Prediction:
    """A guess that waits for the real value. A blank guess (`...` or None) is allowed and counts against nobody."""

    id: str
    question: str
    guess: Guess

    @property
    def made(self) -> bool:
        """Whether a guess was made."""
        return self.guess is not None and self.guess is not ... and self.guess != ""

    def compare(self, actual: str | int | float | bool, *, because: str) -> None:
        """Show the guess beside the real value, and why the value is so."""
        if not self.made:
            outcome = Outcome.NOT_ATTEMPTED
            told = f"It is {_said(actual)}."
        elif _plain(self.guess) == _plain(actual):
            outcome = Outcome.CORRECT
            told = f"You predicted {_said(self.guess)}, and so it is."
        else:
            outcome = Outcome.NOT_YET
            told = f"You predicted {_said(self.guess)}; it is {_said(actual)}."
        lines = [("Asked", self.question), ("Because", because)]
        if results := recording.results_file():
            recording.record(results, kind="prediction", item=self.id, outcome=outcome, message=told)
        else:
            try:
                note = progress.save("predictions", self.id, outcome)
            except progress.ProgressError as error:
                note = str(error)
            lines += [("Note", note)] if note else []
        Message(outcome.value, told, tuple(lines)).show()


def predict(prediction_id: str, question: str, guess: Guess) -> Prediction:
    """Note a guess and return it; call its `compare` once the real value is known.

    `guess` is what the learner types: a number, a word, True or False. `...` means that no guess was made yet.
    """
    prediction = Prediction(prediction_id, question, guess)
    if prediction.made:
        Message("Noted", f"You predict {_said(guess)}.", (("Question", question),)).show()
    else:
        advice = (
            "Put your guess in the place of `...` and run the cell again. A guess need not be right to help you learn."
        )
        Message("No prediction yet", "", (("Question", question), ("", advice))).show()
    return prediction


def _plain(value: Guess) -> Guess:
    """A value in the form in which guesses are compared: "Yes", "yes " and True are one guess."""
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in ("yes", "true"):
            return "yes"
        if word in ("no", "false"):
            return "no"
        try:
            return float(word)
        except ValueError:
            return word
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return float(value)
    return value


def _said(value: Guess) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"`{value}`"
