"""The Docker Engine API: which request does what."""

from aiohttp import web

from ecrlab.engine import images, load, platforms, pull, push, removal, save, system
from ecrlab.engine import reference as references
from ecrlab.engine.credentials import from_header
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import InvalidParameter, NotSupported
from ecrlab.engine.http import ENGINE, Handler, answer, errors_as_json, filters, mark, streamed, truth

_AUTH = "X-Registry-Auth"
_UNSUPPORTED = {
    "build": "building images",
    "commit": "committing containers",
    "configs": "swarm mode",
    "containers": "running containers",
    "distribution": "inspecting images in a registry",
    "exec": "running commands in containers",
    "grpc": "BuildKit",
    "networks": "managing networks",
    "nodes": "swarm mode",
    "plugins": "managing plugins",
    "secrets": "swarm mode",
    "services": "swarm mode",
    "session": "BuildKit",
    "swarm": "swarm mode",
    "tasks": "swarm mode",
    "volumes": "managing volumes",
}


def application(engine: Engine) -> web.Application:
    """Return the web application that serves `engine`."""
    app = web.Application(middlewares=[errors_as_json])
    app[ENGINE] = engine
    app.on_response_prepare.append(mark)
    app.on_shutdown.append(_end_events)
    for method, path, handler in _routes():
        for prefix in (r"/v{version:\d+\.\d+}", ""):
            app.router.add_route(method, prefix + path, handler)
    return app


def _routes() -> list[tuple[str, str, Handler]]:
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/_ping", system.ping),
        ("HEAD", "/_ping", system.ping),
        ("GET", "/version", system.version),
        ("GET", "/info", system.info),
        ("POST", "/auth", system.auth),
        ("GET", "/events", system.events),
        ("GET", "/system/df", system.disk_usage),
        ("GET", "/images/json", _list),
        ("POST", "/images/create", _pull),
        ("POST", "/images/load", _load),
        ("GET", "/images/get", _save),
        ("POST", "/images/prune", _prune),
        ("GET", "/images/{name:.+}/json", _inspect),
        ("GET", "/images/{name:.+}/history", _history),
        ("GET", "/images/{name:.+}/get", _save),
        ("POST", "/images/{name:.+}/tag", _tag),
        ("POST", "/images/{name:.+}/push", _push),
        ("DELETE", "/images/{name:.+}", _remove),
        ("GET", "/containers/json", system.empty([])),
        (
            "GET",
            "/containers/{name:[^/]+}/json",
            system.absent("No such container: {} (the embedded engine runs none; connect a Docker Engine)"),
        ),
        ("GET", "/volumes", system.empty({"Volumes": [], "Warnings": []})),
        ("GET", "/volumes/{name:[^/]+}", system.absent("get {}: no such volume")),
        ("GET", "/networks", system.empty([])),
        ("GET", "/networks/{name:[^/]+}", system.absent("network {} not found")),
        ("GET", "/plugins", system.empty([])),
        ("GET", "/plugins/{name:.+}/json", system.absent('plugin "{}" not found')),
    ]
    for word, what in _UNSUPPORTED.items():
        routes += [("*", f"/{word}", _not_supported(what)), ("*", f"/{word}/{{rest:.*}}", _not_supported(what))]
    routes.append(("GET", "/images/search", _not_supported("searching Docker Hub")))
    return routes


async def _end_events(app: web.Application) -> None:
    app[ENGINE].events.close()


def _not_supported(what: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        await _drain(request)
        raise NotSupported(
            f"{what} is not supported by the embedded engine; connect a Docker Engine"
            " (start it on this machine, then start the lab again)"
        )

    return handler


async def _drain(request: web.Request) -> None:
    # The docker CLI sends all it has (a build context, an archive) before it reads the answer.
    async for _ in request.content.iter_any():
        continue


async def _list(request: web.Request) -> web.Response:
    digests = "digests" not in request.query or truth(request, "digests")
    return answer(images.listing(request.app[ENGINE].catalogue, filters(request), digests=digests))


async def _inspect(request: web.Request) -> web.Response:
    return answer(images.inspect(request.app[ENGINE].catalogue, request.match_info["name"]))


async def _history(request: web.Request) -> web.Response:
    return answer(images.history(request.app[ENGINE].catalogue, request.match_info["name"]))


async def _tag(request: web.Request) -> web.Response:
    repository, tag = request.query.get("repo", ""), request.query.get("tag", "")
    removal.tag(request.app[ENGINE], request.match_info["name"], repository, tag)
    return web.Response(status=201)


async def _remove(request: web.Request) -> web.Response:
    # `noprune` keeps the parents that an image was built from; pulled and loaded images have none.
    name = request.match_info["name"]
    return answer(removal.remove(request.app[ENGINE], name, force=truth(request, "force")))


async def _prune(request: web.Request) -> web.Response:
    return answer(removal.prune(request.app[ENGINE], filters(request)))


async def _pull(request: web.Request) -> web.StreamResponse:
    query = request.query
    if not query.get("fromImage"):
        if query.get("fromSrc"):
            return await _not_supported("importing a file system")(request)
        raise InvalidParameter("invalid reference format")
    reference = references.parse(query["fromImage"])
    tag = query.get("tag", "")
    if tag:
        reference = reference.with_digest(tag) if ":" in tag else reference.with_tag(tag)
    platform = platforms.parse(query["platform"]) if query.get("platform") else None
    credentials = from_header(request.headers.get(_AUTH))
    engine = request.app[ENGINE]
    return await streamed(request, lambda progress: pull.pull(engine, reference, platform, credentials, progress))


async def _push(request: web.Request) -> web.StreamResponse:
    reference = references.parse(request.match_info["name"])
    if request.query.get("tag"):
        reference = reference.with_tag(request.query["tag"])
    if reference.digest:
        raise InvalidParameter("cannot push a digest reference")
    credentials = from_header(request.headers.get(_AUTH))
    engine = request.app[ENGINE]
    return await streamed(request, lambda progress: push.push(engine, reference, credentials, progress))


async def _load(request: web.Request) -> web.StreamResponse:
    engine = request.app[ENGINE]
    return await streamed(request, lambda progress: load.load(engine, request.content, progress))


async def _save(request: web.Request) -> web.StreamResponse:
    engine = request.app[ENGINE]
    name = request.match_info.get("name")
    names = [name] if name else [part for text in request.query.getall("names", []) for part in text.split(",")]
    if not names:
        raise InvalidParameter("no image is named to save")
    saved = await save.choose(engine, names)
    response = web.StreamResponse(headers={"Content-Type": "application/x-tar"})
    await response.prepare(request)
    async for chunk in save.archive(engine, saved):
        await response.write(chunk)
    return response
