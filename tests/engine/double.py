"""A small registry held in memory whose faults a test chooses: what the real ones do on a bad day."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from aiohttp import web

Fault = Callable[[web.Request], web.StreamResponse | None]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def error(status: int, code: str, message: str, **headers: str) -> web.Response:
    return web.json_response(
        {"errors": [{"code": code, "message": message}]},
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


@dataclass
class RegistryDouble:
    """Answers /v2/ on a free loopback port; `auth` is none, basic or bearer (user AWS, password secret)."""

    auth: str = "none"
    blobs: dict[str, bytes] = field(default_factory=dict)
    repositories: dict[str, set[str]] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    fault: Fault | None = None
    allow_mount: bool = True
    redirect_blobs_to: str | None = None
    port: int = 0

    def __post_init__(self) -> None:
        self._uploads: dict[str, bytearray] = {}
        self._runner: web.AppRunner | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def put_blob(self, repository: str, data: bytes) -> str:
        digest = sha256(data)
        self.blobs[digest] = data
        self.repositories.setdefault(repository, set()).add(digest)
        return digest

    def put_manifest(self, repository: str, tag: str, manifest: dict[str, object], media_type: str) -> str:
        body = json.dumps(manifest, indent=3).encode()
        for key in (tag, sha256(body)):
            self.manifests[repository, key] = (media_type, body)
        return sha256(body)

    async def __aenter__(self) -> "RegistryDouble":
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _unauthorised(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(b"AWS:secret").decode()
        if request.path == "/token":
            if given and given != basic:
                return error(401, "UNAUTHORIZED", "authentication required")
            token = "anonymous" if not given else "granted"
            return web.json_response({"token": f"{token} {request.query_string}".replace(" ", "-")})
        if self.auth == "basic" and given != basic:
            challenge = f'Basic realm="https://{self.host}/",service="ecr.amazonaws.com"'
            return web.Response(status=401, text="Not Authorized\n", headers={"Www-Authenticate": challenge})
        if self.auth == "bearer" and not given.startswith("Bearer granted"):
            scope = ""
            if request.path != "/v2/":
                name = request.path.removeprefix("/v2/").rsplit("/", 2)[0].removesuffix("/blobs")
                verbs = "pull" if request.method in ("GET", "HEAD") else "pull,push"
                scope = f',scope="repository:{name}:{verbs}"'
            challenge = f'Bearer realm="http://{self.host}/token",service="double"{scope}'
            return error(401, "UNAUTHORIZED", "authentication required", Www_Authenticate=challenge)
        return None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, dict(request.headers)))
        if request.path == "/token" and request.method == "POST":
            form = await request.post()
            known = (form.get("grant_type"), form.get("refresh_token")) == ("refresh_token", "long-lived")
            return web.json_response({"access_token": "granted" if known else "unknown"})
        refused = self._unauthorised(request)
        if refused is not None:
            return refused
        if self.fault is not None:
            faulty = self.fault(request)
            if faulty is not None:
                return faulty
        path = request.path
        if path == "/v2/":
            return web.json_response({})
        if path.endswith("/tags/list"):
            name = path.removeprefix("/v2/").removesuffix("/tags/list")
            tags = [tag for repository, tag in self.manifests if repository == name and not tag.startswith("sha256:")]
            return web.json_response({"name": name, "tags": tags})
        if "/manifests/" in path:
            return await self._manifest(request)
        if "/blobs/uploads/" in path:
            return await self._upload(request)
        return await self._blob(request)

    async def _manifest(self, request: web.Request) -> web.StreamResponse:
        name, _, reference = request.path.removeprefix("/v2/").rpartition("/manifests/")
        if request.method == "PUT":
            body = await request.read()
            media_type = request.headers["Content-Type"]
            for key in (reference, sha256(body)):
                self.manifests[name, key] = (media_type, body)
            return web.Response(status=201, headers={"Docker-Content-Digest": sha256(body)})
        found = self.manifests.get((name, reference))
        if found is None:
            return error(404, "MANIFEST_UNKNOWN", "Requested image not found")
        media_type, body = found
        return web.Response(body=body, content_type=media_type, headers={"Docker-Content-Digest": sha256(body)})

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        name, _, digest = request.path.removeprefix("/v2/").rpartition("/blobs/")
        if digest not in self.repositories.get(name, set()):
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if request.method == "GET" and self.redirect_blobs_to:
            raise web.HTTPTemporaryRedirect(self.redirect_blobs_to + request.path)
        data = self.blobs[digest]
        start = request.http_range.start or 0
        if start:
            return web.Response(
                status=206, body=data[start:], headers={"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            )
        return web.Response(body=data, headers={"Docker-Content-Digest": digest})

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        name, _, upload = request.path.removeprefix("/v2/").rpartition("/blobs/uploads/")
        location = f"/v2/{name}/blobs/uploads/"
        if request.method == "POST":
            mount, source = request.query.get("mount"), request.query.get("from")
            if mount and source and self.allow_mount and mount in self.repositories.get(source, set()):
                self.repositories.setdefault(name, set()).add(mount)
                return web.Response(status=201, headers={"Location": f"/v2/{name}/blobs/{mount}"})
            upload = f"upload-{len(self._uploads)}"
            self._uploads[upload] = bytearray()
            return web.Response(status=202, headers={"Location": f"{location}{upload}?state=a%2Fb"})
        held = self._uploads[upload]
        async for chunk in request.content.iter_any():
            held += chunk
            await asyncio.sleep(0)
        if request.method == "PATCH":
            headers = {"Location": f"{location}{upload}?state=a%2Fb", "Range": f"0-{len(held) - 1}"}
            return web.Response(status=202, headers=headers)
        digest = request.query["digest"]
        if sha256(bytes(held)) != digest:
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.put_blob(name, bytes(held))
        return web.Response(status=201, headers={"Location": f"/v2/{name}/blobs/{digest}"})
