from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from ecrlab import samples
from tests.samples.stored_samples import Stored, server_program

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def descriptors(stored: Stored) -> list[dict[str, Any]]:
    top = stored.index_descriptor
    found = [top]
    for entry in stored.json(top)["manifests"]:
        manifest = stored.json(entry)
        found += [entry, manifest["config"], *manifest["layers"]]
    return found


def test_when_samples_are_listed_then_each_has_a_layout_and_no_other_is_stored() -> None:
    folders = {folder.name for folder in samples.layout("simplehttp").parent.iterdir() if folder.is_dir()}
    assert folders == set(samples.names())
    assert samples.names()[0] == "simplehttp"


def test_when_a_blob_is_read_then_its_digest_and_size_are_those_of_its_descriptor(stored: Stored) -> None:
    for descriptor in descriptors(stored):
        content = stored.read(descriptor)
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
        assert len(content) == descriptor["size"]


def test_when_the_folder_is_read_then_it_holds_the_referenced_blobs_only(stored: Stored) -> None:
    named = {descriptor["digest"].removeprefix("sha256:") for descriptor in descriptors(stored)}
    assert {path.name for path in (stored.folder / "blobs" / "sha256").iterdir()} == named
    assert json.loads((stored.folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


def test_when_the_index_is_read_then_it_is_one_multi_arch_image_tagged_latest(stored: Stored) -> None:
    top = stored.index_descriptor
    assert top["mediaType"] == INDEX
    assert top["annotations"] == {"org.opencontainers.image.ref.name": "latest"}
    index = stored.json(top)
    assert (index["schemaVersion"], index["mediaType"]) == (2, INDEX)
    assert [entry["mediaType"] for entry in index["manifests"]] == [MANIFEST, MANIFEST]
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]


def test_when_a_configuration_is_read_then_it_describes_its_layers(stored: Stored) -> None:
    for architecture, manifest in stored.manifests.items():
        assert (manifest["schemaVersion"], manifest["mediaType"]) == (2, MANIFEST)
        assert manifest["config"]["mediaType"] == CONFIG
        assert {layer["mediaType"] for layer in manifest["layers"]} == {LAYER}
        config = stored.json(manifest["config"])
        assert (config["os"], config["architecture"]) == ("linux", architecture)
        diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in stored.layer_tars(manifest)]
        assert config["rootfs"] == {"type": "layers", "diff_ids": diff_ids}
        filled = [entry for entry in config["history"] if not entry.get("empty_layer")]
        assert len(filled) == len(diff_ids) >= 3
        assert all(entry["created_by"] and entry["created"] == config["created"] for entry in config["history"])


def test_when_a_container_starts_then_its_settings_fit_the_files(sample: str, stored: Stored) -> None:
    for manifest in stored.manifests.values():
        settings = stored.json(manifest["config"])["config"]
        files = {path: member for path, (member, _) in stored.files(manifest).items()}
        (program,) = settings["Entrypoint"]
        assert files[program].isfile()
        assert files[program].mode & 0o111
        assert files[settings["WorkingDir"]].isdir()
        assert files["/srv/www/index.html"].isfile()
        assert "8080/tcp" in settings["ExposedPorts"]
        assert "PORT=8080" in settings["Env"]
        assert settings["Labels"]["org.opencontainers.image.title"] == sample
        assert settings["Labels"]["ecrlab.sample.packages"].startswith("Records only")
        assert all((member.uid, member.gid, member.mtime > 0) == (0, 0, True) for member in files.values())


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_when_the_server_is_looked_at_then_it_is_a_small_static_executable(architecture: str, machine: int) -> None:
    program = server_program(architecture)
    assert len(program) < 200_000
    assert program[:6] == b"\x7fELF\x02\x01"  # 64 bits, little endian
    kind, found_machine = struct.unpack_from("<HH", program, 16)
    assert (kind, found_machine) == (2, machine)  # ET_EXEC; EM_X86_64 is 62, EM_AARCH64 is 183
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    segments = {struct.unpack_from("<I", program, table + number * size)[0] for number in range(count)}
    assert 1 in segments  # PT_LOAD
    assert not segments & {2, 3}  # neither PT_DYNAMIC nor PT_INTERP: it needs no other file


def test_when_two_samples_share_a_layer_then_it_has_one_digest() -> None:
    layers = [
        {layer["digest"] for layer in Stored(samples.layout(name)).manifests["amd64"]["layers"]}
        for name in samples.names()
    ]
    assert len(set.intersection(*layers)) == 1  # the server


def test_when_the_samples_are_weighed_then_they_stay_small() -> None:
    folder: Path = samples.layout("simplehttp").parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_000_000
