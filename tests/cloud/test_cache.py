"""Pull through cache: rules, and images that really come from an upstream registry (ecr-semantics section 15)."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from tests.cloud.conftest import MadeImage, Repository, make_image, make_index, make_layer, sha256
from tests.conftest import ACCOUNT, REGION, RunningCloud, running_cloud
from tests.docker_registry import docker_registry

CACHING = "eu-central-2"  # the rules are the registry's: no other test uses this one
HOME = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
DAY = 24 * 3600


class UpstreamDouble(ThreadingHTTPServer):
    """A registry of which the test says what it holds, how it asks for a login and how it fails."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[bytes, str]] = {}
        self.asked: list[str] = []
        self.status: int | None = None
        self.login: str | None = None  # "basic" or "bearer"
        self.delay = 0.0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def hold(self, name: str, image: MadeImage, *tags: str) -> None:
        for reference in (image.digest, *tags):
            self.answers[f"/v2/{name}/manifests/{reference}"] = (image.manifest, image.media_type)
        for digest, content in image.blobs.items():
            self.answers[f"/v2/{name}/blobs/{digest}"] = (content, "application/octet-stream")


class _Handler(BaseHTTPRequestHandler):
    server: UpstreamDouble

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        credentials = "Basic " + base64.b64encode(b"someone:sesame").decode()
        authorization = self.headers.get("Authorization")
        if self.server.status:
            return self._send(self.server.status)
        if path == "/token":
            right = authorization == credentials and "scope=" in self.path
            return self._send(200, b'{"token": "t0ken"}') if right else self._send(401)
        if self.server.login == "basic" and authorization != credentials:
            return self._send(401, challenge='Basic realm="here"')
        if self.server.login == "bearer" and authorization != "Bearer t0ken":
            realm = f'Bearer realm="http://{self.server.host}/token",service="double",scope="repository:x:pull"'
            return self._send(401, challenge=realm)
        if path == "/v2/":
            return self._send(200, b"{}")
        time.sleep(self.server.delay)
        content, media_type = self.server.answers.get(path, (None, ""))
        return self._send(404) if content is None else self._send(200, content, media_type)

    def _send(self, status: int, content: bytes = b"", media_type: str = "text/plain", challenge: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        """Keep the test's output clean."""


@contextmanager
def running_double() -> Iterator[UpstreamDouble]:
    with UpstreamDouble() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture
def upstream() -> Iterator[UpstreamDouble]:
    with running_double() as server:
        yield server


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on a free loopback port."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def caching(shared_cloud: RunningCloud) -> Any:
    return shared_cloud.client(region=CACHING)


Rule = Callable[..., str]


@pytest.fixture
def rule(caching: Any, new_name: Callable[[], str]) -> Iterator[Rule]:
    """Make a rule with a prefix of its own, and return the prefix; it goes with the test."""
    made: list[str] = []

    def make(url: str, **members: str) -> str:
        prefix = new_name().replace("team/", "cache/")
        caching.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl=url, **members)
        made.append(prefix)
        return prefix

    yield make
    for prefix in made:
        caching.delete_pull_through_cache_rule(ecrRepositoryPrefix=prefix)


@pytest.fixture
def cached(shared_cloud: RunningCloud, caching: Any) -> Callable[[str], Repository]:
    return lambda name: Repository(shared_cloud, caching, name)


def pull(repository: Repository, image: MadeImage, reference: str) -> None:
    """Pull as docker does, and compare every byte."""
    with repository.session as session:
        assert session.head(repository.url(f"manifests/{reference}")).headers["Docker-Content-Digest"] == image.digest
        answer = session.get(repository.url(f"manifests/{reference}"))
        assert (answer.status_code, answer.content) == (200, image.manifest)
        assert answer.headers["Content-Type"] == image.media_type
        for digest, content in image.blobs.items():
            assert session.get(repository.url(f"blobs/{digest}")).content == content


def manifest_status(repository: Repository, reference: str) -> tuple[int, str]:
    with repository.session as session:
        answer = session.get(repository.url(f"manifests/{reference}"))
        return answer.status_code, answer.json()["errors"][0]["code"] if answer.status_code >= 400 else ""


