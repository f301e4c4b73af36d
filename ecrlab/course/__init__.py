"""The course: tasks that are checked against the registry, hints, solutions, predictions, quizzes and progress."""

from typing import Any

from ecrlab.course.errors import expect_error
from ecrlab.course.predictions import predict
from ecrlab.course.quizzes import quiz
from ecrlab.course.verbs import check, hint, solution

__all__ = ["check", "expect_error", "hint", "load_ipython_extension", "predict", "quiz", "solution"]


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext ecrlab.course`: make the cell magic `%%terminal` known."""
    from ecrlab.course.terminal import terminal

    ipython.register_magic_function(terminal, magic_kind="cell", magic_name="terminal")
