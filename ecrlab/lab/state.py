"""The state folder of a lab: where it is, who holds it, and lab.json."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ecrlab.lab.errors import StateBusy, StateUnusable

RECORD_VERSION = 1
# sun_path holds 104 bytes on macOS and 108 on Linux, with the closing NUL.
LONGEST_SOCKET_PATH = 100


def default_state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The state folder in use: ``ECRLAB_STATE_DIR``, or ecrlab's folder below the user's data folder."""
    if chosen := environ.get("ECRLAB_STATE_DIR"):
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("ecrlab", appauthor=False)


@dataclass(frozen=True)
class Engine:
    """The Docker Engine of a lab: kind "embedded", "docker" or "none", and its address."""

    kind: str
    docker_host: str | None


@dataclass(frozen=True)
class Record:
    """What lab.json holds. ``pid`` and ``started_at`` (UTC, ISO 8601) are None while no lab is ready."""

    endpoint: str | None
    account_id: str
    region: str
    access_key_id: str
    secret_access_key: str
    control_token: str
    engine: Engine
    uri_style: str
    pid: int | None = None
    started_at: str | None = None
    version: int = RECORD_VERSION

    def __repr__(self) -> str:
        return f"Record(endpoint={self.endpoint!r}, account_id={self.account_id!r}, pid={self.pid})"

    @property
    def port(self) -> int | None:
        """The port of the cloud, of this run or of the last one."""
        return int(self.endpoint.rpartition(":")[2]) if self.endpoint else None


def new_record() -> Record:
    """A record with new keys for the administrator and the defaults for everything else."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    return Record(
        endpoint=None,
        account_id="123456789012",
        region="us-east-1",
        access_key_id="AKIAECRLAB" + "".join(secrets.choice(letters) for _ in range(10)),
        secret_access_key=secrets.token_urlsafe(30),
        control_token=secrets.token_urlsafe(24),
        engine=Engine("embedded", None),
        uri_style="aws",
    )


class StateDir:
    """The state folder of one lab.

    The holder of ``lab.lock`` is the running lab. The lock goes with its process, however that ends, so it cannot be
    stale; a pid could be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.record_file = self.path / "lab.json"
        self.lock_file = self.path / "lab.lock"
        self.cloud = self.path / "cloud"
        self.engine = self.path / "engine"
        self.docker = self.path / "docker"
        self.aws = self.path / "aws"
        self.jupyter = self.path / "jupyter"
        self.logs = self.path / "logs"

    def create(self) -> None:
        """Make the folder, readable by its owner only.

        Raises StateUnusable when it cannot be made or written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise StateUnusable(
                f"The state folder {self.path} cannot be written ({_reason(error)}): choose another with --state-dir."
            ) from error

    def lock(self) -> Lock:
        """Hold the folder until the lock is closed or this process ends.

        Raises StateBusy naming the pid of the lab that holds it.
        """
        try:
            handle = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateUnusable(f"The state folder {self.path} cannot be locked ({_reason(error)}).") from error
        # Somebody who only looks holds the lock for microseconds: not a reason to refuse.
        for _ in range(20):
            if _try_lock(handle, shared=False):
                os.ftruncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
                return Lock(handle)
            time.sleep(0.01)
        os.close(handle)
        raise StateBusy(
            f"The state folder {self.path} is in use by another lab (pid {self.holder() or 'unknown'}): "
            f"end it with `ecrlab stop`, or choose another folder with --state-dir."
        )

    def holder(self) -> int | None:
        """The pid of the lab that holds the folder, None when no lab does."""
        try:
            handle = os.open(self.lock_file, os.O_RDWR)
        except OSError:
            return None
        try:
            if _try_lock(handle, shared=True):
                return None
            text = os.read(handle, 32).decode()
            return int(text) if text.isdigit() else None
        finally:
            os.close(handle)

    def read(self) -> Record | None:
        """The record of this folder, None when there is none yet.

        Raises StateUnusable when lab.json is damaged or of a newer ecrlab.
        """
        try:
            text = self.record_file.read_text("utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateUnusable(f"{self.record_file} cannot be read ({_reason(error)}).") from error
        try:
            values = json.loads(text)
            version = values["version"]
            if isinstance(version, int) and version > RECORD_VERSION:
                raise StateUnusable(
                    f"The state folder {self.path} was written by a newer ecrlab: "
                    f"update ecrlab, or choose another folder with --state-dir."
                )
            return _record(values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateUnusable(
                f"{self.record_file} is damaged ({error}): move it away and start again; new keys are made then."
            ) from error

    def write(self, record: Record) -> None:
        """Replace lab.json as a whole, readable by its owner only."""
        write_private(self.record_file, json.dumps(asdict(record), indent=2) + "\n")

    def running(self) -> Record | None:
        """The record of the lab that runs on this folder and is ready, or None."""
        if self.holder() is None:
            return None
        record = self.read()
        return record if record is not None and record.pid is not None and record.endpoint else None

    def forget_run(self) -> None:
        """Note in lab.json that no lab is ready; everything else is kept for the next start."""
        if (record := self.read()) and record.pid is not None:
            self.write(replace(record, pid=None, started_at=None))

    def engine_socket(self) -> Path:
        """Where the embedded engine listens: in the state folder, or a private short path when that one is too long."""
        path = self.path / "engine.sock"
        # A space or a reserved character would not survive the URL that DOCKER_HOST is.
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and not set(" %?#;@") & set(str(path)):
            return path
        folder = Path("/tmp") / f"ecrlab-{os.getuid()}"  # noqa: S108 (checked below: ours, and closed to others)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not folder.is_dir() or folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise StateUnusable(f"{folder} is not a private folder of yours: choose a shorter --state-dir.")
        return folder / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}.sock"


class Lock:
    """A held state folder."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    def close(self) -> None:
        """Let the folder go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only (0600), so that a reader never sees half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _record(values: Any) -> Record:
    engine = values["engine"]
    texts = ("account_id", "region", "access_key_id", "secret_access_key", "control_token", "uri_style")
    for name in texts:
        if not isinstance(values[name], str) or not values[name]:
            raise ValueError(f"{name} is not a text")
    endpoint, pid = values.get("endpoint"), values.get("pid")
    if endpoint is not None and not endpoint.rpartition(":")[2].isdigit():
        raise ValueError("endpoint names no port")
    if pid is not None and not isinstance(pid, int):
        raise ValueError("pid is not a number")
    return Record(
        **{name: values[name] for name in texts},
        endpoint=endpoint,
        engine=Engine(engine["kind"], engine["docker_host"]),
        pid=pid,
        started_at=values.get("started_at"),
    )


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _try_lock(handle: int, *, shared: bool) -> bool:
        # One byte far behind the pid, because Windows locks against reading too.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _try_lock(handle: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
