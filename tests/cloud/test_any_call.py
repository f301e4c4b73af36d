"""Any call whatever, at every operation: the answer is one that the model knows, and never a fault of the lab.

Calls are built from botocore's model, most members right and some wrong, with names from a small pool, so that things
exist; they are sent as a client sends them, signed, without botocore's own checks in the way.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape
from botocore.parsers import create_parser
from botocore.session import get_session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecrlab.cloud.api.adapter import OPERATIONS
from ecrlab.cloud.api.model import ecr as ecr_model
from ecrlab.cloud.api.model import matches
from tests.cloud.conftest import Repository, make_image, make_index, make_layer, sha256
from tests.cloud.support import advance, lifecycle, make_referrer, rule
from tests.conftest import ACCOUNT, REGION, RunningCloud, running_cloud

SERVICE = get_session().get_service_model("ecr")
NAMES = sorted(SERVICE.operation_names)
COMMON = {"SerializationException", "AccessDeniedException", "ValidationException", "UnknownOperationException"}
ROUNDS = 5  # for each operation
CALLS = 8  # of a round, each another one: left to itself, the generator repeats short calls
STORIES = 30  # of up to 12 calls to several operations

# The pool

BASE, OTHER = make_layer({"base": b"1"}), make_layer({"other": b"2"})
IMAGES = {
    "v1": make_image(BASE, note="first"),
    "v2": make_image(BASE, OTHER, note="second"),
    "archived": make_image(OTHER, note="archived"),
}
CHILD = make_image(BASE, note="child")
INDEX = make_index(CHILD)
REFERRER = make_referrer(IMAGES["v1"], annotations={"a": "b"})
MADE = [*IMAGES.values(), CHILD, INDEX, REFERRER]
UPLOADS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(6)]  # stand for those under way
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}]})
LIFECYCLES = [
    lifecycle(rule(1, "imageCountMoreThan", 1)),
    lifecycle(rule(1, "sinceImagePushed", 1, action="transition"), rule(9, "imageCountMoreThan", 1, tagStatus="any")),
    lifecycle(rule(1, "sinceImagePulled", 1, action="transition", tagStatus="tagged", tagPatternList=["v*"])),
]
TOKENS = [
    base64.urlsafe_b64encode(text).decode()
    for text in (b"[1]", b'["a"]', b'[1,"v1"]', b"[0,0]", b"[[1]]", b"[null]", b"[1e400]", b"null", b"{}")
]
HOSTILE = [
    make_referrer("sha256:12"),
    make_referrer(IMAGES["v1"], annotations={"a": "\ud800"}),
    make_referrer(IMAGES["v1"], annotations={"a": 1}),
    make_referrer(IMAGES["v1"], artifactType="a" * 300),
    make_referrer(IMAGES["v1"], artifactType=""),
    make_referrer(IMAGES["v1"], artifactType="\udfff"),
    make_image(BASE, subject=[]),
]
ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/"
POOL: dict[str, list[Any]] = {
    "RepositoryName": ["pool/b"] * 4 + ["pool/a", "pool/a", "absent"],
    "RegistryId": [ACCOUNT] * 9 + ["000699977340"],
    "Region": ["eu-west-1", "eu-west-2", REGION],
    "Arn": [f"{ARN}pool/a", f"{ARN}absent", ARN, "arn:aws:s3:::pool", "pool"],
    "ImageTag": ["v1", "v2", "archived", "index", "new", "-not-a-tag"],
    "ImageDigest": [image.digest for image in MADE] + [sha256(b"absent"), "sha256:12", "sha512:ab", ""],
    "LayerDigest": [sha256(BASE), sha256(OTHER), sha256(b"absent"), "sha256:12", "shake_128:00", "nothing:ab"],
    "BatchedOperationLayerDigest": [sha256(BASE), sha256(b"absent"), "", "x" * 1000],
    "UploadId": UPLOADS,
    "ImageManifest": [image.manifest.decode() for image in MADE]
    + [make_image(BASE, note=str(number)).manifest.decode() for number in range(3)]
    + [image.manifest.decode() for image in HOSTILE]
    + ["{"],
    "MediaType": [*{image.media_type for image in MADE}, "text/plain", ""],
    "ArtifactType": ["application/vnd.example.sbom", "x/y"],
    "NextToken": [*TOKENS, "", "x", "ä"],
    "RepositoryPolicyText": [POLICY, "{}", ""],
    "RegistryPolicyText": [POLICY, "{}", ""],
    "LifecyclePolicyText": [*LIFECYCLES, "{" + " " * 120, lifecycle()],
    "LifecyclePolicyTextForRepositoryCreationTemplate": [*LIFECYCLES, "", "{}"],
    "Prefix": ["pool", "team/", "ROOT"],
    "RepositoryFilterValue": ["pool", "pool/"],
    "ScanningRepositoryFilterValue": ["pool", "pool*", "*"],
    "SigningRepositoryFilterValue": ["pool/*", "*"],
    "PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in "ab"],
    "SigningProfileArn": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/profile_{number}" for number in "12"],
    "CredentialArn": [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:ecr-pullthroughcache/hub-1a2b3c"],
    "CustomRoleArn": [f"arn:aws:iam::{ACCOUNT}:role/creator"],
    "KmsKeyForRepositoryCreationTemplate": ["", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"],
    "PullThroughCacheRuleRepositoryPrefix": ["pool", "hub", "ROOT"],
    # No name that leads out of this machine: these tests ask no other registry.
    "Url": ["127.0.0.1:9", f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"],
    "UpstreamRegistry": ["ecr"],
    "ReplicationBackfillId": UPLOADS[:1],
    "AccountSettingName": ["BLOB_MOUNTING", "REGISTRY_POLICY_SCOPE", "BASIC_SCAN_TYPE_VERSION", "OTHER"],
    "AccountSettingValue": ["ENABLED", "DISABLED", "V2", "AWS_NATIVE"],
    "ImageTagMutabilityExclusionFilterValue": ["v*", "new", "***"],
    "TagKey": ["team", "stage", "", "aws:x", "k" * 129],
    "PartSize": [0, 1, len(BASE) - 1, len(BASE), 2**63, -1],
    "LayerPartBlob": [base64.b64encode(BASE).decode(), base64.b64encode(b"x").decode(), "", "%"],
}
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 2**64, 1.5, "", "x", "ä\u2028\x00", "x" * 500, [], [None], {}, {"x": 1}, [[]], "a" * 60 + "!"]
)


# Calls from the model


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape, some of them wrong: at each place in about one of twenty."""
    if shape.name in POOL and not isinstance(shape, ListShape):
        right: st.SearchStrategy[Any] = st.sampled_from(POOL[shape.name])
    elif isinstance(shape, StructureShape):
        right = structures(shape)
    elif isinstance(shape, ListShape):
        low = int(shape.metadata.get("min", 0))
        right = st.lists(values(shape.member), min_size=low, max_size=max(low, 3))
    elif isinstance(shape, StringShape):
        right = st.sampled_from(shape.enum) if shape.enum else st.text(max_size=8)
    elif shape.type_name == "boolean":
        right = st.booleans()
    elif shape.type_name in ("integer", "long"):
        low, high = int(shape.metadata.get("min", 0)), int(shape.metadata.get("max", 1000))
        right = st.sampled_from([low, low + 1, high, high + 1])
    else:  # a shape that calls do not have today
        right = JUNK
    return st.integers(0, 19).flatmap(lambda dice: JUNK if dice == 7 else right)


