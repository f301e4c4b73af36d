"""``ecrlab serve``, with nothing imported that takes time."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from ecrlab.lab.options import Options
from ecrlab.lab.service import run
from ecrlab.lab.state import Record, StateDir, default_state_dir


def serve(arguments: Sequence[str]) -> int:
    """Run the cloud and an engine until asked to end; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    state = StateDir(chosen.state_dir if chosen.state_dir is not None else default_state_dir())
    options = Options(
        host=chosen.host,
        port=chosen.port,
        account_id=chosen.account_id,
        region=chosen.region,
        access_key_id=chosen.access_key_id,
        secret_access_key=chosen.secret_access_key,
        uri_style=chosen.uri_style,
        engine=chosen.engine,
    )

    def ready(record: Record) -> None:
        say_where(record)
        print(f"state       {state.path}")
        print("Point a shell at it:")
        print(f'    eval "$(ecrlab env --state-dir {shlex.quote(str(state.path))})"')
        print("Ctrl-C ends it.", flush=True)

    return run(state, options, ready=ready)


def say_where(record: Record) -> None:
    """Print where the cloud and the engine of a lab are."""
    print(f"cloud       {record.endpoint}  (account {record.account_id}, region {record.region})")
    print(f"engine      {record.engine.kind}, {record.engine.docker_host or 'no Docker Engine'}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ecrlab serve",
        description="Run the cloud and the embedded engine in the foreground, for any client.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--state-dir", type=Path, metavar="DIR", help="the folder of the lab [ECRLAB_STATE_DIR, or yours]")
    add("--host", default="127.0.0.1", help="the address to listen on [127.0.0.1]")
    add("--port", type=_port, help="the port of the cloud [as last time, or any]")
    add("--account-id", metavar="ID", help="the account of the administrator [123456789012]")
    add("--region", help="the default region [us-east-1]")
    add("--access-key-id", metavar="KEY", help="the administrator's key [made at the first start]")
    add("--secret-access-key", metavar="SECRET", help="its secret; goes with --access-key-id")
    add("--uri-style", choices=("aws", "loopback"), help="how repositoryUri is spelled [aws; loopback with docker]")
    add(
        "--engine",
        choices=("embedded", "docker", "auto", "none"),
        default="embedded",
        help="embedded (default), a real Docker Engine, either (auto), or none",
    )
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)
