"""What storage costs, along the lab's clock (ecr-semantics sections 18 and 22)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import Core, Registry, prices, run_at_once
from ecrlab.cloud.core.cost import Cost, CostReport
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.core.prices import GB, MONTH
from ecrlab.cloud.core.repositories import Repository
from ecrlab.cloud.storage import BlobStore, Database
from tests.cloud.conftest import Repository as RemoteRepository
from tests.cloud.conftest import make_image, make_layer, sha256
from tests.cloud.support import advance, control, lifecycle, own_region, repository_in, rule
from tests.conftest import ACCOUNT, RunningCloud, running_cloud

DAY = 24 * 3600
START = 20_000 * DAY  # a midnight
HERE = Registry(ACCOUNT, "us-east-1")
CONFIG = sha256(b"config")


class Still(Clock):
    """A clock that stands still but for its advances."""

    def now(self) -> float:
        return START + self.offset


@dataclass
class Lab:
    """A core whose layers have sizes and no bytes."""

    folder: Path
    core: Core = field(init=False)
    database: Database = field(init=False)

    def __post_init__(self) -> None:
        self.database = Database(self.folder)
        self.core = Core(self.database, BlobStore(self.folder), Still(), run_at_once)

    def create(self, name: str = "app", registry: Registry = HERE) -> Repository:
        return self.core.repositories.create(registry, name)

    def push(self, repository: Repository, **layers: float) -> str:
        """Push an image of layers of so many GB; return its digest."""
        for digest, size in {CONFIG: 0.0, **{sha256(name.encode()): size for name, size in layers.items()}}.items():
            self.database.execute(
                "INSERT OR IGNORE INTO layer (repository_id, digest, size) VALUES (?, ?, ?)",
                (repository.id, digest, int(size * GB)),
            )
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": CONFIG, "size": 1},
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": sha256(name.encode()),
                    "size": 1,
                }
                for name in layers
            ],
        }
        return self.core.pushes.put(repository, json.dumps(manifest).encode()).digest

    def index(self, repository: Repository, *digests: str) -> str:
        media_type = "application/vnd.oci.image.index.v1+json"
        children = [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}
            for digest in digests
        ]
        manifest = {"schemaVersion": 2, "mediaType": media_type, "manifests": children}
        return self.core.pushes.put(repository, json.dumps(manifest).encode()).digest

    def move(self, repository: Repository, digest: str, storage_class: str) -> None:
        self.core.archive.move(self.core.images.get(repository, ImageId(digest)), storage_class)

    def delete(self, repository: Repository, digest: str) -> None:
        deleted, failures = self.core.images.delete(repository, [ImageId(digest)])
        assert deleted
        assert not failures

    def after(self, days: float) -> None:
        self.core.advance(days * DAY)

    def cost(self, name: str = "app") -> Cost:
        (cost,) = (cost for cost in self.core.costs.report().repositories if cost.repository == name)
        return cost


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.database.close()


def gb_days(cost: Cost) -> tuple[float, float]:
    """Return what was stored in STANDARD and in ARCHIVE."""
    return round(cost.standard_gb_months * MONTH / DAY, 6), round(cost.archive_gb_months * MONTH / DAY, 6)


# The rules


def test_when_an_image_stays_a_month_then_a_gb_costs_its_price(lab: Lab) -> None:
    lab.push(lab.create(), base=2)
    lab.core.advance(MONTH)
    cost = lab.cost()
    assert cost.standard_gb_months == pytest.approx(2)
    assert cost.cost == cost.standard_cost == pytest.approx(0.20)
    assert cost.monthly_cost == pytest.approx(0.20)


def test_when_images_share_a_layer_then_it_is_counted_once_in_each_repository(lab: Lab) -> None:
    app, other = lab.create(), lab.create("other")
    first = lab.push(app, base=5, first=1)
    lab.push(other, base=5)
    lab.after(10)
    lab.push(app, base=5, second=2)
    lab.after(10)
    lab.delete(app, first)
    lab.after(10)
    assert gb_days(lab.cost()) == (30 * 5 + 20 * 1 + 20 * 2, 0)
    assert gb_days(lab.cost("other")) == (30 * 5, 0)
    (registry,) = lab.core.costs.report().registries
    assert registry.repository is None
    assert gb_days(registry) == (210 + 150, 0)


@pytest.mark.parametrize("way", ["image", "repository", "lifecycle"])
def test_when_an_image_is_deleted_then_its_cost_ends(lab: Lab, way: str) -> None:
    app = lab.create()
    digest = lab.push(app, base=3)
    if way == "lifecycle":
        lab.core.lifecycle.put(app, lifecycle(rule(1, "sinceImagePushed", 9)))  # acts on the day after
    lab.after(10)
    if way == "image":
        lab.delete(app, digest)
    elif way == "repository":
        lab.core.repositories.delete(HERE, "app", force=True)
    lab.after(50)
    cost = lab.cost()
    assert gb_days(cost) == (30, 0)
    assert cost.monthly_cost == 0
    assert cost.is_deleted == (way == "repository")


def test_when_a_repository_is_made_again_then_the_old_one_keeps_its_costs(lab: Lab) -> None:
    for size in (1, 2):
        lab.push(lab.create(), **{f"base{size}": size})
        lab.after(10)
        lab.core.repositories.delete(HERE, "app", force=True)
    lab.push(lab.create(), base4=4)
    lab.after(10)
    costs = lab.core.costs.report().repositories
    assert [(cost.is_deleted, gb_days(cost)[0]) for cost in costs] == [(True, 10), (True, 20), (False, 40)]
    recent = lab.core.costs.report(since=START + 20 * DAY).repositories
    assert [cost.is_deleted for cost in recent] == [False]


def test_when_an_image_is_archived_then_what_no_other_needs_counts_as_archive(lab: Lab) -> None:
    app = lab.create()
    old = lab.push(app, base=5, old=1)
    lab.push(app, base=5)
    lab.after(10)
    lab.move(app, old, "ARCHIVE")
    lab.after(100)
    cost = lab.cost()
    assert gb_days(cost) == (110 * 5 + 10, 100)
    assert cost.restore_cost == 0
    assert cost.monthly_cost == pytest.approx(5 * prices.STORAGE.dollars + prices.ARCHIVE.dollars)


def test_when_an_archived_image_is_deleted_late_then_its_cost_ends(lab: Lab) -> None:
    app = lab.create()
    old = lab.push(app, old=1)
    lab.move(app, old, "ARCHIVE")
    lab.after(120)
    lab.delete(app, old)
    lab.after(100)
    assert gb_days(lab.cost()) == (0, 120)


@pytest.mark.parametrize("way", ["image", "repository"])
def test_when_an_archived_image_is_deleted_early_then_it_costs_90_days(lab: Lab, way: str) -> None:
    app = lab.create()
    old = lab.push(app, old=1)
    lab.after(5)
    lab.move(app, old, "ARCHIVE")
    lab.after(10)
    if way == "image":
        lab.delete(app, old)
    else:
        lab.core.repositories.delete(HERE, "app", force=True)
    lab.after(10)
    assert gb_days(lab.cost()) == (5, 20)
    assert lab.cost().monthly_cost == pytest.approx(prices.ARCHIVE.dollars)
    lab.after(300)
    assert gb_days(lab.cost()) == (5, 90)
    assert lab.cost().monthly_cost == 0


@pytest.mark.parametrize("way", ["restore", "push"])
def test_when_an_image_leaves_the_archive_then_the_restore_is_charged_once(lab: Lab, way: str) -> None:
    app = lab.create()
    old = lab.push(app, base=5, old=1)
    lab.push(app, base=5)
    lab.move(app, old, "ARCHIVE")
    lab.after(100)
    if way == "push":
        lab.push(app, base=5, old=1)
    else:
        lab.move(app, old, "STANDARD")
    lab.after(10)
    cost = lab.cost()
    # The base was never away: another image kept it.
    assert cost.restored_gb == pytest.approx(1)
    assert cost.restore_cost == pytest.approx(0.03)
    assert gb_days(cost) == (110 * 5 + 10, 100)


def test_when_an_index_is_archived_then_its_images_are(lab: Lab) -> None:
    app = lab.create()
    index = lab.index(app, lab.push(app, amd=1), lab.push(app, arm=2))
    lab.after(1)
    lab.move(app, index, "ARCHIVE")
    lab.after(10)
    lab.move(app, index, "STANDARD")
    lab.after(100)
    assert gb_days(lab.cost()) == (3 * 101, 30)
    assert lab.cost().restored_gb == pytest.approx(3)


def test_when_a_registry_archives_much_then_what_is_above_the_step_costs_less() -> None:
    assert prices.archive_price(150 * 1024) == 0.10
    assert prices.archive_price(300 * 1024) == pytest.approx((0.10 + 0.07) / 2)


# The history


def test_when_the_cloud_starts_again_then_the_history_is_there(lab: Lab) -> None:
    app = lab.create()
    old = lab.push(app, old=1)
    lab.after(10)
    lab.delete(app, old)
    lab.push(app, new=2)
    lab.after(5)
    before = lab.core.costs.report()
    lab.database.close()
    lab.__post_init__()
    assert lab.core.costs.report() == before
    assert gb_days(lab.cost()) == (20, 0)


def test_when_a_row_is_replaced_then_the_image_before_it_has_ended(lab: Lab) -> None:
    app = lab.create()
    lab.push(app, old=1)
    lab.after(10)
    lab.database.execute(
        "INSERT OR REPLACE INTO image (repository_id, digest, manifest, media_type, size, pushed_at)"
        " SELECT repository_id, digest, manifest, media_type, size, ? FROM image",
        (lab.core.clock.now(),),
    )
    lab.after(10)
    assert gb_days(lab.cost()) == (10, 0)


def test_when_a_deletion_is_rolled_back_then_the_cost_goes_on(lab: Lab) -> None:
    app = lab.create()
    digest = lab.push(app, old=1)
    lab.after(10)
    with contextlib.suppress(RuntimeError), lab.database.transaction():
        lab.delete(app, digest)
        assert lab.cost().monthly_cost == 0
        raise RuntimeError
    lab.after(10)
    assert gb_days(lab.cost()) == (20, 0)


def test_when_nobody_gave_the_clock_then_no_image_is_deleted(lab: Lab) -> None:
    lab.push(lab.create(), old=1)
    lab.database.close()
    lab.database = Database(lab.folder)
    with pytest.raises(sqlite3.OperationalError, match="lab_now"):
        lab.database.execute("DELETE FROM repository")
    assert lab.database.one("SELECT 1 FROM image") is not None


# Against a count by the day

SIZES = {"a": 1, "b": 2, "c": 4, "d": 8, "e": 16}
IMAGES = ("abc", "cd", "ade")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("push", "push", "archive", "restore", "delete", "drop")),
        st.sampled_from(IMAGES),
        st.integers(1, 60),
    ),
    min_size=4,
    max_size=20,
)


@dataclass
class Days:
    """What is stored, kept as sets and counted each day: the plain way, to check the other one."""

    generation: int = 0
    standard: set[str] = field(default_factory=set)
    archived: dict[str, int] = field(default_factory=dict)
    owed: list[tuple[int, str, int]] = field(default_factory=list)
    counted: list[tuple[int, int]] = field(default_factory=list)
    restores: dict[int, int] = field(default_factory=dict)

    @property
    def today(self) -> int:
        return len(self.counted)

    def pass_days(self, days: int) -> None:
        for _ in range(days):
            standard = {(self.generation, layer) for image in self.standard for layer in image}
            archive = {(self.generation, layer) for image in self.archived for layer in image}
            archive |= {
                (generation, layer) for generation, image, until in self.owed if self.today < until for layer in image
            }
            self.counted.append((weigh(standard), weigh(archive - standard)))

    def restore(self, image: str) -> None:
        there = {layer for other in self.standard for layer in other}
        self.restores[self.today] = sum(SIZES[layer] for layer in set(image) - there)
        del self.archived[image]
        self.standard.add(image)

    def delete(self, image: str) -> None:
        self.standard.discard(image)
        if image in self.archived:
            self.owed.append((self.generation, image, self.archived.pop(image) + 90))


def weigh(layers: set[tuple[int, str]]) -> int:
    return sum(SIZES[layer] for _generation, layer in layers)


@pytest.fixture(scope="module")
def long_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("long"))
    yield lab
    lab.database.close()


@given(steps=STEPS, cut=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@settings(max_examples=100, deadline=None)
def test_when_the_history_is_random_then_the_cost_is_that_of_a_count_by_the_day(
    long_lab: Lab, steps: list[tuple[str, str, int]], cut: tuple[float, float]
) -> None:
    lab, days = long_lab, Days()
    lab.core.reset()
    registry = Registry(ACCOUNT, own_region())
    began = lab.core.clock.now()
    repository = lab.create(registry=registry)
    digests: dict[str, str] = {}
    for action, image, wait in steps:
        if action == "push" and image not in days.standard:
            digests[image] = lab.push(repository, **{layer: SIZES[layer] for layer in image})
            if image in days.archived:
                days.restore(image)
            days.standard.add(image)
        elif action == "archive" and image in days.standard:
            lab.move(repository, digests[image], "ARCHIVE")
            days.standard.remove(image)
            days.archived[image] = days.today
        elif action == "restore" and image in days.archived:
            lab.move(repository, digests[image], "STANDARD")
            days.restore(image)
        elif action == "delete" and image in days.standard | days.archived.keys():
            lab.delete(repository, digests[image])
            days.delete(image)
        elif action == "drop":
            lab.core.repositories.delete(registry, "app", force=True)
            for left in days.standard | days.archived.keys():
                days.delete(left)
            days.generation += 1
            repository = lab.create(registry=registry)
        lab.after(wait)
        days.pass_days(wait)
    first, last = sorted(round(part * days.today) for part in cut)
    for since, until in ((0, days.today), (first, last)):
        report = lab.core.costs.report(began + since * DAY, began + until * DAY)
        total = _total(report, registry)
        expected = days.counted[since:until]
        assert gb_days(total) == (sum(day[0] for day in expected), sum(day[1] for day in expected))
        assert total.restored_gb == sum(size for day, size in days.restores.items() if since <= day <= until)
    parts = [cost.cost for cost in report.repositories if cost.region == registry.region]
    assert sum(parts) == pytest.approx(total.cost)


def _total(report: CostReport, registry: Registry) -> Cost:
    (total,) = (cost for cost in report.registries if cost.region == registry.region)
    return total


# Over the wire


@pytest.fixture(scope="module")
def travelling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud whose clock the tests of this module may move."""
    with running_cloud(tmp_path_factory.mktemp("travelling")) as cloud:
        yield cloud


