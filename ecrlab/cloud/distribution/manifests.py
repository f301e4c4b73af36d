"""Manifests, tags and referrers on the data plane."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ecrlab.cloud.core import Core
from ecrlab.cloud.core.errors import ImageAlreadyExists, InvalidParameter
from ecrlab.cloud.core.image import Failure, Image, ImageId
from ecrlab.cloud.core.manifest import MAX_BYTES, OCI_INDEX, parse
from ecrlab.cloud.core.repositories import Repository
from ecrlab.cloud.distribution.errors import response
from ecrlab.cloud.distribution.exchange import Exchange, Routes, read_digest, read_image_id

MAX_PAGE = 1000
REFERRERS_PAGE = 50


class Manifests:
    """What is below /v2/<name>/manifests/, /tags/ and /referrers/."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def routes(self) -> Routes:
        """Return the paths that are answered here, with a handler for each method."""
        return (
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
            (re.compile(r"/v2/(?P<name>.+)/referrers/(?P<reference>[^/]+)"), {"GET": self._list_referrers}),
        )

    async def _get_manifest(self, exchange: Exchange) -> Response:
        exchange.allow("BatchGetImage")
        image_id = read_image_id(exchange.reference)
        if actions := self._core.cache.needs(exchange.registry, exchange.name, image_id):
            exchange.allow(*actions)
            await self._core.cache.pull(exchange.registry, exchange.name, image_id)
        image = self._core.images.active(self._repository(exchange), image_id)
        content = self._core.images.manifest(image)
        headers = {"Docker-Content-Digest": image.digest, "Content-Length": str(len(content))}
        if exchange.request.method == "HEAD":
            return Response(headers=headers, media_type=image.media_type)
        if not self._core.exclusions.covers(exchange.registry, exchange.principal.arn):
            self._core.images.note_pull(image)
        return Response(content, headers=headers, media_type=image.media_type)

    async def _put_manifest(self, exchange: Exchange) -> Response:
        exchange.allow("PutImage")
        image_id = read_image_id(exchange.reference)
        content = await _body(exchange.request, MAX_BYTES)
        media_type = exchange.request.headers.get("content-type")
        parse(content, media_type)  # what cannot be read must not make a repository
        repository = self._core.templates.for_push(exchange.registry, exchange.name, exchange.allow)
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
        image_id = read_image_id(exchange.reference)
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

    async def _list_referrers(self, exchange: Exchange) -> Response:
        exchange.allow("BatchGetImage")
        repository = self._repository(exchange)
        subject = read_digest(exchange.reference)
        query = exchange.request.query_params
        types = query.getlist("artifactType")
        page = self._core.images.referrers(
            repository, subject, limit=REFERRERS_PAGE, token=query.get("last"), artifact_types=types
        )
        manifests = [self._referrer(image) for image in page.items]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
        answer = JSONResponse(index, media_type=OCI_INDEX)
        if types:
            answer.headers["OCI-Filters-Applied"] = "artifactType"
        if page.next_token:
            chosen = "".join(f"artifactType={quote(item, safe='')}&" for item in types)
            url = f"/v2/{quote(exchange.name)}/referrers/{subject}?{chosen}last={quote(page.next_token)}"
            answer.headers["Link"] = f'<{url}>; rel="next"'
        return answer

    def _referrer(self, image: Image) -> dict[str, object]:
        content = self._core.images.manifest(image)
        annotations = json.loads(content).get("annotations")
        return {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": len(content),
            **({"artifactType": image.artifact_type} if image.artifact_type else {}),
            **({"annotations": annotations} if annotations else {}),
        }

    def _repository(self, exchange: Exchange) -> Repository:
        return self._core.repositories.get(exchange.registry, exchange.name)


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
