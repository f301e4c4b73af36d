"""From a request below /v2/ to its handler: who asks, and of which registry."""

from __future__ import annotations

import base64
import hmac
from concurrent.futures import Executor

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from ecrlab.cloud.core import Core, Registry
from ecrlab.cloud.core.errors import EcrError
from ecrlab.cloud.distribution.blobs import Blobs
from ecrlab.cloud.distribution.errors import denied, not_authorised, refusal, response
from ecrlab.cloud.distribution.exchange import Exchange, Routes
from ecrlab.cloud.distribution.manifests import Manifests
from ecrlab.cloud.distribution.uploads import ClientGone
from ecrlab.cloud.identity import Denied, Token, TokenExpired, TokenInvalid, Tokens
from ecrlab.cloud.identity.tokens import USER

API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}


class Distribution:
    """The data plane of every registry."""

    def __init__(self, core: Core, tokens: Tokens, executor: Executor) -> None:
        self._core = core
        self._tokens = tokens
        self._routes: Routes = (*Blobs(core, executor).routes(), *Manifests(core).routes())

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
