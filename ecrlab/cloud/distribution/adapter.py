"""From a request below /v2/ to the core and back."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from ecrlab.cloud.core import Core, Registry
from ecrlab.cloud.core.errors import (
    EcrError,
    ImageAlreadyExists,
    InvalidParameter,
    LayerAlreadyExists,
)
from ecrlab.cloud.core.image import Failure, ImageId
from ecrlab.cloud.core.manifest import MAX_BYTES
from ecrlab.cloud.core.pushes import TAG_PATTERN
from ecrlab.cloud.core.repositories import Repository
from ecrlab.cloud.distribution.errors import denied, not_authorised, refusal, response
from ecrlab.cloud.distribution.uploads import ClientGone, receive_into
from ecrlab.cloud.identity import Denied, Principal, Token, TokenExpired, TokenInvalid, Tokens, authorise
from ecrlab.cloud.identity.tokens import USER
from ecrlab.cloud.storage import Upload
from ecrlab.cloud.storage.blobs import is_digest

API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One authenticated request: who asks, of which registry, about what (`name`, `reference`: as in the path)."""

    request: Request
    principal: Principal
    registry: Registry
    name: str
    reference: str

    def allow(self, *actions: str) -> None:
        """Return when the caller may do all of these to the repository. Raises Denied."""
        for action in actions:
            authorise(self.principal, f"ecr:{action}", self.registry.arn(self.name))


Handler = Callable[[Exchange], Awaitable[Response]]


