from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import docker
import psutil
import pytest

from tests.lab.labs import Labs, wait_until


def only_error(text: str) -> str:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("ecrlab: ")
    return lines[0]


def engine_of(labs: Labs) -> psutil.Process:
    pid = labs.status()["pid"]
    assert isinstance(pid, int)
    (engine,) = [child for child in psutil.Process(pid).children() if "ecrlab.engine" in child.cmdline()]
    return engine


def test_when_a_lab_serves_then_status_and_the_client_files_say_where(running: Labs) -> None:
    status = json.loads(running.run("status", "--json").stdout)
    record = running.record()
    assert status["running"] is True
    assert status["answers"] is True
    assert status["endpoint"] == record["endpoint"]
    assert record["engine"] == {"kind": "embedded", "docker_host": f"unix://{running.state_dir}/engine.sock"}
    assert record["uri_style"] == "aws"
    assert (running.state_dir / "lab.json").stat().st_mode & 0o777 == 0o600
    assert str(record["secret_access_key"]) not in running.run("status").stdout


def test_when_a_lab_serves_then_the_home_folder_stays_empty(running: Labs) -> None:
    answer = running.python(
        "import ecrlab, boto3; ecrlab.open(); "
        "boto3.client('ecr').describe_repositories(); print(boto3.client('sts').get_caller_identity()['Account'])"
    )
    assert answer.stdout == "123456789012\n", answer.stderr
    assert list(running.home.iterdir()) == []


def test_when_a_second_lab_wants_the_folder_then_it_names_the_first(running: Labs) -> None:
    answer = running.run("serve")
    assert answer.returncode == 2
    assert f"pid {running.record()['pid']}" in only_error(answer.stderr)
    assert running.status()["answers"] is True


def test_when_env_is_evaluated_then_the_aws_command_finds_the_lab(running: Labs) -> None:
    import subprocess
    import sys

    script = f"""
        eval "$({sys.executable} -m ecrlab.cli env)"
        {sys.executable} -m awscli ecr create-repository --repository-name from/sh --query repository.registryId
    """
    environ = {**running.environ, "AWS_PROFILE": "work", "AWS_ENDPOINT_URL_ECR": "http://127.0.0.1:1"}
    answer = subprocess.run(
        ["sh", "-c", script], env=environ, cwd=running.home, capture_output=True, text=True, timeout=30
    )
    assert answer.stdout.strip() == '"123456789012"', answer.stderr
    assert list(running.home.iterdir()) == []


def test_when_no_lab_runs_then_env_and_status_fail_and_stop_says_so(labs: Labs) -> None:
    answer = labs.run("env")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "No lab runs" in only_error(answer.stderr)
    assert labs.run("status").returncode == 1
    assert labs.run("stop").returncode == 0
    assert not labs.state_dir.exists()


