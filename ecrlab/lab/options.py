"""What the user may choose for a lab, checked against the last run and the defaults."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace

from ecrlab.lab.errors import LabError
from ecrlab.lab.processes import free_port
from ecrlab.lab.state import Engine, Record, StateDir, new_record


@dataclass(frozen=True)
class Options:
    """What the user chose; None means: as at the last start, or the default."""

    host: str = "127.0.0.1"
    port: int | None = None
    account_id: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    uri_style: str | None = None
    engine: str = "embedded"


def settled(state: StateDir, options: Options) -> Record:
    """The record for this run, from the options, the last run and the defaults.

    Raises LabError for options that cannot be used, naming the option.
    """
    record = state.read() or new_record()
    if bool(options.access_key_id) != bool(options.secret_access_key):
        raise LabError("--access-key-id and --secret-access-key go together: give both or neither.")
    account_id = options.account_id or record.account_id
    if not re.fullmatch(r"[0-9]{12}", account_id):
        raise LabError(f"{account_id!r} is not an AWS account id: --account-id takes twelve digits.")
    region = options.region or record.region
    if not re.fullmatch(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}", region):
        raise LabError(f"{region!r} is not an AWS region: --region takes a name such as us-east-1.")
    access_key_id = options.access_key_id or record.access_key_id
    if not re.fullmatch(r"\w{16,128}", access_key_id, re.ASCII):
        raise LabError("--access-key-id takes 16 to 128 letters, digits or underscores.")
    secret_access_key = options.secret_access_key or record.secret_access_key
    if not re.fullmatch(r"[!-~]{8,128}", secret_access_key):
        raise LabError("--secret-access-key takes 8 to 128 printable characters without spaces.")
    engine = _choose_engine(state, options)
    uri_style = options.uri_style or ("loopback" if engine.kind == "docker" else "aws")
    if engine.kind == "docker" and uri_style == "aws":
        raise LabError("A real Docker Engine cannot reach AWS host names in the lab: leave --uri-style aws out.")
    port = free_port(options.port, record.port, options.host)
    return replace(
        record,
        endpoint=f"http://127.0.0.1:{port}",
        account_id=account_id,
        region=region,
        access_key_id=access_key_id,
        secret_access_key=secret_access_key,
        engine=engine,
        uri_style=uri_style,
        pid=None,
        started_at=None,
    )


def check_same(record: Record, options: Options) -> None:
    """Check that a running lab is what the options ask for.

    Raises LabError naming the first option that differs.
    """
    pairs = {
        "--port": (options.port, record.port),
        "--account-id": (options.account_id, record.account_id),
        "--region": (options.region, record.region),
        "--access-key-id": (options.access_key_id, record.access_key_id),
        "--secret-access-key": (options.secret_access_key, record.secret_access_key),
        "--uri-style": (options.uri_style, record.uri_style),
        "--engine": (None if options.engine == "auto" else options.engine, record.engine.kind),
    }
    for name, (wanted, given) in pairs.items():
        if wanted is not None and wanted != given:
            raise LabError(
                f"The lab that runs already (pid {record.pid}) has another {name}: end it with `ecrlab stop`."
            )


def _choose_engine(state: StateDir, options: Options) -> Engine:
    if options.engine in ("auto", "docker"):
        from ecrlab.lab.dockerd import find

        search = find()
        if search.engine is not None:
            return Engine("docker", search.engine.host)
        if options.engine == "docker":
            raise LabError(f"{search.reason} Start Docker, or use --engine embedded.")
        if search.present:
            print(f"{search.reason} The embedded engine is used.", file=sys.stderr, flush=True)
    if options.engine == "none":
        return Engine("none", None)
    if sys.platform == "win32":  # pragma: no cover
        return Engine("embedded", f"tcp://127.0.0.1:{free_port(None, None)}")
    return Engine("embedded", f"unix://{state.engine_socket()}")
