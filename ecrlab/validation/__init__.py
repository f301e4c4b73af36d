"""Notebooks executed as tests: a papermill run whose green means something, and a lint of the lessons' shape."""

from ecrlab.validation.answers import with_answers
from ecrlab.validation.lint import Problem, Shape, lint
from ecrlab.validation.result import Answer, Failure, Kind, Result
from ecrlab.validation.runner import run

__all__ = ["Answer", "Failure", "Kind", "Problem", "Result", "Shape", "lint", "run", "with_answers"]
