"""The client of the registry API (OCI distribution specification)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
from yarl import URL

from ecrlab.engine import registry_errors
from ecrlab.engine.credentials import Credentials
from ecrlab.engine.endpoint import connection_error, endpoint, login_domain
from ecrlab.engine.errors import EngineError, Unauthorized
from ecrlab.engine.manifest import ACCEPTED, SIZE_LIMIT, Descriptor, Manifest, checked, digest_of
from ecrlab.engine.reference import Reference, is_digest
from ecrlab.engine.transport import CHUNK, CONNECTION_ERRORS, NoCredentials, TemporaryError, Transport, failure, limited

_LIST_LIMIT = 16 << 20
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=120)


class RegistryClient:
    """The connections of the engine to all registries."""

    def __init__(self, cloud_url: str) -> None:
        self._cloud = URL(cloud_url)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def repository(self, reference: Reference, credentials: Credentials, actions: str) -> "RepositoryClient":
        """Return a client of the repository that `reference` names, for `actions` (`pull` or `pull,push`)."""
        scopes = [f"repository:{reference.path}:{actions}"]
        return RepositoryClient(self._transport(reference.domain, credentials, scopes), reference)

    async def login(self, address: str, credentials: Credentials) -> None:
        """Ask a registry whether it takes the credentials; raises Unauthorized or EngineError in Docker's words."""
        transport = self._transport(login_domain(address), credentials, [])
        shown = f"{transport.where.shown}/v2/"
        try:
            response = await transport.authenticate()
            if response.status == 401:
                response = await transport.once("GET", transport.where.url("/v2/"), renew=False)
                response.release()
        except Unauthorized as error:
            raise Unauthorized(f'Get "{shown}": {error}') from None
        except TemporaryError as error:
            raise error.final from None
        if response.status != 200:
            kind = Unauthorized if response.status == 401 else EngineError
            raise kind(f"login attempt to {shown} failed with status: {response.status} {response.reason}")

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    def _transport(self, domain: str, credentials: Credentials, scopes: list[str]) -> Transport:
        where = endpoint(domain, self._cloud)
        # Two sets of connections: what stays on this machine must never go through a proxy.
        if where.local not in self._sessions:
            self._sessions[where.local] = aiohttp.ClientSession(
                timeout=_TIMEOUT,
                trust_env=not where.local,
                auto_decompress=False,
                read_bufsize=CHUNK,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return Transport(self._sessions[where.local], where, credentials, scopes)


class RepositoryClient:
    """One repository of one registry, for one operation of one client."""

    def __init__(self, transport: Transport, reference: Reference) -> None:
        self._transport = transport
        self._reference = reference
        self._base = f"/v2/{reference.path}"

    async def manifest(self, identifier: str) -> Manifest:
        """Return the manifest or index of a tag or digest, verified; raises NotFound in Docker's words."""
        path = f"{self._base}/manifests/{identifier}"
        by_digest = is_digest(identifier)
        try:
            response = await self._transport.send("GET", path, headers={"Accept": ", ".join(ACCEPTED)})
        except NoCredentials as error:
            raise EngineError(f'Head "{self._transport.where.shown}{path}": {error}') from None
        async with response:
            if response.status != 200:
                tag, digest = (None, identifier) if by_digest else (identifier, None)
                asked = replace(self._reference, tag=tag, digest=digest)
                raise registry_errors.pull_error(asked, await failure(response))
            body = await limited(response, SIZE_LIMIT, "manifest")
        if by_digest and digest_of(body) != identifier:
            raise EngineError(f"manifest verification failed for digest {identifier}")
        return checked(response.headers.get("Content-Type", ""), body)

    @asynccontextmanager
    async def blob(self, blob: Descriptor, offset: int) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Open a blob; its bytes raise TemporaryError when it may be asked for again from where it stopped."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        path = f"{self._base}/blobs/{blob.digest}"
        async with await self._transport.send("GET", path, headers=headers, follow=True) as response:
            if response.status == 404:
                raise registry_errors.unknown_blob()
            if response.status not in (200, 206):
                raise registry_errors.pull_error(self._reference, await failure(response))
            yield offset if response.status == 206 else 0, self._chunks(response)

    async def tags(self) -> list[str]:
        """Return all tags of the repository, page after page."""
        path: str | None = f"{self._base}/tags/list"
        found: list[str] = []
        while path:
            async with await self._transport.send("GET", path) as response:
                if response.status != 200:
                    raise registry_errors.pull_error(self._reference, await failure(response))
                page = registry_errors.document(await limited(response, _LIST_LIMIT, "list of tags"))
                following = response.links["next"]["url"] if "next" in response.links else None
            found += [str(tag) for tag in page.get("tags") or []]
            path = URL(str(following)).raw_path_qs if following else None
        return found

    async def has_blob(self, digest: str) -> bool:
        """Tell whether the repository is known to hold a blob.

        A refusal counts as no: HEAD has no body to say why, and the upload that follows is refused in words.
        """
        async with await self._transport.send("HEAD", f"{self._base}/blobs/{digest}") as response:
            return response.status == 200

    async def mount(self, digest: str, source: str) -> URL | None:
        """Ask for a blob of the repository `source`; return None when it is here now, else where to upload it."""
        await self._transport.add_scope(f"repository:{source}:pull")
        return await self._begin("?" + URL.build(query={"mount": digest, "from": source}).raw_query_string)

    async def begin_upload(self) -> URL:
        """Return where to upload a blob."""
        location = await self._begin("")
        if location is None:
            raise EngineError("the registry began no upload")
        return location

    async def upload(self, location: URL, digest: str, size: int, data: Callable[[], AsyncIterator[bytes]]) -> None:
        """Send a blob of `size` bytes; raises TemporaryError when it may be sent once more from its beginning."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        transport = self._transport
        async with await transport.once("PATCH", location, headers=headers, data=data()) as response:
            if response.status not in (201, 202, 204):
                raise registry_errors.push_error(await failure(response))
            following = transport.where.locate(response.url, response.headers.get("Location", str(location)))
        joiner = "&" if following.raw_query_string else "?"
        final = URL(f"{following}{joiner}digest={digest}", encoded=True)
        async with await transport.once("PUT", final) as response:
            if response.status not in (201, 204):
                raise registry_errors.push_error(await failure(response))

    async def put_manifest(self, tag: str, manifest: Manifest) -> None:
        """Give a manifest to the repository under `tag`."""
        path = f"{self._base}/manifests/{tag}"
        headers = {"Content-Type": manifest.media_type}
        async with await self._transport.send("PUT", path, headers=headers, data=manifest.body) as response:
            if response.status not in (200, 201, 202):
                raise registry_errors.push_error(await failure(response))

    async def _begin(self, query: str) -> URL | None:
        async with await self._transport.send("POST", f"{self._base}/blobs/uploads/{query}") as response:
            if response.status == 201:
                return None
            if response.status != 202 or "Location" not in response.headers:
                raise registry_errors.push_error(await failure(response))
            return self._transport.where.locate(response.url, response.headers["Location"])

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_chunked(CHUNK):
                yield chunk
        except CONNECTION_ERRORS as error:
            raise TemporaryError(connection_error(self._transport.where, "GET", response.url, error)) from error
