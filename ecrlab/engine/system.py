"""What the engine says of itself: ping, version, info, disk usage, events, login, and the lists that are empty."""

import asyncio
import json
import os
import platform
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from ecrlab.engine import images, platforms
from ecrlab.engine.credentials import from_document
from ecrlab.engine.errors import InvalidParameter, NotFound, Unauthorized
from ecrlab.engine.events import Event
from ecrlab.engine.http import (
    API_VERSION,
    ENGINE,
    MIN_API_VERSION,
    Handler,
    answer,
    engine_version,
    filters,
    json_body,
    refusal,
)
from ecrlab.engine.images import Filters

_NAME = "ecrlab embedded engine"
_WARNING = (
    "WARNING: this is the ecrlab embedded engine: it pulls, tags, pushes, saves and loads images;"
    " to build and run containers, connect a Docker Engine"
)
_EVENT_FILTERS = {"type", "event", "image", "label", "scope", "container", "daemon", "network", "volume"}


async def ping(request: web.Request) -> web.Response:
    """GET and HEAD /_ping."""
    headers = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}
    return web.Response(text="OK", headers=headers)


async def version(request: web.Request) -> web.Response:
    """GET /version."""
    details = {
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
        "Arch": platforms.host().architecture,
        "KernelVersion": platform.release(),
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
    }
    engine = {"Name": "Engine", "Version": engine_version(), "Details": {**details, "Experimental": "false"}}
    said = {"Platform": {"Name": _NAME}, "Components": [engine], "Version": engine_version(), **details}
    return answer(said)


async def info(request: web.Request) -> web.Response:
    """GET /info."""
    engine = request.app[ENGINE]
    said: dict[str, Any] = {
        "ID": "ecrlab",
        "Name": _NAME,
        "ServerVersion": engine_version(),
        "OperatingSystem": _NAME,
        "OSType": "linux",
        "Architecture": platform.machine(),
        "KernelVersion": platform.release(),
        "NCPU": os.cpu_count() or 1,
        "MemTotal": _memory(),
        "Images": len(engine.catalogue.summaries()),
        **dict.fromkeys(("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped"), 0),
        "Driver": "ecrlab",
        "DriverStatus": [["Content store", "layers as pulled, by digest"], ["Host", socket.gethostname()]],
        "DockerRootDir": str(engine.root),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
            "IndexConfigs": {"docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}},
            "Mirrors": [],
        },
        "Plugins": {"Volume": [], "Network": [], "Authorization": [], "Log": []},
        "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": ""},
        "Runtimes": {},
        "DefaultRuntime": "",
        "SecurityOptions": [],
        "Labels": [],
        "SystemTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "Warnings": [_WARNING],
        # The docker CLI warns of each of these that is false; none of them means anything without containers.
        **dict.fromkeys(("MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet"), True),
        **dict.fromkeys(("IPv4Forwarding", "BridgeNfIptables", "BridgeNfIp6tables", "OomKillDisable"), True),
        "PidsLimit": True,
    }
    return answer(said)


async def auth(request: web.Request) -> web.Response:
    """POST /auth: `docker login`."""
    document = await json_body(request)
    credentials = from_document(document)
    address = document.get("serveraddress") or ""
    if not isinstance(address, str):
        raise InvalidParameter("serveraddress must be a text")
    try:
        await request.app[ENGINE].registries.login(address, credentials)
    except Unauthorized as error:
        return refusal(401, str(error))
    return answer({"IdentityToken": "", "Status": "Login Succeeded"})


async def disk_usage(request: web.Request) -> web.Response:
    """GET /system/df."""
    catalogue = request.app[ENGINE].catalogue
    entries = []
    for image in catalogue.summaries():
        own = {layer.diff_id: layer.size for layer in catalogue.layers(image.id)}
        shared = sum(size for diff_id, size in own.items() if catalogue.uses(diff_id) > 1)
        entry = images.describe(image, list(image.names), shared=shared)
        entries.append({**entry, "Containers": 0})
    said = {"LayersSize": catalogue.layers_size(), "Images": entries, "BuilderSize": 0}
    return answer({**said, "Containers": [], "Volumes": [], "BuildCache": []})


async def events(request: web.Request) -> web.StreamResponse:
    """GET /events: past events from `since` on, then new ones until the client goes or `until` comes."""
    hub = request.app[ENGINE].events
    wanted = filters(request)
    for key in wanted:
        if key not in _EVENT_FILTERS:
            raise InvalidParameter(f"invalid filter '{key}'")
    since, until = _moment(request, "since"), _moment(request, "until")
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with hub.listening() as queue:
        for event in hub.since(since) if since is not None else []:
            if (until is None or event["timeNano"] <= until * 1e9) and _passes(event, wanted):
                await _write(response, event)
        try:
            async with asyncio.timeout(None if until is None else max(0.0, until - time.time())):
                while (new := await queue.get()) is not None:
                    if _passes(new, wanted):
                        await _write(response, new)
        except TimeoutError:
            return response
    return response


def empty(document: Mapping[str, Any] | list[Any]) -> Handler:
    """Return a handler for a list that is always empty here."""

    async def handler(request: web.Request) -> web.Response:
        return answer(document)

    return handler


def absent(message: str) -> Handler:
    """Return a handler for one thing of a kind that is never here; `message` has `{}` for its name."""

    async def handler(request: web.Request) -> web.Response:
        raise NotFound(message.format(request.match_info["name"]))

    return handler


async def _write(response: web.StreamResponse, event: Event) -> None:
    await response.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")


def _passes(event: Event, wanted: Filters) -> bool:
    attributes = event["Actor"]["Attributes"]
    subjects = {event.get("id"), attributes.get("name"), str(event.get("id")).partition(":")[0]}
    return (
        ("image" in wanted.get("type", ["image"]))
        and event["Action"] in wanted.get("event", [event["Action"]])
        and ("image" not in wanted or bool(subjects & set(wanted["image"])))
        and images.labelled(attributes, wanted.get("label", []))
        and not any(key in wanted for key in ("container", "network", "volume"))
    )


def _moment(request: web.Request, key: str) -> float | None:
    text = request.query.get(key, "")
    if not text:
        return None
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidParameter(f'"{text}" is no time for {key}: Unix seconds or RFC 3339 are expected') from None


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
