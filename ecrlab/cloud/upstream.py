"""What lies outside the lab's registries: other registries over HTTP, and the secrets that hold their logins."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

from ecrlab.cloud.core.cache_errors import UpstreamAccessDenied, UpstreamTooManyRequests, UpstreamUnavailable
from ecrlab.cloud.core.cache_rules import LOOPBACK
from ecrlab.cloud.core.manifest import MAX_BYTES, MEDIA_TYPES
from ecrlab.cloud.core.upstream import CHUNK, Credentials, NotUpstream

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class World:
    """The `Outside` of a cloud: `secrets` reads a secret of the lab's Secrets Manager."""

    def __init__(self, secrets: Callable[[str], Awaitable[str]]) -> None:
        self._secrets = secrets

    async def secret(self, arn: str) -> str:
        """Return the text of a secret. Raises SecretNotFound, UnableToAccessSecret."""
        return await self._secrets(arn)

    @asynccontextmanager
    async def registry(self, host: str, credentials: Credentials | None) -> AsyncIterator[HttpRegistry]:
        """Open a registry: over plain HTTP on this machine, over HTTPS elsewhere."""
        import aiohttp  # here: it would delay the start of the cloud

        on_loopback = LOOPBACK.fullmatch(host) is not None
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT)
        async with aiohttp.ClientSession(
            timeout=timeout,
            # Not trust_env: besides the proxies it would send what ~/.netrc says.
            proxy=None if on_loopback or proxy_bypass(host) else getproxies().get("https"),
            auto_decompress=False,  # a digest is that of the bytes as they are sent
            headers={"Accept-Encoding": "identity"},
        ) as session:
            yield HttpRegistry(session, f"{'http' if on_loopback else 'https'}://{host}", credentials)


class HttpRegistry:
    """An `Upstream` over the distribution API, with the Basic and Bearer logins that registries ask for.

    Source: the OCI distribution specification; distribution's documentation on token authentication.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, credentials: Credentials | None) -> None:
        self._session = session
        self._url = url
        self._credentials = credentials
        self._authorization: str | None = None

    async def check(self) -> None:
        """Return when the registry answers and accepts the login. Raises UpstreamError."""
        try:
            async with self._get("/v2/"):
                return
        except NotUpstream:
            raise UpstreamUnavailable(f"{self._url} does not answer as a registry") from None

    async def manifest(self, name: str, reference: str) -> tuple[bytes, str | None]:
        """Return a manifest's bytes and media type. Raises NotUpstream, UpstreamError."""
        parts: list[bytes] = []
        accept = ", ".join(sorted(MEDIA_TYPES))
        async with self._get(f"/v2/{name}/manifests/{reference}", accept=accept) as answer:
            async for part in answer.content.iter_chunked(CHUNK):
                parts.append(part)
                if sum(map(len, parts)) > MAX_BYTES:
                    raise UpstreamUnavailable(f"The upstream's manifest of {name}:{reference} is too large")
            media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return b"".join(parts), media_type if media_type in MEDIA_TYPES else None

    async def blob(self, name: str, digest: str) -> AsyncIterator[bytes]:
        """Yield a blob's bytes; redirects to a store are followed. Raises UpstreamError."""
        try:
            async with self._get(f"/v2/{name}/blobs/{digest}") as answer:
                async for part in answer.content.iter_chunked(CHUNK):
                    yield part
        except NotUpstream:
            raise UpstreamUnavailable(f"The upstream lacks the blob {digest}, which its manifest names") from None

    @asynccontextmanager
    async def _get(self, path: str, *, accept: str = "*/*") -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the answer to a GET, after a login if the registry asks for one."""
        import aiohttp

        try:
            answer = await self._send(path, accept)
            if answer.status == 401:
                challenge = answer.headers.get("WWW-Authenticate", "")
                answer.release()
                self._authorization = await self._login(challenge)
                answer = await self._send(path, accept)
            async with answer:
                self._expect_ok(answer)
                yield answer
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise UpstreamUnavailable(f"The upstream registry {self._url} cannot be reached: {reason}") from error

    async def _send(self, path: str, accept: str) -> aiohttp.ClientResponse:
        headers = {"Accept": accept}
        if self._authorization:
            headers["Authorization"] = self._authorization
        return await self._session.get(self._url + path, headers=headers)

    async def _login(self, challenge: str) -> str:
        """Return the Authorization header that a challenge asks for."""
        scheme = challenge.partition(" ")[0].lower()
        if scheme == "basic" and self._credentials:
            return _basic(self._credentials)
        parameters = dict(_PARAMETER.findall(challenge))
        if scheme != "bearer" or "realm" not in parameters:
            raise UpstreamAccessDenied(f"The upstream registry {self._url} asks for a login, and the rule has none")
        realm = parameters.pop("realm")
        if not realm.startswith("https://") and not self._url.startswith("http://"):
            raise UpstreamAccessDenied(f"The upstream registry {self._url} asks for the login to be sent unencrypted")
        headers = {"Authorization": _basic(self._credentials)} if self._credentials else {}
        query = {name: value for name, value in parameters.items() if name in ("service", "scope")}
        async with self._session.get(realm, params=query, headers=headers) as answer:
            try:
                self._expect_ok(answer)
            except NotUpstream:
                raise UpstreamUnavailable(f"The upstream registry {self._url} names no place to log in at") from None
            fields = await answer.json(content_type=None)
        token = (fields.get("token") or fields.get("access_token")) if isinstance(fields, dict) else None
        if not isinstance(token, str):
            raise UpstreamAccessDenied(f"The upstream registry {self._url} gave no token")
        return f"Bearer {token}"

    def _expect_ok(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status in (401, 403):
            raise UpstreamAccessDenied(f"The upstream registry {self._url} denies access")
        if answer.status == 404:
            raise NotUpstream
        if answer.status == 429:
            raise UpstreamTooManyRequests(f"The upstream registry {self._url} limits the rate of requests")
        if answer.status != 200:
            raise UpstreamUnavailable(f"The upstream registry {self._url} answered {answer.status}")


def _basic(credentials: Credentials) -> str:
    text = f"{credentials.username}:{credentials.password}"
    return "Basic " + base64.b64encode(text.encode()).decode()
