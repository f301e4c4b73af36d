"""Metadata in one SQLite file: its schema, its transactions and the lock of its folder."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

SCHEMA_VERSION = 1

Parameters = Sequence[Any] | Mapping[str, Any]

_SCHEMA = """
CREATE TABLE repository (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: an upload may outlive its repository
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at REAL NOT NULL,
    tag_mutability TEXT NOT NULL,
    mutability_filters TEXT NOT NULL,      -- JSON list of wildcards
    scan_on_push INTEGER NOT NULL,
    encryption_type TEXT NOT NULL,
    kms_key TEXT,
    policy TEXT,
    lifecycle_policy TEXT,
    lifecycle_evaluated_at REAL,
    UNIQUE (account, region, name)
);
CREATE TABLE resource_tag (
    repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (repository_id, key)
) WITHOUT ROWID;
-- A blob is stored once; a layer is the right of one repository to see it.
CREATE TABLE layer (
    repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (repository_id, digest)
) WITHOUT ROWID;
CREATE INDEX layer_by_digest ON layer (digest);
CREATE TABLE image (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
    digest TEXT NOT NULL,
    manifest BLOB NOT NULL,
    media_type TEXT NOT NULL,
    artifact_type TEXT,
    subject TEXT,
    size INTEGER NOT NULL,                 -- bytes, compressed
    pushed_at REAL NOT NULL,
    pulled_at REAL,
    archived_at REAL,                      -- when it was last archived, or NULL
    activated_at REAL,                     -- when it is, or will be, active again after an archive
    is_archived INTEGER NOT NULL DEFAULT 0,
    UNIQUE (repository_id, digest)
);
CREATE INDEX image_in_order ON image (repository_id, id);  -- a page costs the same however many images there are
CREATE INDEX image_by_subject ON image (repository_id, subject) WHERE subject IS NOT NULL;
-- What an image needs: its config and layers ('layer') or the images of an index ('image').
CREATE TABLE reference (
    image_id INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (image_id, kind, digest)
) WITHOUT ROWID;
CREATE INDEX reference_by_digest ON reference (digest);
CREATE TABLE tag (
    repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
    name TEXT NOT NULL,
    image_id INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
    PRIMARY KEY (repository_id, name)
) WITHOUT ROWID;
CREATE INDEX tag_by_image ON tag (image_id, name);
CREATE TABLE scan (
    image_id INTEGER PRIMARY KEY REFERENCES image ON DELETE CASCADE,
    status TEXT NOT NULL,
    description TEXT NOT NULL,
    requested_at REAL NOT NULL,
    completed_at REAL,
    source_updated_at REAL,
    findings TEXT NOT NULL DEFAULT '[]',   -- JSON list, worst first
    problems TEXT NOT NULL DEFAULT '[]'    -- JSON list of sentences
);
-- What was put into a registry as a whole: its policy, rules, templates and settings, each a JSON document.
CREATE TABLE setting (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (account, region, kind, name)
) WITHOUT ROWID;
CREATE TABLE lifecycle_preview (
    repository_id INTEGER PRIMARY KEY REFERENCES repository ON DELETE CASCADE,
    policy TEXT NOT NULL,
    results TEXT NOT NULL                  -- JSON list, in the order in which they are told
);
CREATE TABLE replication (
    image_id INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    status TEXT NOT NULL,
    failure_code TEXT,
    PRIMARY KEY (image_id, account, region)
) WITHOUT ROWID;
-- What pull through cache brought, and when a tag that it set was last compared with the upstream.
CREATE TABLE cached_image (
    image_id INTEGER PRIMARY KEY REFERENCES image ON DELETE CASCADE
);
CREATE TABLE cached_tag (
    repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,                  -- another one under the tag: it was pushed here since
    checked_at REAL NOT NULL,
    PRIMARY KEY (repository_id, name)
) WITHOUT ROWID;
CREATE TABLE signing (
    image_id INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
    profile TEXT NOT NULL,                 -- ARN
    status TEXT NOT NULL,
    failure_code TEXT,
    failure_reason TEXT,
    PRIMARY KEY (image_id, profile)
) WITHOUT ROWID;
CREATE TABLE backfill (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    destination_account TEXT NOT NULL,
    destination_region TEXT NOT NULL,
    status TEXT NOT NULL,
    failure_code TEXT,
    is_prepared INTEGER NOT NULL DEFAULT 0,
    started_at REAL NOT NULL,
    ended_at REAL
);
-- One replication of a backfill: an image under one of its tags; its status is NULL until it is done.
CREATE TABLE backfill_image (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    backfill_number INTEGER NOT NULL REFERENCES backfill ON DELETE CASCADE,
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    tag TEXT,
    status TEXT,
    failure_code TEXT,
    sub_codes TEXT                         -- JSON list, for an index
);
CREATE INDEX backfill_image_by_backfill ON backfill_image (backfill_number, status);
-- What the lab did by itself, as EventBridge would tell it.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    detail_type TEXT NOT NULL,
    detail TEXT NOT NULL                   -- JSON
);
-- The history of what is stored, for its cost. It outlives images and repositories, and triggers write it, so that no
-- way to push, move or delete an image can pass it by; the time is the lab's, as `Database.set_clock` has it.
CREATE TABLE storage_repository (
    id INTEGER PRIMARY KEY,                -- of the repository
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    deleted_at REAL
);
-- From when to when an image was in one storage class.
CREATE TABLE storage_stay (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL,
    image_id INTEGER NOT NULL,
    is_archived INTEGER NOT NULL,
    is_restored INTEGER NOT NULL DEFAULT 0,  -- it began with a move out of the archive
    is_deleted INTEGER NOT NULL DEFAULT 0,   -- it ended with the image
    began_at REAL NOT NULL,
    ended_at REAL
);
CREATE INDEX storage_stay_by_image ON storage_stay (image_id);
CREATE TABLE storage_layer (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL                  -- bytes, compressed
);
CREATE TABLE storage_need (
    repository_id INTEGER NOT NULL,
    layer_id INTEGER NOT NULL,
    image_id INTEGER NOT NULL,
    PRIMARY KEY (repository_id, layer_id, image_id)
) WITHOUT ROWID;
-- Bytes of layers that docker pulled, by day of the lab's clock.
CREATE TABLE transfer (
    repository_id INTEGER NOT NULL,
    day INTEGER NOT NULL,                  -- since the epoch, UTC
    bytes INTEGER NOT NULL,
    PRIMARY KEY (repository_id, day)
) WITHOUT ROWID;
CREATE TRIGGER repository_created AFTER INSERT ON repository BEGIN
    INSERT INTO storage_repository (id, account, region, name) VALUES (NEW.id, NEW.account, NEW.region, NEW.name);
