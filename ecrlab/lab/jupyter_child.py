"""The process of JupyterLab: it ends when the lab that started it is gone."""

from __future__ import annotations

import runpy
import sys
from typing import Any

from ecrlab.lab.processes import end_with_parent


def main() -> None:
    """Run JupyterLab with the options of the command line."""
    end_with_parent()
    # Two seconds of import for a check of internationalised URIs that nothing here uses; jsonschema does without it.
    modules: dict[str, Any] = sys.modules
    modules["rfc3987_syntax"] = None
    runpy.run_module("jupyterlab", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
