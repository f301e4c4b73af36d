"""Replication backfills: what was pushed before the rule existed (botocore model)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import Core, Registry, backfills, pushes
from ecrlab.cloud.core.backfills import Backfill
from ecrlab.cloud.core.errors import (
    BackfillInProgress,
    BackfillInvalidStatus,
    BackfillNotFound,
    InvalidParameter,
    LimitExceeded,
)
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.storage import BlobStore, Database
from tests.cloud.conftest import MadeImage, Repository, make_image, make_index, make_layer
from tests.conftest import ACCOUNT, RunningCloud

SOURCE, TARGET = "ap-northeast-1", "ap-northeast-2"  # the rules are the registry's: no other test uses these
HERE, THERE = Registry(ACCOUNT, SOURCE), Registry(ACCOUNT, TARGET)


def destination(region: str = TARGET, account: str = ACCOUNT) -> dict[str, str]:
    return {"region": region, "registryId": account}


def rule(*destinations: dict[str, str], prefix: str | None = None) -> dict[str, Any]:
    filters = {"repositoryFilters": [{"filter": prefix, "filterType": "PREFIX_MATCH"}]} if prefix else {}
    return {"destinations": list(destinations), **filters}


# Over the API


@pytest.fixture
def source(shared_cloud: RunningCloud) -> Any:
    return shared_cloud.client(region=SOURCE)


def finished(client: Any, backfill_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while True:
        answer: dict[str, Any] = client.describe_replication_backfill_results(replicationBackfillId=backfill_id)
        if answer["status"] == "COMPLETE":
            return answer
        assert time.monotonic() < deadline, answer["status"]
        time.sleep(0.01)


def test_when_a_backfill_has_run_then_images_of_before_are_at_the_destination(
    shared_cloud: RunningCloud, source: Any, new_name: Callable[[], str]
) -> None:
    name, other = f"filled/{new_name()}", new_name()
    for created in (name, other):
        source.create_repository(repositoryName=created)
    repository = Repository(shared_cloud, source, name)
    child = make_image(make_layer({"child": b"child"}), note="child")
    index, plain, untagged = make_index(child), make_image(note="plain"), make_image(note="untagged")
    repository.push(child)
    repository.put(index, "multi")
    repository.push(plain, "v1")
    repository.put(plain, "v2")
    repository.push(untagged)
    Repository(shared_cloud, source, other).push(plain, "not-to-be-filled")
    configuration = {"rules": [rule(destination(), prefix="filled/")]}
    source.put_replication_configuration(replicationConfiguration=configuration)

    started = source.start_replication_backfill(destination=destination())
    assert (started["status"], started["registryId"], started["destination"]) == ("PREPARING", ACCOUNT, destination())
    answer = finished(source, started["replicationBackfillId"])
    assert answer["progress"] == {
        "totalReplicationCount": 4,
        "completedReplicationCount": 4,
        "failedReplicationCount": 0,
        "failureCodes": [],
    }
    assert answer["startedAt"] == started["startedAt"] <= answer["endedAt"]
    images = {(item["imageId"]["imageDigest"], item["imageId"].get("imageTag")) for item in answer["results"]}
    assert images == {(index.digest, "multi"), (plain.digest, "v1"), (plain.digest, "v2"), (untagged.digest, None)}
    target = Repository(shared_cloud, shared_cloud.client(region=TARGET), name)
    there = {detail["imageDigest"]: detail.get("imageTags") for detail in target.describe()}
    assert there == {child.digest: None, index.digest: ["multi"], plain.digest: ["v1", "v2"], untagged.digest: None}
    with target.session as session:
        for digest, content in plain.blobs.items():
            assert session.get(target.url(f"blobs/{digest}")).content == content
    with pytest.raises(target.ecr.exceptions.RepositoryNotFoundException):
        target.ecr.describe_images(repositoryName=other)
    (status,) = source.describe_image_replication_status(repositoryName=name, imageId={"imageTag": "v1"})[
        "replicationStatuses"
    ]
    assert (status["region"], status["status"]) == (TARGET, "COMPLETE")
    listed = source.list_replication_backfills()["backfills"]
    assert started["replicationBackfillId"] in [item["replicationBackfillId"] for item in listed]
    with pytest.raises(source.exceptions.ReplicationBackfillInvalidStatusException):
        source.stop_replication_backfill(replicationBackfillId=started["replicationBackfillId"])
    # Once more: what is there already is no failure.
    again = source.start_replication_backfill(destination=destination())
    assert finished(source, again["replicationBackfillId"])["progress"]["completedReplicationCount"] == 4


def test_when_the_backfill_or_destination_is_unknown_then_the_errors_of_the_model_say_so(
    shared_cloud: RunningCloud,
) -> None:
    client = shared_cloud.client(region="ap-northeast-3")
    absent = {"replicationBackfillId": "00000000-0000-4000-8000-000000000000"}
    for operation in (client.stop_replication_backfill, client.describe_replication_backfill_results):
        with pytest.raises(client.exceptions.ReplicationBackfillNotFoundException):
            operation(**absent)
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.start_replication_backfill(destination=destination())
    assert client.list_replication_backfills()["backfills"] == []


# Step by step


class Lab:
    """A core whose background work the test does itself, a step at a time."""

    def __init__(self, folder: Path) -> None:
        self.work: list[Callable[[], None]] = []
        self.database = Database(folder)
        self.clock = Clock()
        self.folder = folder
        self.core = self.new_core()

    def new_core(self) -> Core:
        def background(work: Callable[[], Any], done: Callable[[Any], None]) -> None:
            self.work.append(lambda: done(work()))

        return Core(self.database, BlobStore(self.folder), self.clock, background)

    def step(self) -> None:
        self.work.pop(0)()

    def finish(self) -> None:
        while self.work:
            self.step()

    def configure(self, *destinations: dict[str, str]) -> None:
        self.core.replication.put(HERE, {"rules": [rule(*destinations)]})

    def push(self, image: MadeImage, tag: str | None = None) -> None:
        repository = self.core.templates.for_copy(HERE, "app", "REPLICATION")
        for digest, content in image.blobs.items():
            if self.core.layers.find(repository, digest) is None:
                upload = self.core.layers.start(repository)
                upload.write([content])
                self.core.layers.complete(repository, upload.id, digest)
        self.core.pushes.put(repository, image.manifest, tag=tag)

    def again(self, backfill: Backfill) -> Backfill:
        return self.core.backfills.get(HERE, backfill.id)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "cloud")
    yield made
    made.database.close()


def test_when_a_backfill_runs_then_it_has_progress_and_results_only_at_the_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfills, "STEP", 2)
    for number in range(5):
        lab.push(make_image(note=str(number)), f"v{number}")
    lab.configure(destination())
    backfill = lab.core.backfills.start(HERE, THERE)
    assert (backfill.status, backfill.progress) == ("PREPARING", None)
    counts = []
    while lab.work:
        lab.step()
        now = lab.again(backfill)
        assert now.progress is not None
        assert now.progress.total == 5
        counts.append((now.status, now.progress.completed, len(lab.core.backfills.results(now, limit=9).items)))
    running = [("IN_PROGRESS", completed, 0) for completed in (0, 2, 4, 5)]
    assert counts == [*running, ("COMPLETE", 5, 5)]
    first = lab.core.backfills.results(lab.again(backfill), limit=3)
    rest = lab.core.backfills.results(lab.again(backfill), limit=3, token=first.next_token)
    assert [item.image_id.tag for item in (*first.items, *rest.items)] == [f"v{number}" for number in range(5)]
    assert rest.next_token is None


def test_when_a_backfill_is_stopped_then_what_was_copied_stays_and_no_more_comes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfills, "STEP", 2)
    for number in range(5):
        lab.push(make_image(note=str(number)))
    lab.configure(destination())
    backfill = lab.core.backfills.start(HERE, THERE)
    lab.step()
    lab.step()
    assert lab.core.backfills.stop(HERE, backfill.id).status == "STOPPING"
    with pytest.raises(BackfillInvalidStatus):
        lab.core.backfills.stop(HERE, backfill.id)
    lab.finish()
    stopped = lab.again(backfill)
    assert stopped.status == "STOPPED"
    assert stopped.ended_at is not None
    copied = lab.core.images.describe(lab.core.repositories.get(THERE, "app"), limit=9).items
    assert len(copied) == len(lab.core.backfills.results(stopped, limit=9).items) == 2


def test_when_a_backfill_is_stopped_before_it_is_prepared_then_it_has_no_progress(lab: Lab) -> None:
    lab.configure(destination())
    backfill = lab.core.backfills.start(HERE, THERE)
    lab.core.backfills.stop(HERE, backfill.id)
    lab.finish()
    assert (lab.again(backfill).status, lab.again(backfill).progress) == ("STOPPED", None)


def test_when_the_server_was_killed_then_the_backfill_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfills, "STEP", 1)
    for number in range(3):
        lab.push(make_image(note=str(number)))
    lab.configure(destination())
    backfill = lab.core.backfills.start(HERE, THERE)
    lab.step()
    lab.step()
    lab.work.clear()
    lab.core = lab.new_core()
    lab.core.backfills.run_unfinished()
    lab.finish()
    progress = lab.again(backfill).progress
    assert progress is not None
    assert (progress.total, progress.completed) == (3, 3)


def test_when_images_cannot_be_copied_then_their_results_say_why(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    child, gone = make_image(note="child"), make_image(note="gone")
    lab.push(gone, "gone")
    lab.push(child)
    lab.push(make_index(child), "multi")
    lab.configure(destination())
    backfill = lab.core.backfills.start(HERE, THERE)
    lab.step()
    lab.core.images.delete(lab.core.repositories.get(HERE, "app"), [ImageId(gone.digest)])
    monkeypatch.setattr(pushes, "MAX_IMAGES", 0)
    lab.finish()
    ended = lab.again(backfill)
    assert ended.progress is not None
    assert (ended.status, ended.progress.failed) == ("COMPLETE", 2)
    results = {item.image_id.tag: item for item in lab.core.backfills.results(ended, limit=9, status="FAILED").items}
    assert results["gone"].failure_code == "ImageNotFoundException"
    assert results["gone"].sub_image_failure_codes is None
    assert results["multi"].failure_code == "ReferencedImagesNotFoundException"
    assert results["multi"].sub_image_failure_codes == ["LimitExceededException"]
    assert lab.core.backfills.results(ended, limit=9, status="COMPLETE").items == []
    assert set(ended.progress.failure_codes) == {"ImageNotFoundException", "ReferencedImagesNotFoundException"}


def test_when_the_destination_is_another_account_then_the_images_fail_for_lack_of_a_policy(lab: Lab) -> None:
    lab.push(make_image(), "v1")
    lab.configure(destination(account="111122223333"))
    backfill = lab.core.backfills.start(HERE, Registry("111122223333", TARGET))
    lab.finish()
    (result,) = lab.core.backfills.results(lab.again(backfill), limit=9).items
    assert (result.status, result.failure_code) == ("FAILED", "AccessDeniedException")


def test_when_a_backfill_to_the_region_is_in_progress_then_no_second_is_started(lab: Lab) -> None:
    regions = [f"ap-south-{number}" for number in range(11)]
    lab.configure(*(destination(region) for region in regions))
    for region in regions[:10]:
        lab.core.backfills.start(HERE, Registry(ACCOUNT, region))
    with pytest.raises(BackfillInProgress):
        lab.core.backfills.start(HERE, Registry(ACCOUNT, regions[0]))
    with pytest.raises(LimitExceeded):
        lab.core.backfills.start(HERE, Registry(ACCOUNT, regions[10]))
    with pytest.raises(InvalidParameter):
        lab.core.backfills.start(HERE, Registry(ACCOUNT, "elsewhere"))
    lab.finish()
    lab.core.backfills.start(HERE, Registry(ACCOUNT, regions[10]))


def test_when_a_backfill_ended_ninety_days_ago_then_it_is_forgotten(lab: Lab) -> None:
    lab.configure(destination())
    backfill = lab.core.backfills.start(HERE, THERE)
    lab.clock.offset += 91 * 24 * 3600
    assert lab.again(backfill).status == "PREPARING"
    lab.finish()
    assert [item.id for item in lab.core.backfills.describe(HERE, limit=9).items] == [backfill.id]
    lab.clock.offset += 91 * 24 * 3600
    with pytest.raises(BackfillNotFound):
        lab.again(backfill)


def test_when_the_lab_is_reset_then_backfills_under_way_end_quietly(lab: Lab) -> None:
    lab.configure(destination())
    lab.core.backfills.start(HERE, THERE)
    lab.core.reset()
    lab.finish()
    assert lab.core.backfills.describe(HERE, limit=9).items == []
