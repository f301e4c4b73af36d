"""Which image of a multi-arch index fits a machine."""

import platform as machine
import re
from dataclasses import dataclass

from ecrlab.engine.errors import InvalidParameter

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "arm64": ("arm64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
    "arm": ("arm", "v7"),
}
_KNOWN = {"386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x", "wasm"}
_SYSTEMS = {"linux", "windows", "darwin", "freebsd", "wasi"}
_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Platform:
    """An operating system, an architecture and its variant (empty for the usual one)."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def rank(self, offered: "Platform") -> int | None:
        """Return how well `offered` serves this platform, lower is better; None when it does not."""
        if (self.os, self.architecture) != (offered.os, offered.architecture):
            return None
        if self.architecture != "arm":
            return 0 if self.variant == offered.variant else (1 if not offered.variant else None)
        ours, theirs = _arm_version(self.variant), _arm_version(offered.variant)
        return ours - theirs if theirs <= ours else None


def of(os: str, architecture: str, variant: str = "") -> Platform:
    """Return the platform with the names that images use (`aarch64` is `arm64`, `arm64/v8` is `arm64`)."""
    name, default = _ARCHITECTURES.get(architecture.lower(), (architecture.lower(), ""))
    variant = variant or default
    return Platform(os.lower(), name, "" if (name, variant) in (("arm64", "v8"), ("amd64", "v1")) else variant)


def parse(text: str) -> Platform:
    """Return the platform that `text` names: `linux/arm64`, `arm64`, `linux/arm/v6`; raises InvalidParameter."""
    parts = text.split("/")
    if len(parts) > 3 or not all(_COMPONENT.fullmatch(part) for part in parts):
        raise InvalidParameter(f'"{text}" is an invalid platform: expected os/architecture[/variant]')
    if len(parts) == 1:
        found = of("linux", text)
        if found.architecture in _KNOWN:
            return found
        if text.lower() in _SYSTEMS:
            return Platform(text.lower(), host().architecture)
        raise InvalidParameter(f'"{text}": unknown operating system or architecture')
    return of(*parts)


def host() -> Platform:
    """Return the platform whose images this machine runs: Linux on its own architecture."""
    return of("linux", machine.machine())


def _arm_version(variant: str) -> int:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isdigit() else 7