def structures(shape: StructureShape) -> st.SearchStrategy[dict[str, Any]]:
    members = {name: values(member) for name, member in shape.members.items()}
    required = {name: members[name] for name in shape.required_members}
    optional = {name: member for name, member in members.items() if name not in required}
    whole = st.fixed_dictionaries(required, optional=optional)
    lacking = st.fixed_dictionaries({}, optional=members)
    return st.integers(0, 19).flatmap(lambda dice: lacking if dice == 7 else whole)


INPUTS = {name: structures(SERVICE.operation_model(name).input_shape) for name in NAMES}


# The wire


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Wire:
    """A client that sends what it is told to, signed, over one connection."""

    cloud: RunningCloud
    connection: http.client.HTTPConnection
    upload_ids: tuple[str, ...] = ()

    def send(self, operation: str, parameters: Any) -> Reply:
        target = f"{SERVICE.metadata['targetPrefix']}.{operation}"
        text = json.dumps(parameters)
        for name, upload_id in zip(UPLOADS, self.upload_ids, strict=False):
            text = text.replace(name, upload_id)
        data = text.encode()
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        request = AWSRequest("POST", self.cloud.endpoint + "/", headers=headers, data=data)
        chosen = self.cloud.settings
        SigV4Auth(Credentials(chosen.access_key_id, chosen.secret_access_key), "ecr", REGION).add_auth(request)
        self.connection.request("POST", "/", body=data, headers=dict(request.headers))
        answer = self.connection.getresponse()
        return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with running_cloud(tmp_path_factory.mktemp("any")) as cloud:
        host, _, port = cloud.address.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        yield Wire(cloud, connection)
        connection.close()


