"""Images that refer to images, through the ECR API (ecr-semantics section 10: UG/images, botocore model)."""

from __future__ import annotations

import json

import pytest

from tests.cloud.conftest import MadeImage, Repository, make_image, sha256
from tests.cloud.support import make_referrer, refusal

SBOM = "application/vnd.example.sbom"
SIGNATURE = "application/vnd.example.signature"


@pytest.fixture
def subject(repository: Repository) -> MadeImage:
    image = make_image(note="subject")
    repository.push(image, "v1")
    return image


def referrers(repository: Repository, digest: str, **parameters: object) -> list[dict[str, object]]:
    answer = repository.ecr.list_image_referrers(
        repositoryName=repository.name, subjectId={"imageDigest": digest}, **parameters
    )
    listed: list[dict[str, object]] = answer["referrers"]
    return listed


def test_when_an_artifact_refers_to_an_image_then_it_is_listed_with_its_annotations(
    repository: Repository, subject: MadeImage
) -> None:
    artifact = make_referrer(subject, annotations={"org.example.tool": "list-maker"})
    repository.push(artifact)
    repository.push(make_image(note="refers to nothing"), "v2")
    assert referrers(repository, subject.digest) == [
        {
            "digest": artifact.digest,
            "mediaType": artifact.media_type,
            "artifactType": SBOM,
            "size": len(artifact.manifest),
            "annotations": {"org.example.tool": "list-maker"},
            "artifactStatus": "ACTIVE",
        }
    ]


def test_when_an_artifact_refers_to_an_image_then_it_is_an_image_of_the_repository(
    repository: Repository, subject: MadeImage
) -> None:
    repository.push(make_referrer(subject))
    details = {detail["imageDigest"]: detail for detail in repository.describe()}
    detail = details[make_referrer(subject).digest]
    assert detail["subjectManifestDigest"] == subject.digest
    assert detail["artifactMediaType"] == SBOM
    assert "imageTags" not in detail
    assert "subjectManifestDigest" not in details[subject.digest]


def test_when_the_artifact_type_is_left_out_then_it_is_the_media_type_of_the_config(
    repository: Repository, subject: MadeImage
) -> None:
    fields = json.loads(make_referrer(subject, note="no type").manifest)
    artifact = make_image(note="no type", subject=fields["subject"])
    repository.push(artifact)
    (listed,) = referrers(repository, subject.digest)
    assert listed["artifactType"] == "application/vnd.oci.image.config.v1+json"
    assert "annotations" not in listed


def test_when_types_are_asked_for_then_only_these_are_listed(repository: Repository, subject: MadeImage) -> None:
    sbom, signature = make_referrer(subject), make_referrer(subject, artifactType=SIGNATURE)
    repository.push(sbom)
    repository.push(signature)
    for types, expected in [
        ([SBOM], [sbom]),
        ([SIGNATURE], [signature]),
        ([SIGNATURE, SBOM], [sbom, signature]),
        (["application/vnd.example.other"], []),
    ]:
        listed = referrers(repository, subject.digest, filter={"artifactTypes": types})
        assert [item["digest"] for item in listed] == [artifact.digest for artifact in expected]
    code, _message = refusal(
        repository.ecr.list_image_referrers,
        repositoryName=repository.name,
        subjectId={"imageDigest": subject.digest},
        filter={"artifactTypes": ["a/b"] * 6},
    )
    assert code in ("InvalidParameterException", "ValidationException")


def test_when_there_are_many_referrers_then_pages_hold_each_once(repository: Repository, subject: MadeImage) -> None:
    made = [make_referrer(subject, note=str(number)) for number in range(23)]
    for artifact in made:
        repository.push(artifact)
    # Without maxResults a page has up to 20: botocore's model.
    assert len(referrers(repository, subject.digest)) == 20
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = repository.ecr.list_image_referrers(
            repositoryName=repository.name, subjectId={"imageDigest": subject.digest}, maxResults=10, **token
        )
        found += [item["digest"] for item in answer["referrers"]]
        if "nextToken" not in answer:
            break
        token = {"nextToken": answer["nextToken"]}
    assert found == [artifact.digest for artifact in made]
    code, message = refusal(
        repository.ecr.list_image_referrers,
        repositoryName=repository.name,
        subjectId={"imageDigest": subject.digest},
        maxResults=51,
    )
    assert code in ("InvalidParameterException", "ValidationException")
    assert "less than or equal to 50" in message


def test_when_nothing_refers_to_a_digest_then_the_list_is_empty(repository: Repository, subject: MadeImage) -> None:
    assert referrers(repository, subject.digest) == []
    assert referrers(repository, sha256(b"absent")) == []
    code, _message = refusal(
        repository.ecr.list_image_referrers, repositoryName="absent", subjectId={"imageDigest": subject.digest}
    )
    assert code == "RepositoryNotFoundException"


