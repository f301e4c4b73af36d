"""The data plane over plain HTTP: what the words of ECR are, byte for byte."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable

import pytest
import requests

from tests.cloud.conftest import MadeImage, Repository, make_image, make_index, sha256
from tests.conftest import ACCOUNT, REGION, RunningCloud, running_cloud


def push_layer(repository: Repository, session: requests.Session, content: bytes) -> requests.Response:
    started = session.post(repository.url("blobs/uploads/"))
    assert started.status_code == 202
    location = repository.cloud.endpoint + started.headers["Location"]
    assert session.patch(location, data=content).status_code == 202
    return session.put(location, params={"digest": sha256(content)})


def push(repository: Repository, session: requests.Session, image: MadeImage, reference: str) -> requests.Response:
    for content in image.blobs.values():
        assert push_layer(repository, session, content).status_code == 201
    return put_manifest(repository, session, image, reference)


def put_manifest(
    repository: Repository, session: requests.Session, image: MadeImage, reference: str
) -> requests.Response:
    headers = {"Content-Type": image.media_type}
    return session.put(repository.url(f"manifests/{reference}"), data=image.manifest, headers=headers)


def error_of(response: requests.Response) -> tuple[int, str, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["code"], error["message"]


def test_when_nobody_is_logged_in_then_the_challenge_is_basic(shared_cloud: RunningCloud) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic ä".encode()}):
        answer = requests.get(f"{shared_cloud.endpoint}/v2/", headers=headers, timeout=10)
        assert answer.status_code == 401
        expected = f'Basic realm="https://{shared_cloud.address}/",service="ecr.amazonaws.com"'
        assert answer.headers["Www-Authenticate"] == expected
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
        assert answer.text == "Not Authorized\n"


@pytest.mark.parametrize("credentials", ["AWS:", "AWS:nonsense", "me:you", "AWS"])
def test_when_the_password_is_no_token_then_it_is_not_authorised(shared_cloud: RunningCloud, credentials: str) -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}
    assert requests.get(f"{shared_cloud.endpoint}/v2/", headers=headers, timeout=10).status_code == 401


def test_when_an_image_is_pushed_then_both_planes_show_it_byte_for_byte(repository: Repository) -> None:
    image = make_image(note="pushed")
    with repository.session as session:
        put = push(repository, session, image, "v1")
        assert put.status_code == 201
        assert put.headers["Docker-Content-Digest"] == image.digest
        for reference in ("v1", image.digest):
            got = session.get(repository.url(f"manifests/{reference}"))
            assert got.content == image.manifest
            assert got.headers["Content-Type"] == image.media_type
            head = session.head(repository.url(f"manifests/{reference}"))
            assert head.headers["Docker-Content-Digest"] == image.digest
            assert head.headers["Content-Length"] == str(len(image.manifest))
        for digest, content in image.blobs.items():
            assert session.get(repository.url(f"blobs/{digest}")).content == content
            assert session.head(repository.url(f"blobs/{digest}")).headers["Content-Length"] == str(len(content))
    (detail,) = repository.describe()
    assert (detail["imageDigest"], detail["imageTags"]) == (image.digest, ["v1"])
    assert "lastRecordedPullTime" in detail


def test_when_a_range_of_a_layer_is_asked_then_only_that_comes(repository: Repository) -> None:
    content = bytes(range(256)) * 10
    with repository.session as session:
        push_layer(repository, session, content)
        got = session.get(repository.url(f"blobs/{sha256(content)}"), headers={"Range": "bytes=100-199"})
    assert got.status_code == 206
    assert got.content == content[100:200]
    assert got.headers["Content-Range"] == f"bytes 100-199/{len(content)}"


def test_when_a_layer_comes_in_one_post_then_it_is_there(repository: Repository) -> None:
    content = b"at once"
    with repository.session as session:
        url = repository.url("blobs/uploads/")
        assert session.post(url, params={"digest": sha256(content)}, data=content).status_code == 201
        assert session.head(repository.url(f"blobs/{sha256(content)}")).status_code == 200
        wrong = session.post(url, params={"digest": sha256(b"other")}, data=content)
        assert error_of(wrong)[:2] == (400, "DIGEST_INVALID")


def test_when_chunks_come_out_of_order_then_the_range_is_told(repository: Repository) -> None:
    with repository.session as session:
        location = repository.cloud.endpoint + session.post(repository.url("blobs/uploads/")).headers["Location"]
        first = session.patch(location, data=b"01234", headers={"Content-Range": "0-4"})
        assert (first.status_code, first.headers["Range"]) == (202, "0-4")
        for wrong in ("0-4", "6-10", "nonsense"):
            answer = session.patch(location, data=b"56789", headers={"Content-Range": wrong})
            assert (answer.status_code, answer.headers["Range"]) == (416, "0-4")
        assert session.patch(location, data=b"56789", headers={"Content-Range": "5-9"}).status_code == 202
        status = session.get(location)
        assert (status.status_code, status.headers["Range"]) == (204, "0-9")
        done = session.put(location, params={"digest": sha256(b"0123456789ab")}, data=b"ab")
        assert done.status_code == 201
        assert error_of(session.get(location))[:2] == (404, "BLOB_UPLOAD_UNKNOWN")


def test_when_an_upload_is_cancelled_then_it_is_gone(repository: Repository) -> None:
    with repository.session as session:
        location = repository.cloud.endpoint + session.post(repository.url("blobs/uploads/")).headers["Location"]
        assert session.delete(location).status_code == 204
        assert error_of(session.patch(location, data=b"x"))[:2] == (404, "BLOB_UPLOAD_UNKNOWN")


def test_when_the_bytes_have_another_digest_then_the_layer_is_refused(repository: Repository) -> None:
    with repository.session as session:
        location = repository.cloud.endpoint + session.post(repository.url("blobs/uploads/")).headers["Location"]
        session.patch(location, data=b"content")
        answer = session.put(location, params={"digest": sha256(b"other")})
        assert error_of(answer)[:2] == (400, "DIGEST_INVALID")
        assert session.head(repository.url(f"blobs/{sha256(b'content')}")).status_code == 404


def test_when_a_client_stops_in_the_middle_then_nothing_is_visible(repository: Repository) -> None:
    content = b"x" * 100_000
    with repository.session as session:
        location = session.post(repository.url("blobs/uploads/")).headers["Location"]
        host, _, port = repository.cloud.address.partition(":")
        authorization = session.headers["Authorization"]
        for length in (b"100000", b"200000"):  # the second client says more than it sends
            with socket.create_connection((host, int(port))) as raw:
                raw.sendall(
                    f"PUT {location}?digest={sha256(content)} HTTP/1.1\r\nHost: {repository.cloud.address}\r\n"
                    f"Authorization: {authorization!s}\r\nContent-Length: ".encode()
                    + length
                    + b"\r\n\r\n"
                    + content[:50_000]
                )
        # The server answers and the layer does not exist, however the cut is timed.
        assert session.head(repository.url(f"blobs/{sha256(content)}")).status_code == 404
        # The client begins again, as docker does.
        assert push_layer(repository, session, content).status_code == 201


def test_when_a_layer_is_pushed_twice_then_docker_hears_success(repository: Repository) -> None:
    with repository.session as session:
        assert push_layer(repository, session, b"again").status_code == 201
        assert push_layer(repository, session, b"again").status_code == 201


def test_when_the_repository_is_absent_then_its_name_is_told(repository: Repository) -> None:
    absent = Repository(repository.cloud, repository.ecr, "absent/app")
    expected = (
        404,
        "NAME_UNKNOWN",
        f"The repository with name 'absent/app' does not exist in the registry with id '{ACCOUNT}'",
    )
    with repository.session as session:
        assert error_of(session.get(absent.url("manifests/v1"))) == expected
        assert error_of(session.post(absent.url("blobs/uploads/"))) == expected
        assert error_of(session.get(absent.url("tags/list"))) == expected


def test_when_the_image_is_absent_then_the_manifest_is_unknown(repository: Repository) -> None:
    with repository.session as session:
        for reference in ("v1", sha256(b"absent")):
            answer = session.get(repository.url(f"manifests/{reference}"))
            assert error_of(answer) == (404, "MANIFEST_UNKNOWN", "Requested image not found")


def test_when_layers_are_missing_then_the_manifest_is_refused_in_ecrs_words(repository: Repository) -> None:
    image = make_image(note="missing")
    with repository.session as session:
        status, code, message = error_of(put_manifest(repository, session, image, "v1"))
        assert code == "BLOB_UPLOAD_UNKNOWN"
        assert message.startswith("Layers with digests '[sha256:")
        assert message.endswith(
            f"required for pushing image into repository with name '{repository.name}' in the registry with id "
            f"'{ACCOUNT}' do not exist"
        )
        assert status == 404


def test_when_the_manifest_is_put_under_another_digest_then_it_is_invalid(repository: Repository) -> None:
    image = make_image()
    with repository.session as session:
        push(repository, session, image, "v1")
        answer = put_manifest(repository, session, image, sha256(b"other"))
        assert error_of(answer)[:2] == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    ("reference", "body", "parameter"),
    [
        ("v1", b"{", "ImageManifest"),
        ("v1", b"x" * 5_000_000, "ImageManifest"),
        ("-v1", b"{}", "imageTag"),
        ("sha256:short", b"{}", "imageDigest"),
    ],
)
def test_when_input_is_invalid_then_it_is_unsupported(
    repository: Repository, reference: str, body: bytes, parameter: str
) -> None:
    with repository.session as session:
        status, code, message = error_of(session.put(repository.url(f"manifests/{reference}"), data=body))
    assert (status, code) == (405, "UNSUPPORTED")
    assert message.startswith(f"Invalid parameter at '{parameter}' failed to satisfy constraint: ")


def test_when_a_tag_is_immutable_then_no_push_moves_it(new_repository: Callable[..., Repository]) -> None:
    repository = new_repository(imageTagMutability="IMMUTABLE")
    first, second = make_image(note="first"), make_image(note="second")
    with repository.session as session:
        assert push(repository, session, first, "v1").status_code == 201
        for image in (first, second):  # the identical image too
            status, code, message = error_of(push(repository, session, image, "v1"))
            assert (status, code) == (400, "TAG_INVALID")
            assert message == (
                f"The image tag 'v1' already exists in the '{repository.name}' repository and cannot be overwritten "
                "because the tag is immutable."
            )
        # By digest nothing moves, so the same image is fine.
        assert put_manifest(repository, session, first, first.digest).status_code == 201


def test_when_the_same_image_is_pushed_to_a_mutable_tag_then_it_is_accepted(repository: Repository) -> None:
    with repository.session as session:
        for _ in range(2):
            assert push(repository, session, make_image(), "v1").status_code == 201


def test_when_a_manifest_is_deleted_then_it_is_gone(repository: Repository) -> None:
    child = make_image(note="child")
    index = make_index(child)
    with repository.session as session:
        push(repository, session, child, child.digest)
        put_manifest(repository, session, index, "v1")
        refused = session.delete(repository.url(f"manifests/{child.digest}"))
        assert error_of(refused)[2] == f"Requested image referenced by manifest list: [{index.digest}]"
        assert session.delete(repository.url("manifests/v1")).status_code == 202
        assert session.get(repository.url("manifests/v1")).status_code == 404
        assert session.delete(repository.url(f"manifests/{child.digest}")).status_code == 202
    assert repository.describe() == []


def test_when_tags_are_listed_then_pages_link_to_the_next(repository: Repository) -> None:
    image = make_image()
    repository.push(image)
    tags = [f"v{number}" for number in range(5)]
    for tag in tags:
        repository.put(image, tag)
    with repository.session as session:
        url, seen = repository.url("tags/list?n=2"), []
        while url:
            answer = session.get(url)
            assert answer.json()["name"] == repository.name
            seen += answer.json()["tags"]
            url = repository.cloud.endpoint + answer.links["next"]["url"] if "next" in answer.links else ""
        assert seen == tags
        status, code, message = error_of(session.get(repository.url("tags/list?n=1001")))
        assert (status, code) == (405, "UNSUPPORTED")
        assert message == (
            "Invalid parameter at 'maxResults' failed to satisfy constraint: "
            "'Member must have value less than or equal to 1000'"
        )


def test_when_the_host_names_a_registry_then_it_is_that_one(repository: Repository) -> None:
    repository.push(make_image(), "v1")
    with repository.session as session:
        for host, status in (
            (f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com", 200),
            (f"{ACCOUNT}.dkr.ecr.{REGION}.localhost:{repository.cloud.address.partition(':')[2]}", 200),
            (f"000699977340.dkr.ecr.{REGION}.amazonaws.com", 403),
            (f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com", 403),
        ):
            answer = session.get(repository.url("manifests/v1"), headers={"Host": host})
            assert answer.status_code == status, host
        status, code, message = error_of(answer)
        assert (code, "eu-west-1" in message) == ("DENIED", True)


def test_when_the_registry_is_another_accounts_then_the_action_is_named(repository: Repository) -> None:
    host = f"000699977340.dkr.ecr.{REGION}.amazonaws.com"
    with repository.session as session:
        answer = session.post(repository.url("blobs/uploads/"), headers={"Host": host})
    assert error_of(answer) == (
        403,
        "DENIED",
        f"User: arn:aws:iam::{ACCOUNT}:user/administrator is not authorized to perform: ecr:InitiateLayerUpload on "
        f"resource: arn:aws:ecr:{REGION}:000699977340:repository/{repository.name} because no resource-based policy "
        "allows the ecr:InitiateLayerUpload action",
    )


def test_when_a_token_is_expired_then_docker_hears_it(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    with running_cloud(tmp_path) as cloud:
        monkeypatch.setattr("ecrlab.cloud.identity.tokens.LIFETIME", -1)
        token = cloud.client().get_authorization_token()["authorizationData"][0]["authorizationToken"]
        answer = requests.get(f"{cloud.endpoint}/v2/", headers={"Authorization": f"Basic {token}"}, timeout=10)
    assert error_of(answer) == (
        403,
        "DENIED",
        "Your authorization token has expired. Reauthenticate and try again.",
    )


def test_when_a_path_is_strange_then_it_is_refused_without_a_fault(repository: Repository) -> None:
    with repository.session as session:
        for path in (
            "blobs/..",
            "manifests/../../x",
            "blobs/sha256:..%2f..%2fetc",
            "nothing",
            "tags",
            "blobs/uploads/%00",
        ):
            answer = session.get(repository.url(path))
            assert 400 <= answer.status_code < 500, path
        assert session.put(repository.url("tags/list")).status_code == 405
