from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.labs import Labs


def test_when_no_lab_runs_then_open_starts_one_that_outlives_the_program(labs: Labs) -> None:
    code = (
        "import boto3; boto3.setup_default_session(region_name='eu-west-3')\n"
        "import ecrlab; lab = ecrlab.open(engine='embedded')\n"
        "ecr = boto3.client('ecr'); print(ecr.meta.endpoint_url == lab.endpoint, ecr.meta.region_name, lab.engine)\n"
        "print(lab.registry, lab.account_id, lab.region, ecr.describe_repositories()['repositories'])\n"
    )
    answer = labs.python(code)
    assert answer.stdout.splitlines() == [
        "True us-east-1 embedded",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com 123456789012 us-east-1 []",
    ], answer.stderr
    assert answer.stderr == ""
    assert labs.status()["answers"] is True
    labs.stop()
    assert labs.status()["running"] is False


def test_when_two_programs_open_at_once_then_they_share_one_lab(labs: Labs) -> None:
    code = "import ecrlab; print(ecrlab.open(engine='embedded').endpoint)"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=labs.environ, stdout=subprocess.PIPE, text=True, cwd=labs.home
        )
        for _ in range(2)
    ]
    first, second = (program.communicate(timeout=60)[0] for program in both)
    assert first == second == f"{labs.record()['endpoint']}\n"


def test_when_the_lab_does_not_start_then_the_error_shows_why(labs: Labs) -> None:
    labs.state_dir.mkdir()
    (labs.state_dir / "cloud").write_text("not a folder")
    answer = labs.python("import ecrlab; ecrlab.open(engine='embedded')")
    assert answer.returncode == 1
    last = answer.stderr[answer.stderr.index("StartFailed") :]
    assert "lab.log" in last
    assert "ecrlab: " in last
    assert labs.status()["running"] is False


def test_when_a_lab_is_opened_then_what_is_shown_holds_no_secret(running: Labs) -> None:
    answer = running.python(
        "import ecrlab; lab = ecrlab.open(); print(repr(lab), lab._repr_html_(), vars(lab)['_record'])"
    )
    assert str(running.record()["endpoint"]) in answer.stdout
    assert "<table>" in answer.stdout
    for name in ("secret_access_key", "control_token", "access_key_id"):
        assert str(running.record()[name]) not in answer.stdout


def test_when_another_engine_is_asked_for_than_runs_then_open_says_so(running: Labs) -> None:
    answer = running.python("import ecrlab; ecrlab.open(engine='docker')")
    assert "ecrlab stop" in answer.stderr
    assert "unknown" in running.python("import ecrlab; ecrlab.open(engine='unknown')").stderr


def test_when_a_folder_is_named_then_it_counts_and_not_the_variable(running: Labs, tmp_path: Path) -> None:
    code = f"import ecrlab; print(ecrlab.open({os.fspath(running.state_dir)!r}).state_dir)"
    answer = running.python(code, ECRLAB_STATE_DIR=os.fspath(tmp_path))
    assert answer.stdout.strip() == str(running.state_dir)
    assert list(tmp_path.iterdir()) == []


def test_when_an_unknown_sample_is_loaded_then_the_names_are_shown(running: Labs) -> None:
    answer = running.python("import ecrlab; ecrlab.open().samples.load('absent')")
    assert "simplehttp" in answer.stderr.splitlines()[-1]


def test_when_a_sample_is_loaded_then_the_engine_has_it(running: Labs) -> None:
    code = (
        "import ecrlab, docker; lab = ecrlab.open(); print(lab.samples.load().tags);"
        "print(docker.from_env().images.get('ecrlab/simplehttp').tags)"
    )
    answer = running.python(code)
    assert answer.stdout.splitlines() == ["['ecrlab/simplehttp:latest']"] * 2, answer.stderr


@pytest.mark.parametrize("module", ["ecrlab", "ecrlab.cli", "ecrlab.lab", "ecrlab.cli.serve"])
def test_when_ecrlab_is_imported_then_nothing_heavy_comes_with_it(module: str) -> None:
    heavy = [
        "boto3",
        "botocore",
        "docker",
        "typer",
        "rich",
        "pydantic",
        "jupyterlab",
        "starlette",
        "granian",
        "aiohttp",
    ]
    code = f"import {module}, sys; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert answer.stdout == "[]\n"


def test_when_the_package_is_imported_then_it_has_a_version_and_no_other_names() -> None:
    from importlib.metadata import version

    import ecrlab

    assert ecrlab.__version__ == version("ecrlab")
    assert {"open", "Lab", "__version__"} <= set(dir(ecrlab))
    with pytest.raises(AttributeError, match="absent"):
        _ = ecrlab.absent  # type: ignore[attr-defined]
