"""The anatomy of an image URI: its parts, named and explained."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from ecrlab.widgets.picture import Picture

_URI = re.compile(
    r"(?:(?P<account>[0-9]{12})(?P<service>\.dkr\.ecr\.)(?P<region>[a-z0-9-]+)(?P<domain>\.amazonaws\.com)"
    r"|(?P<loopback>(?:127\.0\.0\.1|localhost)(?::[0-9]+)?))"
    r"/(?P<repository>[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*)"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)

_MEANING = {
    "account": ("account", "the AWS account that owns the registry"),
    "service": ("service", "Docker registries (dkr) of Amazon ECR"),
    "region": ("region", "each region has a registry of its own"),
    "domain": ("domain", "the domain of AWS"),
    "loopback": ("this machine", "the lab's registry, where a Docker Engine reaches it"),
    "repository": ("repository", "holds the versions of one image; slashes make namespaces"),
    "tag": ("tag", "a name for one image; it can move to another one"),
    "digest": ("digest", "the fingerprint of the image; it always means the same bytes"),
}

_CHARACTER = 8.4  # width of a monospaced character at 14 px
_LINE = 22  # px between two explanations
_SHOWN = 24  # characters of a part that are drawn; a digest is longer


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str
    text: str

    @property
    def shown(self) -> str:
        return self.text if len(self.text) <= _SHOWN else f"{self.text[: _SHOWN - 1]}…"


def anatomy(uri: str) -> Picture:
    """Return a picture of the parts of an image URI. Raises ValueError, saying why, when it is not one."""
    parts = _parts(uri)
    text = "\n".join([uri, *(f"  {part.text:<{_width(parts)}}  {_words(part)}" for part in parts)])
    return Picture(_draw(parts), text)


def _parts(uri: str) -> list[_Part]:
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"{uri!r} is not the URI of an ECR image: {_why(uri)}.")
    return [_Part(kind, text) for kind, text in match.groupdict().items() if text]


def _why(uri: str) -> str:
    host, slash, name = uri.partition("/")
    if not slash:
        return "a slash and the name of a repository have to follow the registry"
    if not re.fullmatch(r"(?:127\.0\.0\.1|localhost)(?::[0-9]+)?", host):
        account, dot, _rest = host.partition(".")
        if not re.fullmatch(r"[0-9]{12}", account) or not dot:
            return "it has to begin with an account's id, which has 12 digits"
        if not re.fullmatch(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com", host):
            return "after the account come .dkr.ecr., a region and .amazonaws.com"
    if re.search(r"[A-Z]", re.split(r"[:@]", name)[0]):
        return "the name of a repository has no capital letters"
    return "the repository, the tag or the digest has a character or a form that ECR does not take"


def _width(parts: list[_Part]) -> int:
    return max(len(part.text) for part in parts)


def _words(part: _Part) -> str:
    name, meaning = _MEANING[part.kind]
    return f"{name}: {meaning}"


def _draw(parts: list[_Part]) -> str:
    """Draw the URI on one line, and under each part a line down to its explanation, the last part's on top."""
    shapes, x = [], 8.0
    height = 52 + _LINE * len(parts)
    for number, part in enumerate(parts):
        if part.kind == "repository":  # the slash belongs to nobody
            shapes.append(f'<text x="{x:.1f}" y="24" class="quiet">/</text>')
            x += _CHARACTER
        width = len(part.shown) * _CHARACTER
        level = 44 + _LINE * (len(parts) - number)
        weight = "quiet" if part.kind in ("service", "domain") else "strong"
        shapes.append(f'<text x="{x:.1f}" y="24" class="{weight}">{escape(part.shown)}</text>')
        shapes.append(f'<path d="M{x + 1:.1f} 32 H{x + width - 1:.1f} M{x + 4:.1f} 32 V{level - 5} h8"/>')
        shapes.append(f'<text x="{x + 16:.1f}" y="{level}" class="note">{escape(_words(part))}</text>')
        x += width
    longest = max(len(_words(part)) for part in parts)
    label = escape("The parts of an image URI: " + "; ".join(f"{part.text}, {_words(part)}" for part in parts))
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {x + longest * 7:.0f} {height}" '
        f'style="max-width: {x + longest * 7:.0f}px; width: 100%" xmlns="http://www.w3.org/2000/svg"><style>'
        ".anatomy text{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:14px;"
        "fill:var(--jp-content-font-color1,#1a1a1a)}.anatomy .strong{font-weight:bold}"
        ".anatomy .note{font-family:system-ui,sans-serif;font-size:13px}"
        ".anatomy path{fill:none;stroke:var(--jp-content-link-color,#0550ae);stroke-width:1.5}"
        f'</style><g class="anatomy">{"".join(shapes)}</g></svg>'
    )
