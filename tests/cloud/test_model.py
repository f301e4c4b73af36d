"""The ECR API at the wire: what the model allows and what not."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import get_session

from ecrlab.cloud.api.adapter import OPERATIONS
from ecrlab.cloud.api.model import ecr as ecr_model
from tests.conftest import REGION, RunningCloud

SURROGATE = ("SerializationException", "not valid Unicode")
TARGET = "AmazonEC2ContainerRegistry_V20150921"


def call(cloud: RunningCloud, operation: str, body: Any) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-Amz-Target": f"{TARGET}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", cloud.endpoint + "/", headers=headers, data=data)
    keys = Credentials(cloud.settings.access_key_id, cloud.settings.secret_access_key)
    SigV4Auth(keys, "ecr", REGION).add_auth(request)
    return requests.post(cloud.endpoint + "/", data=data, headers=dict(request.headers), timeout=10)


def test_when_the_model_is_read_then_it_is_the_one_that_botocore_uses() -> None:
    service = get_session().get_service_model("ecr")
    assert set(ecr_model().operations) == set(service.operation_names)
    assert ecr_model().target_prefix == service.metadata["targetPrefix"] == TARGET
    assert set(OPERATIONS) <= set(service.operation_names)


@pytest.mark.parametrize(
    ("operation", "body", "code", "words"),
    [
        ("DescribeRepositories", b"{", "SerializationException", "not valid JSON"),
        ("DescribeRepositories", b"[]", "SerializationException", "JSON object"),
        ("DescribeRepositories", b"[" * 100_000, "SerializationException", "not valid JSON"),
        ("CreateRepository", b'{"repositoryName": "ab", "tags": [{"Key": "\\ud800", "Value": ""}]}', *SURROGATE),
        ("DescribeRepositories", {"nextToken": "WzFlMzBd"}, "InvalidParameterException", "nextToken"),
        ("DescribeRepositories", {"nextToken": "WyJcdWQ4MDAiXQ=="}, "InvalidParameterException", "nextToken"),
        ("DescribeRepositories", {"maxResults": "1"}, "SerializationException", "maxResults"),
        ("DescribeRepositories", {"maxResults": True}, "SerializationException", "maxResults"),
        ("DescribeRepositories", {"maxResults": 0}, "InvalidParameterException", "greater than or equal to 1"),
        ("DescribeRepositories", {"maxResults": 1001}, "InvalidParameterException", "less than or equal to 1000"),
        ("DescribeRepositories", {"registryId": "12"}, "InvalidParameterException", "registryId"),
        ("CreateRepository", {}, "InvalidParameterException", "'repositoryName' failed to satisfy constraint"),
        ("CreateRepository", {"repositoryName": None}, "InvalidParameterException", "must not be null"),
        (
            "CreateRepository",
            {"repositoryName": "ab", "imageTagMutability": "SOMETIMES"},
            "InvalidParameterException",
            "Member must satisfy enum value set: [MUTABLE, IMMUTABLE",
        ),
        ("BatchGetImage", {"repositoryName": "ab", "imageIds": []}, "InvalidParameterException", "imageIds"),
        (
            "BatchGetImage",
            {"repositoryName": "ab", "imageIds": [{"imageTag": ""}]},
            "InvalidParameterException",
            "imageIds.1.imageTag",
        ),
        ("UploadLayerPart", {"layerPartBlob": "%"}, "InvalidParameterException", "repositoryName"),
        (
            "UploadLayerPart",
            {
                "repositoryName": "ab",
                "uploadId": "00000000-0000-0000-0000-000000000000",
                "partFirstByte": 0,
                "partLastByte": 0,
                "layerPartBlob": "%",
            },
            "SerializationException",
            "base64",
        ),
        ("StartImageScan", {"repositoryName": "ab"}, "InvalidParameterException", "imageId"),
        ("BatchGetRepositoryScanningConfiguration", {"repositoryNames": []}, "InvalidParameterException", "length"),
        ("NoSuchOperation", {}, "UnknownOperationException", "NoSuchOperation"),
        ("TagResource", {"resourceArn": "x", "tags": []}, "InvalidParameterException", "ARN of a repository"),
        ("TagResource", {"resourceArn": "a:b:c:d:e:f", "tags": []}, "AccessDeniedException", "ecr:TagResource"),
    ],
)
def test_when_a_call_breaks_the_model_then_the_error_says_where(
    shared_cloud: RunningCloud, operation: str, body: Any, code: str, words: str
) -> None:
    answer = call(shared_cloud, operation, body)
    assert answer.status_code == 400
    assert answer.json()["__type"] == code
    assert words in answer.json()["message"]
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"


def test_when_members_are_unknown_or_null_then_they_are_passed_over(shared_cloud: RunningCloud) -> None:
    answer = call(shared_cloud, "DescribeRepositories", {"unheardOf": 1, "nextToken": None})
    assert answer.status_code == 200


def test_when_an_operation_is_not_built_yet_then_it_says_so(shared_cloud: RunningCloud) -> None:
    missing = sorted(set(ecr_model().operations) - set(OPERATIONS))
    for operation in missing:
        answer = call(shared_cloud, operation, {})
        assert (answer.status_code, answer.json()["__type"]) == (501, "NotImplemented")
        assert operation in answer.json()["message"]


def test_when_a_body_is_huge_then_it_is_refused_and_the_server_answers_on(shared_cloud: RunningCloud) -> None:
    answer = call(shared_cloud, "DescribeRepositories", b" " * (65 * 1024 * 1024))
    assert answer.status_code == 413
    assert call(shared_cloud, "DescribeRepositories", {}).status_code == 200
