from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

import ecrlab
from tests.course import answering
from tests.private_dockerd import private_dockerd


@contextmanager
def open_lab(engine: str, docker_host: str | None = None) -> Iterator[Any]:
    """A lab of its own on a new state folder; this process's environment is as before when it ends."""
    before = dict(os.environ)
    # Not pytest's tmp_path: the path of a socket may have no more than 104 bytes.
    state = Path(tempfile.mkdtemp(prefix="ecrlab-"))
    if docker_host:
        os.environ["DOCKER_HOST"] = docker_host
    try:
        lab = ecrlab.open(state, engine)  # type: ignore[arg-type]
        os.environ.clear()
        os.environ.update(before)
        try:
            yield lab
        finally:
            lab.stop()
    finally:
        os.environ.clear()
        os.environ.update(before)
        boto3.DEFAULT_SESSION = None
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="session")
def embedded_lab() -> Iterator[Any]:
    with open_lab("embedded") as lab:
        yield lab


@pytest.fixture(scope="session")
def docker_lab() -> Iterator[Any]:
    with private_dockerd() as docker_host, open_lab("docker", docker_host) as lab:
        yield lab


@pytest.fixture(params=["embedded", "docker"])
def lab(request: pytest.FixtureRequest) -> Any:
    """A running lab, once with the embedded engine and once with a real Docker Engine."""
    return request.getfixturevalue(f"{request.param}_lab")


@pytest.fixture
def client_environment(lab: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """This process pointed at an empty lab; gives the names that an exercise works with."""
    with _pointed_at(lab, monkeypatch, tmp_path) as given:
        yield given


@contextmanager
def _pointed_at(lab: Any, monkeypatch: pytest.MonkeyPatch, workspace: Path) -> Iterator[dict[str, Any]]:
    for name, value in lab.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ECRLAB_WORKSPACE", str(workspace))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    given = answering.names(lab)
    answering.empty(given)
    try:
        yield given
    finally:
        answering.empty(given)
        given["docker_client"].close()
