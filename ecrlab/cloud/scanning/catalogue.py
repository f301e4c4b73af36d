"""What is installed in an image: its layers walked from bottom to top, nothing unpacked to disk.

Whiteouts and opaque directories hide what lower layers brought, never what their own layer brings (OCI image
specification, "Representing Changes"). Symbolic links are not followed, so loops of them cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ecrlab.cloud.scanning import dpkg, python, release
from ecrlab.cloud.scanning.layers import ByteStream, Layer, uncompressed
from ecrlab.cloud.scanning.limits import Budget, LayerError, Limits, Problems
from ecrlab.cloud.scanning.packages import Package, Record
from ecrlab.cloud.scanning.release import Release
from ecrlab.cloud.scanning.tar import DIRECTORY, FILE, HARD_LINK, SYMBOLIC_LINK, Entry, TarStream, normal_path

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_DPKG_DIRECTORIES = frozenset({"var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/status.d"})


class ScanError(Exception):
    """An image's layers cannot be read; the message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """An image's operating system release (None when it has none), its packages, and entries passed over."""

    release: Release | None
    packages: tuple[Package, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What one interesting file holds, each package with the digest of the layer that brought it."""

    release: Release | None
    records: tuple[tuple[Record, str], ...]


@dataclass(frozen=True, slots=True)
class _Brought:
    """What a layer brings in one interesting file; `order` counts the entries of the image."""

    order: int
    release: Release | None
    records: tuple[Record, ...]


@dataclass(slots=True)
class _Changes:
    """What one layer does to the interesting files of the layers below it, and which ones it brings."""

    hidden: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    brought: dict[str, _Brought] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)
    """Directories of this layer that a later entry of it replaces by something else, with that entry's order."""

    def kept(self) -> dict[str, _Brought]:
        """Return what the layer still holds at its end."""
        if not self.replaced:
            return self.brought
        return {
            path: brought
            for path, brought in self.brought.items()
            if all(self.replaced.get(parent, 0) < brought.order for parent in _parents([path]))
        }


def catalogue(layers: Sequence[Layer], limits: Limits | None = None) -> Catalogue:
    """Return what is installed in the image of these layers, the bottom one first.

    Raises ScanError, naming the layer, when a layer is damaged, cannot be opened or is over its limits.
    """
    budget = Budget(limits or Limits())
    problems = Problems(budget.limits.problems)
    found: dict[str, _Found] = {}
    for layer in layers:
        if not layer.is_filesystem:
            problems.add(f"layer {layer.digest}: {layer.media_type} is no file system layer, not read")
            continue
        try:
            changes = _Walk(layer, found, budget, problems).changes()
        except LayerError as error:
            raise ScanError(f"Layer {layer.digest} cannot be read: {error}.") from error
        except OSError as error:
            raise ScanError(f"Layer {layer.digest} cannot be read: {error.strerror or error}.") from error
        found = _merged(found, changes, layer.digest)
        budget.packages = sum(len(file.records) for file in found.values())  # a rewritten database counts once
    image_release = next((found[path].release for path in release.PATHS if path in found and found[path].release), None)
    return Catalogue(image_release, _packages(found, image_release), problems.all())