def batch_get(repository: Repository, **image_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = repository.ecr.batch_get_image(repositoryName=repository.name, imageIds=[image_id])
    return answer


def push_to(host: str, name: str, image: MadeImage, tag: str) -> None:
    """Push to a registry without a login."""
    for digest, content in image.blobs.items():
        started = requests.post(f"http://{host}/v2/{name}/blobs/uploads/", timeout=10)
        location = requests.compat.urljoin(f"http://{host}", started.headers["Location"])
        requests.put(location, params={"digest": digest}, data=content, timeout=10).raise_for_status()
    headers = {"Content-Type": image.media_type}
    url = f"http://{host}/v2/{name}/manifests/{tag}"
    requests.put(url, data=image.manifest, headers=headers, timeout=10).raise_for_status()


# Pulling


def test_when_another_region_is_the_upstream_then_an_index_comes_with_all_its_images(
    repository: Repository, rule: Rule, cached: Callable[[str], Repository]
) -> None:
    children = [make_image(make_layer({name: name.encode()}), note=name) for name in ("one", "two")]
    index = make_index(*children)
    for child in children:
        repository.push(child)
    repository.put(index, "v1")
    target = cached(f"{rule(HOME)}/{repository.name}")
    pull(target, index, "v1")
    assert {detail["imageDigest"] for detail in target.describe()} == {index.digest, *(c.digest for c in children)}
    for child in children:
        pull(target, child, child.digest)
    assert "lastRecordedPullTime" in repository.describe(imageIds=[{"imageTag": "v1"}])[0]


def test_when_the_rule_has_an_upstream_prefix_then_it_takes_the_place_of_the_prefix(
    repository: Repository, rule: Rule, cached: Callable[[str], Repository]
) -> None:
    image = make_image(note="prefixed")
    repository.push(image, "v1")
    prefix, _, rest = repository.name.partition("/")
    target = cached(f"{rule(HOME, upstreamRepositoryPrefix=prefix)}/{rest}")
    pull(target, image, "v1")


def test_when_a_local_registry_is_the_upstream_then_image_and_index_come_from_it(
    peer: str, rule: Rule, cached: Callable[[str], Repository]
) -> None:
    child = make_image(make_layer({"large": bytes(3_000_000)}), note="from the peer")
    index = make_index(child)
    push_to(peer, "library/app", child, "single")
    push_to(peer, "library/app", index, "multi")
    target = cached(f"{rule(peer)}/library/app")
    pull(target, index, "multi")
    pull(target, child, "single")
    (got,) = batch_get(target, imageDigest=index.digest)["images"]
    assert got["imageManifest"].encode() == index.manifest


def test_when_batch_get_image_asks_for_an_absent_image_then_it_is_pulled(
    upstream: UpstreamDouble, rule: Rule, cached: Callable[[str], Repository]
) -> None:
    image = make_image(note="by digest")
    upstream.hold("app", image)
    target = cached(f"{rule(upstream.host)}/app")
    (got,) = batch_get(target, imageDigest=image.digest)["images"]
    assert got["imageManifest"].encode() == image.manifest
    url = target.ecr.get_download_url_for_layer(repositoryName=target.name, layerDigest=next(iter(image.blobs)))
    assert sha256(requests.get(url["downloadUrl"], timeout=10).content) == next(iter(image.blobs))


def test_when_a_template_is_for_the_cache_then_the_repository_is_made_by_it(
    upstream: UpstreamDouble, rule: Rule, cached: Callable[[str], Repository], caching: Any
) -> None:
    image = make_image(note="templated")
    upstream.hold("app", image, "v1")
    prefix = rule(upstream.host)
    members = {"prefix": prefix, "appliedFor": ["PULL_THROUGH_CACHE"], "imageTagMutability": "IMMUTABLE"}
    caching.create_repository_creation_template(**members)
    pull(cached(f"{prefix}/app"), image, "v1")
    (found,) = caching.describe_repositories(repositoryNames=[f"{prefix}/app"])["repositories"]
    assert found["imageTagMutability"] == "IMMUTABLE"


def test_when_the_upstream_lacks_the_image_then_it_is_absent_and_no_repository_is_made(
    upstream: UpstreamDouble, rule: Rule, cached: Callable[[str], Repository], caching: Any
) -> None:
    target = cached(f"{rule(upstream.host)}/app")
    assert manifest_status(target, "v1") == (404, "NAME_UNKNOWN")
    with pytest.raises(caching.exceptions.RepositoryNotFoundException):
        batch_get(target, imageTag="v1")
    upstream.hold("app", make_image(note="later"), "v2")
    assert manifest_status(target, "v2") == (200, "")
    assert manifest_status(target, "v1") == (404, "MANIFEST_UNKNOWN")
    (failure,) = batch_get(target, imageTag="v1")["failures"]
    assert failure["failureCode"] == "ImageNotFound"


@pytest.mark.parametrize(
    ("status", "plane", "code"),
    [
        (500, (503, "UNAVAILABLE"), "UpstreamUnavailable"),
        (403, (403, "DENIED"), "UpstreamAccessDenied"),
        (429, (429, "TOOMANYREQUESTS"), "UpstreamTooManyRequests"),
    ],
)
def test_when_the_upstream_fails_then_both_planes_say_how(
    status: int,
    plane: tuple[int, str],
    code: str,
    upstream: UpstreamDouble,
    rule: Rule,
    cached: Callable[[str], Repository],
) -> None:
    upstream.status = status
    target = cached(f"{rule(upstream.host)}/app")
    assert manifest_status(target, "v1") == plane
    (failure,) = batch_get(target, imageTag="v1")["failures"]
    assert failure["failureCode"] == code


def test_when_nobody_listens_at_the_upstream_then_it_is_unavailable(
    rule: Rule, cached: Callable[[str], Repository]
) -> None:
    for host in ("127.0.0.1:9", "127.0.0.1:99999"):
        (failure,) = batch_get(cached(f"{rule(host)}/app"), imageTag="v1")["failures"]
        assert failure["failureCode"] == "UpstreamUnavailable"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("other layer", "has another digest"),
        ("longer layer", "is larger"),
        ("empty layer", "is empty"),
        ("no layer", "lacks the blob"),
        ("other manifest", "has another digest"),
        ("no manifest", "is not valid"),
        ("no child", "lacks sha256:"),
    ],
)
def test_when_the_upstream_gives_other_bytes_then_nothing_of_them_is_served(
    fault: str, reason: str, upstream: UpstreamDouble, rule: Rule, cached: Callable[[str], Repository]
) -> None:
    image = make_image(note="broken")
    index = make_index(image)
    upstream.hold("app", image)
    upstream.hold("app", index, "v1")
    layer = next(iter(image.blobs))
    content = image.blobs[layer]
    match fault:
        case "other layer":
            upstream.answers[f"/v2/app/blobs/{layer}"] = (bytes(len(content)), "")
        case "longer layer":
            upstream.answers[f"/v2/app/blobs/{layer}"] = (content + b"more", "")
        case "empty layer":
            upstream.answers[f"/v2/app/blobs/{layer}"] = (b"", "")
        case "no layer":
            del upstream.answers[f"/v2/app/blobs/{layer}"]
        case "other manifest":
            other = make_image(note="other")
            upstream.answers[f"/v2/app/manifests/{image.digest}"] = (other.manifest, other.media_type)
        case "no manifest":
            upstream.answers["/v2/app/manifests/v1"] = (b"<html>Welcome</html>", "text/html")
        case "no child":
            del upstream.answers[f"/v2/app/manifests/{image.digest}"]
    target = cached(f"{rule(upstream.host)}/app")
    assert manifest_status(target, "v1") == (503, "UNAVAILABLE")
    (failure,) = batch_get(target, imageTag="v1")["failures"]
    assert failure["failureCode"] == "UpstreamUnavailable"
    assert reason in failure["failureReason"]


