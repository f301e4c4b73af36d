"""Which images, layers and names the engine has: SQLite, so that a change is there whole or not at all."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ecrlab.engine.layers import Layer, LayerBlob
from ecrlab.engine.manifest import ImageConfig, Manifest
from ecrlab.engine.reference import Reference, familiar
from ecrlab.engine.schema import open_database


@dataclass(frozen=True)
class Name:
    """A tag or a digest of a repository that stands for an image; `manifest` is the digest of what it was pulled as."""

    repository: str
    tag: str
    digest: str
    image_id: str
    manifest: str | None

    def __str__(self) -> str:
        return familiar(self.repository) + (f":{self.tag}" if self.tag else f"@{self.digest}")


@dataclass(frozen=True)
class Summary:
    """An image as lists show it; sizes in bytes of the files in its layers, `created` in Unix seconds."""

    id: str
    created: int
    labels: dict[str, str]
    size: int
    names: tuple[Name, ...]


class Catalogue:
    """The engine's records. One thread uses it; every method that writes is one transaction."""

    def __init__(self, path: Path) -> None:
        self._db = open_database(path)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # Images

    def add_image(
        self,
        config: ImageConfig,
        layers: Sequence[tuple[Layer, LayerBlob]],
        *,
        manifest: Manifest | None = None,
        references: Iterable[Reference] = (),
        origin: str | None = None,
    ) -> None:
        """Record an image with its layers, and in the same transaction its manifest, names and origin repository."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO image VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (config.id, config.body, config.created, json.dumps(config.labels), time.time()),
            )
            chain = ""
            for position, (layer, blob) in enumerate(layers):
                chain = _chain(chain, layer.diff_id)
                self._db.execute("INSERT INTO layer VALUES (?, ?) ON CONFLICT DO NOTHING", (layer.diff_id, layer.size))
                self._db.execute(
                    "INSERT INTO image_layer VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (config.id, position, layer.diff_id, chain),
                )
                self._add_blob(blob)
                if origin is not None:
                    self._add_origin(blob.digest, origin)
            if manifest is not None:
                self._add_manifest(config.id, manifest)
            for reference in references:
                self._set_name(reference, config.id, manifest.digest if manifest else None)

    def delete_image(self, image_id: str) -> tuple[list[str], list[str]]:
        """Remove an image and its names; return the chain IDs of the layers that went with it (top layer first),
        and the digests of the blobs that nothing needs any more.
        """
        with self._transaction():
            rows = self._db.execute(
                "SELECT diff_id, chain_id FROM image_layer WHERE image_id = ? ORDER BY position DESC", (image_id,)
            ).fetchall()
            self._db.execute("DELETE FROM image WHERE id = ?", (image_id,))
            chains = [chain for _, chain in rows if not self._one("image_layer", "chain_id", chain)]
            unused = dict.fromkeys(diff_id for diff_id, _ in rows if not self._one("image_layer", "diff_id", diff_id))
            blobs = [blob.digest for diff_id in unused for blob in self.blobs(diff_id)]
            self._db.executemany("DELETE FROM layer WHERE diff_id = ?", [(diff_id,) for diff_id in unused])
        return chains, blobs

    def config(self, image_id: str) -> ImageConfig | None:
        """Return the configuration of an image, None when there is no such image."""
        row = self._db.execute("SELECT config FROM image WHERE id = ?", (image_id,)).fetchone()
        return ImageConfig(row[0]) if row else None

    def with_prefix(self, prefix: str) -> list[str]:
        """Return the IDs of up to two images whose ID starts with `prefix` (hexadecimal)."""
        rows = self._db.execute("SELECT id FROM image WHERE id GLOB ? LIMIT 2", (f"sha256:{prefix}*",))
        return [row[0] for row in rows]

    def tagged_at(self, image_id: str) -> float:
        """Return when a name was last given to the image, in Unix seconds."""
        row = self._db.execute("SELECT tagged FROM image WHERE id = ?", (image_id,)).fetchone()
        return float(row[0])

    def summaries(self) -> list[Summary]:
        """Return all images, the newest first."""
        names: dict[str, list[Name]] = {}
        for name in self._names("ORDER BY repository, tag, digest", ()):
            names.setdefault(name.image_id, []).append(name)
        rows = self._db.execute(
            "SELECT id, created, labels, (SELECT coalesce(sum(size), 0) FROM image_layer JOIN layer USING (diff_id)"
            " WHERE image_id = id) FROM image ORDER BY created DESC, tagged DESC"
        )
        return [
            Summary(image_id, created, json.loads(labels), size, tuple(names.get(image_id, ())))
            for image_id, created, labels, size in rows
        ]

    # Layers

    def layers(self, image_id: str) -> list[Layer]:
        """Return the layers of an image, bottom layer first."""
        rows = self._db.execute(
            "SELECT diff_id, size FROM image_layer JOIN layer USING (diff_id) WHERE image_id = ? ORDER BY position",
            (image_id,),
        )
        return [Layer(*row) for row in rows]

    def layers_size(self) -> int:
        """Return the bytes of the files in all layers, each layer once."""
        return int(self._db.execute("SELECT coalesce(sum(size), 0) FROM layer").fetchone()[0])

    def uses(self, diff_id: str) -> int:
        """Return how many images have this layer."""
        row = self._db.execute("SELECT count(DISTINCT image_id) FROM image_layer WHERE diff_id = ?", (diff_id,))
        return int(row.fetchone()[0])

    def layer(self, diff_id: str) -> Layer | None:
        """Return the layer with this diff ID."""
        row = self._db.execute("SELECT diff_id, size FROM layer WHERE diff_id = ?", (diff_id,)).fetchone()
        return Layer(*row) if row else None

    def blobs(self, diff_id: str) -> list[LayerBlob]:
        """Return the stored forms of a layer, compressed ones first."""
        rows = self._db.execute(
            "SELECT diff_id, digest, size, compressed FROM layer_blob WHERE diff_id = ?"
            " ORDER BY compressed DESC, digest",
            (diff_id,),
        )
        return [LayerBlob(diff, digest, size, bool(compressed)) for diff, digest, size, compressed in rows]

    def blob(self, digest: str) -> LayerBlob | None:
        """Return the stored form of a layer that has this digest."""
        row = self._db.execute(
            "SELECT diff_id, digest, size, compressed FROM layer_blob WHERE digest = ?", (digest,)
        ).fetchone()
        return LayerBlob(row[0], row[1], row[2], bool(row[3])) if row else None

    def blob_digests(self) -> set[str]:
        """Return the digests of all blobs that images need."""
        return {row[0] for row in self._db.execute("SELECT digest FROM layer_blob")}

    def add_blob(self, blob: LayerBlob) -> None:
        """Record one more stored form of a layer."""
        with self._transaction():
            self._add_blob(blob)

    def add_origins(self, digests: Iterable[str], repository: str) -> None:
        """Record that a repository holds these blobs, so that a later push can mount them from there."""
        with self._transaction():
            for digest in digests:
                self._add_origin(digest, repository)

    def origins(self, digest: str, domain: str) -> list[str]:
        """Return the repositories (paths) on the registry `domain` known to hold a blob."""
        rows = self._db.execute(
            "SELECT repository FROM origin WHERE digest = ? AND repository GLOB ?", (digest, f"{_glob(domain)}/*")
        )
        return [row[0].removeprefix(f"{domain}/") for row in rows]

    # Manifests and names

    def manifests(self, image_id: str) -> list[Manifest]:
        """Return the manifests known for an image."""
        rows = self._db.execute("SELECT media_type, body FROM manifest WHERE image_id = ? ORDER BY rowid", (image_id,))
        return [Manifest(*row) for row in rows]

    def image_of_manifest(self, digest: str) -> str | None:
        """Return the ID of the image whose manifest has this digest."""
        row = self._db.execute("SELECT image_id FROM manifest WHERE digest = ?", (digest,)).fetchone()
        return row[0] if row else None

    def add_manifest(self, image_id: str, manifest: Manifest) -> None:
        """Record a manifest of an image."""
        with self._transaction():
            self._add_manifest(image_id, manifest)

    def name(self, reference: Reference) -> Name | None:
        """Return what a reference stands for; by digest when it has one, else by tag (latest when it has none)."""
        tag, digest = ("", reference.digest) if reference.digest else (reference.tag or "latest", "")
        found = self._names(
            "WHERE repository = ? AND tag = ? AND digest = ?", (reference.repository, tag, digest or "")
        )
        return found[0] if found else None

    def names(self, image_id: str) -> list[Name]:
        """Return the names of an image: tags before digests, each in alphabetical order."""
        return self._names("WHERE image_id = ? ORDER BY tag = '', repository, tag, digest", (image_id,))

    def tags(self, repository: str) -> list[Name]:
        """Return the tags of a repository, in alphabetical order."""
        return self._names("WHERE repository = ? AND tag <> '' ORDER BY tag", (repository,))

    def set_names(self, references: Iterable[Reference], image_id: str, manifest: str | None) -> None:
        """Let references stand for an image, whatever they stood for before."""
        with self._transaction():
            for reference in references:
                self._set_name(reference, image_id, manifest)

    def delete_name(self, name: Name) -> None:
        """Remove a name."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM name WHERE repository = ? AND tag = ? AND digest = ?",
                (name.repository, name.tag, name.digest),
            )

    # Inside a transaction

    def _add_blob(self, blob: LayerBlob) -> None:
        self._db.execute(
            "INSERT INTO layer_blob VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (blob.diff_id, blob.digest, blob.size, blob.compressed),
        )

    def _add_origin(self, digest: str, repository: str) -> None:
        self._db.execute(
            "INSERT INTO origin SELECT digest, ? FROM layer_blob WHERE digest = ? ON CONFLICT DO NOTHING",
            (repository, digest),
        )

    def _add_manifest(self, image_id: str, manifest: Manifest) -> None:
        self._db.execute(
            "INSERT INTO manifest VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (manifest.digest, image_id, manifest.media_type, manifest.body),
        )

    def _set_name(self, reference: Reference, image_id: str, manifest: str | None) -> None:
        tag, digest = ("", reference.digest) if reference.digest else (reference.tag or "latest", "")
        self._db.execute(
            "INSERT OR REPLACE INTO name VALUES (?, ?, ?, ?, ?)",
            (reference.repository, tag, digest, image_id, manifest),
        )
        self._db.execute("UPDATE image SET tagged = ? WHERE id = ?", (time.time(), image_id))

    def _names(self, where: str, values: Sequence[str]) -> list[Name]:
        rows = self._db.execute(f"SELECT repository, tag, digest, image_id, manifest FROM name {where}", values)  # noqa: S608
        return [Name(*row) for row in rows]

    def _one(self, table: str, column: str, value: str) -> bool:
        query = f"SELECT 1 FROM {table} WHERE {column} = ? LIMIT 1"  # noqa: S608
        return self._db.execute(query, (value,)).fetchone() is not None


def _chain(parent: str, diff_id: str) -> str:
    return "sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest() if parent else diff_id


def _glob(text: str) -> str:
    return text.replace("[", "[[]")
