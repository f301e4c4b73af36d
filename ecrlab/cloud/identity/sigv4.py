"""AWS Signature Version 4, the server's side: header and query (presigned) signatures.

Source: AWS IAM user guide, "Create a signed AWS API request"; AWS's error names and words in the messages.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from posixpath import normpath
from urllib.parse import quote, unquote_plus

from ecrlab.cloud.identity.principal import Credential, Principal

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = 5 * 60  # seconds between the signature's date and the server's clock
MAX_PRESIGNED = 7 * 24 * 3600  # seconds that a presigned URL may live

_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
_UNSIGNED = "UNSIGNED-PAYLOAD"
_HEADER = re.compile(
    rf"{ALGORITHM} +Credential=(?P<credential>[^, ]+), *SignedHeaders=(?P<signed>[^, ]+)"
    r", *Signature=(?P<signature>[0-9a-f]+)"
)


class SignatureError(Exception):
    """A signature that does not hold. `code` is AWS's name of the fault in the JSON protocols."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it was on the wire: `path` and `query` still encoded, header names in lower case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of this name, or None."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed, and for what: the region and the service of the signature's scope."""

    principal: Principal
    region: str
    service: str


@dataclass(frozen=True, slots=True)
class _Signature:
    access_key_id: str
    scope: tuple[str, str, str]  # date, region, service
    signed_headers: tuple[str, ...]
    signature: str
    date: str
    token: str | None
    lifetime: int | None  # seconds, of a presigned URL
    query: str  # without the signature itself


def verify(request: SignedRequest, find: Callable[[str], Credential | None]) -> Caller:
    """Return who signed `request`. `find` looks up a credential by its access key id.

    Raises SignatureError.
    """
    signature = _read(request)
    credential = find(signature.access_key_id)
    if credential is None:
        raise SignatureError("UnrecognizedClientException", "The security token included in the request is invalid.")
    _check_date(signature)
    expected = _sign(request, signature, credential.secret_access_key)
    if not hmac.compare_digest(expected, signature.signature):
        raise SignatureError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )
    if not hmac.compare_digest((credential.session_token or "").encode(), (signature.token or "").encode()):
        raise SignatureError("UnrecognizedClientException", "The security token included in the request is invalid.")
    _date, region, service = signature.scope
    return Caller(credential.principal, region, service)


def _read(request: SignedRequest) -> _Signature:
    header = request.header("authorization")
    if header is not None:
        match = _HEADER.fullmatch(header.strip())
        if match is None:
            raise SignatureError("IncompleteSignatureException", "The Authorization header is not an AWS signature.")
        date = request.header("x-amz-date") or ""
        token = request.header("x-amz-security-token")
        access_key_id, scope = _credential(match["credential"])
        signed = tuple(match["signed"].split(";"))
        return _Signature(access_key_id, scope, signed, match["signature"], date, token, None, request.query)
    pairs = [pair.partition("=") for pair in request.query.split("&")]
    values = {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}
    if "X-Amz-Signature" not in values:
        raise SignatureError("MissingAuthenticationTokenException", "Missing Authentication Token")
    access_key_id, scope = _credential(values.get("X-Amz-Credential", ""))
    lifetime = values.get("X-Amz-Expires", "")
    if values.get("X-Amz-Algorithm") != ALGORITHM or not re.fullmatch(r"[0-9]{1,6}", lifetime):
        raise SignatureError("IncompleteSignatureException", "The query string is not an AWS signature.")
    return _Signature(
        access_key_id,
        scope,
        tuple(values.get("X-Amz-SignedHeaders", "").split(";")),
        values["X-Amz-Signature"],
        values.get("X-Amz-Date", ""),
        values.get("X-Amz-Security-Token"),
        min(int(lifetime), MAX_PRESIGNED),
        "&".join("".join(pair) for pair in pairs if pair[0] != "X-Amz-Signature"),
    )


def _credential(text: str) -> tuple[str, tuple[str, str, str]]:
    parts = text.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise SignatureError("IncompleteSignatureException", "The signature's credential is not properly formatted.")
    return parts[0], (parts[1], parts[2], parts[3])


def _check_date(signature: _Signature) -> None:
    # Signatures alone use real time: the clients know nothing of the lab's clock.
    signed_at = _seconds(signature.date)
    if signature.date[:8] != signature.scope[0]:
        raise SignatureError("InvalidSignatureException", "Date in Credential scope does not match the request's date.")
    now = time.time()
    lifetime = MAX_SKEW if signature.lifetime is None else signature.lifetime
    if now > signed_at + lifetime:
        raise SignatureError(
            "InvalidSignatureException",
            f"Signature expired: {signature.date} is now earlier than {_iso(now - lifetime)} ({_iso(now)} - "
            f"{lifetime // 60} min.)",
        )
    if now < signed_at - MAX_SKEW:
        raise SignatureError(
            "InvalidSignatureException",
            f"Signature not yet current: {signature.date} is still later than {_iso(now + MAX_SKEW)} ({_iso(now)} + "
            f"{MAX_SKEW // 60} min.)",
        )


def _seconds(date: str) -> float:
    match = _DATE.fullmatch(date)
    try:
        # Not strptime, which takes a fifth of the time of a whole verification.
        year, month, day, hour, minute, second = map(int, match.groups() if match else ())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        raise SignatureError("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'.") from None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def _sign(request: SignedRequest, signature: _Signature, secret: str) -> str:
    service = signature.scope[2]
    # S3 signs the path as it is sent, every other service encodes it once more.
    path = request.path if service == "s3" else quote(_normalised(request.path), safe="/~")
    if "host" not in signature.signed_headers:
        raise SignatureError("InvalidSignatureException", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    headers = "".join(f"{name}:{_values(request, name)}\n" for name in signature.signed_headers)
    canonical = "\n".join(
        (
            request.method,
            path or "/",
            _canonical_query(signature.query),
            headers,
            ";".join(signature.signed_headers),
            _payload_hash(request, signature),
        )
    )
    to_sign = "\n".join(
        (
            ALGORITHM,
            signature.date,
            "/".join((*signature.scope, "aws4_request")),
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    return hmac.new(_key(secret, *signature.scope), to_sign.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=64)
def _key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _payload_hash(request: SignedRequest, signature: _Signature) -> str:
    stated = request.header("x-amz-content-sha256")
    if signature.lifetime is not None and signature.scope[2] == "s3":
        return _UNSIGNED
    if stated == _UNSIGNED or (stated or "").startswith("STREAMING-"):
        # Only S3 takes bodies that are not signed; its chunk signatures are moto's to read.
        return stated or "" if signature.scope[2] == "s3" else _UNSIGNED + " is for S3 only"
    return hashlib.sha256(request.body).hexdigest()


def _values(request: SignedRequest, name: str) -> str:
    return ",".join(" ".join(value.split()) for key, value in request.headers if key == name)


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    pairs = [pair.partition("=") for pair in query.split("&")]
    encoded = sorted((_encode(name), _encode(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encode(text: str) -> str:
    return quote(unquote_plus(text), safe="-_.~")


def _normalised(path: str) -> str:
    """Resolve `.` and `..` and repeated slashes, as signers do; a trailing slash stays."""
    if path in ("", "/"):
        return "/"
    normal = normpath("/" + path.lstrip("/"))
    return normal + "/" if path.endswith("/") and normal != "/" else normal
