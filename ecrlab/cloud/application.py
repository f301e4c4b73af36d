"""The cloud's ASGI application: one port, told apart by the request (design, section 3)."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import sqlite3
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from typing import TypeVar
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from ecrlab.cloud.api import Answer, Api, Context
from ecrlab.cloud.api.adapter import error as api_error
from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import Core, prices
from ecrlab.cloud.core.events import Event
from ecrlab.cloud.distribution import Distribution
from ecrlab.cloud.distribution.errors import response as distribution_error
from ecrlab.cloud.identity import Caller, Credential, SignatureError, SignedRequest, Tokens, verify
from ecrlab.cloud.neighbours import Neighbours
from ecrlab.cloud.settings import Settings
from ecrlab.cloud.storage import BlobStore, Database
from ecrlab.cloud.upstream import World

TICK = 60.0  # seconds between looks for lifecycle policies that are due
MAX_BODY = 64 * 1024 * 1024  # bytes of an AWS call's body; a layer part has at most 20 MiB before base64

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Cloud:
    """The ASGI application."""

    def __init__(self, settings: Settings, endpoint: str, database: Database, blobs: BlobStore) -> None:
        self.endpoint = endpoint
        self._settings = settings
        clock = Clock()
        tokens = Tokens(settings.folder / "token.key", clock)
        self._scanner = ThreadPoolExecutor(1, thread_name_prefix="scan")
        self._writers = ThreadPoolExecutor(os.cpu_count() or 2, thread_name_prefix="layer")
        self._administrator = settings.administrator
        self._neighbours = Neighbours(self._administrator)
        self._core = Core(database, blobs, clock, self._in_background, World(self._neighbours.secret))
        self._api = Api(Context(self._core, tokens, endpoint, settings.uri_style))
        self._distribution = Distribution(self._core, tokens, self._writers)
        self._loading: asyncio.Future[None] | None = None
        self._core.scans.run_requested()
        self._core.backfills.run_unfinished()
        self._core.signing.run_unfinished()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what goes wrong on our side is said in the protocol of the request."""
        path: str = scope["path"]
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if path == "/v2" or path.startswith("/v2/"):
                await self._distribution(scope, receive, watched_send)
            elif path.startswith("/_layers/"):
                await self._distribution.layer(scope, receive, watched_send)
            elif path.startswith("/_ecrlab/"):
                await self._control(scope, receive, watched_send)
            else:
                await self._aws(scope, receive, watched_send)
        except Exception as fault:
            _log.exception("%s %s", scope["method"], path)
            if not started:
                await _fault(Request(scope), fault)(scope, receive, send)

    async def keep_time(self) -> None:
        """Apply the lifecycle policies that fall due by real time, until cancelled."""
        while True:
            try:
                self._core.lifecycle.run_due()
            except Exception:
                _log.exception("lifecycle policies could not be applied")
            await asyncio.sleep(TICK)

    def load_neighbours(self) -> None:
        """Begin to load moto in another thread."""
        self._loading = asyncio.get_running_loop().run_in_executor(None, self._neighbours.load)

    def close(self) -> None:
        """Let go of the threads."""
        self._scanner.shutdown(cancel_futures=True)
        self._writers.shutdown(cancel_futures=True)

    def _in_background(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        def finish(future: asyncio.Future[T]) -> None:
            if not future.cancelled():
                done(future.result())

        asyncio.get_running_loop().run_in_executor(self._scanner, work).add_done_callback(finish)

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        token = request.headers.get("x-ecrlab-token", "")
        answer: Response
        if not hmac.compare_digest(token.encode(), self._settings.control_token.encode()):
            answer = JSONResponse({"message": "The lab's own token is needed here"}, 403)
        elif (request.method, scope["path"]) == ("GET", "/_ecrlab/health"):
            answer = JSONResponse(
                {
                    "status": "ok",
                    "account_id": self._settings.account_id,
                    "region": self._settings.region,
                    "uri_style": self._settings.uri_style,
                    "version": version("ecrlab"),
                }
            )
        elif scope["path"] == "/_ecrlab/clock" and request.method in ("GET", "POST"):
            answer = await self._control_clock(request)
        elif (request.method, scope["path"]) == ("GET", "/_ecrlab/cost"):
            answer = self._control_cost(request)
        elif (request.method, scope["path"]) == ("GET", "/_ecrlab/events"):
            answer = JSONResponse({"events": [_event(event) for event in self._core.events.all()]})
        elif (request.method, scope["path"]) == ("POST", "/_ecrlab/reset"):
            self._core.reset()
            answer = JSONResponse({"status": "ok"})
        else:
            answer = JSONResponse({"message": "The lab has no such control"}, 404)
        await answer(scope, receive, send)

    async def _control_clock(self, request: Request) -> Response:
        """Tell the lab's time; a POST of {"advance": seconds} moves it forward first."""
        if request.method == "POST":
            try:
                self._core.advance(float((await request.json())["advance"]))
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                return JSONResponse({"message": f"Not a step of the clock: {error}"}, 400)
        clock = self._core.clock
        return JSONResponse({"now": clock.now(), "offset": clock.offset})

    def _control_cost(self, request: Request) -> Response:
        """Tell what the registries cost; `since` and `until` in seconds since the epoch choose a period."""
        period = {name: request.query_params.get(name) for name in ("since", "until")}
        try:
            chosen = {name: float(value) for name, value in period.items() if value is not None}
            report = self._core.costs.report(**chosen)
        except ValueError as error:
            return JSONResponse({"message": f"Not a period: {error}"}, 400)
        return JSONResponse(
            {
                **asdict(report),
                "prices_as_of": prices.AS_OF,
                "prices": [asdict(price) for price in prices.TABLE],
                "notes": prices.NOTES,
            }
        )

    async def _aws(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        target = request.headers.get("x-amz-target", "")
        operation = Api.operation_of(target)
        body = await _read(request)
        if body is None:
            answer = api_error("RequestEntityTooLargeException", f"The body has more than {MAX_BODY} bytes", status=413)
            await _aws_answer(answer, target)(scope, receive, send)
            return
        signed = SignedRequest(
            method=request.method,
            path=scope["raw_path"].partition(b"?")[0].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
            ),
            body=body,
        )
        try:
            caller = await self._verify(signed)
            if operation is not None and caller.service != "ecr":
                raise SignatureError(
                    "InvalidSignatureException", "Credential should be scoped to correct service: 'ecr'."
                )
        except SignatureError as error:
            await _aws_answer(api_error(error.code, error.message), target)(scope, receive, send)
            return
        if operation is not None:
            await _aws_answer(await self._api.handle(operation, caller, body), target)(scope, receive, send)
        elif caller.service == "ecr":
            answer = api_error("UnknownOperationException", "The request names no operation of Amazon ECR")
            await _aws_answer(answer, target)(scope, receive, send)
        else:
            await self._neighbours.answer(scope, body, caller, send)

    async def _verify(self, signed: SignedRequest) -> Caller:
        try:
            return verify(signed, self._find_credential)
        except SignatureError as error:
            # The key may be one of moto's, which is perhaps not loaded yet.
            if error.code != "UnrecognizedClientException" or self._neighbours.is_loaded:
                raise
        await asyncio.to_thread(self._neighbours.load)
        return verify(signed, self._find_credential)

    def _find_credential(self, access_key_id: str) -> Credential | None:
        if access_key_id == self._administrator.access_key_id:
            return self._administrator
        return self._neighbours.find_credential(access_key_id)


# The protocols with XML answers name the faults of a signature otherwise, and answer 403.
_XML_CODES = {
    "UnrecognizedClientException": "InvalidClientTokenId",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "IncompleteSignatureException": "IncompleteSignature",
}


def _event(event: Event) -> dict[str, object]:
    """Return an event in the members that EventBridge gives it."""
    return {
        "source": "aws.ecr",
        "detail-type": event.detail_type,
        "account": event.registry.account,
        "region": event.registry.region,
        "time": event.time,
        "detail": event.detail,
    }


def _aws_answer(answer: Answer, target: str) -> Response:
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request_id}
    if target:
        return Response(answer.body, answer.status, headers, media_type="application/x-amz-json-1.1")
    code = _XML_CODES.get(answer.error or "", answer.error or "")
    message = escape(json.loads(answer.body)["message"])
    xml = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Response(xml, 403 if answer.status == 400 else answer.status, headers, media_type="text/xml")


def _fault(request: Request, fault: Exception) -> Response:
    """Return what the client is told when the lab itself fails; about a full disk it can do something."""
    if isinstance(fault, OSError | sqlite3.Error):
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        message = f"The lab cannot write to its state folder: {reason}"
    else:
        message = "The lab failed to answer; its log says why"
    path = request.url.path
    if path.startswith("/v2"):
        return distribution_error(500, "UNKNOWN", message)
    if path.startswith("/_"):
        return PlainTextResponse(message + "\n", 500)
    answer = api_error("ServerException", message, status=500)
    return _aws_answer(answer, request.headers.get("x-amz-target", ""))


async def _read(request: Request) -> bytes | None:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
    return b"".join(parts)