class Distribution:
    """The data plane of every registry."""

    def __init__(self, core: Core, tokens: Tokens, executor: Executor) -> None:
        self._core = core
        self._tokens = tokens
        self._executor = executor
        self._busy: set[str] = set()
        self._routes: tuple[tuple[re.Pattern[str], dict[str, Handler]], ...] = (
            (
                re.compile(r"/v2/(?P<name>.+)/blobs/uploads/?"),
                {"POST": self._start_upload},
            ),
            (
                re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<reference>[^/]+)"),
                {
                    "GET": self._upload_status,
                    "PATCH": self._append,
                    "PUT": self._complete_upload,
                    "DELETE": self._cancel_upload,
                },
            ),
            (
                re.compile(r"/v2/(?P<name>.+)/blobs/(?P<reference>[^/]+)"),
                {"HEAD": self._has_blob, "GET": self._get_blob},
            ),
            (
                re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)"),
                {
                    "HEAD": self._get_manifest,
                    "GET": self._get_manifest,
                    "PUT": self._put_manifest,
                    "DELETE": self._delete_manifest,
                },
            ),
            (re.compile(r"/v2/(?P<name>.+)/tags/list"), {"GET": self._list_tags}),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except Denied as error:
            answer = denied(str(error))
        except EcrError as error:
            answer = refusal(error)
        except ClientGone:
            return
        answer.headers.update(API_VERSION)
        await answer(scope, receive, send)

    async def layer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a signed layer URL, as GetDownloadUrlForLayer gives it (ASGI)."""
        request = Request(scope, receive)
        digest = request.url.path.rpartition("/")[2]
        expires = request.query_params.get("expires", "")
        signature = request.query_params.get("signature", "")
        expected = self._tokens.sign(f"{digest}?{expires}")
        answer: Response
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            answer = PlainTextResponse("The signature of this URL does not hold.\n", 403)
        elif self._core.clock.now() >= int(expires):
            answer = PlainTextResponse("This URL has expired.\n", 403)
        elif not (path := self._core.layers.path(digest)).exists():
            answer = PlainTextResponse("The layer is no longer there.\n", 404)
        else:
            answer = FileResponse(path, media_type="application/octet-stream", stat_result=path.stat())
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        host = request.headers.get("host", "")
        try:
            token = self._token(request)
        except TokenExpired as error:
            return denied(str(error))
        except TokenInvalid:
            return not_authorised(host)
        # A loopback host names no registry: there the token does (design, section 3).
        registry = Registry.from_host(host) or token.registry
        if registry.region != token.registry.region:
            return denied(
                f"Your authorization token is for the region {token.registry.region}, this registry is in "
                f"{registry.region}. Reauthenticate and try again."
            )
        path = request.url.path
        if path in ("/v2", "/v2/"):
            return JSONResponse({})
        for pattern, handlers in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            handler = handlers.get(request.method)
            if handler is None:
                return response(
                    405, "UNSUPPORTED", f"{request.method} is not supported here", Allow=", ".join(handlers)
                )
            groups = match.groupdict()
            return await handler(
                Exchange(request, token.principal, registry, groups["name"], groups.get("reference", ""))
            )
        return response(404, "UNSUPPORTED", "The distribution API has no such path")

    def _token(self, request: Request) -> Token:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise TokenInvalid("no Basic credentials")
        try:
            user, _, password = base64.b64decode(credentials.strip(), validate=True).decode("ascii").partition(":")
        except ValueError:
            raise TokenInvalid("not Basic credentials") from None
        if user != USER:
            raise TokenInvalid(f"the user is not {USER}")
        return self._tokens.read(password)

    # Blobs

    async def _has_blob(self, exchange: Exchange) -> Response:
        exchange.allow("BatchCheckLayerAvailability")
        layer = self._core.layers.find(self._repository(exchange), _digest(exchange.reference))
        if layer is None:
            return Response(status_code=404)
        headers = {"Docker-Content-Digest": layer.digest, "Content-Length": str(layer.size), "Accept-Ranges": "bytes"}
        return Response(headers=headers, media_type="application/octet-stream")

    async def _get_blob(self, exchange: Exchange) -> Response:
        exchange.allow("GetDownloadUrlForLayer")
        digest = _digest(exchange.reference)
        layer = self._core.layers.find(self._repository(exchange), digest)
        if layer is None:
            return response(404, "BLOB_UNKNOWN", "Requested layer not found")
        return FileResponse(
            layer.path,
            media_type="application/octet-stream",
            headers={"Docker-Content-Digest": digest},
            stat_result=layer.path.stat(),
        )

    # Uploads

    async def _start_upload(self, exchange: Exchange) -> Response:
        exchange.allow("InitiateLayerUpload")
        repository = self._core.templates.for_push(exchange.registry, exchange.name)
        digest = exchange.request.query_params.get("digest")
        if digest is not None:
            exchange.allow("UploadLayerPart", "CompleteLayerUpload")
            _digest(digest)
        # A mount (?mount=&from=) is answered with an upload: blob mounting is off unless the account turns it on.
        upload = self._core.layers.start(repository)
        if digest is None:
            return self._upload_answer(exchange, upload, 202)
        try:
            await self._receive(exchange, upload)
        except BaseException:
            self._core.layers.cancel(repository, upload.id)
            raise
        return self._completed(exchange, repository, upload, digest)

    async def _upload_status(self, exchange: Exchange) -> Response:
        exchange.allow("UploadLayerPart")
        upload = self._core.layers.upload(self._repository(exchange), exchange.reference)
        return self._upload_answer(exchange, upload, 204)

    async def _append(self, exchange: Exchange) -> Response:
        exchange.allow("UploadLayerPart")
        upload = self._core.layers.upload(self._repository(exchange), exchange.reference)
        content_range = exchange.request.headers.get("content-range")
        if upload.id in self._busy or (content_range and not _continues(content_range, upload)):
            return self._upload_answer(exchange, upload, 416)
        await self._receive(exchange, upload)
        return self._upload_answer(exchange, upload, 202)

    async def _complete_upload(self, exchange: Exchange) -> Response:
        exchange.allow("CompleteLayerUpload")
        repository = self._repository(exchange)
        upload = self._core.layers.upload(repository, exchange.reference)
        digest = _digest(exchange.request.query_params.get("digest", ""))
        if upload.id in self._busy:
            return self._upload_answer(exchange, upload, 416)
        if (
            exchange.request.headers.get("content-length", "0") != "0"
            or "transfer-encoding" in exchange.request.headers
        ):
            exchange.allow("UploadLayerPart")
        await self._receive(exchange, upload)
        return self._completed(exchange, repository, upload, digest)

    async def _cancel_upload(self, exchange: Exchange) -> Response:
        exchange.allow("UploadLayerPart")
        repository = self._repository(exchange)
        upload = self._core.layers.upload(repository, exchange.reference)
        if upload.id in self._busy:
            return self._upload_answer(exchange, upload, 416)
        self._core.layers.cancel(repository, upload.id)
        return Response(status_code=204)

    async def _receive(self, exchange: Exchange, upload: Upload) -> None:
        self._busy.add(upload.id)
        try:
            await receive_into(upload, exchange.request.receive, self._executor)
        finally:
            self._busy.discard(upload.id)

    def _completed(self, exchange: Exchange, repository: Repository, upload: Upload, digest: str) -> Response:
        with suppress(LayerAlreadyExists):  # to docker a layer that is there is a layer that was pushed
            self._core.layers.complete(repository, upload.id, digest)
        location = f"/v2/{quote(exchange.name)}/blobs/{digest}"
        return Response(status_code=201, headers={"Location": location, "Docker-Content-Digest": digest})

    def _upload_answer(self, exchange: Exchange, upload: Upload, status: int) -> Response:
        return Response(
            status_code=status,
            headers={
                "Location": f"/v2/{quote(exchange.name)}/blobs/uploads/{upload.id}",
                "Range": f"0-{max(upload.size - 1, 0)}",
                "Docker-Upload-UUID": upload.id,
                "Content-Length": "0",
            },
        )

    # Manifests and tags

    async def _get_manifest(self, exchange: Exchange) -> Response:
        exchange.allow("BatchGetImage")
        image = self._core.images.active(self._repository(exchange), _image_id(exchange.reference))
        content = self._core.images.manifest(image)
        headers = {"Docker-Content-Digest": image.digest, "Content-Length": str(len(content))}
        if exchange.request.method == "HEAD":
            return Response(headers=headers, media_type=image.media_type)
        if not self._core.exclusions.covers(exchange.registry, exchange.principal.arn):
            self._core.images.note_pull(image)
        return Response(content, headers=headers, media_type=image.media_type)

    async def _put_manifest(self, exchange: Exchange) -> Response:
        exchange.allow("PutImage")
        repository = self._core.templates.for_push(exchange.registry, exchange.name)
        image_id = _image_id(exchange.reference)
        content = await _body(exchange.request, MAX_BYTES)
        media_type = exchange.request.headers.get("content-type")
        digest = image_id.digest
        try:
            image = self._core.pushes.put(repository, content, media_type=media_type, tag=image_id.tag, digest=digest)
        except ImageAlreadyExists as error:
            if error.frozen:
                raise
            image = self._core.images.get(repository, ImageId(error.digest))
        location = f"/v2/{quote(exchange.name)}/manifests/{image.digest}"
        headers = {"Location": location, "Docker-Content-Digest": image.digest}
        if image.subject:
            headers["OCI-Subject"] = image.subject
        return Response(status_code=201, headers=headers)

    async def _delete_manifest(self, exchange: Exchange) -> Response:
        exchange.allow("BatchDeleteImage")
        repository = self._repository(exchange)
        image_id = _image_id(exchange.reference)
        self._core.images.get(repository, image_id)
        _deleted, failures = self._core.images.delete(repository, [image_id])
        return _refused(failures[0]) if failures else Response(status_code=202)

    async def _list_tags(self, exchange: Exchange) -> Response:
        exchange.allow("ListImages")
        repository = self._repository(exchange)
        query = exchange.request.query_params
        limit = _limit(query.get("n", "100"))
        page = self._core.images.tags(repository, limit=limit, token=query.get("last"))
        # ECR sends this JSON as text/plain (ecr-semantics section 7).
        answer = JSONResponse({"name": exchange.name, "tags": list(page.items)}, media_type="text/plain; charset=utf-8")
        if page.next_token:
            url = f"/v2/{quote(exchange.name)}/tags/list?n={limit}&last={quote(page.next_token)}"
            answer.headers["Link"] = f'<{url}>; rel="next"'
        return answer

    def _repository(self, exchange: Exchange) -> Repository:
        return self._core.repositories.get(exchange.registry, exchange.name)


def _digest(text: str) -> str:
    if not is_digest(text):
        raise InvalidParameter("layerDigest", "must be a digest, for example sha256: and 64 hexadecimal digits")
    return text


def _image_id(reference: str) -> ImageId:
    if ":" in reference:
        if not is_digest(reference):
            raise InvalidParameter("imageDigest", "must be a digest, for example sha256: and 64 hexadecimal digits")
        return ImageId(digest=reference)
    if not re.fullmatch(TAG_PATTERN, reference):
        raise InvalidParameter("imageTag", f"must satisfy regular expression '{TAG_PATTERN}'")
    return ImageId(tag=reference)


def _continues(content_range: str, upload: Upload) -> bool:
    match = re.fullmatch(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?", content_range.strip())
    return match is not None and int(match[1]) == upload.size and int(match[2]) >= int(match[1])


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise InvalidParameter("maxResults", "Member must have value greater than or equal to 1")
    if int(text) > MAX_PAGE:
        raise InvalidParameter("maxResults", f"Member must have value less than or equal to {MAX_PAGE}")
    return int(text)


def _refused(failure: Failure) -> Response:
    return response(405, "UNSUPPORTED", failure.reason)


async def _body(request: Request, limit: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise InvalidParameter("ImageManifest", f"Member must have length less than or equal to {limit}")
        parts.append(part)
    return b"".join(parts)
