"""Layers on the data plane: reading them, and uploading them whole, in chunks or by a mount."""

from __future__ import annotations

import re
from concurrent.futures import Executor
from contextlib import suppress
from urllib.parse import quote

from starlette.responses import FileResponse, Response

from ecrlab.cloud.core import Core
from ecrlab.cloud.core.errors import LayerAlreadyExists
from ecrlab.cloud.core.layers import Layer
from ecrlab.cloud.core.repositories import Repository
from ecrlab.cloud.distribution.errors import response
from ecrlab.cloud.distribution.exchange import Exchange, Routes, read_digest
from ecrlab.cloud.distribution.uploads import receive_into
from ecrlab.cloud.identity import Denied, authorise
from ecrlab.cloud.storage import Upload

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class Blobs:
    """What is below /v2/<name>/blobs/."""

    def __init__(self, core: Core, executor: Executor) -> None:
        self._core = core
        self._executor = executor
        self._busy: set[str] = set()

    def routes(self) -> Routes:
        """Return the paths that are answered here, with a handler for each method."""
        return (
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
        )

    async def _has_blob(self, exchange: Exchange) -> Response:
        exchange.allow("BatchCheckLayerAvailability")
        layer = self._core.layers.find(self._repository(exchange), read_digest(exchange.reference))
        if layer is None:
            return Response(status_code=404)
        headers = {"Docker-Content-Digest": layer.digest, "Content-Length": str(layer.size), "Accept-Ranges": "bytes"}
        return Response(headers=headers, media_type="application/octet-stream")

    async def _get_blob(self, exchange: Exchange) -> Response:
        exchange.allow("GetDownloadUrlForLayer")
        digest = read_digest(exchange.reference)
        repository = self._repository(exchange)
        layer = self._core.layers.find(repository, digest)
        if layer is None:
            return response(404, "BLOB_UNKNOWN", "Requested layer not found")
        self._core.costs.note_transfer(repository, _size_of_range(exchange.request.headers.get("range"), layer.size))
        return FileResponse(
            layer.path,
            media_type="application/octet-stream",
            headers={"Docker-Content-Digest": digest},
            stat_result=layer.path.stat(),
        )

    async def _start_upload(self, exchange: Exchange) -> Response:
        exchange.allow("InitiateLayerUpload")
        repository = self._core.templates.for_push(exchange.registry, exchange.name, exchange.allow)
        digest = exchange.request.query_params.get("digest")
        if digest is not None:
            exchange.allow("UploadLayerPart", "CompleteLayerUpload")
            read_digest(digest)
        elif self._mount(exchange, repository) is not None:
            return self._created(exchange, exchange.request.query_params["mount"])
        upload = self._core.layers.start(repository)
        if digest is None:
            return self._upload_answer(exchange, upload, 202)
        try:
            await self._receive(exchange, upload)
        except BaseException:
            self._core.layers.cancel(repository, upload.id)
            raise
        return self._completed(exchange, repository, upload, digest)

    def _mount(self, exchange: Exchange, repository: Repository) -> Layer | None:
        """Return the layer that the client asks to mount; None when it has to upload, as without permission."""
        query = exchange.request.query_params
        if "mount" not in query or "from" not in query:
            return None
        try:
            exchange.allow("UploadLayerPart", "CompleteLayerUpload")
            authorise(exchange.principal, "ecr:GetDownloadUrlForLayer", exchange.registry.arn(query["from"]))
        except Denied:
            return None
        return self._core.layers.mount(repository, read_digest(query["mount"]), query["from"])

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
        digest = read_digest(exchange.request.query_params.get("digest", ""))
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
        return self._created(exchange, digest)

    def _created(self, exchange: Exchange, digest: str) -> Response:
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

    def _repository(self, exchange: Exchange) -> Repository:
        return self._core.repositories.get(exchange.registry, exchange.name)


def _continues(content_range: str, upload: Upload) -> bool:
    match = re.fullmatch(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?", content_range.strip())
    return match is not None and int(match[1]) == upload.size and int(match[2]) >= int(match[1])


def _size_of_range(header: str | None, size: int) -> int:
    """Return how many bytes of a layer a client asks for; 0 for several ranges or none that can be had."""
    if header is None:
        return size
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return 0
    first, last = match.groups()
    if not first:
        return min(int(last), size)
    return max(0, min(int(last) + 1 if last else size, size) - int(first))
