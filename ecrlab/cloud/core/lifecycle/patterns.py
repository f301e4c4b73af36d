"""What a rule asks of tags: prefixes, and patterns in which `*` is any run of characters (ecr-semantics section 11).

A repository's images are searched by the hundred thousand, so the tags of an image are put in one string, a separator
around each: what begins, ends or fills a tag is then a plain search in that string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_WILDCARDS = 4  # in one pattern: UG/LifecyclePolicies

_SEPARATOR = "\0"  # in no tag: OCI allows letters, digits, underscores, dots and dashes
_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that one of an image's tags must satisfy: to contain `literal` or to match `regex`."""

    literal: str = ""
    regex: re.Pattern[str] | None = None

    def select(self, rows: Sequence[str], among: Iterable[int]) -> list[int]:
        """Return those indexes of `among` whose row satisfies this, in the same order. Every row must hold a tag."""
        if self.regex is None:
            literal = self.literal
            return [index for index in among if literal in rows[index]]
        search = self.regex.search
        return [index for index in among if search(rows[index])]


def row(tags: Sequence[str]) -> str:
    """Return the tags of an image as one string to search, empty for none."""
    return f"{_SEPARATOR}{_SEPARATOR.join(tags)}{_SEPARATOR}" if tags else ""


def prefix(text: str) -> Requirement:
    """Require a tag that begins with `text`, in which a `*` is nothing special."""
    return _never() if _SEPARATOR in text else Requirement(_SEPARATOR + text)


def wildcard(pattern: str) -> Requirement:
    """Require a tag that the whole pattern matches: `prod*` begins with, `*prod` ends with, `*prod*` contains."""
    if _SEPARATOR in pattern:
        return _never()
    if "*" not in pattern:
        return Requirement(f"{_SEPARATOR}{pattern}{_SEPARATOR}")
    first, *others, last = pattern.split("*")
    middle = [part for part in others if part]
    if bool(first) + len(middle) + bool(last) <= 1:
        return Requirement((first and _SEPARATOR + first) + "".join(middle) + (last and last + _SEPARATOR))
    # The leftmost place of each middle part is the best one, and atomic groups never look for another: linear time.
    run = f"[^{_SEPARATOR}]*"
    steps = "".join(f"(?>{run}?{re.escape(part)})" for part in middle)
    return Requirement(regex=re.compile(f"{_SEPARATOR}{re.escape(first)}{steps}{run}{re.escape(last)}{_SEPARATOR}"))


def _never() -> Requirement:
    return Requirement(regex=_NEVER)
