"""Where the requests for a registry go, and how a failed connection is told."""

import errno
import re
import ssl
from dataclasses import dataclass

import aiohttp
from yarl import URL

from ecrlab.engine.errors import EngineError
from ecrlab.engine.reference import HUB

_PRIVATE = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.(?:amazonaws\.com|localhost)")
_LOOPBACK = re.compile(r"(?:127(?:\.[0-9]{1,3}){3}|localhost|\[::1\])(?::[0-9]+)?")
_HUB_HOST = "registry-1.docker.io"
_HUB_LOGIN = ("", "index.docker.io", "docker.io", "registry-1.docker.io", "registry.hub.docker.com")


@dataclass(frozen=True)
class Endpoint:
    """A registry: the name users know, the address to connect to, and whether that is this machine."""

    domain: str
    address: URL
    host: str | None = None
    local: bool = False

    @property
    def shown(self) -> str:
        """The address as error messages give it."""
        return f"https://{self.domain}" if self.host else str(self.address).rstrip("/")

    def url(self, path: str) -> URL:
        """Return the URL to connect to for a path that begins with `/v2/`."""
        return self.address.join(URL(path))

    def locate(self, current: URL, location: str) -> URL:
        """Return the URL to connect to for a Location header; the registry's own host name means this address."""
        target = current.join(URL(location, encoded=True))
        if self.host is not None and target.host == self.host:
            return URL.build(
                scheme=self.address.scheme,
                host=self.address.host or "",
                port=self.address.port,
                path=target.raw_path,
                query_string=target.raw_query_string,
                encoded=True,
            )
        return target

    def same_place(self, url: URL) -> bool:
        """Tell whether `url` belongs to this registry, so that it may see the credentials."""
        return url.origin() == self.address.origin()


def endpoint(domain: str, cloud: URL) -> Endpoint:
    """Return where the registry `domain` is: private ECR registries in the lab's cloud, others where they say."""
    if _PRIVATE.fullmatch(domain):
        return Endpoint(domain, cloud, host=domain, local=True)
    if _LOOPBACK.fullmatch(domain):
        return Endpoint(domain, URL(f"http://{domain}/"), local=True)
    host = _HUB_HOST if domain == HUB else domain
    return Endpoint(host, URL(f"https://{host}/"))


def login_domain(address: str) -> str:
    """Return the registry domain that a `docker login` address means."""
    domain = re.sub(r"^https?://", "", address).partition("/")[0]
    return HUB if domain in _HUB_LOGIN else domain


def connection_error(where: Endpoint, method: str, url: URL, error: Exception) -> EngineError:
    """Return the refusal for a connection that failed, worded like the dial errors of Docker."""
    shown = f"{where.shown}{url.path}"
    peer = f"{url.host}:{url.port}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        cause = (
            f"dial tcp: lookup {url.host}: no such host (there is no network here, or no such registry;"
            " the sample images ecrlab/… and the lab's own registries need no network)"
        )
    elif isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        cause = f"tls: {getattr(error, 'os_error', error)}"
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = f"dial tcp {peer}: connect: {_reason(error.os_error)}"
    elif isinstance(error, TimeoutError):
        cause = f"dial tcp {peer}: i/o timeout"
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        cause = "EOF"
    elif isinstance(error, aiohttp.ClientPayloadError):
        cause = "unexpected EOF"
    else:
        cause = str(error) or type(error).__name__
    hint = " (is the lab running? `ecrlab status` tells)" if where.host else ""
    return EngineError(f'{method.capitalize()} "{shown}": {cause}{hint}')


def _reason(error: OSError) -> str:
    names = {errno.ECONNREFUSED: "connection refused", errno.ENETUNREACH: "network is unreachable"}
    return names.get(error.errno or 0, (error.strerror or str(error)).lower())