END;
CREATE TRIGGER repository_deleted AFTER DELETE ON repository BEGIN
    UPDATE storage_repository SET deleted_at = lab_now() WHERE id = OLD.id;
END;
CREATE TRIGGER image_stored AFTER INSERT ON image BEGIN
    INSERT INTO storage_stay (repository_id, image_id, is_archived, began_at)
        VALUES (NEW.repository_id, NEW.id, NEW.is_archived, NEW.pushed_at);
END;
-- No OR IGNORE in here: the conflict clause of the statement that fires a trigger takes the place of those inside.
CREATE TRIGGER image_layer_noted AFTER INSERT ON reference WHEN NEW.kind = 'layer' BEGIN
    INSERT INTO storage_layer (digest, size)
        SELECT layer.digest, layer.size FROM image JOIN layer ON layer.repository_id = image.repository_id
        WHERE image.id = NEW.image_id AND layer.digest = NEW.digest
        AND NOT EXISTS (SELECT 1 FROM storage_layer WHERE digest = NEW.digest);
    INSERT INTO storage_need (repository_id, layer_id, image_id)
        SELECT image.repository_id, storage_layer.id, image.id FROM image JOIN storage_layer
        WHERE image.id = NEW.image_id AND storage_layer.digest = NEW.digest;
END;
CREATE TRIGGER image_moved AFTER UPDATE OF is_archived ON image WHEN OLD.is_archived <> NEW.is_archived BEGIN
    UPDATE storage_stay SET ended_at = max(began_at, lab_now()) WHERE image_id = NEW.id AND ended_at IS NULL;
    INSERT INTO storage_stay (repository_id, image_id, is_archived, is_restored, began_at)
        SELECT NEW.repository_id, NEW.id, NEW.is_archived, OLD.is_archived, max(ended_at) FROM storage_stay
        WHERE image_id = NEW.id;
