"""The tables of the catalogue, and the versions of them."""

import sqlite3
from pathlib import Path

from ecrlab.engine.errors import EngineStartError

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE image (id TEXT PRIMARY KEY, config BLOB NOT NULL, created INTEGER NOT NULL, labels TEXT NOT NULL,
                    tagged REAL NOT NULL);
CREATE TABLE layer (diff_id TEXT PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE image_layer (image_id TEXT NOT NULL REFERENCES image ON DELETE CASCADE, position INTEGER NOT NULL,
                          diff_id TEXT NOT NULL REFERENCES layer, chain_id TEXT NOT NULL,
                          PRIMARY KEY (image_id, position));
CREATE INDEX image_layer_chain ON image_layer (chain_id);
CREATE INDEX image_layer_diff ON image_layer (diff_id);
CREATE TABLE layer_blob (diff_id TEXT NOT NULL REFERENCES layer ON DELETE CASCADE, digest TEXT NOT NULL UNIQUE,
                         size INTEGER NOT NULL, compressed INTEGER NOT NULL, PRIMARY KEY (diff_id, digest));
CREATE TABLE origin (digest TEXT NOT NULL REFERENCES layer_blob (digest) ON DELETE CASCADE, repository TEXT NOT NULL,
                     PRIMARY KEY (digest, repository));
CREATE TABLE manifest (digest TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES image ON DELETE CASCADE,
                       media_type TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE name (repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL,
                   image_id TEXT NOT NULL REFERENCES image ON DELETE CASCADE, manifest TEXT,
                   PRIMARY KEY (repository, tag, digest));
CREATE INDEX name_image ON name (image_id);
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Return the database at `path`, made when it is not there; raises EngineStartError.

    Transactions are begun and ended by its user.
    """
    try:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA foreign_keys=ON")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    except sqlite3.Error as error:
        raise EngineStartError(f"The engine cannot read its catalogue {path}: {error}.") from None
    if version > SCHEMA_VERSION:
        database.close()
        raise EngineStartError(f"The engine's folder {path.parent} was written by a newer ecrlab; update ecrlab.")
    return database