def test_when_many_pull_the_same_image_then_it_is_fetched_once(
    upstream: UpstreamDouble, rule: Rule, cached: Callable[[str], Repository]
) -> None:
    image = make_image(note="popular")
    upstream.hold("app", image, "v1")
    upstream.delay = 0.1
    target = cached(f"{rule(upstream.host)}/app")
    with target.session as session, ThreadPoolExecutor(8) as pool:
        headers = dict(session.headers)
        url = target.url("manifests/v1")
        answers = list(pool.map(lambda _: requests.get(url, headers=headers, timeout=20), range(8)))
    assert [answer.content for answer in answers] == [image.manifest] * 8
    assert sorted(upstream.asked) == sorted(set(upstream.asked))


def test_when_a_tag_was_pushed_here_then_the_upstream_is_not_asked_for_it(
    upstream: UpstreamDouble, rule: Rule, cached: Callable[[str], Repository], caching: Any
) -> None:
    own = make_image(note="own")
    upstream.hold("app", make_image(note="theirs"), "v1")
    target = cached(f"{rule(upstream.host)}/app")
    caching.create_repository(repositoryName=target.name)
    target.push(own, "v1")
    pull(target, own, "v1")
    assert upstream.asked == []


def test_when_no_rule_covers_the_repository_then_nothing_is_pulled(cached: Callable[[str], Repository]) -> None:
    assert manifest_status(cached("uncovered/app"), "v1") == (404, "NAME_UNKNOWN")


