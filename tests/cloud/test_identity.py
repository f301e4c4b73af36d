"""Signatures and tokens: the units, and what clients see of them."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote, urlencode, urlsplit

import pytest
import requests
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import Registry
from ecrlab.cloud.identity import (
    Credential,
    Principal,
    SignatureError,
    SignedRequest,
    TokenExpired,
    TokenInvalid,
    Tokens,
    verify,
)
from tests.conftest import ACCOUNT, REGION, RunningCloud

PRINCIPAL = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/administrator", True)
CREDENTIAL = Credential("AKIAIOSFODNN7EXAMPLE", "example-secret", PRINCIPAL)


def find(access_key_id: str) -> Credential | None:
    return CREDENTIAL if access_key_id == CREDENTIAL.access_key_id else None


def signed(
    url: str = "http://127.0.0.1:1/",
    *,
    method: str = "POST",
    body: bytes = b"{}",
    headers: dict[str, str] | None = None,
    service: str = "ecr",
    secret: str = CREDENTIAL.secret_access_key,
    presign: bool = False,
) -> SignedRequest:
    """Sign as botocore does, and return the request as a server would get it."""
    request = AWSRequest(method, url, headers=headers or {}, data=body)
    auth = SigV4QueryAuth if presign else SigV4Auth
    auth(Credentials(CREDENTIAL.access_key_id, secret), service, REGION).add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    fields = {"host": parts.netloc, **{name.lower(): value for name, value in prepared.headers.items()}}
    values = tuple((name, value if isinstance(value, str) else value.decode()) for name, value in fields.items())
    return SignedRequest(method, parts.path, parts.query, values, body)


def altered(request: SignedRequest, **changes: Any) -> SignedRequest:
    fields = {name: getattr(request, name) for name in ("method", "path", "query", "headers", "body")}
    return SignedRequest(**{**fields, **changes})


def with_header(request: SignedRequest, name: str, value: str) -> SignedRequest:
    return altered(request, headers=(*((n, v) for n, v in request.headers if n != name), (name, value)))


TEXT = st.text("abc/%.~ _-+=&äé", max_size=20)


@settings(max_examples=150, deadline=None)
@given(
    path=TEXT,
    query=st.dictionaries(TEXT.filter(bool), TEXT, max_size=4),
    body=st.binary(max_size=100),
    presign=st.booleans(),
)
def test_when_botocore_signs_anything_then_it_verifies(
    path: str, query: dict[str, str], body: bytes, presign: bool
) -> None:
    url = f"http://127.0.0.1:1/{quote(path)}?{urlencode(query, quote_via=quote)}"
    # botocore presigns without a body.
    request = signed(url, body=b"" if presign else body, presign=presign)
    caller = verify(request, find)
    assert (caller.principal, caller.region, caller.service) == (PRINCIPAL, REGION, "ecr")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (altered(signed(), body=b"other"), "InvalidSignatureException"),
        (altered(signed(), path="/other"), "InvalidSignatureException"),
        (altered(signed(), method="GET"), "InvalidSignatureException"),
        (altered(signed(), query="a=b"), "InvalidSignatureException"),
        (with_header(signed(), "host", "other"), "InvalidSignatureException"),
        (with_header(signed(), "x-amz-security-token", "more"), "UnrecognizedClientException"),
        (signed(secret="wrong"), "InvalidSignatureException"),
        (with_header(signed(), "authorization", "AWS4-HMAC-SHA256 nonsense"), "IncompleteSignatureException"),
        (with_header(signed(), "authorization", "Bearer x"), "IncompleteSignatureException"),
        (altered(signed(), headers=()), "MissingAuthenticationTokenException"),
        (with_header(signed(), "x-amz-date", "yesterday"), "IncompleteSignatureException"),
        (signed(headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}), "InvalidSignatureException"),
    ],
)
def test_when_a_request_is_not_as_signed_then_it_is_refused(request_: SignedRequest, code: str) -> None:
    with pytest.raises(SignatureError) as error:
        verify(request_, find)
    assert error.value.code == code


def test_when_the_key_is_unknown_then_the_token_is_invalid() -> None:
    with pytest.raises(SignatureError, match="The security token included in the request is invalid") as error:
        verify(signed(), lambda _: None)
    assert error.value.code == "UnrecognizedClientException"


@pytest.mark.parametrize(("minutes", "words"), [(6, "Signature expired"), (-6, "Signature not yet current")])
def test_when_the_clocks_differ_then_the_signature_is_out_of_time(minutes: int, words: str) -> None:
    request = signed()
    now = time.time() + minutes * 60
    with (
        mock.patch("ecrlab.cloud.identity.sigv4.time.time", return_value=now),
        pytest.raises(SignatureError, match=words),
    ):
        verify(request, find)


def test_when_a_token_is_read_then_it_says_who_and_where(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "key", Clock())
    registry = Registry(ACCOUNT, REGION)
    password, expires_at = tokens.issue(PRINCIPAL, registry)
    assert abs(expires_at - time.time() - 12 * 3600) < 60
    # Another process on the same state folder reads it as well.
    token = Tokens(tmp_path / "key", Clock()).read(password)
    assert (token.principal, token.registry) == (PRINCIPAL, registry)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_when_a_token_is_old_or_changed_then_it_is_refused(tmp_path: Path) -> None:
    clock = Clock()
    tokens = Tokens(tmp_path / "key", clock)
    password, _ = tokens.issue(PRINCIPAL, Registry(ACCOUNT, REGION))
    content = base64.urlsafe_b64decode(password)
    raised = content[:32] + content[32:].replace(b'"administrator":true', b'"administrator":null')
    other_key = Tokens(tmp_path / "other", clock).issue(PRINCIPAL, Registry(ACCOUNT, REGION))[0]
    for wrong in ("", "x", "ä", password[:-8], base64.urlsafe_b64encode(raised).decode(), other_key):
        with pytest.raises(TokenInvalid):
            tokens.read(wrong)
    clock.offset = 12 * 3600 + 1
    with pytest.raises(TokenExpired, match=r"Your authorization token has expired. Reauthenticate and try again."):
        tokens.read(password)


def test_when_the_secret_is_wrong_then_boto3_says_so(shared_cloud: RunningCloud) -> None:
    client = shared_cloud.client(aws_secret_access_key="wrong")
    with pytest.raises(ClientError) as error:
        client.describe_repositories()
    assert error.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    sts = shared_cloud.client("sts", aws_secret_access_key="wrong")
    with pytest.raises(ClientError) as error:
        sts.get_caller_identity()
    assert error.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_when_the_key_is_nobodys_then_boto3_says_so(shared_cloud: RunningCloud) -> None:
    with pytest.raises(ClientError) as error:
        shared_cloud.client(aws_access_key_id="AKIANOBODY").describe_repositories()
    assert error.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_when_the_scope_is_another_service_then_it_is_refused(shared_cloud: RunningCloud) -> None:
    headers = {"X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"}
    request = AWSRequest("POST", shared_cloud.endpoint + "/", headers=headers, data=b"{}")
    keys = Credentials(shared_cloud.settings.access_key_id, shared_cloud.settings.secret_access_key)
    SigV4Auth(keys, "sts", REGION).add_auth(request)
    answer = requests.post(shared_cloud.endpoint + "/", data=b"{}", headers=dict(request.headers), timeout=10)
    assert answer.status_code == 400
    assert answer.json()["__type"] == "InvalidSignatureException"


def test_when_sts_is_asked_then_the_administrator_is_known(shared_cloud: RunningCloud) -> None:
    identity = shared_cloud.client("sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == (ACCOUNT, PRINCIPAL.arn)
    users = shared_cloud.client("iam").list_users()["Users"]
    assert [user["Arn"] for user in users] == [PRINCIPAL.arn]


def test_when_another_user_calls_then_the_refusal_names_what_is_missing(shared_cloud: RunningCloud) -> None:
    iam = shared_cloud.client("iam")
    arn = iam.create_user(UserName="dev")["User"]["Arn"]
    key = iam.create_access_key(UserName="dev")["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    try:
        assert shared_cloud.client("sts", **keys).get_caller_identity()["Arn"] == arn
        with pytest.raises(ClientError) as error:
            shared_cloud.client(**keys).create_repository(repositoryName="dev/app")
    finally:
        iam.delete_access_key(UserName="dev", AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName="dev")
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    assert error.value.response["Error"]["Message"].startswith(
        f"User: {arn} is not authorized to perform: ecr:CreateRepository on resource: "
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/dev/app because"
    )


def test_when_moto_has_doors_of_its_own_then_they_are_shut(shared_cloud: RunningCloud) -> None:
    for path in ("/moto-api/data.json", "/moto-api/reset", "/latest/meta-data/"):
        assert requests.post(shared_cloud.endpoint + path, timeout=10).status_code == 403


def test_when_an_authorization_token_is_asked_then_it_is_as_aws_gives_it(shared_cloud: RunningCloud) -> None:
    (data,) = shared_cloud.client().get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    assert user == "AWS"
    assert len(password) > 1000
    assert data["proxyEndpoint"] == f"https://{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    assert timedelta(hours=11, minutes=59) < data["expiresAt"] - datetime.now(UTC) <= timedelta(hours=12)


def test_when_a_lab_has_state_then_no_file_of_it_is_for_others(tmp_path: Path) -> None:
    from tests.conftest import running_cloud

    with running_cloud(tmp_path) as cloud:
        cloud.client().create_repository(repositoryName="app")
        secret_files = [tmp_path / "cloud" / name for name in ("token.key",)]
        assert all(path.stat().st_mode & 0o077 == 0 for path in secret_files)
        assert (tmp_path / "cloud").stat().st_mode & 0o077 == 0
        stored = b"".join(path.read_bytes() for path in (tmp_path / "cloud").rglob("*") if path.is_file())
        assert cloud.settings.secret_access_key.encode() not in stored
        assert json.dumps(cloud.settings.control_token).encode() not in stored
