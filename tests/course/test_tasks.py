"""Every task, proven against a running lab: the blank, the solution, the alternatives and each likely mistake."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ecrlab import samples
from ecrlab.course import catalogue, messages
from ecrlab.course.outcomes import Outcome, Verdict
from ecrlab.course.tasks import Mistake, Task
from ecrlab.course.verbs import examine
from tests.course.answering import answer
from tests.course.layouts import push_layout

pytestmark = pytest.mark.e2e

TASKS = list(catalogue.tasks().values())
RIGHT = [(task, source) for task in TASKS for source in (task.solution, *task.alternatives)]
MISTAKES = [(task, mistake) for task in TASKS for mistake in task.mistakes]


def prepare(task: Task, given: dict[str, Any]) -> None:
    """Bring the registry to where a learner begins the task: the tasks before it are done."""
    for earlier in TASKS[: TASKS.index(task)]:
        if earlier.id.partition(".")[0] == task.id.partition(".")[0]:
            answer(earlier.solution, given)


def verdict_of(task: Task) -> Verdict:
    verdict, trace = examine(task)
    assert not trace, trace
    return verdict


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_when_nothing_was_done_then_the_task_is_not_attempted(task: Task, client_environment: dict[str, Any]) -> None:
    assert verdict_of(task).outcome is Outcome.NOT_ATTEMPTED
    prepare(task, client_environment)
    assert verdict_of(task).outcome is Outcome.NOT_ATTEMPTED


@pytest.mark.parametrize(("task", "source"), RIGHT, ids=[f"{task.id}-{n}" for n, (task, _) in enumerate(RIGHT)])
def test_when_the_answer_is_right_then_it_is_correct_twice_in_a_row(
    task: Task, source: str, client_environment: dict[str, Any]
) -> None:
    prepare(task, client_environment)
    answer(source, client_environment)
    first = verdict_of(task)
    assert first.outcome is Outcome.CORRECT, first
    assert verdict_of(task) == first


@pytest.mark.parametrize(
    ("task", "mistake"), MISTAKES, ids=[f"{task.id}-{mistake.name}".replace(" ", "-") for task, mistake in MISTAKES]
)
def test_when_a_likely_mistake_is_made_then_it_gets_its_own_message_twice_in_a_row(
    task: Task, mistake: Mistake, client_environment: dict[str, Any]
) -> None:
    prepare(task, client_environment)
    answer(mistake.source, client_environment)
    first = verdict_of(task)
    message = str(messages.of_verdict(task.id, task.title, first))
    assert first.outcome is mistake.outcome, message
    assert mistake.says in message
    assert not [other.name for other in task.mistakes if other is not mistake and other.says in message]
    assert first.where
    assert verdict_of(task) == first


def test_when_a_mistake_is_mended_then_the_task_becomes_correct(client_environment: dict[str, Any]) -> None:
    task = catalogue.task("01.1")
    answer('ecr.create_repository(repositoryName="practice/web")', client_environment)
    assert verdict_of(task).outcome is Outcome.NOT_YET
    client_environment["ecr"].put_image_scanning_configuration(
        repositoryName="practice/web", imageScanningConfiguration={"scanOnPush": True}
    )
    assert verdict_of(task).outcome is Outcome.CORRECT


def test_when_every_platform_is_pushed_without_docker_then_the_tasks_are_correct(
    client_environment: dict[str, Any],
) -> None:
    ecr = client_environment["ecr"]
    answer(catalogue.task("01.1").solution, client_environment)
    push_layout(ecr, "practice/web", samples.layout("simplehttp"), "1.0")
    assert verdict_of(catalogue.task("01.2")).outcome is Outcome.CORRECT

    shop = ecr.create_repository(
        repositoryName="practice/shop",
        imageScanningConfiguration={"scanOnPush": True},
        tags=[{"Key": "worst-severity", "Value": "CRITICAL"}],
    )["repository"]
    push_layout(ecr, shop["repositoryName"], samples.layout("outdated-shop"), "any")
    deadline = time.monotonic() + 30
    while (verdict := verdict_of(catalogue.task("01.3"))).outcome is not Outcome.CORRECT:
        assert "IN_PROGRESS" in verdict.found, verdict
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_when_the_right_image_was_pushed_only_elsewhere_or_untagged_then_the_check_says_which(
    client_environment: dict[str, Any],
) -> None:
    ecr = client_environment["ecr"]
    answer(catalogue.task("01.1").solution, client_environment)
    push_layout(ecr, "practice/web", samples.layout("patched-shop"), "latest")
    verdict = verdict_of(catalogue.task("01.2"))
    assert verdict.found == "an image, but neither the right one nor the right tag"
    push_layout(ecr, "practice/web", samples.layout("simplehttp"), "1.0")
    ecr.batch_delete_image(repositoryName="practice/web", imageIds=[{"imageTag": "latest"}])
    answer(
        'ecr.put_image(repositoryName=web, imageTag="other", imageManifest=ecr.batch_get_image(repositoryName=web,'
        ' imageIds=[{"imageTag": "1.0"}])["images"][0]["imageManifest"])\n'
        'ecr.batch_delete_image(repositoryName=web, imageIds=[{"imageTag": "1.0"}])',
        client_environment,
    )
    verdict = verdict_of(catalogue.task("01.2"))
    assert verdict.outcome is Outcome.NOT_YET
    assert verdict.found == "the right image, with the tag `other`"
