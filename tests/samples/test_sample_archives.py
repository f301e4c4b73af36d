from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from ecrlab import samples
from tests.samples.stored_samples import Stored


def unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            files[member.name] = file.read()
        return files


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_when_a_sample_is_archived_then_it_reads_as_docker_save_writes(
    sample: str, stored: Stored, architecture: str
) -> None:
    files = unpacked(samples.archive(sample, f"linux/{architecture}"))
    (image,) = json.loads(files["manifest.json"])
    assert image["RepoTags"] == [f"ecrlab/{sample}:latest"]
    config = files[image["Config"]]
    assert config == stored.read(stored.manifests[architecture]["config"])
    diff_ids = [f"sha256:{hashlib.sha256(files[path]).hexdigest()}" for path in image["Layers"]]
    assert diff_ids == json.loads(config)["rootfs"]["diff_ids"]
    assert set(files) == {"manifest.json", image["Config"], *image["Layers"]}


def test_when_a_sample_is_archived_twice_then_the_bytes_are_the_same(sample: str) -> None:
    assert samples.archive(sample, "linux/amd64") == samples.archive(sample, "linux/amd64")


@pytest.mark.parametrize("call", [samples.layout, lambda name: samples.archive(name, "linux/amd64")])
@pytest.mark.parametrize("name", ["", "nginx", "../samples", "ecrlab/simplehttp"])
def test_when_the_name_is_unknown_then_the_error_names_the_samples(call, name: str) -> None:
    with pytest.raises(samples.UnknownSampleError) as caught:
        call(name)
    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == (
        f"there is no sample image {name!r}; there are simplehttp, outdated-shop, patched-shop"
    )


@pytest.mark.parametrize("platform", ["", "amd64", "linux/s390x", "windows/amd64"])
def test_when_the_platform_is_unknown_then_the_error_names_the_platforms(platform: str) -> None:
    with pytest.raises(samples.UnknownSampleError) as caught:
        samples.archive("simplehttp", platform)
    assert str(caught.value) == (
        f"the sample image simplehttp is not made for {platform!r}; it is for linux/amd64, linux/arm64"
    )