@pytest.fixture(scope="module")
def ecr_client(connected: Wire) -> Any:
    return connected.cloud.client()


@pytest.fixture(scope="module")
def is_whole() -> list[bool]:
    """Whether the things of the pool are as they were made: the last member says it."""
    return [False]


@pytest.fixture
def wire(connected: Wire, ecr_client: Any, is_whole: list[bool], request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Make the things of the pool, whatever the calls of the test before have left of them."""
    if not is_whole[-1]:
        make_pool(connected, ecr_client)
    operation = request.node.name.partition("[")[2]
    yield replace(connected, upload_ids=start_uploads(ecr_client)) if "Layer" in operation else connected
    is_whole.append(operation.startswith(("Describe", "List", "Get", "BatchGet", "BatchCheck")))


def make_pool(connected: Wire, ecr_client: Any) -> None:
    assert connected.send("PutReplicationConfiguration", {"replicationConfiguration": {"rules": []}}).status == 200
    for name in ("pool/a", "pool/b"):
        with suppress(ecr_client.exceptions.RepositoryNotFoundException):
            ecr_client.delete_repository(repositoryName=name, force=True)
        ecr_client.create_repository(repositoryName=name)
        repository = Repository(connected.cloud, ecr_client, name)
        for layer in {content: None for image in MADE for content in image.blobs.values()}:
            repository.upload(layer)
        for tag, image in IMAGES.items():
            repository.put(image, tag)
        repository.put(CHILD)
        repository.put(INDEX, "index")
        repository.put(REFERRER)
    # The second repository has more to it: an archived image, policies, a preview, a scan.
    named = {"repositoryName": "pool/b"}
    ecr_client.update_image_storage_class(**named, imageId={"imageTag": "archived"}, targetStorageClass="ARCHIVE")
    ecr_client.put_lifecycle_policy(**named, lifecyclePolicyText=LIFECYCLES[0])
    ecr_client.start_lifecycle_policy_preview(**named)
    ecr_client.set_repository_policy(**named, policyText=POLICY)
    for image in HOSTILE:  # what is taken of these is met by every call after it
        with suppress(ClientError):
            repository.put(image)
    with suppress(ClientError):  # where a call has left scanning ENHANCED
        ecr_client.start_image_scan(**named, imageId={"imageTag": "v1"})


def start_uploads(ecr_client: Any) -> tuple[str, ...]:
    """Begin an upload without a byte, and others with one."""
    upload_ids = [ecr_client.initiate_layer_upload(repositoryName="pool/b")["uploadId"] for _ in UPLOADS]
    for upload_id in upload_ids[1:]:
        part = {"partFirstByte": 0, "partLastByte": 0, "layerPartBlob": b"x"}
        ecr_client.upload_layer_part(repositoryName="pool/b", uploadId=upload_id, **part)
    return tuple(upload_ids)


# What is asked of every answer


def check(operation: str, parameters: Any, reply: Reply) -> None:
    model = SERVICE.operation_model(operation)
    assert reply.headers["content-type"] == "application/x-amz-json-1.1"
    document = json.loads(reply.body)
    parsed = create_parser("json").parse(
        {"status_code": reply.status, "headers": reply.headers, "body": reply.body}, model.output_shape
    )
    if reply.status == 200:
        assert document == written(model, document)
        assert "Error" not in parsed
        return
    error = parsed["Error"]
    assert error["Code"] == document["__type"]
    assert error["Message"]
    if operation not in OPERATIONS:
        assert (reply.status, error["Code"]) == (501, "NotImplemented")
        return
    assert reply.status == 400, (operation, parameters, error)
    assert error["Code"] in {shape.name for shape in model.error_shapes} | COMMON, (operation, parameters, error)
    # Members beyond the class and the message are those of the error's shape.
    shape = next((shape for shape in model.error_shapes if shape.name == error["Code"]), None)
    assert document.keys() - {"__type", "message"} <= (shape.members.keys() if shape else set())


def written(model: OperationModel, document: Any) -> Any:
    return fitted(model.output_shape, document, model.name)


def fitted(shape: Shape, value: Any, path: str) -> Any:
    """Return the value; fail unless it has the type, members, bounds, enumerated names and pattern of its shape."""
    kinds: dict[str, Any] = {
        "structure": dict,
        "map": dict,
        "list": list,
        "string": str,
        "blob": str,
        "integer": int,
        "long": int,
        "boolean": bool,
        "timestamp": (int, float),
        "double": (int, float),
    }
    assert isinstance(value, kinds[shape.type_name]), (path, value)
    assert isinstance(value, bool) == (shape.type_name == "boolean"), (path, value)
    bounds = shape.metadata
    # The lengths of lists bind requests only: BatchDeleteImage says [] where nothing was deleted, though its shape has
    # a minimum of 1, and names every tag of an image, however many.
    measured = len(value) if isinstance(value, str) else value
    if isinstance(measured, int) and not isinstance(value, bool):
        assert bounds.get("min", measured) <= measured <= bounds.get("max", measured), (path, value)
    if isinstance(shape, StructureShape):
        assert set(shape.required_members) <= value.keys() <= shape.members.keys(), (path, value)
        return {name: fitted(shape.members[name], item, f"{path}.{name}") for name, item in value.items()}
    if isinstance(shape, MapShape):
        return {fitted(shape.key, key, path): fitted(shape.value, item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(shape, ListShape):
        return [fitted(shape.member, item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(shape, StringShape):
        assert not shape.enum or value in shape.enum, (path, value)
        assert "pattern" not in bounds or re.fullmatch(bounds["pattern"], value), (path, value)
    return value


@pytest.mark.parametrize("operation", NAMES)
def test_when_any_call_is_made_then_the_answer_is_one_of_the_model(wire: Wire, operation: str) -> None:
    @settings(max_examples=ROUNDS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(INPUTS[operation], min_size=CALLS, max_size=CALLS, unique_by=repr) | st.lists(INPUTS[operation]))
    def send(calls: list[dict[str, Any]]) -> None:
        for parameters in calls:
            check(operation, parameters, wire.send(operation, parameters))

    send()


def test_when_calls_follow_each_other_then_each_answer_is_one_of_the_model(wire: Wire) -> None:
    calls = st.sampled_from(NAMES).flatmap(lambda name: INPUTS[name].map(lambda parameters: (name, parameters)))
    days = st.just(("", {"days": 2}))

    @settings(max_examples=STORIES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(calls | calls | calls | days, min_size=6, max_size=12))
    def send(story: list[tuple[str, dict[str, Any]]]) -> None:
        for operation, parameters in story:
            if operation:
                check(operation, parameters, wire.send(operation, parameters))
            else:
                advance(wire.cloud, **parameters)

    send()


def test_when_the_pattern_of_a_model_meets_its_worst_text_then_the_search_ends_soon() -> None:
    """A call must not hold up the lab: also not with the patterns that a later botocore brings."""
    units = ("a", "0", "-", ".", "/", "*", "_", "+", "A", "a-", "a/", "a.", "a_", "a*")
    heads = ("", f"arn:aws:iam::{ACCOUNT}:role/", f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/")
    started = time.monotonic()
    for operation in ecr_model().operations:
        for pattern in patterns(SERVICE.operation_model(operation).input_shape):
            for head in heads:
                for unit in units:
                    # Long enough that trying every split of it takes minutes, short enough to be slow by a square only.
                    assert not matches(pattern, head + unit * 32 + "!\n!")
    assert time.monotonic() - started < 20


def patterns(shape: Shape) -> set[str]:
    if isinstance(shape, StructureShape):
        return set().union(*map(patterns, shape.members.values()))
    if isinstance(shape, ListShape):
        return patterns(shape.member)
    pattern = shape.metadata.get("pattern")
    return {pattern} if pattern else set()


@pytest.mark.parametrize("text", ["a", "*", "a*", "prod/*", "a.b-c_d/e", "*a*.b", "0"])
def test_when_a_slow_pattern_has_a_quick_stand_in_then_both_take_the_same_texts(text: str) -> None:
    shape = SERVICE.shape_for("ScanningRepositoryFilterValue")
    for candidate in (text, f"{text}.", f".{text}", f"{text}..a", f"{text}./a", f"{text}A", f"{text}/a", ""):
        assert matches(shape.metadata["pattern"], candidate) == bool(
            re.fullmatch(shape.metadata["pattern"], candidate)
        ), candidate
