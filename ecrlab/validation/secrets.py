"""Keys and tokens in the outputs of a notebook: an executed notebook is a file that people pass on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nbformat import NotebookNode

from ecrlab.validation.notebooks import place
from ecrlab.validation.result import Failure, Kind

_PATTERNS = {
    # The keys of AWS's own documentation end in EXAMPLE.
    "an AWS access key id": re.compile(r"\b(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}\b"),
    # "QVdTO" is how "AWS:" begins in base64: an authorization token of ECR.
    "a registry token": re.compile(r"\bQVdTO[A-Za-z0-9+/]{24,}={0,2}"),
    "a secret access key": re.compile(r"aws_secret_access_key\s*[=:]\s*[^\s*]{8,}", re.IGNORECASE),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD", re.IGNORECASE)
_SHORTEST = 8


def known(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the secret values of the run: those of the environment by name, and those of the lab it names."""
    values = {value for name, value in environment.items() if _SECRET_NAME.search(name)}
    if state := environment.get("ECRLAB_STATE_DIR"):
        try:
            lab = json.loads((Path(state) / "lab.json").read_text("utf-8"))
        except (OSError, ValueError):
            lab = {}  # no lab is open, so it has no secrets
        values |= {str(lab.get(name, "")) for name in ("secret_access_key", "control_token")}
    return frozenset(value for value in values if len(value) >= _SHORTEST)


def leaks(notebook: NotebookNode, secrets: frozenset[str]) -> Iterator[Failure]:
    """Yield a failure for each cell whose outputs show a secret. The message never repeats it."""
    for index, cell in enumerate(notebook.cells):
        text = json.dumps(cell.get("outputs", []), ensure_ascii=False)
        found = [what for what, pattern in _PATTERNS.items() if pattern.search(text)]
        if any(secret in text for secret in secrets):
            found.append("a secret of the environment")
        if found:
            summary = f"{place(notebook, index)}: the output shows {' and '.join(found)}"
            yield Failure(Kind.SECRET, summary, "", index)
