"""Refusals as docker sees them (ecr-semantics section 7)."""

from __future__ import annotations

import json

from starlette.responses import PlainTextResponse, Response

from ecrlab.cloud.core.errors import EcrError, ImageAlreadyExists, ImageTagAlreadyExists

# ECR's class of the fault -> HTTP status and code of the distribution API. What is not here is an invalid parameter.
_CODES: dict[str, tuple[int, str]] = {
    "RepositoryNotFoundException": (404, "NAME_UNKNOWN"),
    "ImageNotFoundException": (404, "MANIFEST_UNKNOWN"),
    "LayersNotFoundException": (404, "BLOB_UPLOAD_UNKNOWN"),
    "LayerInaccessibleException": (404, "BLOB_UNKNOWN"),
    "ReferencedImagesNotFoundException": (404, "MANIFEST_UNKNOWN"),
    "ImageTagAlreadyExistsException": (400, "TAG_INVALID"),
    "ImageDigestDoesNotMatchException": (400, "MANIFEST_INVALID"),
    "InvalidLayerException": (400, "DIGEST_INVALID"),
    "EmptyUploadException": (400, "BLOB_UPLOAD_INVALID"),
    "UploadNotFoundException": (404, "BLOB_UPLOAD_UNKNOWN"),
    "LimitExceededException": (429, "TOOMANYREQUESTS"),
    "UpstreamAccessDenied": (403, "DENIED"),
    "UpstreamTooManyRequests": (429, "TOOMANYREQUESTS"),
    "UpstreamUnavailable": (503, "UNAVAILABLE"),
}


def response(status: int, code: str, message: str, **headers: str) -> Response:
    """Return a refusal in the body that the distribution specification gives it."""
    body = json.dumps({"errors": [{"code": code, "message": message}]})
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(body, status, names, media_type="application/json; charset=utf-8")


def refusal(error: EcrError) -> Response:
    """Return what docker is told of a refusal of the core."""
    if isinstance(error, ImageAlreadyExists) and error.frozen:
        # Only the API tells a repeated push from a moved tag; docker hears that the tag is immutable.
        error = ImageTagAlreadyExists(error.tag or "", error.repository)
    status, code = _CODES.get(error.code, (405, "UNSUPPORTED"))
    message = "Requested image not found" if error.code == "ImageNotFoundException" else error.message
    return response(status, code, message)


def not_authorised(host: str) -> Response:
    """Return the challenge that makes a client send its stored login: Basic, because ECR has no token endpoint."""
    challenge = f'Basic realm="https://{host}/",service="ecr.amazonaws.com"'
    return PlainTextResponse("Not Authorized\n", 401, {"Www-Authenticate": challenge})


def denied(message: str) -> Response:
    """Return the refusal of a caller who is known."""
    return response(403, "DENIED", message)
