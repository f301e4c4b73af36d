"""The hands-on of the first lesson, verbatim, with the real `aws` and `docker` clients."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Shell
from tests.lab.labs import Labs
from tests.private_dockerd import private_dockerd

pytestmark = pytest.mark.e2e

ACCOUNT = "000699977340"
REGION = "us-east-2"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
NAME = "ec2-sre-cask-test"
SERVE = ("--account-id", ACCOUNT, "--region", REGION)

CREATE = (
    f"aws ecr create-repository --repository-name {NAME} --image-scanning-configuration scanOnPush=true "
    f"--region {REGION}"
)
LOGIN = f"aws ecr get-login-password --region {REGION} | docker login --username AWS --password-stdin {{registry}}"
DESCRIBE = f"aws ecr describe-images --repository-name {NAME} --region {REGION}"
WAIT = f"aws ecr wait image-scan-complete --repository-name {NAME} --image-id imageTag=latest --region {REGION}"
FINDINGS = f"aws ecr describe-image-scan-findings --repository-name {NAME} --image-id imageTag=latest --region {REGION}"


def follow(shell: Shell, registry: str) -> None:
    """Go through the hands-on line by line, and look at each answer as a learner would."""
    repository = json.loads(shell.run(CREATE))["repository"]
    assert isinstance(repository.pop("createdAt"), str | float)
    assert repository == {
        "repositoryArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{NAME}",
        "registryId": ACCOUNT,
        "repositoryName": NAME,
        "repositoryUri": f"{registry}/{NAME}",
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }
    assert re.search(r"^ecrlab/simplehttp +latest +", shell.run("docker images"), re.MULTILINE)
    assert "Login Succeeded" in shell.run(LOGIN.format(registry=registry))
    shell.run(f"docker tag ecrlab/simplehttp {registry}/{NAME}:latest")
    pushed = shell.run(f"docker push {registry}/{NAME}:latest").splitlines()
    assert pushed[0] == f"The push refers to repository [{registry}/{NAME}]"
    assert len([line for line in pushed if re.fullmatch(r"[0-9a-f]{12}: Pushed", line)]) == 3
    last = re.fullmatch(r"latest: digest: (sha256:[0-9a-f]{64}) size: [0-9]+", pushed[-1])
    assert last, pushed
    (detail,) = json.loads(shell.run(DESCRIBE))["imageDetails"]
    assert detail["imageDigest"] == last[1]
    assert detail["imageTags"] == ["latest"]
    findings = json.loads(shell.run(f"{WAIT} && {FINDINGS}"))
    assert findings["imageScanStatus"]["status"] == "COMPLETE"
    assert findings["imageId"] == {"imageDigest": last[1], "imageTag": "latest"}
    pulled = shell.run(f"docker rmi ecrlab/simplehttp {registry}/{NAME}:latest && docker pull {registry}/{NAME}:latest")
    assert f"Status: Downloaded newer image for {registry}/{NAME}:latest" in pulled
    assert f"Digest: {last[1]}" in pulled
    (detail,) = json.loads(shell.run(DESCRIBE))["imageDetails"]
    assert detail["lastRecordedPullTime"]


def test_when_there_is_no_daemon_then_the_hands_on_runs_against_the_embedded_engine(labs: Labs) -> None:
    labs.serve(*SERVE)
    shell = Shell(labs)
    pulled = shell.run("docker pull ecrlab/simplehttp")
    assert "Status: Downloaded newer image for ecrlab/simplehttp:latest" in pulled
    follow(shell, HOST)
    # The lab can be thrown away: it wrote nothing in the learner's home.
    assert list(labs.home.iterdir()) == []


def test_when_there_is_a_docker_engine_then_the_hands_on_runs_on_loopback(labs: Labs) -> None:
    with private_dockerd() as docker_host:
        labs.serve(*SERVE, "--uri-style", "loopback", "--engine", "none")
        shell = Shell(labs, docker_host)
        loaded = shell.python(
            "from ecrlab import samples\nimport docker\n"
            "images = docker.from_env().images.load(samples.archive('simplehttp', 'linux/amd64'))\nprint(images)"
        )
        assert "ecrlab/simplehttp:latest" in loaded
        endpoint = labs.record()["endpoint"]
        assert isinstance(endpoint, str)
        follow(shell, endpoint.removeprefix("http://"))
        assert list(labs.home.iterdir()) == []


def test_when_there_is_no_network_at_all_then_the_hands_on_runs(labs: Labs) -> None:
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        if os.environ.get("ECRLAB_REQUIRE_ALL") == "1":
            pytest.fail("a network namespace needs root, unshare and ip")
        pytest.skip("a network namespace needs root, unshare and ip")
    script = f"""
    ip link set lo up
    ecrlab serve {" ".join(SERVE)} > serve.log 2>&1 & serve=$!
    trap 'kill $serve; wait $serve || true' EXIT
    until ecrlab env > env.sh 2> /dev/null; do kill -0 $serve; done
    . ./env.sh
    {CREATE}
    docker pull ecrlab/simplehttp
    {LOGIN.format(registry=HOST)}
    docker tag ecrlab/simplehttp {HOST}/{NAME}:latest
    docker push {HOST}/{NAME}:latest
    {WAIT} && {FINDINGS}
    docker rmi ecrlab/simplehttp {HOST}/{NAME}:latest && docker pull {HOST}/{NAME}:latest
    docker pull nginx && exit 9 || true
    """
    done = subprocess.run(
        ["unshare", "--net", "bash", "-euo", "pipefail", "-c", script],
        env={**labs.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=labs.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Status: Downloaded newer image for {HOST}/{NAME}:latest" in done.stdout
    assert '"status": "COMPLETE"' in done.stdout
    assert "there is no network here" in done.stderr


PYTHON_PATH = """
import boto3, docker, base64
ecr = boto3.client("ecr", region_name="us-east-2")
engine = docker.from_env()
repository = ecr.create_repository(repositoryName="app", imageScanningConfiguration={"scanOnPush": True})["repository"]
uri = repository["repositoryUri"]
token = ecr.get_authorization_token()["authorizationData"][0]
user, password = base64.b64decode(token["authorizationToken"]).decode().split(":", 1)
registry = uri.partition("/")[0]
assert engine.login(user, password, registry=registry)["Status"] == "Login Succeeded"
image = engine.images.get("ecrlab/outdated-shop")
assert image.tag(uri, "1.0")
lines = list(engine.images.push(uri, "1.0", stream=True, decode=True))
assert not [line for line in lines if "error" in line], lines
digest = [line["aux"]["Digest"] for line in lines if "aux" in line][0]
described = ecr.describe_images(repositoryName="app", imageIds=[{"imageTag": "1.0"}])["imageDetails"][0]
assert described["imageDigest"] == digest
image_id = {"imageTag": "1.0"}
ecr.get_waiter("image_scan_complete").wait(
    repositoryName="app", imageId=image_id, WaiterConfig={"Delay": 0, "MaxAttempts": 5000}
)
scan = ecr.describe_image_scan_findings(repositoryName="app", imageId=image_id)["imageScanFindings"]
print(sorted(scan["findingSeverityCounts"].items()))
engine.images.remove(f"{uri}:1.0")
engine.images.remove("ecrlab/outdated-shop")
pulled = engine.images.pull(uri, "1.0")
assert pulled.attrs["RepoDigests"] == [f"{uri}@{digest}"], pulled.attrs["RepoDigests"]
"""
FOUND = "[('CRITICAL', 2), ('HIGH', 9), ('LOW', 1), ('MEDIUM', 3)]"


def test_when_the_path_is_walked_in_python_then_it_is_the_same_with_either_engine(labs: Labs) -> None:
    labs.serve(*SERVE)
    shell = Shell(labs)
    shell.run("docker pull ecrlab/outdated-shop")
    assert FOUND in shell.python(PYTHON_PATH)


def test_when_the_path_is_walked_in_python_with_a_docker_engine_then_it_is_the_same(labs: Labs) -> None:
    with private_dockerd() as docker_host:
        labs.serve(*SERVE, "--uri-style", "loopback", "--engine", "none")
        shell = Shell(labs, docker_host)
        load = "from ecrlab import samples\nimport docker\n"
        load += "docker.from_env().images.load(samples.archive('outdated-shop', 'linux/amd64'))\n"
        assert FOUND in shell.python(load + PYTHON_PATH)
