"""How the course speaks to the learner: the same words as plain text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from IPython.display import display

from ecrlab.course.outcomes import Outcome, Verdict


@dataclass(frozen=True)
class Message:
    """A message whose first word tells the outcome.

    Screen readers merge neighbouring outputs, so the word comes first. No colour is set: text and line take the
    theme's own.
    """

    word: str
    title: str
    lines: tuple[tuple[str, str], ...] = ()
    code: str = ""

    def __str__(self) -> str:
        body = [f"{label}: {text}" if label else text for label, text in self.lines]
        return "\n".join([f"{self.word}. {self.title}".rstrip(), *body, *([self.code] if self.code else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body = "".join(
            f"<p style='margin:0.2em 0'>{f'<strong>{escape(label)}:</strong> ' if label else ''}{inline(text)}</p>"
            for label, text in self.lines
        )
        code = f"<pre tabindex='0'><code>{escape(self.code)}</code></pre>" if self.code else ""
        return (
            "<div role='status' style='border-left:0.3em solid; padding:0.2em 0 0.2em 0.8em; max-width:50em'>"
            f"<p style='margin:0.2em 0'><strong>{escape(self.word)}.</strong> "
            f"{inline(self.title)}</p>{body}{code}</div>"
        )

    def show(self) -> None:
        """Display the message: rich in a notebook, as text elsewhere."""
        display(self)  # type: ignore[no-untyped-call]


def of_verdict(task_id: str, title: str, verdict: Verdict, *, notes: tuple[tuple[str, str], ...] = ()) -> Message:
    """Return the message of a task's verdict: outcome, what was looked for, what was found, where to look."""
    lines = [("Looked for", verdict.looked_for), ("Found", verdict.found)]
    if verdict.where:
        lines.append(("Where to look", verdict.where))
    if verdict.outcome in (Outcome.NOT_YET, Outcome.NOT_ATTEMPTED):
        lines.append(("For a hint", f'`hint("{task_id}")`'))
    return Message(verdict.outcome.value, f"Task {task_id}, {title}.", (*lines, *notes))


def inline(text: str) -> str:
    """Return the HTML of a text in which code is set between backquotes."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
