"""Replication between the registries of a lab (ecr-semantics section 14: UG/replication, UG/service-quotas)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cloud.conftest import MadeImage, Repository, make_image, make_index
from tests.cloud.support import digests, lifecycle, own_region, refusal, repository_in, rule
from tests.conftest import ACCOUNT, RunningCloud, running_cloud

OTHER_ACCOUNT = "000699977340"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/creator"


@pytest.fixture
def source(shared_cloud: RunningCloud) -> Repository:
    return repository_in(shared_cloud, region=own_region())


@pytest.fixture
def target(shared_cloud: RunningCloud, source: Repository) -> Repository:
    """The repository of the same name in another region, which the first copy has to create."""
    return Repository(shared_cloud, shared_cloud.client(region=own_region()), source.name)


def region_of(repository: Repository) -> str:
    return str(repository.ecr.meta.region_name)


def replicate(source: Repository, *targets: Repository, account: str = ACCOUNT, filters: tuple[str, ...] = ()) -> None:
    destinations = [{"region": region_of(target), "registryId": account} for target in targets]
    more = {"repositoryFilters": [{"filter": item, "filterType": "PREFIX_MATCH"} for item in filters]}
    configure(source, [{"destinations": destinations, **(more if filters else {})}])


def configure(source: Repository, rules: list[dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = source.ecr.put_replication_configuration(replicationConfiguration={"rules": rules})
    return answer


def status(repository: Repository, tag: str) -> list[dict[str, str]]:
    answer = repository.ecr.describe_image_replication_status(repositoryName=repository.name, imageId={"imageTag": tag})
    assert answer["repositoryName"] == repository.name
    statuses: list[dict[str, str]] = answer["replicationStatuses"]
    return statuses


def pushed(repository: Repository, note: str, tag: str) -> MadeImage:
    image = make_image(note=note)
    repository.push(image, tag)
    return image


# What is copied


def test_when_an_image_is_pushed_then_the_other_region_has_all_of_it(source: Repository, target: Repository) -> None:
    replicate(source, target)
    image = pushed(source, "copied", "v1")
    assert status(source, "v1") == [{"region": region_of(target), "registryId": ACCOUNT, "status": "COMPLETE"}]
    (detail,) = target.describe()
    assert (detail["imageDigest"], detail["imageTags"]) == (image.digest, ["v1"])
    got = target.ecr.batch_get_image(repositoryName=target.name, imageIds=[{"imageTag": "v1"}])
    assert got["images"][0]["imageManifest"].encode() == image.manifest
    for digest, content in image.blobs.items():
        url = target.ecr.get_download_url_for_layer(repositoryName=target.name, layerDigest=digest)["downloadUrl"]
        assert requests.get(url, timeout=10).content == content
    repository = target.ecr.describe_repositories(repositoryNames=[target.name])["repositories"][0]
    assert repository["repositoryArn"] == f"arn:aws:ecr:{region_of(target)}:{ACCOUNT}:repository/{source.name}"


def test_when_docker_pushes_then_the_image_is_copied_too(source: Repository, target: Repository) -> None:
    replicate(source, target)
    image = make_image(note="by docker")
    for content in image.blobs.values():
        source.upload(content)
    with source.session as session:
        headers = {"Content-Type": image.media_type}
        assert session.put(source.url("manifests/v1"), data=image.manifest, headers=headers).status_code == 201
    with target.session as session:
        assert session.get(target.url("manifests/v1")).content == image.manifest


def test_when_an_index_is_pushed_then_its_images_are_copied_before_it(source: Repository, target: Repository) -> None:
    child = make_image(note="child")
    source.push(child)  # before replication is configured
    replicate(source, target)
    index = make_index(child)
    source.put(index, "v1")
    assert digests(target) == {child.digest, index.digest}
    assert [item["status"] for item in status(source, "v1")] == ["COMPLETE"]


def test_when_a_tag_is_added_or_moved_then_the_copy_follows(source: Repository, target: Repository) -> None:
    replicate(source, target)
    first = pushed(source, "first", "v1")
    source.put(first, "latest")
    second = pushed(source, "second", "latest")
    tags = {detail["imageDigest"]: detail["imageTags"] for detail in target.describe()}
    assert tags == {first.digest: ["v1"], second.digest: ["latest"]}


def test_when_content_was_there_before_the_configuration_then_it_is_not_copied(
    source: Repository, target: Repository
) -> None:
    pushed(source, "before", "old")
    replicate(source, target)
    image = pushed(source, "after", "new")
    assert digests(target) == {image.digest}
    assert status(source, "old") == []


def test_when_an_image_is_deleted_then_its_copy_stays(source: Repository, target: Repository) -> None:
    replicate(source, target)
    image = pushed(source, "deleted", "v1")
    source.ecr.batch_delete_image(repositoryName=source.name, imageIds=[{"imageTag": "v1"}])
    assert digests(target) == {image.digest}
    source.ecr.delete_repository(repositoryName=source.name, force=True)
    assert digests(target) == {image.digest}


def test_when_deletions_are_replicated_then_tags_and_images_go_there_too(
    source: Repository, target: Repository
) -> None:
    """`deleteReplication` of the model: image deletions and tag removals; not where the tag names another image."""
    destination = {"region": region_of(target), "registryId": ACCOUNT}
    configure(source, [{"destinations": [destination], "deleteReplication": {"enabled": True}}])
    image, other = pushed(source, "deleted in both", "v1"), pushed(source, "kept", "v2")
    source.put(image, "also")
    source.ecr.batch_delete_image(repositoryName=source.name, imageIds=[{"imageTag": "also"}])
    assert {tag for detail in target.describe() for tag in detail["imageTags"]} == {"v1", "v2"}
    target.put(other, "own")
    ids = [{"imageDigest": image.digest}, {"imageTag": "absent"}]
    source.ecr.batch_delete_image(repositoryName=source.name, imageIds=ids)
    assert digests(source) == digests(target) == {other.digest}
    # What is deleted at the destination does not come back, and a repository that is gone there is no fault.
    target.ecr.delete_repository(repositoryName=target.name, force=True)
    answer = source.ecr.batch_delete_image(repositoryName=source.name, imageIds=[{"imageTag": "v2"}])
    assert answer["failures"] == []


def test_when_the_destination_replicates_too_then_copies_are_not_copied_on(
    shared_cloud: RunningCloud, source: Repository, target: Repository
) -> None:
    third = Repository(shared_cloud, shared_cloud.client(region=own_region()), source.name)
    replicate(source, target)
    replicate(target, third, source)
    image = pushed(source, "once", "v1")
    assert digests(target) == {image.digest}
    assert status(target, "v1") == []
    assert third.ecr.describe_repositories()["repositories"] == []


def test_when_filters_are_given_then_only_names_with_these_prefixes_are_copied(
    shared_cloud: RunningCloud, source: Repository, target: Repository
) -> None:
    replicate(source, target, filters=("prod", "stage/"))
    for name in ("prod/app", "production", "stage/app", "stages/app", "dev/prod"):
        pushed(repository_in(shared_cloud, region=region_of(source), name=name), "filtered", "v1")
    names = [item["repositoryName"] for item in target.ecr.describe_repositories()["repositories"]]
    assert names == ["prod/app", "production", "stage/app"]


def test_when_several_rules_name_a_destination_then_there_is_one_status_for_each(
    shared_cloud: RunningCloud, source: Repository, target: Repository
) -> None:
    third = Repository(shared_cloud, shared_cloud.client(region=own_region()), source.name)
    both = [{"region": region_of(each), "registryId": ACCOUNT} for each in (target, third)]
    configure(source, [{"destinations": both}, {"destinations": both[:1]}])
    image = pushed(source, "twice", "v1")
    assert sorted(item["region"] for item in status(source, "v1")) == sorted(item["region"] for item in both)
    assert digests(target) == digests(third) == {image.digest}


def test_when_settings_and_policies_are_put_then_they_are_not_copied(source: Repository, target: Repository) -> None:
    replicate(source, target)
    source.ecr.put_image_tag_mutability(repositoryName=source.name, imageTagMutability="IMMUTABLE")
    source.ecr.put_lifecycle_policy(
        repositoryName=source.name, lifecyclePolicyText=lifecycle(rule(1, "imageCountMoreThan", 9))
    )
    pushed(source, "settings", "v1")
    repository = target.ecr.describe_repositories(repositoryNames=[target.name])["repositories"][0]
    assert repository["imageTagMutability"] == "MUTABLE"
    code, _message = refusal(target.ecr.get_lifecycle_policy, repositoryName=target.name)
    assert code == "LifecyclePolicyNotFoundException"


def test_when_the_destination_has_a_template_for_it_then_the_repository_is_made_by_it(
    source: Repository, target: Repository
) -> None:
    replicate(source, target)
    target.ecr.create_repository_creation_template(
        prefix="team",
        appliedFor=["REPLICATION"],
        imageTagMutability="IMMUTABLE",
        resourceTags=[{"Key": "copied", "Value": "yes"}],
        customRoleArn=ROLE,
    )
    pushed(source, "template", "v1")
    repository = target.ecr.describe_repositories(repositoryNames=[target.name])["repositories"][0]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    tags = target.ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"]
    assert tags == [{"Key": "copied", "Value": "yes"}]


def test_when_a_tag_is_frozen_at_the_destination_then_the_image_arrives_without_it(
    source: Repository, target: Repository
) -> None:
    target.ecr.create_repository(repositoryName=target.name, imageTagMutability="IMMUTABLE")
    replicate(source, target)
    first, second = pushed(source, "first", "v1"), pushed(source, "second", "v1")
    tags = {detail["imageDigest"]: detail.get("imageTags") for detail in target.describe()}
    assert tags == {first.digest: ["v1"], second.digest: None}
    assert [item["status"] for item in status(source, "v1")] == ["COMPLETE"]


def test_when_the_destination_is_another_account_without_leave_then_the_status_says_so(
    source: Repository, target: Repository
) -> None:
    replicate(source, target, account=OTHER_ACCOUNT)
    pushed(source, "not allowed", "v1")
    (found,) = status(source, "v1")
    assert found["failureCode"]
    assert (found["registryId"], found["status"]) == (OTHER_ACCOUNT, "FAILED")
    assert source.describe()[0]["imageTags"] == ["v1"]  # the push itself stands
    assert refusal(target.describe)[0] == "RepositoryNotFoundException"


def test_when_the_image_is_absent_then_it_has_no_status(source: Repository) -> None:
    ask: Callable[..., Any] = source.ecr.describe_image_replication_status
    absent = {"imageTag": "absent"}
    assert refusal(ask, repositoryName=source.name, imageId=absent)[0] == "ImageNotFoundException"
    assert refusal(ask, repositoryName="absent", imageId=absent)[0] == "RepositoryNotFoundException"


# The configuration


def test_when_a_configuration_is_put_then_it_replaces_the_whole(source: Repository) -> None:
    assert source.ecr.describe_registry()["replicationConfiguration"] == {"rules": []}
    rules = [
        {
            "destinations": [{"region": "eu-west-1", "registryId": ACCOUNT}],
            "repositoryFilters": [{"filter": "prod", "filterType": "PREFIX_MATCH"}],
        },
        {"destinations": [{"region": "eu-west-2", "registryId": OTHER_ACCOUNT}]},
    ]
    assert configure(source, rules)["replicationConfiguration"] == {"rules": rules}
    answer = source.ecr.describe_registry()
    assert (answer["registryId"], answer["replicationConfiguration"]) == (ACCOUNT, {"rules": rules})
    # There is no operation that deletes a configuration: no rules are none.
    configure(source, [])
    assert source.ecr.describe_registry()["replicationConfiguration"] == {"rules": []}


def destination(number: int) -> dict[str, str]:
    return {"region": f"eu-west-{number}", "registryId": ACCOUNT}


@pytest.mark.parametrize(
    "rules",
    [
        [{"destinations": [destination(number)]} for number in range(11)],
        [{"destinations": [destination(number) for number in range(26)]}],
        [{"destinations": [destination(number + 9 * each) for number in range(9)]} for each in range(3)],
        [
            {
                "destinations": [destination(1)],
                "repositoryFilters": [{"filter": f"f-{number}", "filterType": "PREFIX_MATCH"} for number in range(101)],
            }
        ],
        [{"destinations": [{"region": "eu-west-1", "registryId": "12"}]}],
        [{"destinations": [destination(1)], "repositoryFilters": [{"filter": "prod", "filterType": "WILDCARD"}]}],
    ],
    ids=["rules", "destinations", "destinations over all rules", "filters", "account", "filter type"],
)
def test_when_a_quota_or_the_model_is_broken_then_the_old_configuration_stays(
    source: Repository, rules: list[dict[str, Any]]
) -> None:
    before = [{"destinations": [destination(number) for number in range(25)]}]
    configure(source, before)
    # A destination counts once, however many rules name it.
    configure(source, before * 10)
    code, message = refusal(configure, source=source, rules=rules)
    assert code in ("ValidationException", "InvalidParameterException")
    assert message
    assert source.ecr.describe_registry()["replicationConfiguration"] == {"rules": before * 10}


def test_when_the_destination_is_the_source_then_it_is_refused(source: Repository) -> None:
    own = {"region": region_of(source), "registryId": ACCOUNT}
    assert refusal(configure, source=source, rules=[{"destinations": [destination(1), own]}]) == (
        "InvalidParameterException",
        "Invalid parameter at 'replicationConfiguration' failed to satisfy constraint: "
        "'Replication destination cannot be the same as the source registry'",
    )
    # Another account in the same region is another registry.
    configure(source, [{"destinations": [{**own, "registryId": OTHER_ACCOUNT}]}])


def test_when_the_cloud_starts_again_then_configuration_and_status_are_there(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        app = repository_in(cloud, name="app")
        configure(app, [{"destinations": [destination(1)]}])
        image = pushed(app, "first", "v1")
    with running_cloud(tmp_path) as cloud:
        app = Repository(cloud, cloud.client(), "app")
        copy = Repository(cloud, cloud.client(region="eu-west-1"), "app")
        assert app.ecr.describe_registry()["replicationConfiguration"]["rules"] == [{"destinations": [destination(1)]}]
        assert [item["status"] for item in status(app, "v1")] == ["COMPLETE"]
        assert digests(copy) == {image.digest}
        pushed(app, "second", "v2")
        assert len(digests(copy)) == 2