def test_when_a_layer_was_cached_then_it_cannot_be_mounted(
    upstream: UpstreamDouble, rule: Rule, cached: Callable[[str], Repository], caching: Any, new_name: Callable[[], str]
) -> None:
    image = make_image(note="not to be mounted")
    upstream.hold("app", image, "v1")
    source, target = cached(f"{rule(upstream.host)}/app"), cached(new_name())
    pull(source, image, "v1")
    caching.create_repository(repositoryName=target.name)
    caching.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    with target.session as session:
        query = {"mount": next(iter(image.blobs)), "from": source.name}
        assert session.post(target.url("blobs/uploads/"), params=query).status_code == 202


# Time


def test_when_a_day_has_gone_then_the_tag_is_compared_and_a_failing_upstream_is_covered_by_the_cache(
    tmp_path: Path, upstream: UpstreamDouble
) -> None:
    old, new = make_image(note="old"), make_image(note="new")
    upstream.hold("app", old, "v1")
    tag = "/v2/app/manifests/v1"
    with running_cloud(tmp_path) as cloud:
        client = cloud.client()
        client.create_pull_through_cache_rule(ecrRepositoryPrefix="ROOT", upstreamRegistryUrl=upstream.host)
        target = Repository(cloud, client, "app")

        def advance(seconds: float) -> None:
            headers = {"X-Ecrlab-Token": "control"}
            url = f"{cloud.endpoint}/_ecrlab/clock"
            requests.post(url, json={"advance": seconds}, headers=headers, timeout=10).raise_for_status()

        pull(target, old, "v1")
        upstream.hold("app", new, "v1")
        advance(DAY - 60)
        pull(target, old, "v1")
        assert upstream.asked.count(tag) == 1
        advance(120)
        pull(target, new, "v1")
        assert upstream.asked.count(tag) == 2
        pull(target, old, old.digest)  # stays, untagged
        advance(DAY + 1)
        upstream.status = 500
        pull(target, new, "v1")
        upstream.status, upstream.answers = None, {}
        pull(target, new, "v1")


def test_when_the_cached_tag_is_immutable_then_it_stays_as_it_was(tmp_path: Path, upstream: UpstreamDouble) -> None:
    old = make_image(note="frozen")
    upstream.hold("app", old, "v1")
    with running_cloud(tmp_path) as cloud:
        client = cloud.client()
        client.create_pull_through_cache_rule(ecrRepositoryPrefix="ROOT", upstreamRegistryUrl=upstream.host)
        client.create_repository(repositoryName="app", imageTagMutability="IMMUTABLE")
        target = Repository(cloud, client, "app")
        pull(target, old, "v1")
        upstream.hold("app", make_image(note="thawed"), "v1")
        headers = {"X-Ecrlab-Token": "control"}
        requests.post(f"{cloud.endpoint}/_ecrlab/clock", json={"advance": DAY}, headers=headers, timeout=10)
        pull(target, old, "v1")


