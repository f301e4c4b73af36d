"""Requests to one registry: authorisation, redirects, retries."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from ecrlab.engine.credentials import Challenge, Credentials, challenge
from ecrlab.engine.endpoint import Endpoint, connection_error
from ecrlab.engine.errors import EngineError, Unauthorized
from ecrlab.engine.registry_errors import Failure, document, token_error

ATTEMPTS = 5
CHUNK = 1 << 20
CONNECTION_ERRORS = (aiohttp.ClientError, TimeoutError, ConnectionError)
_ANSWER_LIMIT = 4 << 20
_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECT_LIMIT = 5


class TemporaryError(Exception):
    """A failure that may go away: no connection, or an answer 5xx. `final` is what to say when it does not."""

    def __init__(self, final: EngineError) -> None:
        super().__init__(str(final))
        self.final = final


class NoCredentials(EngineError):
    """The registry wants a password, and the client sent none."""


class Transport:
    """The way to one registry for one operation of one client, with the client's credentials."""

    def __init__(
        self, session: aiohttp.ClientSession, where: Endpoint, credentials: Credentials, scopes: list[str]
    ) -> None:
        self.where = where
        self._session = session
        self._credentials = credentials
        self._scopes = scopes
        self._challenge: Challenge | None = None
        self._authorization: str | None = None
        self._known = False
        self._authenticating = asyncio.Lock()

    async def authenticate(self) -> aiohttp.ClientResponse:
        """Ask the registry how it wants to be asked, get ready for that, and return its answer (released)."""
        try:
            response = await self.once("GET", self.where.url("/v2/"), renew=False)
        except TemporaryError as error:
            raise error.final from None
        response.release()
        found = challenge(response.headers.get("Www-Authenticate"))
        if response.status == 401 and found is not None:
            self._challenge = found
            await self._authorise(found)
        self._known = True
        return response

    async def add_scope(self, scope: str) -> None:
        """Ask for a token with one more scope, where the registry uses tokens."""
        if scope not in self._scopes:
            self._scopes.append(scope)
            if self._challenge is not None and self._challenge.scheme == "bearer":
                await self._authorise(self._challenge)

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        follow: bool = False,
    ) -> aiohttp.ClientResponse:
        """Send a request, and again while its failure looks temporary; return the answer, to be released."""
        async with self._authenticating:
            if not self._known:
                await self.authenticate()
        for attempt in range(ATTEMPTS):
            try:
                return await self.once(method, self.where.url(path), headers=headers, data=data, follow=follow)
            except TemporaryError as error:
                if attempt == ATTEMPTS - 1:
                    raise error.final from None
            await asyncio.sleep(backoff(attempt))
        raise AssertionError("unreachable")

    async def once(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        follow: bool = False,
        renew: bool = True,
    ) -> aiohttp.ClientResponse:
        """Send a request once and return the answer, to be released; raises TemporaryError."""
        redirects = 0
        while True:
            response = await self._request(method, url, headers, data, authorised=not redirects)
            found = challenge(response.headers.get("Www-Authenticate")) if response.status == 401 else None
            # A token may have run out on the way. A streamed body is spent by then, its sender has to begin anew.
            if (
                renew
                and found
                and found.scheme == "bearer"
                and not redirects
                and (data is None or isinstance(data, bytes))
            ):
                response.release()
                await self._authorise(found)
                renew = False
            elif follow and response.status in _REDIRECTS and "Location" in response.headers:
                response.release()
                redirects += 1
                if redirects > _REDIRECT_LIMIT:
                    raise EngineError(f'{method.capitalize()} "{self.where.shown}": stopped after 5 redirects')
                url = self.where.locate(url, response.headers["Location"])
            elif response.status >= 500:
                response.release()
                raise TemporaryError(
                    EngineError(f"received unexpected HTTP status: {response.status} {response.reason}")
                )
            else:
                return response

    async def _request(
        self, method: str, url: URL, headers: Mapping[str, str] | None, data: Any, *, authorised: bool
    ) -> aiohttp.ClientResponse:
        sent = dict(headers or {})
        if self.where.same_place(url):
            if self.where.host is not None:
                sent["Host"] = self.where.host
            # Where a blob is redirected to (a signed URL) must not see the registry's credentials.
            if authorised and self._authorization is not None:
                sent["Authorization"] = self._authorization
        try:
            return await self._session.request(method, url, headers=sent, data=data, allow_redirects=False)
        except CONNECTION_ERRORS as error:
            raise TemporaryError(connection_error(self.where, method, url, error)) from error

    async def _authorise(self, found: Challenge) -> None:
        given = self._credentials
        if given.registry_token:
            self._authorization = f"Bearer {given.registry_token}"
        elif found.scheme == "basic":
            if given.basic is None:
                raise NoCredentials("no basic auth credentials")
            self._authorization = given.basic
        else:
            self._authorization = f"Bearer {await self._token(found)}"

    async def _token(self, found: Challenge) -> str:
        """Return a token from the server that a Bearer challenge names (distribution's token authentication)."""
        realm = URL(found.parameters.get("realm", ""))
        if realm.scheme not in ("http", "https") or not realm.host:
            raise EngineError("the registry asks for a token and names no server that gives one")
        if realm.scheme == "http" and not self.where.local:
            raise EngineError(f"the registry wants the credentials sent unencrypted to {realm.host}; refused")
        service = [("service", found.parameters["service"])] if "service" in found.parameters else []
        scopes = self._scopes or ([found.parameters["scope"]] if "scope" in found.parameters else [])
        given = self._credentials
        if given.identity_token:
            form = [*service, ("grant_type", "refresh_token"), ("client_id", "ecrlab")]
            form += [("refresh_token", given.identity_token), ("scope", " ".join(scopes))]
            request = self._session.post(realm, data=form)
        else:
            query = [*service, *(("scope", scope) for scope in scopes)]
            query += [("account", given.username)] if given.username else []
            headers = {"Authorization": given.basic} if given.basic else {}
            request = self._session.get(realm.extend_query(query), headers=headers)
        try:
            async with request as response:
                if response.status != 200:
                    raise token_error(await failure(response))
                answer = document(await limited(response, _ANSWER_LIMIT, "token"))
        except CONNECTION_ERRORS as error:
            raise connection_error(self.where, "GET", realm, error) from None
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str):
            raise Unauthorized("authorization server did not include a token in the response")
        return token


def backoff(attempt: int) -> float:
    """Return the seconds to wait after the failed attempt number `attempt` (from 0)."""
    return float(min(0.25 * 2**attempt, 5))


async def limited(response: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    """Return the body of an answer; raises EngineError beyond `limit` bytes or when it breaks off."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > limit:
                raise EngineError(f"the {what} is larger than {limit} bytes")
    except CONNECTION_ERRORS as error:
        raise EngineError(f"reading the {what}: unexpected EOF") from error
    return bytes(body)


async def failure(response: aiohttp.ClientResponse) -> Failure:
    """Return the error in an answer."""
    body = await limited(response, _ANSWER_LIMIT, "error of the registry")
    return Failure(response.status, body, challenge(response.headers.get("Www-Authenticate")))
