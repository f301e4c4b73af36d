"""Reading manifests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrlab.cloud.core.errors import InvalidParameter
from ecrlab.cloud.core.manifest import DOCKER_MANIFEST, MAX_BYTES, parse
from tests.cloud.conftest import make_image, make_index, sha256

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["digest", "size", "mediaType", "x"]), inner)
    ),
    max_leaves=8,
)


def test_when_a_manifest_is_read_then_its_parts_are_there() -> None:
    image = make_image(b"one", b"two")
    manifest = parse(image.manifest)
    assert manifest.digest == image.digest
    assert [layer.digest for layer in manifest.layers] == [sha256(b"one"), sha256(b"two")]
    assert {item.digest for item in manifest.needed_layers} == set(image.blobs)
    index = parse(make_index(image).manifest)
    assert index.is_index
    assert [child.digest for child in index.children] == [image.digest]
    assert index.needed_layers == ()


def test_when_the_manifest_states_no_media_type_then_the_caller_must() -> None:
    document = json.loads(make_image().manifest)
    del document["mediaType"]
    content = json.dumps(document).encode()
    with pytest.raises(InvalidParameter, match="ImageManifestMediaType"):
        parse(content)
    assert parse(content, DOCKER_MANIFEST).media_type == DOCKER_MANIFEST


def test_when_the_media_types_differ_or_the_size_is_out_of_bounds_then_it_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="ImageManifestMediaType"):
        parse(make_image().manifest, DOCKER_MANIFEST)
    for content in (b"", b" " * (MAX_BYTES + 1)):
        with pytest.raises(InvalidParameter):
            parse(content)


@settings(deadline=None, max_examples=60)
@given(field=st.sampled_from(["config", "layers", "subject", "artifactType", "mediaType", "schemaVersion"]), value=JSON)
def test_when_a_field_holds_anything_then_it_is_read_or_refused(field: str, value: object) -> None:
    document = {**json.loads(make_image().manifest), field: value}
    refusal = None
    try:
        manifest = parse(json.dumps(document).encode())
    except InvalidParameter as error:
        refusal = error
    if refusal is not None:
        assert refusal.message.startswith("Invalid parameter at 'ImageManifest")
    else:
        assert all(item.digest.startswith("sha") for item in manifest.needed_layers)