class _Walk:
    """One layer, read over the interesting files of the layers `below` it."""

    def __init__(self, layer: Layer, below: dict[str, _Found], budget: Budget, problems: Problems) -> None:
        self._layer = layer
        self._below = below
        self._budget = budget
        self._problems = problems
        self._parents_below = _parents(below)
        self._parents_here: set[str] = set()
        self._changes = _Changes()

    def changes(self) -> _Changes:
        """Read the layer to its end and return what it does."""
        below, parents_below, parents_here = self._below, self._parents_below, self._parents_here
        with self._layer.open() as stream:
            archive = TarStream(ByteStream(uncompressed(stream, self._budget)), self._budget)
            for entry in archive:
                path = entry.path
                if path is None:
                    self._complain("an entry leads out of the image, not read")
                    continue
                slash = path.rfind("/")
                if path.startswith(_WHITEOUT, slash + 1):
                    self._white_out(path, slash)
                    continue
                if path in below or path in parents_below or path in parents_here:
                    self._replace(path, entry)
                if entry.type == DIRECTORY:
                    continue
                if _is_interesting(path):
                    self._read(path, entry, archive)
                elif entry.type == SYMBOLIC_LINK and (path in _DPKG_DIRECTORIES or path.endswith(".dist-info")):
                    self._complain(f"{path} is a symbolic link, not followed")
        return self._changes

    def _white_out(self, path: str, slash: int) -> None:
        directory, base = path[: max(slash, 0)], path[slash + 1 :]
        if base == _OPAQUE:
            if directory in self._parents_below or (not directory and self._below):
                self._changes.emptied.add(directory)
            return
        target = path[: slash + 1] + base.removeprefix(_WHITEOUT)
        if target in self._below or target in self._parents_below:
            self._changes.hidden.add(target)

    def _replace(self, path: str, entry: Entry) -> None:
        """A directory keeps what it held and replaces a file; anything else replaces either."""
        if path in self._below or (entry.type != DIRECTORY and path in self._parents_below):
            self._changes.hidden.add(path)
        if entry.type != DIRECTORY and path in self._parents_here:
            self._changes.replaced[path] = self._budget.entries

    def _read(self, path: str, entry: Entry, archive: TarStream) -> None:
        brought = self._changes.brought
        found: tuple[Release | None, tuple[Record, ...]] | None = None
        if entry.type == FILE and not entry.sparse:
            found = self._parsed(path, _content(path, entry, archive, self._budget.limits))
        elif entry.type == HARD_LINK:
            target = normal_path(entry.target)
            if target in brought:
                found = brought[target].release, brought[target].records
            elif target in self._below:
                found = self._below[target].release, tuple(record for record, _ in self._below[target].records)
            if found is not None:
                self._budget.spend_packages(len(found[1]))
        if found is None:
            brought.pop(path, None)
            # etc/os-release is usually a symbolic link to the other place, which is read for itself.
            if entry.type != SYMBOLIC_LINK or path not in release.PATHS:
                kind = "sparse file" if entry.sparse else entry.type
                self._complain(f"{path} is a {kind} whose content is not in reach, not read")
            return
        self._budget.spend_path(path)
        brought[path] = _Brought(self._budget.entries, *found)
        self._parents_here.update(_parents([path]))

    def _parsed(self, path: str, content: bytes) -> tuple[Release | None, tuple[Record, ...]]:
        if path in release.PATHS:
            found, complaints = release.parse(path, content)
            for complaint in complaints:
                self._complain(complaint)
            return found, ()
        records: list[Record] = []
        for item in (python if path.endswith(python.SUFFIXES) else dpkg).parse(path, content):
            if isinstance(item, str):
                self._complain(item)
            else:
                self._budget.spend_packages(1)
                records.append(item)
        return None, tuple(records)

    def _complain(self, problem: str) -> None:
        self._problems.add(f"layer {self._layer.digest}: {problem}")


def _content(path: str, entry: Entry, archive: TarStream, limits: Limits) -> bytes:
    if path.endswith(python.SUFFIXES):
        return archive.read(python.HEAD_BYTES)
    if path in release.PATHS:
        return archive.read(release.HEAD_BYTES)
    if entry.size > limits.file_bytes:
        raise LayerError(f"{path} is larger than {limits.file_bytes} bytes")
    return archive.read(entry.size)


def _is_interesting(path: str) -> bool:
    return (
        path.endswith(python.SUFFIXES)
        or path == dpkg.STATUS
        or path in release.PATHS
        or path.startswith(dpkg.STATUS_DIRECTORY)
    )


def _merged(below: dict[str, _Found], changes: _Changes, digest: str) -> dict[str, _Found]:
    if not (changes.hidden or changes.emptied or changes.brought):
        return below
    merged = {path: kept for path, kept in below.items() if not _is_hidden(path, changes)}
    for path, brought in changes.kept().items():
        # A status file is rewritten whole by every installation: what it said before keeps its layer.
        before = dict(below[path].records) if path in below else {}
        origins = tuple((record, before.get(record, digest)) for record in brought.records)
        merged[path] = _Found(brought.release, origins)
    return merged


def _is_hidden(path: str, changes: _Changes) -> bool:
    if path in changes.hidden or "" in changes.emptied:
        return True
    return any(parent in changes.hidden or parent in changes.emptied for parent in _parents([path]))


def _parents(paths: Iterable[str]) -> set[str]:
    parents: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent and parent not in parents:
            parents.add(parent)
            parent = parent.rpartition("/")[0]
    return parents


def _packages(found: dict[str, _Found], image_release: Release | None) -> tuple[Package, ...]:
    from packageurl import PackageURL  # 50 ms, which a starting cloud has no time for

    has_dpkg = any(value.records for path, value in found.items() if path.startswith(dpkg.STATUS))
    vendor = image_release.id if image_release else None
    distro = f"{vendor}-{image_release.version_id}".strip("-") if image_release else ""
    packages: list[Package] = []
    for path, value in sorted(found.items()):
        is_python = path.endswith(python.SUFFIXES)
        for record, digest in value.records:
            if is_python:
                purl = PackageURL("pypi", None, record.name, record.version)
            else:
                qualifiers = {"arch": record.architecture, "distro": distro}
                purl = PackageURL("deb", vendor, record.name, record.version, qualifiers)
            packages.append(
                Package(
                    ecosystem="PyPI" if is_python else image_release.ecosystem if image_release else "",
                    name=record.name,
                    version=record.version,
                    source_name=record.source_name,
                    source_version=record.source_version,
                    purl=purl.to_string(),
                    layer_digest=digest,
                    architecture=record.architecture,
                    path=path,
                    from_distribution=is_python and has_dpkg and python.is_from_distribution(path),
                )
            )
    return tuple(packages)
