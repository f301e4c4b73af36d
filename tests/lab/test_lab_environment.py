from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ecrlab.lab.environment import apply, path_with_programs, shell_lines, variables, write_client_files
from ecrlab.lab.state import Engine, Record, StateDir, new_record
from tests.requires import require

NASTY = 'it\'s $HOME `x` "q" \\ é'


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / NASTY)
    state.create()
    return state


@pytest.fixture
def record() -> Record:
    return replace(
        new_record(), endpoint="http://127.0.0.1:4566", engine=Engine("embedded", "unix:///run/e.sock"), pid=1
    )


def printed_by(shell: list[str], script: str, environ: dict[str, str]) -> dict[str, str]:
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    answer = subprocess.run(
        [*shell, f"{script}\n\"$PYTHON\" -c '{program}'"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    values: dict[str, str] = json.loads(answer.stdout)
    return values


@pytest.mark.parametrize("shell", ["sh", "bash", "fish"])
def test_when_a_shell_evaluates_the_lines_then_it_has_exactly_the_variables(
    state: StateDir, record: Record, shell: str
) -> None:
    require(shell)
    before = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PYTHON": sys.executable,
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "t",
        "AWS_ENDPOINT_URL_ECR": "https://elsewhere",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "DOCKER_CONTEXT": "work",
        "DOCKER_TLS_VERIFY": "1",
    }
    lines = shell_lines(state, record, "fish" if shell == "fish" else "sh", before)
    script = lines if shell == "fish" else 'eval "$LINES_OF_THE_LAB"'
    after = printed_by([shell, "-c"], script, {**before, "LINES_OF_THE_LAB": lines})
    wanted = variables(state, record, before)
    assert {name: after.get(name) for name in wanted} == wanted
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_ECR", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        assert name not in after
    for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"):
        assert name not in after


def test_when_the_shell_is_powershell_then_quotes_are_doubled(state: StateDir, record: Record) -> None:
    lines = shell_lines(state, record, "powershell", {}).splitlines()
    assert f"$env:ECRLAB_STATE_DIR = '{str(state.path).replace(chr(39), chr(39) * 2)}'" in lines
    assert "Remove-Item Env:AWS_PROFILE -ErrorAction SilentlyContinue" in lines


def test_when_applied_then_the_contract_holds(state: StateDir, record: Record) -> None:
    environ = {
        "PATH": "/usr/bin",
        "AWS_PROFILE": "work",
        "DOCKER_CERT_PATH": "/c",
        "AWS_ENDPOINT_URL_STS": "x",
        "LANG": "C",
    }
    apply(state, record, environ)
    assert environ.pop("PATH") == path_with_programs("/usr/bin")
    assert environ == {
        "LANG": "C",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_ACCESS_KEY_ID": record.access_key_id,
        "AWS_SECRET_ACCESS_KEY": record.secret_access_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": f"{state.path}/aws/config",
        "AWS_SHARED_CREDENTIALS_FILE": f"{state.path}/aws/credentials",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "DOCKER_HOST": "unix:///run/e.sock",
        "DOCKER_CONFIG": f"{state.path}/docker",
        "DOCKER_BUILDKIT": "0",
        "ECRLAB_STATE_DIR": str(state.path),
    }


def test_when_there_is_no_engine_then_the_users_docker_is_left_alone(state: StateDir, record: Record) -> None:
    environ = {"DOCKER_HOST": "tcp://build:2376", "DOCKER_TLS_VERIFY": "1", "PATH": ""}
    apply(state, replace(record, engine=Engine("none", None)), environ)
    assert environ["DOCKER_HOST"] == "tcp://build:2376"
    assert environ["DOCKER_TLS_VERIFY"] == "1"
    assert "DOCKER_BUILDKIT" not in environ


def test_when_a_proxy_is_set_then_loopback_goes_past_it(state: StateDir, record: Record) -> None:
    values = variables(state, record, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "intranet, localhost"})
    assert values["NO_PROXY"] == values["no_proxy"] == "intranet,localhost,127.0.0.1"
    assert "NO_PROXY" not in variables(state, record, {})


def test_when_the_programs_are_on_the_path_already_then_they_come_first_and_once() -> None:
    folder = path_with_programs("").rstrip(os.pathsep)
    assert path_with_programs(f"/usr/bin{os.pathsep}{folder}") == f"{folder}{os.pathsep}/usr/bin"


def test_when_client_files_are_written_then_they_are_private_and_aws_reads_them(tmp_path: Path, record: Record) -> None:
    from botocore.session import Session

    state = StateDir(tmp_path)

    write_client_files(state, record)
    for file in ("aws/config", "aws/credentials", "docker/config.json"):
        assert (state.path / file).stat().st_mode & 0o777 == 0o600
    session = Session()
    session.set_config_variable("config_file", str(state.aws / "config"))
    session.set_config_variable("credentials_file", str(state.aws / "credentials"))
    profile = session.full_config["profiles"]["default"]
    assert profile["region"] == "us-east-1"
    assert profile["endpoint_url"] == "http://127.0.0.1:4566"
    assert profile["aws_access_key_id"] == record.access_key_id


def test_when_docker_logins_are_there_then_a_new_start_keeps_them(state: StateDir, record: Record) -> None:
    write_client_files(state, record)
    # Without an entry the docker client would turn to the keychain of the learner.
    assert json.loads((state.docker / "config.json").read_text())["auths"]
    (state.docker / "config.json").write_text('{"auths": {"mine": {}}}')
    write_client_files(state, record)
    assert json.loads((state.docker / "config.json").read_text()) == {"auths": {"mine": {}}}