def test_when_the_subject_comes_later_or_goes_then_its_referrers_stay(repository: Repository) -> None:
    subject = make_image(note="later")
    artifact = make_referrer(subject)
    repository.push(artifact)  # OCI: a registry must accept a subject that it does not have
    repository.push(subject, "v1")
    assert [item["digest"] for item in referrers(repository, subject.digest)] == [artifact.digest]
    repository.ecr.batch_delete_image(repositoryName=repository.name, imageIds=[{"imageTag": "v1"}])
    assert [item["digest"] for item in referrers(repository, subject.digest)] == [artifact.digest]


def test_when_an_artifact_refers_to_another_then_each_has_its_own_list(
    repository: Repository, subject: MadeImage
) -> None:
    sbom = make_referrer(subject)
    signature = make_referrer(sbom, artifactType=SIGNATURE)
    repository.push(sbom)
    repository.push(signature)
    assert [item["digest"] for item in referrers(repository, subject.digest)] == [sbom.digest]
    assert [item["digest"] for item in referrers(repository, sbom.digest)] == [signature.digest]


@pytest.mark.parametrize(
    "annotations", ["text", ["list"], {"key": 1}, {"key": None}, {"key": "\ud800"}, {"\udfff": ""}]
)
def test_when_annotations_are_not_text_then_the_manifest_is_refused_and_nothing_is_stored(
    repository: Repository, subject: MadeImage, annotations: object
) -> None:
    code, message = refusal(repository.push, image=make_referrer(subject, annotations=annotations))
    assert (code, "Invalid JSON syntax" in message) == ("InvalidParameterException", True)
    assert referrers(repository, subject.digest) == []


def test_when_an_artifact_type_is_longer_than_a_media_type_then_the_manifest_is_refused(
    repository: Repository, subject: MadeImage
) -> None:
    repository.push(make_referrer(subject, artifactType="a/" + "b" * 253))
    code, message = refusal(repository.push, image=make_referrer(subject, artifactType="a/" + "b" * 254))
    assert (code, "Invalid JSON syntax" in message) == ("InvalidParameterException", True)
    assert [len(str(item["artifactType"])) for item in referrers(repository, subject.digest)] == [255]


def test_when_a_subject_is_not_a_descriptor_then_the_manifest_is_refused(repository: Repository) -> None:
    for broken in ("text", {}, {"mediaType": "a/b", "digest": "sha256:12", "size": 1}):
        code, message = refusal(repository.push, image=make_image(note="broken", subject=broken))
        assert (code, "Invalid JSON syntax" in message) == ("InvalidParameterException", True)
    assert repository.describe() == []


def test_when_an_artifact_is_pushed_by_docker_then_the_answer_names_its_subject(
    repository: Repository, subject: MadeImage
) -> None:
    artifact = make_referrer(subject)
    for content in artifact.blobs.values():
        if sha256(content) not in subject.blobs:
            repository.upload(content)
    with repository.session as session:
        answer = session.put(
            repository.url(f"manifests/{artifact.digest}"),
            data=artifact.manifest,
            headers={"Content-Type": artifact.media_type},
        )
    assert answer.status_code == 201
    assert answer.headers["OCI-Subject"] == subject.digest


# On the data plane (section 10; OCI distribution specification, "Listing Referrers")


def test_when_referrers_are_listed_over_http_then_they_are_an_index(repository: Repository) -> None:
    subject = make_image(note="subject")
    repository.push(subject, "v1")
    sbom = make_referrer(subject, "sbom", annotations={"made-by": "a test"})
    other = make_referrer(subject, "other", artifactType="application/vnd.example.signature")
    repository.push(sbom)
    repository.push(other)
    url = repository.url(f"referrers/{subject.digest}")
    with repository.session as session:
        answer = session.get(url)
        filtered = session.get(url, params={"artifactType": "application/vnd.example.signature"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
    assert "OCI-Filters-Applied" not in answer.headers
    first, second = answer.json()["manifests"]
    assert first == {
        "mediaType": sbom.media_type,
        "digest": sbom.digest,
        "size": len(sbom.manifest),
        "artifactType": "application/vnd.example.sbom",
        "annotations": {"made-by": "a test"},
    }
    assert second["digest"] == other.digest
    assert [item["digest"] for item in filtered.json()["manifests"]] == [other.digest]
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"


def test_when_nothing_refers_to_a_digest_then_the_index_is_empty(repository: Repository) -> None:
    with repository.session as session:
        answer = session.get(repository.url(f"referrers/{sha256(b'unknown')}"))
        wrong = session.get(repository.url("referrers/v1"))
    assert (answer.status_code, answer.json()["manifests"]) == (200, [])
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")


def test_when_there_are_many_referrers_then_pages_link_to_the_next(repository: Repository) -> None:
    subject = make_image(note="much described")
    repository.push(subject, "v1")
    expected = set()
    for number in range(52):
        referrer = make_referrer(subject, str(number))
        repository.push(referrer)
        expected.add(referrer.digest)
    url, seen = repository.url(f"referrers/{subject.digest}?artifactType=application/vnd.example.sbom"), []
    with repository.session as session:
        while url:
            answer = session.get(url)
            seen += [item["digest"] for item in answer.json()["manifests"]]
            url = repository.cloud.endpoint + answer.links["next"]["url"] if "next" in answer.links else ""
    assert len(seen) == 52
    assert set(seen) == expected
