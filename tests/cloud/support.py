"""What the tests of settings and of the lab's time share."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from tests.cloud.conftest import MadeImage, Repository, make_image
from tests.conftest import REGION, RunningCloud

_numbers = itertools.count()


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Return the class and the words with which a call is refused."""
    with pytest.raises(ClientError) as error:
        call(**parameters)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def control(cloud: RunningCloud, method: str, path: str, **options: Any) -> requests.Response:
    headers = {"X-Ecrlab-Token": cloud.settings.control_token}
    return requests.request(method, f"{cloud.endpoint}/_ecrlab/{path}", headers=headers, timeout=60, **options)


def advance(cloud: RunningCloud, **step: float) -> None:
    """Move the lab's clock forward by a timedelta's arguments."""
    answer = control(cloud, "POST", "clock", json={"advance": timedelta(**step).total_seconds()})
    assert answer.status_code == 200, answer.text


def own_region() -> str:
    """Return the name of a region that no other test uses: each is a registry of its own."""
    return f"test-lab-{next(_numbers)}"


def repository_in(cloud: RunningCloud, *, region: str = REGION, name: str | None = None, **settings: Any) -> Repository:
    ecr = cloud.client(region=region)
    chosen = name or f"team/app-{next(_numbers)}"
    ecr.create_repository(repositoryName=chosen, **settings)
    return Repository(cloud, ecr, chosen)


def make_referrer(subject: MadeImage | str, note: str = "", **fields: Any) -> MadeImage:
    """Make an artifact that refers to an image, or to a digest."""
    digest, size = (subject, 0) if isinstance(subject, str) else (subject.digest, len(subject.manifest))
    described = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size}
    return make_image(note=note, **{"artifactType": "application/vnd.example.sbom", "subject": described, **fields})


def rule(priority: int, count_type: str, number: int, *, action: str = "expire", **selection: Any) -> dict[str, Any]:
    """Return a rule of a lifecycle policy; `selection` in the members of the grammar, tagStatus "any" by default."""
    unit = {} if count_type == "imageCountMoreThan" else {"countUnit": "days"}
    target = {"targetStorageClass": "archive"} if action == "transition" else {}
    chosen = {"tagStatus": "any", "countType": count_type, "countNumber": number, **unit, **selection}
    return {"rulePriority": priority, "selection": chosen, "action": {"type": action, **target}}


def lifecycle(*rules: dict[str, Any]) -> str:
    """Return the text of a lifecycle policy, long enough for the API's least length of 100 characters."""
    return json.dumps({"rules": rules}, indent=2).ljust(100)


def digests(repository: Repository, status: str = "ACTIVE") -> set[str]:
    return {detail["imageDigest"] for detail in repository.describe(filter={"imageStatus": status})}