# Logins


def secret(cloud: RunningCloud, name: str, text: str) -> str:
    client = cloud.client("secretsmanager", region=CACHING)
    arn: str = client.create_secret(Name=f"ecr-pullthroughcache/{name}", SecretString=text)["ARN"]
    return arn


@pytest.mark.parametrize("login", ["basic", "bearer"])
def test_when_the_upstream_asks_for_a_login_then_the_secret_is_sent(
    login: str, shared_cloud: RunningCloud, upstream: UpstreamDouble, rule: Rule, cached: Callable[[str], Repository]
) -> None:
    upstream.login = login
    image = make_image(note=login)
    upstream.hold("app", image, "v1")
    arn = secret(shared_cloud, login, '{"username": "someone", "accessToken": "sesame"}')
    prefix = rule(upstream.host, credentialArn=arn)
    target = cached(f"{prefix}/app")
    pull(target, image, "v1")
    # The login is checked with a scope in the double, which GET /v2/ of a real registry leaves out.
    answer = target.ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)
    assert (answer["isValid"], answer["credentialArn"]) == (True, arn)


def test_when_the_secret_is_wrong_or_malformed_then_the_rule_is_not_valid(
    shared_cloud: RunningCloud, upstream: UpstreamDouble, rule: Rule, cached: Callable[[str], Repository], caching: Any
) -> None:
    upstream.login = "basic"
    for number, text in enumerate(('{"username": "someone", "accessToken": "guess"}', "not JSON", '{"username": 1}')):
        prefix = rule(upstream.host, credentialArn=secret(shared_cloud, f"wrong-{number}", text))
        answer = caching.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)
        assert answer["isValid"] is False
        assert answer["failure"]
        (failure,) = batch_get(cached(f"{prefix}/app"), imageTag="v1")["failures"]
        assert failure["failureCode"] == "UpstreamAccessDenied"


def test_when_a_rule_is_validated_then_the_upstream_is_really_asked(
    upstream: UpstreamDouble, rule: Rule, caching: Any
) -> None:
    prefix = rule(upstream.host)
    assert caching.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)["isValid"] is True
    assert upstream.asked == ["/v2/"]
    upstream.status = 500
    assert "500" in caching.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)["failure"]
    assert caching.validate_pull_through_cache_rule(ecrRepositoryPrefix=rule(HOME))["isValid"] is True


# Rules

GONE = f"arn:aws:secretsmanager:{CACHING}:{ACCOUNT}:secret:ecr-pullthroughcache/gone-AbCdEf"


def test_when_a_rule_is_made_changed_and_deleted_then_each_answer_says_so(
    shared_cloud: RunningCloud, new_name: Callable[[], str]
) -> None:
    client = shared_cloud.client(region="eu-central-1")
    named = {"ecrRepositoryPrefix": "hub"}
    made = client.create_pull_through_cache_rule(
        ecrRepositoryPrefix="hub/", upstreamRegistryUrl="quay.io", upstreamRegistry="quay"
    )
    assert made["ecrRepositoryPrefix"] == "hub"
    assert (made["upstreamRegistry"], made["upstreamRepositoryPrefix"]) == ("quay", "ROOT")
    with pytest.raises(client.exceptions.PullThroughCacheRuleAlreadyExistsException):
        client.create_pull_through_cache_rule(**named, upstreamRegistryUrl="quay.io")
    (found,) = client.describe_pull_through_cache_rules(ecrRepositoryPrefixes=["hub"])["pullThroughCacheRules"]
    assert found["upstreamRegistryUrl"] == "quay.io"
    assert found["createdAt"] == found["updatedAt"] == made["createdAt"]
    assert client.update_pull_through_cache_rule(**named)["updatedAt"] > made["createdAt"]
    assert client.delete_pull_through_cache_rule(**named)["upstreamRegistryUrl"] == "quay.io"
    for operation in ("delete", "update", "validate"):
        with pytest.raises(client.exceptions.PullThroughCacheRuleNotFoundException):
            getattr(client, f"{operation}_pull_through_cache_rule")(**named)
    with pytest.raises(client.exceptions.PullThroughCacheRuleNotFoundException):
        client.describe_pull_through_cache_rules(ecrRepositoryPrefixes=["hub"])