def test_when_the_port_is_in_use_then_one_sentence_says_so(labs: Labs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        answer = labs.run("serve", "--port", str(other.getsockname()[1]))
    assert answer.returncode == 2
    assert "is in use" in only_error(answer.stderr)


def test_when_the_state_folder_is_of_a_newer_version_then_nothing_is_touched(labs: Labs) -> None:
    labs.state_dir.mkdir()
    (labs.state_dir / "lab.json").write_text('{"version": 99}')
    for command in (["serve"], ["reset", "--yes"], ["start", "--no-browser"]):
        answer = labs.run(*command)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert "newer ecrlab" in only_error(answer.stderr)
    assert (labs.state_dir / "lab.json").read_text() == '{"version": 99}'


def test_when_the_state_folder_cannot_be_made_then_one_sentence_says_so(labs: Labs) -> None:
    labs.state_dir.write_text("a file")
    answer = labs.run("serve")
    assert answer.returncode == 2
    assert "--state-dir" in only_error(answer.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_when_asked_to_end_then_cloud_and_engine_end_cleanly(labs: Labs, number: signal.Signals) -> None:
    process = labs.serve()
    engine = engine_of(labs)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, (out, err)
    assert err == ""
    assert not engine.is_running()
    assert labs.record()["pid"] is None
    assert labs.status()["running"] is False


def test_when_stopped_then_the_next_start_has_the_same_keys_port_and_repositories(labs: Labs) -> None:
    process = labs.serve("--engine", "none")
    first = labs.record()
    labs.client("ecr").create_repository(repositoryName="kept")
    answer = labs.run("stop")
    assert (answer.returncode, answer.stdout) == (0, "The lab is ended.\n")
    assert process.wait(10) == 0
    labs.serve("--engine", "none")
    second = labs.record()
    same = ("endpoint", "access_key_id", "secret_access_key", "control_token")
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
    assert labs.repositories() == ["kept"]


def test_when_the_server_is_killed_then_its_engine_ends_and_the_state_can_be_used_again(labs: Labs) -> None:
    process = labs.serve()
    engine = engine_of(labs)
    labs.client("ecr").create_repository(repositoryName="kept")
    process.kill()
    process.wait()
    wait_until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)
    assert labs.status()["running"] is False
    labs.serve()
    assert labs.repositories() == ["kept"]


def test_when_the_engine_is_killed_then_it_is_started_again(labs: Labs) -> None:
    labs.serve()
    first = engine_of(labs)
    first.kill()
    wait_until(lambda: engine_of_or_none(labs) not in (None, first.pid))
    wait_until(lambda: (labs.state_dir / "engine.sock").exists())
    wait_until(lambda: pings(labs))


def pings(labs: Labs) -> bool:
    try:
        return bool(labs.docker().ping())
    except docker.errors.DockerException:
        return False


def engine_of_or_none(labs: Labs) -> int | None:
    try:
        return engine_of(labs).pid
    except (ValueError, psutil.NoSuchProcess):
        return None


def test_when_the_engine_cannot_start_then_its_own_sentence_is_shown(labs: Labs) -> None:
    labs.state_dir.mkdir()
    (labs.state_dir / "engine").write_text("not a folder")
    answer = labs.run("serve")
    assert answer.returncode == 2
    assert "engine did not start" in only_error(answer.stderr)
    assert labs.status()["running"] is False


def test_when_there_shall_be_no_engine_then_the_cloud_runs_alone(labs: Labs) -> None:
    labs.serve("--engine", "none", "--uri-style", "loopback", "--region", "eu-west-1")
    assert labs.record()["engine"] == {"kind": "none", "docker_host": None}
    lines = labs.run("env").stdout
    assert "DOCKER_HOST" not in lines
    assert "export AWS_REGION=eu-west-1" in lines
    (repository,) = [labs.client("ecr").create_repository(repositoryName="one")["repository"]]
    assert repository["repositoryUri"] == f"{labs.record()['endpoint'].removeprefix('http://')}/one"


def test_when_the_state_path_has_spaces_and_is_long_then_the_lab_runs(labs: Labs) -> None:
    labs.state_dir = labs.home.parent / ("a long folder's name " * 5).strip()
    labs.environ["ECRLAB_STATE_DIR"] = str(labs.state_dir)
    labs.serve()
    assert labs.docker().ping()


@pytest.mark.parametrize("running_lab", [True, False])
def test_when_reset_then_registries_images_and_logins_are_gone_and_the_keys_are_kept(
    labs: Labs, running_lab: bool
) -> None:
    labs.serve()
    before = labs.record()
    labs.client("ecr").create_repository(repositoryName="gone")
    labs.docker().images.pull("ecrlab/simplehttp", tag="latest")
    assert len(labs.docker().images.list()) == 1
    config = labs.state_dir / "docker" / "config.json"
    config.write_text('{"auths": {"somewhere": {"auth": "dTpw"}}}')
    if not running_lab:
        labs.stop()
    assert labs.run("reset").returncode != 0, "it asks, and nobody answers"
    assert "somewhere" in config.read_text()
    answer = labs.run("reset", "--yes")
    assert answer.returncode == 0, answer.stderr
    if not running_lab:
        labs.serve()
    assert "somewhere" not in config.read_text()
    after = labs.record()
    assert after["secret_access_key"] == before["secret_access_key"]
    assert labs.repositories() == []
    assert labs.docker().images.list() == []


def test_when_the_lab_hangs_then_status_says_so_and_stop_ends_it(labs: Labs) -> None:
    process = labs.serve("--engine", "none")
    os.kill(process.pid, signal.SIGSTOP)
    try:
        status = labs.run("status", "--json")
        assert status.returncode == 1
        assert json.loads(status.stdout)["running"] is True
        assert json.loads(status.stdout)["answers"] is False
    finally:
        os.kill(process.pid, signal.SIGCONT)
    labs.stop()
    assert process.wait(10) == 0


def test_when_the_users_own_aws_settings_are_broken_then_the_lab_does_not_read_them(labs: Labs, tmp_path: Path) -> None:
    (labs.home / ".aws").mkdir()
    (labs.home / ".aws" / "config").write_text("this is no ini file")
    labs.serve("--engine", "none", AWS_PROFILE="absent", AWS_CONFIG_FILE=str(tmp_path / "absent"))
    code = "import ecrlab; ecrlab.open(); import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    answer = labs.python(code, AWS_PROFILE="absent")
    assert answer.stdout == "123456789012\n", answer.stderr
    assert (labs.home / ".aws" / "config").read_text() == "this is no ini file"
