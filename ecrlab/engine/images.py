"""Images as clients see them: lists, filters, one image, its history."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ecrlab.engine import reference as references
from ecrlab.engine.catalogue import Catalogue, Name, Summary
from ecrlab.engine.errors import InvalidParameter, no_such_image
from ecrlab.engine.manifest import unix_seconds

_HEX = re.compile(r"[0-9a-f]{1,64}")
_FILTERS = {"reference", "dangling", "label", "before", "since", "until"}
_YES, _NO = ("1", "true"), ("0", "false")
Filters = Mapping[str, list[str]]


def resolve(catalogue: Catalogue, text: str) -> str:
    """Return the ID of the image that a name, a digest, an ID or the beginning of an ID means; raises NotFound."""
    plain = text.removeprefix("sha256:")
    if len(plain) == 64 and _HEX.fullmatch(plain):
        if catalogue.config(f"sha256:{plain}") is None:
            raise no_such_image(text)
        return f"sha256:{plain}"
    if not (text.startswith("sha256:") and _HEX.fullmatch(plain)):
        reference = references.parse(text).with_default_tag()
        name = catalogue.name(reference)
        if name is not None:
            return name.image_id
    if is_id(catalogue, text):
        return catalogue.with_prefix(plain)[0]
    raise no_such_image(text if plain != text else str(reference))


def is_id(catalogue: Catalogue, text: str) -> bool:
    """Tell whether `text` is the ID of one image, or the beginning of it."""
    plain = text.removeprefix("sha256:")
    return _HEX.fullmatch(plain) is not None and len(catalogue.with_prefix(plain)) == 1


def listing(catalogue: Catalogue, filters: Filters, *, digests: bool = True) -> list[dict[str, Any]]:
    """Return the images that pass the filters, the newest first, in the shape of GET /images/json."""
    for key in filters:
        if key not in _FILTERS:
            raise InvalidParameter(f"invalid filter '{key}'")
    accepts = _conditions(catalogue, filters)
    patterns = [_pattern(text) for text in filters.get("reference", [])]
    found = []
    for image in catalogue.summaries():
        names = [name for name in image.names if not patterns or _matches(name, patterns)]
        if (patterns and not names) or not all(accept(image) for accept in accepts):
            continue
        found.append(describe(image, names, digests=digests))
    return found


def describe(image: Summary, names: list[Name], *, digests: bool = True, shared: int = -1) -> dict[str, Any]:
    """Return one entry of an image list."""
    return {
        "Containers": -1,
        "Created": image.created,
        "Id": image.id,
        "Labels": image.labels or None,
        "ParentId": "",
        "RepoDigests": [str(name) for name in names if name.digest] if digests else [],
        "RepoTags": [str(name) for name in names if name.tag],
        "SharedSize": shared,
        "Size": image.size,
        "VirtualSize": image.size,
    }


def inspect(catalogue: Catalogue, text: str) -> dict[str, Any]:
    """Return everything known about an image, in the shape of GET /images/{name}/json; raises NotFound."""
    image_id = resolve(catalogue, text)
    config = catalogue.config(image_id)
    assert config is not None, "resolve gives images that exist"
    names, layers = catalogue.names(image_id), catalogue.layers(image_id)
    document = config.document
    size = sum(layer.size for layer in layers)
    tagged = datetime.fromtimestamp(catalogue.tagged_at(image_id), UTC)
    return {
        "Id": image_id,
        "RepoTags": [str(name) for name in names if name.tag],
        "RepoDigests": [str(name) for name in names if name.digest],
        "Parent": "",
        "Comment": str(document.get("comment") or (config.history[-1].get("comment") if config.history else "") or ""),
        "Created": document.get("created"),
        "DockerVersion": str(document.get("docker_version") or ""),
        "Author": str(document.get("author") or ""),
        "Config": document.get("config"),
        "Architecture": config.platform.architecture,
        "Variant": config.platform.variant,
        "Os": config.platform.os,
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {"Name": "ecrlab", "Data": {}},
        "RootFS": {"Type": "layers", "Layers": [layer.diff_id for layer in layers]},
        "Metadata": {"LastTagTime": tagged.isoformat().replace("+00:00", "Z")},
    }


def history(catalogue: Catalogue, text: str) -> list[dict[str, Any]]:
    """Return how an image was made, the last step first, in the shape of GET /images/{name}/history."""
    image_id = resolve(catalogue, text)
    config = catalogue.config(image_id)
    assert config is not None, "resolve gives images that exist"
    layers = iter(catalogue.layers(image_id))
    steps = []
    for entry in config.history:
        layer = None if entry.get("empty_layer") else next(layers, None)
        steps.append(
            {
                "Comment": str(entry.get("comment") or ""),
                "Created": unix_seconds(entry.get("created")),
                "CreatedBy": str(entry.get("created_by") or ""),
                "Id": "<missing>",
                "Size": layer.size if layer else 0,
                "Tags": None,
            }
        )
    for layer in layers:
        unsaid = {"Comment": "", "Created": config.created, "CreatedBy": "", "Tags": None}
        steps.append({**unsaid, "Id": "<missing>", "Size": layer.size})
    if steps:
        tags = [str(name) for name in catalogue.names(image_id) if name.tag]
        steps[-1] |= {"Id": image_id, "Tags": tags or None}
    return steps[::-1]


def _conditions(catalogue: Catalogue, filters: Filters) -> list[Callable[[Summary], bool]]:
    accepts: list[Callable[[Summary], bool]] = []
    if "dangling" in filters:
        wanted = boolean("dangling", filters["dangling"])
        accepts.append(lambda image: wanted is not any(name.tag for name in image.names))
    if "label" in filters:
        accepts.append(lambda image: labelled(image.labels, filters["label"]))
    for text in filters.get("before", []):
        accepts.append(partial(_created_before, _created(catalogue, text)))
    for text in filters.get("since", []):
        accepts.append(partial(_created_after, _created(catalogue, text)))
    for text in filters.get("until", []):
        accepts.append(partial(_created_before, int(text) if text.isdigit() else unix_seconds(text)))
    return accepts


def _created(catalogue: Catalogue, text: str) -> int:
    config = catalogue.config(resolve(catalogue, text))
    assert config is not None, "resolve gives images that exist"
    return config.created


def _created_before(limit: int, image: Summary) -> bool:
    return image.created < limit


def _created_after(limit: int, image: Summary) -> bool:
    return image.created > limit


def labelled(labels: Mapping[str, str], wanted: list[str]) -> bool:
    """Tell whether labels hold all of `wanted` (each `key` or `key=value`)."""
    pairs = (text.partition("=") for text in wanted)
    return all(key in labels and (not equals or labels[key] == value) for key, equals, value in pairs)


def boolean(key: str, values: list[str]) -> bool:
    """Return the truth that a filter asks for; raises InvalidParameter in Docker's words."""
    if len(values) != 1 or values[0].lower() not in _YES + _NO:
        raise InvalidParameter(f"invalid filter '{key}={values}'")
    return values[0].lower() in _YES


def _matches(name: Name, patterns: list[re.Pattern[str]]) -> bool:
    texts = (str(name), references.familiar(name.repository))
    return any(pattern.fullmatch(text) for pattern in patterns for text in texts)


def _pattern(text: str) -> re.Pattern[str]:
    """Return the expression of a shell pattern in which `*` and `?` stop at a slash."""
    parts = re.split(r"(\*|\?|\[[^\]]*\])", text)
    special = {"*": "[^/]*", "?": "[^/]"}
    try:
        return re.compile(
            "".join(special.get(part, part if part.startswith("[") else re.escape(part)) for part in parts)
        )
    except re.error:
        raise InvalidParameter(f"invalid filter 'reference={text}'") from None
