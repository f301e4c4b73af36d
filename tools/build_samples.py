"""Build the sample images: `python tools/build_samples.py`, after `pip install -e '.[test]'`.

Compiles simplehttp.c for linux/amd64 and linux/arm64 and writes one OCI image layout per sample below
ecrlab/samples/images/. It needs no network. The same sources give the same digests on every machine: the compiler is
pinned (ziglang in the test extra), times and owners are fixed, and layers.py writes tar and gzip in one way only.
A test builds them again and compares; commit the layouts together with what changed them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sample_images.layers import File, Layer, layer
from sample_images.layout import Image, write_layout
from sample_images.packages import (
    DebianPackage,
    PythonPackage,
    base_packages,
    debian_files,
    python_files,
    python_packages,
    shop_packages,
)

TOOLS = Path(__file__).resolve().parent
IMAGES = TOOLS.parent / "ecrlab" / "samples" / "images"
CREATED = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
COMPILER_TARGETS = {"amd64": "x86_64-linux-musl", "arm64": "aarch64-linux-musl"}
COMPILER_OPTIONS = (
    *("-std=gnu17", "-Os", "-static", "-s", "-Wl,--build-id=none"),
    *("-Wall", "-Wextra", "-Wconversion", "-Werror"),
)
USER = "65532:65532"


class BuildError(Exception):
    """The samples could not be built; the message says why."""


@dataclass(frozen=True)
class Sample:
    """What makes one sample differ from the others."""

    name: str
    version: str
    description: str
    debian: tuple[DebianPackage, ...]
    python: tuple[PythonPackage, ...] = ()


SAMPLES = (
    Sample(
        "simplehttp",
        "1.0.0",
        "A small static HTTP server with a welcome page",
        debian=base_packages(patched=True),
    ),
    Sample(
        "outdated-shop",
        "1.0.0",
        "A web shop whose packages have known vulnerabilities",
        debian=shop_packages(patched=False),
        python=python_packages(patched=False),
    ),
    Sample(
        "patched-shop",
        "1.1.0",
        "The web shop with the fixes for what a scan of outdated-shop finds",
        debian=shop_packages(patched=True),
        python=python_packages(patched=True),
    ),
)


def compile_server(architecture: str, cache: Path | None) -> bytes:
    """The static executable of simplehttp for one architecture.

    cache: where the compiler keeps the C library it has built; None is the compiler's own place.
    """
    if not _has_compiler():
        raise BuildError("the C compiler is missing: pip install -e '.[test]'")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ziglang", "cc", "-target", COMPILER_TARGETS[architecture], *COMPILER_OPTIONS]
        run = subprocess.run(
            [*command, "-o", f"{folder}/simplehttp", "simplehttp.c"],
            cwd=TOOLS,  # a relative source name, so that no path of this machine can reach the executable
            env={**os.environ, **({"ZIG_GLOBAL_CACHE_DIR": str(cache)} if cache else {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise BuildError(f"simplehttp.c does not compile for {architecture}:\n{run.stderr}")
        return Path(folder, "simplehttp").read_bytes()


def _has_compiler() -> bool:
    return subprocess.run([sys.executable, "-c", "import ziglang"], capture_output=True, check=False).returncode == 0


def image(sample: Sample, architecture: str, server: bytes) -> Image:
    """One sample for one architecture."""
    return Image(
        architecture=architecture,
        layers=_layers(sample, architecture, server),
        config={
            "User": USER,
            "ExposedPorts": {"8080/tcp": {}},
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PORT=8080"],
            "Entrypoint": ["/usr/bin/simplehttp"],
            "WorkingDir": "/srv/www",
            "Labels": _labels(sample),
        },
        settings_history=(
            "ENV PORT=8080",
            f"USER {USER}",
            "EXPOSE 8080/tcp",
            "WORKDIR /srv/www",
            'ENTRYPOINT ["/usr/bin/simplehttp"]',
        ),
    )


def _layers(sample: Sample, architecture: str, server: bytes) -> list[Layer]:
    def copied(files: Mapping[str, File], created_by: str) -> Layer:
        return layer(files, created_by=created_by, modified=CREATED)

    pages = {
        "srv/www/index.html": _page(f"{sample.name}/index.html"),
        "srv/www/style.css": _page("style.css"),
    }
    layers = [
        copied(_accounts() | debian_files(sample.debian, architecture), "COPY accounts debian-records /"),
        copied({"usr/bin/simplehttp": File(server, mode=0o755)}, "COPY simplehttp /usr/bin/simplehttp"),
        copied(pages, f"COPY pages/{sample.name} /srv/www/"),
    ]
    if sample.python:
        layers.insert(1, copied(python_files(sample.python), "COPY python-records /"))
    return layers


def _accounts() -> dict[str, File]:
    return {
        "etc/passwd": File(b"root:x:0:0:root:/root:/sbin/nologin\nweb:x:65532:65532:web:/srv/www:/sbin/nologin\n"),
        "etc/group": File(b"root:x:0:\nweb:x:65532:\n"),
    }


def _page(path: str) -> File:
    # Read as text: a checkout with other line ends gives the same layer.
    return File((TOOLS / "sample_images" / "pages" / path).read_text("utf-8").encode("utf-8"))


def _labels(sample: Sample) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": sample.name,
        "org.opencontainers.image.description": sample.description,
        "org.opencontainers.image.version": sample.version,
        "org.opencontainers.image.vendor": "The ecrlab developers",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "ecrlab.sample.packages": "Records only: what a scanner reads of Debian and Python, without the software.",
    }


def build(output: Path, cache: Path | None) -> dict[str, str]:
    """Write every sample below output, replacing what was there; gives the digest of each sample's index."""
    servers = {architecture: compile_server(architecture, cache) for architecture in COMPILER_TARGETS}
    digests = {}
    output.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        with tempfile.TemporaryDirectory(dir=output, prefix=".building-") as fresh:
            layout = Path(fresh, sample.name)
            images = [image(sample, architecture, server) for architecture, server in servers.items()]
            digests[sample.name] = write_layout(layout, images, annotations=_labels(sample), created=CREATED)
            final = output / sample.name
            if final.exists():
                shutil.rmtree(final)
            layout.rename(final)
    return digests


def main() -> int:
    """Build the samples and print their digests; gives the exit status."""
    parser = argparse.ArgumentParser(description="Build the sample images of ecrlab.")
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder of the layouts (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="folder of the compiler's cache (default: the compiler's own)")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        digests = build(options.output, options.cache and options.cache.resolve())
    except BuildError as error:
        print(f"build_samples: {error}", file=sys.stderr)
        return 1
    for name, index_digest in digests.items():
        print(f"{name} {index_digest}")
    print(f"built in {time.monotonic() - started:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
