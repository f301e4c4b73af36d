"""The command line: ecrlab start | serve | env | status | stop | reset | doctor."""

from __future__ import annotations

import sys

from ecrlab.lab.errors import LabError


def main() -> int:
    """Run the command line; returns the exit status. Errors of the lab are one sentence on stderr."""
    try:
        if sys.argv[1:2] == ["serve"]:
            # The way past typer: importing it takes longer than starting the cloud.
            from ecrlab.cli.serve import serve

            return serve(sys.argv[2:])
        from ecrlab.cli.commands import app

        app()
    except LabError as error:
        print(f"ecrlab: {error}", file=sys.stderr)
        return error.exit_status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    return 0
