"""Lifecycle policies through the ECR API: kept, previewed, and applied as the lab's time passes.

The grammar and the evaluation have tests of their own; here it is the way from the API to them and back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.conftest import Repository, make_image, make_index
from tests.cloud.support import advance, control, digests, lifecycle, make_referrer, refusal, repository_in, rule
from tests.cloud.test_model import call
from tests.conftest import ACCOUNT, RunningCloud, running_cloud

UNTAGGED_14 = lifecycle(rule(1, "sinceImagePushed", 14, tagStatus="untagged"))


@pytest.fixture
def app(travelling: RunningCloud) -> Repository:
    return repository_in(travelling)


def put(repository: Repository, *rules: dict[str, Any]) -> None:
    repository.ecr.put_lifecycle_policy(repositoryName=repository.name, lifecyclePolicyText=lifecycle(*rules))


def preview(repository: Repository, **parameters: Any) -> dict[str, Any]:
    """Wait as clients do, then return the preview."""
    waiter = repository.ecr.get_waiter("lifecycle_policy_preview_complete")
    waiter.wait(repositoryName=repository.name, WaiterConfig={"Delay": 0, "MaxAttempts": 20})
    answer: dict[str, Any] = repository.ecr.get_lifecycle_policy_preview(repositoryName=repository.name, **parameters)
    return answer


def pushed(repository: Repository, note: str, *tags: str) -> str:
    image = make_image(note=note)
    repository.push(image, *tags[:1])
    for tag in tags[1:]:
        repository.put(image, tag)
    return image.digest


# Policies


def test_when_a_policy_is_put_then_its_text_comes_back_as_it_was(repository: Repository) -> None:
    ecr, name = repository.ecr, repository.name
    text = UNTAGGED_14 + "\n  "
    answer = ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=text)
    expected = {"registryId": ACCOUNT, "repositoryName": name, "lifecyclePolicyText": text}
    assert {member: answer[member] for member in expected} == expected
    stored = ecr.get_lifecycle_policy(repositoryName=name)
    assert {member: stored[member] for member in expected} == expected
    assert "lastEvaluatedAt" not in stored


def test_when_a_policy_is_deleted_then_its_text_is_answered_once_more(repository: Repository) -> None:
    ecr, name = repository.ecr, repository.name
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=UNTAGGED_14)
    assert ecr.delete_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"] == UNTAGGED_14
    code, message = refusal(ecr.delete_lifecycle_policy, repositoryName=name)
    assert code == "LifecyclePolicyNotFoundException"
    assert message == (
        f"Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{ACCOUNT}'"
    )


def test_when_there_is_no_policy_then_each_operation_says_so(repository: Repository) -> None:
    ecr, name = repository.ecr, repository.name
    for operation in (ecr.get_lifecycle_policy, ecr.delete_lifecycle_policy, ecr.start_lifecycle_policy_preview):
        assert refusal(operation, repositoryName=name)[0] == "LifecyclePolicyNotFoundException"
    code, _message = refusal(ecr.get_lifecycle_policy_preview, repositoryName=name)
    assert code == "LifecyclePolicyPreviewNotFoundException"


@pytest.mark.parametrize(
    "operation",
    [
        "PutLifecyclePolicy",
        "GetLifecyclePolicy",
        "DeleteLifecyclePolicy",
        "StartLifecyclePolicyPreview",
        "GetLifecyclePolicyPreview",
    ],
)
def test_when_the_repository_is_absent_then_that_is_the_error(shared_cloud: RunningCloud, operation: str) -> None:
    answer = call(shared_cloud, operation, {"repositoryName": "absent", "lifecyclePolicyText": UNTAGGED_14})
    assert answer.json()["__type"] == "RepositoryNotFoundException"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" * 100, "Could not map policyString into LifecyclePolicy"),
        (json.dumps({"rule": []}).ljust(100), 'object has missing required properties (["rules"])'),
        (lifecycle(rule(1, "sinceImagePushed", 14, tagStatus="some")), 'instance value ("some") not found in enum'),
        (lifecycle(rule(1, "sinceImagePushed", 1), rule(2, "sinceImagePushed", 2)), "tagStatus=ANY"),
        (lifecycle(rule(1, "sinceImagePushed", 14, tagStatus="tagged")), "tagPrefixList or tagPatternList"),
    ],
)
def test_when_a_policy_breaks_the_grammar_then_the_old_one_stays(repository: Repository, text: str, words: str) -> None:
    ecr, name = repository.ecr, repository.name
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=UNTAGGED_14)
    for operation in (ecr.put_lifecycle_policy, ecr.start_lifecycle_policy_preview):
        code, message = refusal(operation, repositoryName=name, lifecyclePolicyText=text)
        assert code == "InvalidParameterException"
        assert message.startswith(
            "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: "
            "'Lifecycle policy validation failure: "
        )
        assert words in message
    assert ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"] == UNTAGGED_14


@pytest.mark.parametrize(("length", "words"), [(99, "greater than or equal to 100"), (30_721, "equal to 30720")])
def test_when_a_policy_is_too_short_or_too_long_then_the_bound_is_named(
    repository: Repository, length: int, words: str
) -> None:
    text = json.dumps({"rules": []}).ljust(length)
    parameters = {"repositoryName": repository.name, "lifecyclePolicyText": text}
    answer = call(repository.cloud, "PutLifecyclePolicy", parameters).json()
    assert answer["__type"] == "InvalidParameterException"
    assert words in answer["message"]


# Previews


def test_when_a_policy_is_previewed_then_affected_images_are_listed_and_none_is_touched(app: Repository) -> None:
    kept, gone = pushed(app, "kept", "v2"), pushed(app, "gone")
    advance(app.cloud, days=15)
    text = UNTAGGED_14
    started = app.ecr.start_lifecycle_policy_preview(repositoryName=app.name, lifecyclePolicyText=text)
    assert started["status"] == "IN_PROGRESS"
    assert started["lifecyclePolicyText"] == text
    answer = preview(app)
    assert answer["status"] == "COMPLETE"
    (result,) = answer["previewResults"]
    described = next(detail for detail in app.describe() if detail["imageDigest"] == gone)
    assert result == {
        "imageDigest": gone,
        "imagePushedAt": described["imagePushedAt"],
        "action": {"type": "EXPIRE"},
        "appliedRulePriority": 1,
        "storageClass": "STANDARD",
    }
    assert answer["summary"] == {"expiringImageTotalCount": 1}
    assert digests(app) == {kept, gone}
    # The text was for the preview only.
    assert refusal(app.ecr.get_lifecycle_policy, repositoryName=app.name)[0] == "LifecyclePolicyNotFoundException"


def test_when_a_preview_is_started_without_text_then_the_stored_policy_is_previewed(app: Repository) -> None:
    pushed(app, "old", "v1", "stable")
    put(app, rule(7, "sinceImagePushed", 3, action="transition"))
    advance(app.cloud, hours=1)  # evaluates the policy now, so that the next days do not
    app.ecr.put_lifecycle_policy(
        repositoryName=app.name, lifecyclePolicyText=lifecycle(rule(7, "imageCountMoreThan", 1, action="transition"))
    )
    pushed(app, "new", "v2")
    app.ecr.start_lifecycle_policy_preview(repositoryName=app.name)
    answer = preview(app)
    (result,) = answer["previewResults"]
    assert result["imageTags"] == ["stable", "v1"]
    assert result["action"] == {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}
    assert result["appliedRulePriority"] == 7
    assert answer["summary"] == {
        "expiringImageTotalCount": 0,
        "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": 1}],
    }


def test_when_a_preview_has_pages_then_each_image_stands_on_one_and_the_summary_is_of_all(
    repository: Repository,
) -> None:
    made = [pushed(repository, str(number), *([f"v{number}"] if number % 2 else [])) for number in range(6)]
    text = lifecycle(rule(1, "imageCountMoreThan", 1))
    repository.ecr.start_lifecycle_policy_preview(repositoryName=repository.name, lifecyclePolicyText=text)
    pages = list(
        repository.ecr.get_paginator("get_lifecycle_policy_preview").paginate(
            repositoryName=repository.name, PaginationConfig={"PageSize": 2}
        )
    )
    assert [len(page["previewResults"]) for page in pages] == [2, 2, 1]
    assert {result["imageDigest"] for page in pages for result in page["previewResults"]} == set(made[:-1])
    assert all(page["summary"] == {"expiringImageTotalCount": 5} for page in pages)


def test_when_a_preview_is_filtered_then_only_what_is_asked_for_is_listed(repository: Repository) -> None:
    tagged, untagged = pushed(repository, "tagged", "v1"), pushed(repository, "untagged")
    pushed(repository, "newest", "v2")
    text = lifecycle(rule(1, "imageCountMoreThan", 1))
    repository.ecr.start_lifecycle_policy_preview(repositoryName=repository.name, lifecyclePolicyText=text)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"filter": {"tagStatus": "TAGGED"}}, [tagged]),
        ({"filter": {"tagStatus": "UNTAGGED"}}, [untagged]),
        ({"filter": {"tagStatus": "ANY"}}, [tagged, untagged]),
        ({"imageIds": [{"imageTag": "v1"}]}, [tagged]),
        ({"imageIds": [{"imageDigest": untagged}, {"imageTag": "v2"}]}, [untagged]),
    ]
    for parameters, expected in cases:
        results = preview(repository, **parameters)["previewResults"]
        assert [result["imageDigest"] for result in results] == expected
    # [D] model: imageIds go with neither maxResults nor nextToken.
    for extra in ({"maxResults": 1}, {"nextToken": "WzFd"}):
        code, _message = refusal(
            repository.ecr.get_lifecycle_policy_preview,
            repositoryName=repository.name,
            imageIds=[{"imageTag": "v1"}],
            **extra,
        )
        assert code == "InvalidParameterException"


def test_when_a_preview_page_is_too_long_then_the_bound_is_named(repository: Repository) -> None:
    code, message = refusal(repository.ecr.get_lifecycle_policy_preview, repositoryName=repository.name, maxResults=101)
    assert code == "InvalidParameterException"
    assert "less than or equal to 100" in message


# Runs


def test_when_an_image_passes_the_age_then_it_expires_within_a_day(app: Repository) -> None:
    tagged, untagged = pushed(app, "tagged", "v1"), pushed(app, "untagged")
    put(app, rule(1, "sinceImagePushed", 14, tagStatus="untagged"))
    advance(app.cloud, days=13)
    assert digests(app) == {tagged, untagged}
    advance(app.cloud, days=2)  # 14 days are over, and the day in which rules act
    assert digests(app) == {tagged}
    assert refusal(app.describe, imageIds=[{"imageDigest": untagged}])[0] == "ImageNotFoundException"
    evaluated = app.ecr.get_lifecycle_policy(repositoryName=app.name)["lastEvaluatedAt"]
    assert evaluated > app.describe()[0]["imagePushedAt"]


def test_when_there_are_more_images_than_allowed_then_the_oldest_expire(app: Repository) -> None:
    made = []
    for number in range(5):
        made.append(pushed(app, f"count {number}", f"v{number}"))
        advance(app.cloud, minutes=1)
    put(app, rule(1, "imageCountMoreThan", 2))
    advance(app.cloud, days=1)
    assert digests(app) == set(made[-2:])


def test_when_a_rule_of_higher_priority_keeps_an_image_then_lower_rules_cannot_take_it(app: Repository) -> None:
    # UG/lifecycle_policy_examples, "Example A": only the first image expires.
    first = pushed(app, "A", "beta-1", "prod-1")
    advance(app.cloud, minutes=1)
    second = pushed(app, "B", "beta-2", "prod-2")
    advance(app.cloud, minutes=1)
    third = pushed(app, "C", "beta-3")
    put(
        app,
        rule(1, "imageCountMoreThan", 1, tagStatus="tagged", tagPrefixList=["prod"]),
        rule(2, "imageCountMoreThan", 1, tagStatus="tagged", tagPrefixList=["beta"]),
    )
    advance(app.cloud, days=1)
    assert digests(app) == {second, third}
    assert first not in digests(app, "ANY")


def test_when_an_image_belongs_to_an_index_then_it_goes_after_the_index(app: Repository) -> None:
    child = make_image(note="child of an index")
    index = make_index(child)
    app.push(child)
    app.put(index, "v1")
    put(app, rule(1, "sinceImagePushed", 1, tagStatus="untagged"))
    advance(app.cloud, days=3)
    assert digests(app) == {child.digest, index.digest}
    app.ecr.batch_delete_image(repositoryName=app.name, imageIds=[{"imageTag": "v1"}])
    assert digests(app) == {child.digest}
    advance(app.cloud, days=1)
    assert digests(app) == set()


def test_when_a_subject_expires_or_is_deleted_then_its_referrers_follow_within_a_day(app: Repository) -> None:
    old, deleted, kept = (make_image(note=note) for note in ("old", "deleted", "kept"))
    for image, tag in ((old, "old"), (deleted, "deleted"), (kept, "kept")):
        app.push(image, tag)
        app.push(make_referrer(image))
    put(app, rule(1, "sinceImagePushed", 2, tagStatus="tagged", tagPatternList=["o*d"]))
    app.ecr.batch_delete_image(repositoryName=app.name, imageIds=[{"imageTag": "deleted"}])
    assert len(digests(app)) == 5
    advance(app.cloud, days=3)
    assert digests(app) == {kept.digest, make_referrer(kept).digest}


def test_when_images_are_not_pulled_then_they_are_archived_with_what_refers_to_them(app: Repository) -> None:
    idle, busy = make_image(note="idle"), make_image(note="busy")
    app.push(idle, "idle")
    app.push(make_referrer(idle))
    app.push(busy, "busy")
    put(app, rule(1, "sinceImagePulled", 10, action="transition"))
    advance(app.cloud, days=9)
    app.ecr.batch_get_image(repositoryName=app.name, imageIds=[{"imageTag": "busy"}])
    advance(app.cloud, days=2)
    assert digests(app) == {busy.digest}
    assert digests(app, "ARCHIVED") == {idle.digest, make_referrer(idle).digest}
    (referrer,) = app.ecr.list_image_referrers(
        repositoryName=app.name, subjectId={"imageDigest": idle.digest}, filter={"artifactStatus": "ARCHIVED"}
    )["referrers"]
    assert referrer["artifactStatus"] == "ARCHIVED"


def test_when_an_image_was_archived_long_enough_then_a_rule_may_expire_it(app: Repository) -> None:
    pushed(app, "to the archive", "v1")
    put(
        app,
        rule(1, "sinceImagePushed", 1, action="transition"),
        rule(2, "sinceImageTransitioned", 90, storageClass="archive"),
    )
    advance(app.cloud, days=2)
    assert len(digests(app, "ARCHIVED")) == 1
    advance(app.cloud, days=88)
    assert len(digests(app, "ARCHIVED")) == 1
    advance(app.cloud, days=2)
    assert digests(app, "ANY") == set()


def test_when_an_image_was_restored_then_its_age_counts_from_there(app: Repository) -> None:
    digest = pushed(app, "restored", "v1")
    image_id = {"repositoryName": app.name, "imageId": {"imageTag": "v1"}}
    app.ecr.update_image_storage_class(**image_id, targetStorageClass="ARCHIVE")
    advance(app.cloud, days=20)
    app.ecr.update_image_storage_class(**image_id, targetStorageClass="STANDARD")
    put(app, rule(1, "sinceImagePushed", 14))
    advance(app.cloud, days=13)
    assert digests(app) == {digest}
    advance(app.cloud, days=3)
    assert digests(app, "ANY") == set()


def test_when_tags_are_immutable_then_images_expire_all_the_same(travelling: RunningCloud) -> None:
    # Immutability stops overwriting, not deleting: section 3.
    app = repository_in(travelling, imageTagMutability="IMMUTABLE")
    pushed(app, "immutable", "v1")
    put(app, rule(1, "sinceImagePushed", 1))
    advance(travelling, days=3)
    assert digests(app) == set()
    pushed(app, "its tag is free again", "v1")


def test_when_a_policy_is_replaced_then_its_evaluation_is_not_that_of_the_old_one(app: Repository) -> None:
    put(app, rule(1, "sinceImagePushed", 1))
    advance(app.cloud, days=1)
    assert "lastEvaluatedAt" in app.ecr.delete_lifecycle_policy(repositoryName=app.name)
    put(app, rule(1, "sinceImagePushed", 1))
    assert "lastEvaluatedAt" not in app.ecr.get_lifecycle_policy(repositoryName=app.name)


def test_when_the_cloud_starts_again_then_policy_preview_and_evaluation_are_there(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        app = repository_in(cloud, name="app")
        pushed(app, "old")
        app.ecr.put_lifecycle_policy(repositoryName="app", lifecyclePolicyText=UNTAGGED_14)
        advance(cloud, days=13)
        text = lifecycle(rule(3, "sinceImagePushed", 2))
        app.ecr.start_lifecycle_policy_preview(repositoryName="app", lifecyclePolicyText=text)
        evaluated = app.ecr.get_lifecycle_policy(repositoryName="app")["lastEvaluatedAt"]
    with running_cloud(tmp_path) as cloud:
        ecr = cloud.client()
        stored = ecr.get_lifecycle_policy(repositoryName="app")
        assert (stored["lifecyclePolicyText"], stored["lastEvaluatedAt"]) == (UNTAGGED_14, evaluated)
        answer = ecr.get_lifecycle_policy_preview(repositoryName="app")
        assert answer["lifecyclePolicyText"] == text
        assert [result["appliedRulePriority"] for result in answer["previewResults"]] == [3]
        advance(cloud, days=2)
        assert ecr.describe_images(repositoryName="app")["imageDetails"] == []


def test_when_months_pass_in_one_step_then_each_days_run_builds_on_the_one_before(app: Repository) -> None:
    """Archived on the second day, and expired once 90 days in the archive are over."""
    pushed(app, "in one step", "v1")
    put(
        app,
        rule(1, "sinceImagePushed", 1, action="transition"),
        rule(2, "sinceImageTransitioned", 90, storageClass="archive"),
    )
    advance(app.cloud, days=200)
    assert digests(app, "ANY") == set()


def test_when_a_rule_acts_then_an_event_names_the_image_and_the_rule(app: Repository) -> None:
    """Actions act like deletes (section 12); the event says which rule it was."""
    digest = pushed(app, "told", "v1")
    put(app, rule(7, "sinceImagePushed", 1))
    advance(app.cloud, days=2)
    events = [
        event
        for event in control(app.cloud, "GET", "events").json()["events"]
        if event["detail"]["repository-name"] == app.name
    ]
    assert [(event["detail"]["action-type"], event["detail"]["image-digest"]) for event in events] == [
        ("PUSH", digest),
        ("DELETE", digest),
    ]
    assert events[0]["detail-type"] == "ECR Image Action"
    assert events[1]["detail"]["initiated-by"] == "lifecycle rule 7"
    assert events[1]["time"] - events[0]["time"] > 24 * 3600
