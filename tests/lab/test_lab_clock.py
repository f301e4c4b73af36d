"""The lab's clock, from the terminal and from Python."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ecrlab.lab.clock import parse_step
from tests.lab.labs import Labs


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("15d", timedelta(days=15)),
        ("12h", timedelta(hours=12)),
        ("90m", timedelta(minutes=90)),
        ("30s", timedelta(seconds=30)),
        ("1d12h", timedelta(days=1.5)),
        ("0.5d", timedelta(hours=12)),
    ],
)
def test_when_a_step_is_read_then_it_is_that_long(text: str, step: timedelta) -> None:
    assert parse_step(text) == step


@pytest.mark.parametrize("text", ["", "15", "d", "-1d", "1w", "1d 2h", "1e9d"])
def test_when_a_step_cannot_be_read_then_the_error_shows_how(text: str) -> None:
    with pytest.raises(ValueError, match="write 15d, 12h"):
        parse_step(text)


def test_when_the_clock_is_moved_then_every_reader_sees_it(running: Labs) -> None:
    before = running.run("clock")
    assert before.returncode == 0
    assert "ahead" not in before.stdout
    moved = running.run("clock", "advance", "15d")
    assert "15 days, 0:00:00 ahead of real time" in moved.stdout
    seen = running.python(
        "import ecrlab\nclock = ecrlab.open().clock\nprint(clock.ahead)\n"
        "now = clock.now()\nprint(clock.advance(hours=12) - now)"
    )
    ahead, stepped = seen.stdout.splitlines()
    assert ahead == "15 days, 0:00:00"
    assert stepped.startswith("12:00:0")


@pytest.mark.parametrize(("step", "words"), [("15", "write 15d"), ("99999d", "ten years ahead")])
def test_when_a_step_is_refused_then_the_clock_stands(running: Labs, step: str, words: str) -> None:
    before = running.run("clock").stdout.partition("UTC")[2]
    refused = running.run("clock", "advance", step)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert running.run("clock").stdout.partition("UTC")[2] == before


def test_when_no_lab_runs_then_there_is_no_clock(labs: Labs) -> None:
    refused = labs.run("clock")
    assert refused.returncode == 1
    assert "No lab runs" in refused.stderr


def test_when_nothing_was_pushed_then_the_lab_has_no_events_to_tell(running: Labs) -> None:
    seen = running.python(
        "import boto3, ecrlab\nlab = ecrlab.open()\necr = boto3.client('ecr')\n"
        "ecr.create_repository(repositoryName='told')\nprint(lab.events())"
    )
    assert seen.stdout == "[]\n", seen.stderr
