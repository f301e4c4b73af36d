"""Tags given and taken away, images removed and pruned, with the rules and the words of Docker."""

from typing import Any

from ecrlab.engine import images
from ecrlab.engine import reference as references
from ecrlab.engine.catalogue import Name
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import Conflict, InvalidParameter
from ecrlab.engine.images import Filters
from ecrlab.engine.reference import Reference
from ecrlab.engine.transfer import short

Record = dict[str, str]


def tag(engine: Engine, source: str, repository: str, name: str) -> None:
    """Let a further name stand for the image `source`; raises NotFound, InvalidParameter."""
    image_id = images.resolve(engine.catalogue, source)
    target = references.parse(repository)
    if target.digest or (target.tag and name):
        raise InvalidParameter("refusing to create a tag with a digest reference" if target.digest else "invalid tag")
    target = target.with_tag(name) if name else target.with_default_tag()
    engine.catalogue.set_names([target], image_id, _manifest(engine, source, image_id))
    engine.events.emit("tag", image_id, {"name": str(target), **_labels(engine, image_id)})


def remove(engine: Engine, text: str, *, force: bool) -> list[Record]:
    """Remove a name, and the image with its last name; return what was untagged and deleted, as Docker lists it."""
    catalogue = engine.catalogue
    image_id = images.resolve(catalogue, text)
    names = catalogue.names(image_id)
    gone: list[Name]
    if images.is_id(catalogue, text) and not _is_name(engine, text):
        if not force and not _single(names):
            raise Conflict(
                f"conflict: unable to delete {short(image_id)} (must be forced)"
                " - image is referenced in multiple repositories"
            )
        gone, left = names, []
    else:
        name = catalogue.name(references.parse(text).with_default_tag())
        assert name is not None, "resolve found this name"
        gone, left = [name], [other for other in names if other != name]
        if name.tag and not any(other.tag and other.repository == name.repository for other in left):
            # With its last tag a repository loses the digests too, or the image could never go.
            gone += [other for other in left if other.repository == name.repository]
            left = [other for other in left if other.repository != name.repository]
    return _untag(engine, image_id, gone) + ([] if left else _delete(engine, image_id)[0])


def prune(engine: Engine, filters: Filters) -> dict[str, Any]:
    """Remove images without a tag, or all with `dangling=false`; return the shape of POST /images/prune."""
    for key in filters:
        if key not in ("dangling", "label", "label!", "until"):
            raise InvalidParameter(f"invalid filter '{key}'")
    dangling = images.boolean("dangling", filters["dangling"]) if "dangling" in filters else True
    narrowed = {key: values for key, values in filters.items() if key in ("label", "until")}
    records: list[Record] = []
    freed = 0
    for entry in images.listing(engine.catalogue, narrowed):
        excluded = filters.get("label!", [])
        if (dangling and entry["RepoTags"]) or any(images.labelled(entry["Labels"] or {}, [one]) for one in excluded):
            continue
        records += _untag(engine, entry["Id"], engine.catalogue.names(entry["Id"]))
        deleted, size = _delete(engine, entry["Id"])
        records += deleted
        freed += size
    engine.events.emit("prune", "", {"reclaimed": str(freed)})
    return {"ImagesDeleted": records or None, "SpaceReclaimed": freed}


def _untag(engine: Engine, image_id: str, names: list[Name]) -> list[Record]:
    for name in names:
        engine.catalogue.delete_name(name)
        engine.events.emit("untag", image_id, {"name": image_id, **_labels(engine, image_id)})
    return [{"Untagged": str(name)} for name in names]


def _delete(engine: Engine, image_id: str) -> tuple[list[Record], int]:
    chains, blobs = engine.catalogue.delete_image(image_id)
    freed = engine.discard_unused(blobs)
    engine.events.emit("delete", image_id, {"name": image_id})
    return [{"Deleted": digest} for digest in (image_id, *chains)], freed


def _single(names: list[Name]) -> bool:
    tags = [name for name in names if name.tag]
    return len(tags) <= 1 and len({name.repository for name in names}) <= 1


def _is_name(engine: Engine, text: str) -> bool:
    parsed = _parsed(text)
    return parsed is not None and engine.catalogue.name(parsed) is not None


def _manifest(engine: Engine, source: str, image_id: str) -> str | None:
    """Return the manifest that a new name inherits: the one of the name it is made from."""
    parsed = _parsed(source)
    name = engine.catalogue.name(parsed) if parsed is not None else None
    inherited = [name] if name is not None else engine.catalogue.names(image_id)
    return next((each.manifest for each in inherited if each.manifest), None)


def _parsed(text: str) -> Reference | None:
    try:
        return references.parse(text).with_default_tag()
    except InvalidParameter:
        return None


def _labels(engine: Engine, image_id: str) -> dict[str, str]:
    config = engine.catalogue.config(image_id)
    return config.labels if config is not None else {}
