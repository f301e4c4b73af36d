"""Image references, parsed and shortened as Docker does (distribution reference grammar)."""

import re
from dataclasses import dataclass, replace

from ecrlab.engine.errors import InvalidParameter

HUB = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")
_NAME_LIMIT = 255
_INVALID = "invalid reference format"


@dataclass(frozen=True)
class Reference:
    """A repository of a registry, with a tag or a digest or neither."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def repository(self) -> str:
        """Full name of the repository, registry included: `docker.io/library/alpine`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """Name as Docker shows it: without `docker.io/` and `library/`."""
        return familiar(self.repository)

    @property
    def identifier(self) -> str:
        """What to ask the registry for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        return self.familiar_name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def with_default_tag(self) -> "Reference":
        """Return the same reference, with the tag `latest` where it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag="latest")

    def with_tag(self, tag: str) -> "Reference":
        """Return the repository of this reference with `tag`; raises InvalidParameter for a bad tag."""
        if not _TAG.fullmatch(tag):
            raise InvalidParameter("invalid tag format")
        return Reference(self.domain, self.path, tag=tag)

    def with_digest(self, digest: str) -> "Reference":
        """Return the repository of this reference with `digest`; raises InvalidParameter for a bad digest."""
        return Reference(self.domain, self.path, digest=valid_digest(digest))


def familiar(repository: str) -> str:
    """Return the short form of a full repository name: `docker.io/library/alpine` is `alpine`."""
    domain, _, path = repository.partition("/")
    return path.removeprefix("library/") if domain == HUB else repository


def is_digest(text: str) -> bool:
    """Tell whether `text` is a complete sha256 digest."""
    return _DIGEST.fullmatch(text) is not None


def valid_digest(text: str) -> str:
    """Return `text` if it is a sha256 digest; raises InvalidParameter otherwise."""
    if not is_digest(text):
        raise InvalidParameter("invalid checksum digest format")
    return text


def parse(text: str) -> Reference:
    """Return the reference that `text` names; raises InvalidParameter in Docker's words."""
    if _IDENTIFIER.fullmatch(text):
        raise InvalidParameter(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    remainder, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise InvalidParameter(_INVALID)
    name, colon, tag = remainder.rpartition(":")
    if not colon or "/" in tag:
        name, colon, tag = remainder, "", ""
    if colon and not _TAG.fullmatch(tag):
        raise InvalidParameter(_INVALID)
    domain, path = _split_domain(name)
    if path != path.lower():
        raise InvalidParameter(f"{_INVALID}: repository name ({path}) must be lowercase")
    if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
        raise InvalidParameter(_INVALID)
    if len(path) > _NAME_LIMIT:
        raise InvalidParameter(f"repository name must not be more than {_NAME_LIMIT} characters")
    return Reference(domain, path, tag or None, digest or None)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    domain, path = (first, rest) if is_domain else (HUB, name)
    if domain == "index.docker.io":
        domain = HUB
    if domain == HUB and "/" not in path:
        path = f"library/{path}"
    return domain, path