@pytest.mark.parametrize(
    ("code", "members"),
    [
        ("UnsupportedUpstreamRegistryException", {"upstreamRegistryUrl": "registry.example.com"}),
        ("UnsupportedUpstreamRegistryException", {"upstreamRegistryUrl": "https://quay.io"}),
        ("UnsupportedUpstreamRegistryException", {"upstreamRegistryUrl": "127.0.0.1.example.com"}),
        ("InvalidParameterException", {"upstreamRegistryUrl": "quay.io", "upstreamRegistry": "k8s"}),
        ("InvalidParameterException", {"upstreamRegistryUrl": "registry-1.docker.io"}),
        ("InvalidParameterException", {"upstreamRegistryUrl": "quay.io", "customRoleArn": "arn:aws:iam::1:role/r"}),
        ("InvalidParameterException", {"upstreamRegistryUrl": HOME.replace(REGION, CACHING)}),
        ("InvalidParameterException", {"upstreamRegistryUrl": HOME.replace(ACCOUNT, "111122223333")}),
        ("InvalidParameterException", {"upstreamRegistryUrl": HOME, "credentialArn": GONE}),
        ("SecretNotFoundException", {"upstreamRegistryUrl": "ghcr.io", "credentialArn": GONE}),
        (
            "UnableToAccessSecretException",
            {"upstreamRegistryUrl": "ghcr.io", "credentialArn": GONE.replace(CACHING, REGION)},
        ),
        (
            "InvalidParameterException",
            {"upstreamRegistryUrl": "ghcr.io", "credentialArn": GONE.replace("ecr-pullthroughcache", "other")},
        ),
        ("ValidationException", {"upstreamRegistryUrl": "quay.io", "upstreamRepositoryPrefix": "team"}),
        (
            "ValidationException",
            {"ecrRepositoryPrefix": "ROOT", "upstreamRegistryUrl": HOME, "upstreamRepositoryPrefix": "team"},
        ),
        ("ValidationException", {"ecrRepositoryPrefix": "a/", "upstreamRegistryUrl": "quay.io"}),
        ("InvalidParameterException", {"ecrRepositoryPrefix": "UPPER", "upstreamRegistryUrl": "quay.io"}),
    ],
)
def test_when_a_rule_is_not_possible_then_it_is_refused(code: str, members: dict[str, str], caching: Any) -> None:
    with pytest.raises(ClientError) as refused:
        caching.create_pull_through_cache_rule(**{"ecrRepositoryPrefix": "refused", **members})
    assert refused.value.response["Error"]["Code"] == code


def test_when_there_are_fifty_rules_then_no_more_are_made_and_pages_list_them_all(shared_cloud: RunningCloud) -> None:
    client = shared_cloud.client(region="eu-north-1")
    prefixes = [f"quay-{number:02}" for number in range(50)]
    for prefix in prefixes:
        client.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl="quay.io")
    with pytest.raises(client.exceptions.LimitExceededException):
        client.create_pull_through_cache_rule(ecrRepositoryPrefix="quay-50", upstreamRegistryUrl="quay.io")
    pages = client.get_paginator("describe_pull_through_cache_rules").paginate(PaginationConfig={"PageSize": 20})
    assert [item["ecrRepositoryPrefix"] for page in pages for item in page["pullThroughCacheRules"]] == prefixes
    with pytest.raises(client.exceptions.ValidationException):
        client.describe_pull_through_cache_rules(ecrRepositoryPrefixes=["quay-00"], maxResults=5)
