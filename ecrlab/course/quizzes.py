"""Quizzes: radio buttons in JupyterLab, lettered options as text anywhere else."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from ecrlab.course import catalogue, progress, recording
from ecrlab.course.messages import Message, inline
from ecrlab.course.outcomes import Outcome
from ecrlab.course.tasks import Question


def quiz(question_id: str, answer: str | None = None) -> None:
    """Ask a question, or answer it: `quiz("01.q1")` shows it, `quiz("01.q1", "b")` gives the message of option b.

    Quizzes are for remembering: they are never counted against the learner. Raises UnknownIdError, and ValueError for
    a letter that
    is no option.
    """
    question = catalogue.question(question_id)
    if answer is not None:
        _answered(question, _index(question, answer)).show()
    elif _in_kernel():
        display(_bundle(question), raw=True)  # type: ignore[no-untyped-call]
    else:
        print(as_text(question))


def as_text(question: Question) -> str:
    """Return the question with lettered options, and how to answer by typing."""
    options = [f"  {letter}) {option.text}" for letter, option in zip(ascii_lowercase, question.options, strict=False)]
    return "\n".join([f"Question. {question.text}", *options, f'Answer with quiz("{question.id}", "a").'])


def _answered(question: Question, index: int) -> Message:
    option = question.options[index]
    outcome = Outcome.CORRECT if option.correct else Outcome.NOT_YET
    message = Message(outcome.value, option.text, (("", option.feedback),))
    if results := recording.results_file():
        recording.record(results, kind="quiz", item=question.id, outcome=outcome, message=str(message))
    else:
        try:
            note = progress.save("quizzes", question.id, outcome, answer=ascii_lowercase[index])
        except progress.ProgressError as error:
            note = str(error)
        if note:
            message = Message(message.word, message.title, (*message.lines, ("Note", note)))
    return message


def _index(question: Question, answer: str) -> int:
    letters = ascii_lowercase[: len(question.options)]
    letter = answer.strip().casefold()
    if len(letter) != 1 or letter not in letters:
        raise ValueError(f"quiz {question.id} has the options {', '.join(letters)}; {answer!r} is none of them")
    return letters.index(letter)


def _in_kernel() -> bool:
    return getattr(get_ipython(), "kernel", None) is not None


def panel(question: Question) -> Any:
    """Return the question as widgets: radio buttons, a button "Answer", and the message of the answer."""
    import ipywidgets as widgets

    choice = widgets.RadioButtons(
        options=[(option.text.replace("`", ""), index) for index, option in enumerate(question.options)],
        index=None,
        layout=widgets.Layout(width="auto"),
    )
    button = widgets.Button(description="Answer", tooltip="Compare your choice with the answer")
    feedback = widgets.HTML()

    def on_answer(_: object) -> None:
        if choice.value is None:
            message = Message(Outcome.NOT_ATTEMPTED.value, "Choose one of the options first.")
        else:
            message = _answered(question, choice.value)
        feedback.value = message._repr_html_()

    button.on_click(on_answer)
    title = widgets.HTML(f"<strong>Question.</strong> {inline(question.text)}")
    return widgets.VBox([title, choice, button, feedback])


def _bundle(question: Question) -> dict[str, Any]:
    """The widgets as a display bundle, with the text form for readers and exports without widgets."""
    bundle: dict[str, Any] = dict(panel(question)._repr_mimebundle_())
    bundle["text/plain"] = as_text(question)
    return bundle
