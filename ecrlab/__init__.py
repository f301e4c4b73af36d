"""Learn Amazon ECR by doing: an embedded registry, an embedded Docker engine and guided notebooks.

``import ecrlab`` loads nothing but this file; ``ecrlab.open`` and ``ecrlab.Lab`` are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecrlab.lab import Lab, open

__all__ = ["Lab", "__version__", "open"]

__version__: str


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("ecrlab")
    if name in ("Lab", "open"):
        from ecrlab import lab

        return getattr(lab, name)
    raise AttributeError(f"module 'ecrlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
