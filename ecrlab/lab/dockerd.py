"""Finding a real Docker Engine that can work with the lab."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PING_SECONDS = 3.0


@dataclass(frozen=True)
class Found:
    """A Docker Engine that answers: its DOCKER_HOST, its version and its platform ("linux/amd64")."""

    host: str
    version: str
    platform: str


@dataclass(frozen=True)
class Search:
    """The result of looking for a Docker Engine; ``reason`` says in a sentence what was found or what is missing.

    ``present`` tells an engine that cannot be used from none at all.
    """

    engine: Found | None
    reason: str
    present: bool = True


def find(environ: Mapping[str, str] = os.environ) -> Search:
    """Look for a real Docker Engine where the docker client would, and try whether it reaches this machine's loopback.

    The embedded engine of a lab is never taken for a real one.
    """
    host = docker_host(environ)
    parts = urlsplit(host)
    if parts.scheme not in ("unix", "npipe") and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return Search(None, f"The Docker Engine at {host} is on another machine and cannot reach the lab.")
    if parts.scheme == "unix" and not Path(parts.path).exists():
        return Search(None, f"There is no Docker Engine at {host}.", present=False)
    import docker

    try:
        client = docker.APIClient(base_url=host, version="auto", timeout=PING_SECONDS)
    except Exception as error:  # the SDK raises its own, requests' and urllib3's errors here
        return Search(None, f"The Docker Engine at {host} does not answer ({_short(error)}).")
    try:
        version: dict[str, Any] = client.version()
        if is_embedded(version):
            return Search(None, f"The engine at {host} is the embedded engine of a lab.", present=False)
        if not reaches_loopback(client):
            return Search(
                None,
                f"The Docker Engine at {host} cannot reach programs on 127.0.0.1 of this machine (it runs in a VM?).",
            )
        found = Found(host, version["Version"], f"{version['Os']}/{version['Arch']}")
    except Exception as error:
        return Search(None, f"The Docker Engine at {host} does not answer as expected ({_short(error)}).")
    finally:
        client.close()
    return Search(found, f"Docker Engine {found.version} ({found.platform}) at {host}.")


def docker_host(environ: Mapping[str, str] = os.environ) -> str:
    """The address that the docker client would use: DOCKER_HOST, else that of the chosen context, else the default."""
    if host := environ.get("DOCKER_HOST"):
        return host
    folder = Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name = environ.get("DOCKER_CONTEXT") or _json(folder / "config.json").get("currentContext")
    if isinstance(name, str) and name not in ("", "default"):
        meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        host = _json(meta).get("Endpoints", {}).get("docker", {}).get("Host")
        if isinstance(host, str) and host:
            return host
    return "npipe:////./pipe/docker_engine" if sys.platform == "win32" else "unix:///var/run/docker.sock"


def is_embedded(version: Mapping[str, Any]) -> bool:
    """Whether an answer of GET /version comes from ecrlab's own engine."""
    return "ecrlab" in json.dumps(version).lower()


def reaches_loopback(client: Any) -> bool:
    """Whether the daemon can talk to a program on our 127.0.0.1; from inside a VM or another network it cannot."""
    asked = threading.Event()

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            known = "Authorization" in self.headers
            self.send_response(200 if known else 401)
            if not known:
                self.send_header("WWW-Authenticate", 'Basic realm="ecrlab"')
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            # The daemon tries TLS first; what it sends then is no HTTP.
            return

    with Server(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            # Not client.login(): that would ask the learner's credential helper first.
            client.post(
                f"{client.base_url}/v{client.api_version}/auth",
                json={"username": "probe", "password": "probe", "serveraddress": f"127.0.0.1:{server.server_port}"},
                timeout=PING_SECONDS,
            )
        except Exception:
            return asked.is_set()
        finally:
            server.shutdown()
    return asked.is_set()


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
