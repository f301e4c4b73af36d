"""Managed signing: signatures that hold, kept as referrers (ecr-semantics section 20)."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import Core, Registry, signatures
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.storage import BlobStore, Database
from tests.cloud.conftest import MadeImage, Repository, make_image, make_index, sha256
from tests.conftest import ACCOUNT, RunningCloud

_numbers = itertools.count()

Configure = Callable[..., Repository]


def profile(region: str, name: str = "team", account: str = ACCOUNT) -> str:
    return f"arn:aws:signer:{region}:{account}:/signing-profiles/{name}"


def rule(arn: str, *filters: str) -> dict[str, Any]:
    named = [{"filter": item, "filterType": "WILDCARD_MATCH"} for item in filters]
    return {"signingProfileArn": arn, **({"repositoryFilters": named} if named else {})}


@pytest.fixture
def region() -> str:
    return f"sa-east-{next(_numbers)}"  # the configuration is the registry's: each test has its own


@pytest.fixture
def client(shared_cloud: RunningCloud, region: str) -> Any:
    return shared_cloud.client(region=region)


@pytest.fixture
def configured(shared_cloud: RunningCloud, client: Any) -> Configure:
    """Put signing rules and return a new repository."""

    def make(*rules: dict[str, Any], name: str = "team/app") -> Repository:
        client.put_signing_configuration(signingConfiguration={"rules": list(rules)})
        client.create_repository(repositoryName=name)
        return Repository(shared_cloud, client, name)

    return make


def statuses(repository: Repository, image: MadeImage) -> dict[str, dict[str, str]]:
    """Return the status of each profile, when none is in progress any more."""
    deadline = time.monotonic() + 10
    while True:
        answer = repository.ecr.describe_image_signing_status(
            repositoryName=repository.name, imageId={"imageDigest": image.digest}
        )
        if all(item["status"] != "IN_PROGRESS" for item in answer["signingStatuses"]):
            return {item["signingProfileArn"]: item for item in answer["signingStatuses"]}
        assert time.monotonic() < deadline, "the signing does not end"
        time.sleep(0.01)


def signatures_of(repository: Repository, image: MadeImage) -> list[dict[str, Any]]:
    subject = {"imageDigest": image.digest}
    answer = repository.ecr.list_image_referrers(repositoryName=repository.name, subjectId=subject)
    return [item for item in answer["referrers"] if item["artifactType"] == signatures.ARTIFACT_TYPE]


def envelope_of(repository: Repository, signature: dict[str, Any]) -> dict[str, Any]:
    with repository.session as session:
        manifest = session.get(repository.url(f"manifests/{signature['digest']}")).json()
        (layer,) = manifest["layers"]
        assert layer["mediaType"] == "application/jose+json"
        answer: dict[str, Any] = session.get(repository.url(f"blobs/{layer['digest']}")).json()
        return answer


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verified(envelope: dict[str, Any]) -> tuple[dict[str, Any], x509.Certificate]:
    """Return what an envelope signs and its certificate. Raises InvalidSignature."""
    certificate = x509.load_der_x509_certificate(base64.b64decode(envelope["header"]["x5c"][0]))
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signature = decoded(envelope["signature"])
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    key.verify(der, f"{envelope['protected']}.{envelope['payload']}".encode(), ec.ECDSA(hashes.SHA256()))
    return json.loads(decoded(envelope["payload"])), certificate


def test_when_a_matching_image_is_pushed_then_a_signature_that_holds_is_its_referrer(
    configured: Configure, region: str
) -> None:
    repository = configured(rule(profile(region), "team/*"))
    image = make_image(note="signed")
    repository.push(image, "v1")
    assert statuses(repository, image) == {
        profile(region): {"signingProfileArn": profile(region), "status": "COMPLETE"}
    }
    (signature,) = signatures_of(repository, image)
    envelope = envelope_of(repository, signature)
    payload, certificate = verified(envelope)
    target = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)}
    assert payload == {"targetArtifact": target}
    protected = json.loads(decoded(envelope["protected"]))
    assert (protected["alg"], protected["cty"]) == ("ES256", "application/vnd.cncf.notary.payload.v1+json")
    assert certificate.subject.rfc4514_string().startswith("CN=team,")
    certificate.verify_directly_issued_by(certificate)
    thumbprint = sha256(base64.b64decode(envelope["header"]["x5c"][0])).removeprefix("sha256:")
    assert json.loads(signature["annotations"]["io.cncf.notary.x509chain.thumbprint#S256"]) == [thumbprint]
    envelope["payload"] = base64.urlsafe_b64encode(b'{"targetArtifact": {}}').decode()
    with pytest.raises(InvalidSignature):
        verified(envelope)


def test_when_the_signature_itself_is_pushed_then_it_is_not_signed(configured: Configure, region: str) -> None:
    repository = configured(rule(profile(region)))
    image = make_image(note="not chained")
    repository.push(image)
    assert statuses(repository, image)
    (signature,) = signatures_of(repository, image)
    answer = repository.ecr.describe_image_signing_status(
        repositoryName=repository.name, imageId={"imageDigest": signature["digest"]}
    )
    assert answer["signingStatuses"] == []
    assert len(repository.describe()) == 2


def test_when_two_profiles_match_then_each_signs_with_its_own_key(configured: Configure, region: str) -> None:
    one, two = profile(region, "one"), profile(region, "two")
    repository = configured(rule(one), rule(two, "*app"), rule(one, "team/*"))
    index = make_index(make_image(note="child"))
    repository.push(make_image(note="child"))
    repository.put(index, "multi")
    assert {arn: item["status"] for arn, item in statuses(repository, index).items()} == {
        one: "COMPLETE",
        two: "COMPLETE",
    }
    made = [verified(envelope_of(repository, item))[1] for item in signatures_of(repository, index)]
    names = {certificate.subject.rfc4514_string().partition(",")[0] for certificate in made}
    assert names == {"CN=one", "CN=two"}


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("team/*", "team/app", True),
        ("team/*", "other/team/app", False),
        ("team", "team/app", False),  # no search inside the name, as for scanning
        ("team/app", "team/app", True),
        ("*/app", "a/b/app", True),
        ("*prod*", "team/prod-1", True),
        ("a*b*c", "a/bb/xc", True),
        ("ab*ba", "aba", False),
        ("a*b*b*c", "a-b-c", False),
        ("*a" * 100 + "b", "a" * 200, False),
    ],
)
def test_when_filters_are_given_then_only_repositories_they_match_are_signed(
    pattern: str, name: str, matches: bool, configured: Configure, region: str
) -> None:
    repository = configured(rule(profile(region), pattern), name=name)
    image = make_image(note="filtered")
    repository.push(image)
    assert bool(statuses(repository, image)) is matches
    assert bool(signatures_of(repository, image)) is matches


def test_when_the_profile_is_of_another_account_then_signing_fails_and_the_push_does_not(
    configured: Configure, region: str
) -> None:
    foreign = profile(region, account="111122223333")
    repository = configured(rule(foreign))
    image = make_image(note="foreign")
    repository.push(image, "v1")
    status = statuses(repository, image)[foreign]
    assert (status["status"], status["failureCode"]) == ("FAILED", "AccessDeniedException")
    assert "signer:SignPayload" in status["failureReason"]
    assert signatures_of(repository, image) == []


def test_when_a_signed_image_gets_another_tag_then_it_is_not_signed_again(configured: Configure, region: str) -> None:
    repository = configured()
    image = make_image(note="retagged")
    repository.push(image, "before")
    assert statuses(repository, image) == {}
    repository.ecr.put_signing_configuration(signingConfiguration={"rules": [rule(profile(region))]})
    for tag in ("v1", "v2"):
        repository.put(image, tag)
        assert statuses(repository, image)[profile(region)]["status"] == "COMPLETE"
    assert len(signatures_of(repository, image)) == 1


def test_when_the_configuration_is_deleted_then_nothing_more_is_signed_and_signatures_stay(
    configured: Configure, region: str, client: Any
) -> None:
    configuration = {"rules": [rule(profile(region), "team/*")]}
    repository = configured(*configuration["rules"])
    signed, unsigned = make_image(note="signed"), make_image(note="unsigned")
    repository.push(signed)
    assert statuses(repository, signed)
    assert client.get_signing_configuration()["signingConfiguration"] == configuration
    deleted = client.delete_signing_configuration()
    assert (deleted["registryId"], deleted["signingConfiguration"]) == (ACCOUNT, configuration)
    repository.push(unsigned)
    assert statuses(repository, unsigned) == {}
    assert len(signatures_of(repository, signed)) == 1
    for operation in (client.get_signing_configuration, client.delete_signing_configuration):
        with pytest.raises(client.exceptions.SigningConfigurationNotFoundException):
            operation()


def test_when_the_configuration_is_not_possible_then_it_is_refused(region: str, client: Any) -> None:
    for rules in ([rule(profile("elsewhere-1"))], [rule(profile(region, f"p{number}")) for number in range(11)]):
        with pytest.raises(ClientError) as refused:
            client.put_signing_configuration(signingConfiguration={"rules": rules})
        assert refused.value.response["Error"]["Code"] in ("ValidationException", "InvalidParameterException")
    with pytest.raises(client.exceptions.SigningConfigurationNotFoundException):
        client.get_signing_configuration()


def test_when_the_image_or_repository_is_absent_then_its_signing_status_is_not_found(
    configured: Configure, client: Any
) -> None:
    repository = configured()
    absent = {"imageId": {"imageTag": "absent"}}
    with pytest.raises(client.exceptions.ImageNotFoundException):
        client.describe_image_signing_status(repositoryName=repository.name, **absent)
    with pytest.raises(client.exceptions.RepositoryNotFoundException):
        client.describe_image_signing_status(repositoryName="team/absent", **absent)


def test_when_replication_is_configured_then_the_signature_goes_with_the_image_and_the_copy_is_not_signed(
    configured: Configure, region: str, client: Any, shared_cloud: RunningCloud
) -> None:
    there = f"{region}1"
    destinations = [{"region": there, "registryId": ACCOUNT}]
    client.put_replication_configuration(replicationConfiguration={"rules": [{"destinations": destinations}]})
    repository = configured(rule(profile(region)))
    target = Repository(shared_cloud, shared_cloud.client(region=there), repository.name)
    target.ecr.put_signing_configuration(signingConfiguration={"rules": [rule(profile(there))]})
    image = make_image(note="replicated")
    repository.push(image)
    assert statuses(repository, image)
    assert statuses(target, image) == {}
    (signature,) = signatures_of(target, image)
    assert verified(envelope_of(target, signature))[0]["targetArtifact"]["digest"] == image.digest


# Step by step

HERE = Registry(ACCOUNT, "us-east-1")


class Lab:
    """A core whose background work the test does itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder)
        self.work: list[Callable[[], None]] = []
        self.core = self.new_core()
        self.core.signing.put(HERE, {"rules": [rule(profile(HERE.region))]})
        self.repository = self.core.repositories.create(HERE, "app")

    def new_core(self) -> Core:
        def background(work: Callable[[], Any], done: Callable[[Any], None]) -> None:
            self.work.append(lambda: done(work()))

        return Core(self.database, BlobStore(self.folder), Clock(), background)

    def push(self, image: MadeImage) -> None:
        for digest, content in image.blobs.items():
            upload = self.core.layers.start(self.repository)
            upload.write([content])
            self.core.layers.complete(self.repository, upload.id, digest)
        self.core.pushes.put(self.repository, image.manifest)

    def finish(self) -> None:
        while self.work:
            self.work.pop(0)()

    def status(self, image: MadeImage) -> str:
        found = self.core.images.get(self.repository, ImageId(image.digest))
        (status,) = self.core.signing.statuses(found)
        return status.status


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "cloud")
    yield made
    made.database.close()


def test_when_the_server_was_killed_then_the_image_is_signed_after_its_start(lab: Lab) -> None:
    image = make_image()
    lab.push(image)
    assert lab.status(image) == "IN_PROGRESS"
    lab.work.clear()
    lab.core = lab.new_core()
    lab.core.signing.run_unfinished()
    lab.finish()
    assert lab.status(image) == "COMPLETE"


def test_when_the_image_is_deleted_before_it_is_signed_then_no_signature_is_left(lab: Lab) -> None:
    image = make_image()
    lab.push(image)
    lab.core.images.delete(lab.repository, [ImageId(image.digest)])
    lab.finish()
    assert lab.core.images.describe(lab.repository, limit=9).items == []


def test_when_the_signature_cannot_be_stored_then_the_status_says_why(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image()
    lab.push(image)
    monkeypatch.setattr("ecrlab.cloud.core.pushes.MAX_IMAGES", 1)
    lab.finish()
    (status,) = lab.core.signing.statuses(lab.core.images.get(lab.repository, ImageId(image.digest)))
    assert (status.status, status.failure_code) == ("FAILED", "LimitExceededException")
    assert status.failure_reason
