"""What is on disk: blobs by digest, metadata in SQLite."""

from ecrlab.cloud.storage.blobs import BlobStore, Upload
from ecrlab.cloud.storage.database import Database, StateInUse, StateTooNew

__all__ = ["BlobStore", "Database", "StateInUse", "StateTooNew", "Upload"]
