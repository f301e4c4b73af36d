"""A picture as a notebook shows it: SVG in the theme's own colours, and a text twin for every other reader."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG drawing and the text that says the same.

    The drawing takes JupyterLab's colours where there are some, so that it is readable in the light and the dark theme.
    """

    svg: str
    text: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        twin = f"<details><summary>As text</summary><pre>{escape(self.text)}</pre></details>"
        return {"text/html": f"<figure style='margin: 0'>{self.svg}{twin}</figure>", "text/plain": self.text}

    def __repr__(self) -> str:
        """Return the text, so that a terminal shows it too."""
        return self.text