def told(repository: RemoteRepository) -> dict[str, Any]:
    rows = control(repository.cloud, "GET", "cost").json()["repositories"]
    (row,) = (row for row in rows if row["repository"] == repository.name)
    return dict(row)


def test_when_time_passes_then_the_control_tells_the_cost(travelling: RunningCloud) -> None:
    app = repository_in(travelling)
    image = make_image(make_layer({"data": bytes(50_000)}))
    app.push(image)
    weight = sum(map(len, image.blobs.values()))
    advance(travelling, hours=730)
    row = told(app)
    # A test may take a while, in which storage goes on costing.
    assert row["standard_gb_months"] * GB == pytest.approx(weight, rel=1e-3)
    assert row["monthly_cost"] == pytest.approx(weight / GB * 0.10)
    answer = control(travelling, "GET", "cost").json()
    assert answer["prices_as_of"] in answer["notes"][0]
    assert {price["mark"] for price in answer["prices"]} == {"U"}


def test_when_layers_are_pulled_then_their_bytes_are_counted(travelling: RunningCloud) -> None:
    app = repository_in(travelling)
    layer = make_layer({"data": bytes(range(256)) * 40})
    app.push(make_image(layer), "v1")
    with app.session as session:
        url = app.url(f"blobs/{sha256(layer)}")
        assert session.head(url).status_code == 200
        assert told(app)["transferred_gb"] == 0
        assert session.get(url).content == layer
        for asked, size in (("bytes=5-9", 5), ("bytes=-3", 3), (f"bytes={len(layer) - 2}-", 2), ("bytes=0-99999", 0)):
            part = session.get(url, headers={"Range": asked})
            assert part.status_code == 206
            assert len(part.content) == (size or len(layer))
    row = told(app)
    assert row["transferred_gb"] * GB == pytest.approx(2 * len(layer) + 5 + 3 + 2)
    assert row["transfer_cost"] == 0
    assert row["internet_cost"] == pytest.approx(row["transferred_gb"] * 0.09)


@pytest.mark.parametrize("query", ["since=soon", "since=NaN", "until=inf", "since=2&until=1", "since=-1", "until=9e11"])
def test_when_it_is_no_period_then_the_control_says_so(travelling: RunningCloud, query: str) -> None:
    answer = control(travelling, "GET", f"cost?{query}")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Not a period")


def test_when_the_lab_is_reset_then_nothing_has_a_cost(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        app = repository_in(cloud)
        app.push(make_image())
        assert control(cloud, "GET", "cost").json()["registries"]
        assert control(cloud, "POST", "reset").status_code == 200
        answer = control(cloud, "GET", "cost").json()
        assert answer["registries"] == answer["repositories"] == []
        assert answer["since"] == answer["until"]
