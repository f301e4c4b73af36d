"""Lesson 00, Welcome: no tasks, one quiz to try the controls."""

from ecrlab.course.tasks import Lesson, Option, Question

LESSON = Lesson(
    number="00",
    title="Welcome to ecrlab",
    questions=(
        Question(
            id="00.q1",
            text="What does ecrlab put in the place of AWS on this computer?",
            options=(
                Option(
                    "A new Python library that you learn instead of boto3",
                    "The code is plain boto3, docker and the two command-line tools. ecrlab only gives them a "
                    "registry to talk to.",
                ),
                Option(
                    "A registry on this computer, which the real boto3, aws and docker talk to",
                    "The clients are the real ones, so what you type here also works at your job.",
                    correct=True,
                ),
                Option(
                    "Recorded answers, played back to you",
                    "Nothing is recorded: what you push is stored by its digest, and comes back byte for byte.",
                ),
            ),
        ),
    ),
)