END;
CREATE TRIGGER image_deleted AFTER DELETE ON image BEGIN
    UPDATE storage_stay SET ended_at = max(began_at, lab_now()), is_deleted = 1
        WHERE image_id = OLD.id AND ended_at IS NULL;
END;
"""


class StateInUse(Exception):
    """Another process holds the folder; `holder` is its id, empty when unknown."""

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(f"process {holder or 'unknown'} holds {folder}")
        self.holder = holder


class StateTooNew(Exception):
    """The folder was written by a newer ecrlab, in the format `version`."""

    def __init__(self, folder: Path, version: int) -> None:
        super().__init__(f"{folder} has format {version}, newer than {SCHEMA_VERSION}")
        self.version = version


class Database:
    """The metadata of every registry of the lab.

    One connection, used by one thread. WAL with `synchronous=NORMAL`: what was committed survives a killed process.
    """

    def __init__(self, folder: Path) -> None:
        """Open `folder`/registry.db, made when absent. Raises StateInUse, StateTooNew, OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(folder / "lock")
        self.path = folder / "registry.db"
        self._after: list[Callable[[], None]] = []
        try:
            self._connection = sqlite3.connect(self.path, isolation_level=None, cached_statements=512)
            self._connection.row_factory = sqlite3.Row
            for pragma in (
                "journal_mode=WAL",
                "synchronous=NORMAL",
                "foreign_keys=ON",
                "busy_timeout=5000",
                "recursive_triggers=ON",  # so that a row replaced is a row deleted, for the triggers too
                "trusted_schema=ON",  # some builds keep functions of ours from triggers else
            ):
                self._connection.execute(f"PRAGMA {pragma}")
            self._migrate()
        except BaseException:
            self._lock.close()
            raise

    def _migrate(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            self._connection.close()
            raise StateTooNew(self.path.parent, version)
        if version == 0:
            self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")

    def set_clock(self, now: Callable[[], float]) -> None:
        """Have the history of storage take its times from `now`: without, no image can be moved or deleted."""
        self._connection.create_function("lab_now", 0, now)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything done inside, or nothing of it. An inner transaction joins the outer one."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._after.clear()
            # SQLite has already rolled back by itself after some errors, a full disk among them.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        after, self._after = self._after, []
        for work in after:
            work()

    def after_commit(self, work: Callable[[], None]) -> None:
        """Call `work` once the transaction under way is through, or now when there is none; never after a rollback."""
        if self._connection.in_transaction:
            self._after.append(work)
        else:
            work()

    def execute(self, sql: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(sql, parameters)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        self._connection.executemany(sql, rows)

    def one(self, sql: str, parameters: Parameters = ()) -> sqlite3.Row | None:
        """Return the first row, or None."""
        row: sqlite3.Row | None = self._connection.execute(sql, parameters).fetchone()
        return row

    def all(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Return every row."""
        return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Close the file and give the folder free."""
        self._connection.close()
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    """Hold `path` for this process; the operating system lets go of it when the process ends, however it ends."""
    handle = path.open("a+")
    try:
        if sys.platform == "win32":  # pragma: no cover
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        holder = handle.read().strip()
        handle.close()
        raise StateInUse(path.parent, holder) from error
    handle.seek(0)
    handle.truncate()
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle
