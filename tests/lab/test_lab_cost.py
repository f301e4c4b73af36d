"""What the registries would cost, from the terminal and from Python."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ecrlab.lab import control
from ecrlab.lab.cost import Cost
from tests.cloud.conftest import make_image, make_layer, sha256
from tests.lab.labs import Labs

FIGURES = {
    "standard_gb_months": 1.5,
    "archive_gb_months": 0.0,
    "restored_gb": 0.0,
    "transferred_gb": 2e-9,
    "standard_cost": 0.15,
    "archive_cost": 0.0,
    "restore_cost": 0.0,
    "transfer_cost": 0.0,
    "cost": 0.15,
    "monthly_cost": 0.1,
    "internet_cost": 0.0,
}


def make_cost(monkeypatch: pytest.MonkeyPatch, *regions: str) -> Cost:
    def row(region: str, repository: str | None, is_deleted: bool = False) -> dict[str, Any]:
        where = {"account": "123456789012", "region": region, "repository": repository, "is_deleted": is_deleted}
        return {**where, **FIGURES}

    told = {
        "since": 0,
        "until": 86400,
        "repositories": [row(region, "shop", True) for region in regions],
        "registries": [row(region, None) for region in regions],
        "prices_as_of": "a month",
        "prices": [],
        "notes": ["Check <the page>."],
    }
    monkeypatch.setattr(control, "cost", lambda record, period: told)
    return Cost.read(None)  # type: ignore[arg-type]


def test_when_images_are_stored_then_every_reader_sees_their_cost(running: Labs) -> None:
    ecr = running.client("ecr")
    ecr.create_repository(repositoryName="costly")
    image = make_image(make_layer({"data": b"data"}))
    for content in image.blobs.values():
        upload = ecr.initiate_layer_upload(repositoryName="costly")["uploadId"]
        ecr.upload_layer_part(
            repositoryName="costly",
            uploadId=upload,
            partFirstByte=0,
            partLastByte=len(content) - 1,
            layerPartBlob=content,
        )
        ecr.complete_layer_upload(repositoryName="costly", uploadId=upload, layerDigests=[sha256(content)])
    ecr.put_image(repositoryName="costly", imageManifest=image.manifest.decode())
    assert running.run("clock", "advance", "30d").returncode == 0
    told = json.loads(running.run("cost", "--json").stdout)
    (row,) = (row for row in told["repositories"] if row["repository"] == "costly")
    weight = sum(map(len, image.blobs.values())) / 2**30
    assert row["standard_gb_months"] == pytest.approx(weight * 30 * 24 / 730, rel=1e-3)
    assert datetime.fromisoformat(told["until"]) > datetime.fromisoformat(told["since"])
    shown = running.run("cost").stdout
    assert "costly" in shown
    assert "check https://aws.amazon.com/ecr/pricing/" in shown
    seen = running.python(
        "import ecrlab\nlab = ecrlab.open()\ncost = lab.cost()\nprint(cost.total > 0, cost.monthly > 0)\n"
        "print(lab.cost(since=lab.clock.now()).total)"
    )
    assert seen.stdout.splitlines()[0] == "True True", seen.stderr
    assert 0 <= float(seen.stdout.splitlines()[1]) < 1e-6


def test_when_a_cost_is_shown_then_columns_stand_below_their_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = repr(make_cost(monkeypatch, "us-east-1")).splitlines()
    assert lines[0] == "Cost of the lab's registries, 1970-01-01 00:00 to 1970-01-02 00:00 UTC"
    table = lines[2:7]
    assert table[2].startswith("shop (deleted)")
    assert table[4].startswith("total")
    assert len({len(line) for line in table}) == 1
    assert table[2].index("1.500000") + len("1.500000") == table[0].index("GB-months") + len("GB-months")
    assert "<0.000001" in table[2]


def test_when_there_are_several_registries_then_rows_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = make_cost(monkeypatch, "eu-west-1", "us-east-1")
    assert "123456789012/eu-west-1 total" in repr(cost)
    assert cost.total == pytest.approx(0.3)
    assert cost.monthly == pytest.approx(0.2)


def test_when_a_notebook_shows_a_cost_then_the_table_is_named_and_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = make_cost(monkeypatch, "us-east-1")._repr_html_()
    assert "<caption>Cost of the lab&#x27;s registries" in shown
    assert shown.count('<th scope="col">') == 8
    assert shown.count('<th scope="row"') == 2
    assert "Check &lt;the page&gt;." in shown
    assert "&lt;0.000001" in shown


def test_when_there_is_no_repository_then_there_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert repr(make_cost(monkeypatch)).endswith("nothing, there is no repository.")


def test_when_a_time_has_no_zone_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="since needs a time zone"):
        Cost.read(None, since=datetime.now(UTC).replace(tzinfo=None))  # type: ignore[arg-type]


def test_when_a_period_is_none_then_the_error_says_so(running: Labs) -> None:
    seen = running.python(
        "import ecrlab\nfrom datetime import timedelta\nfrom ecrlab.lab import LabError\nlab = ecrlab.open()\ntry:\n"
        "    lab.cost(until=lab.clock.now() + timedelta(days=1))\nexcept LabError as error:\n    print(error)"
    )
    assert "ends no later than the lab's time" in seen.stdout, seen.stderr


def test_when_no_lab_runs_then_there_is_no_cost(labs: Labs) -> None:
    refused = labs.run("cost")
    assert refused.returncode == 1
    assert "No lab runs" in refused.stderr
