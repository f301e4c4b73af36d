"""Runs the content of an answer cell as the exercise notebook would, and empties a lab between tests."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
from typing import Any

import boto3
import docker

REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
OURS = ("practice", "ec2-sre-cask-test")


def names(lab: Any) -> dict[str, Any]:
    """The names that the set-up cell of an exercise gives."""
    ecr = boto3.client("ecr")
    authorization = ecr.get_authorization_token()["authorizationData"][0]
    username, password = base64.b64decode(authorization["authorizationToken"]).decode().split(":", 1)
    docker_client = docker.from_env()
    for sample in ("simplehttp", "outdated-shop"):
        lab.samples.load(sample)
    return {
        "boto3": boto3,
        "lab": lab,
        "ecr": ecr,
        "docker_client": docker_client,
        "username": username,
        "password": password,
        "web": "practice/web",
        "shop": "practice/shop",
    }


def answer(source: str, given: dict[str, Any]) -> None:
    """Run the content of an answer cell: Python, or a script that begins with `%%bash`."""
    if source.startswith("%%bash"):
        first, _, script = source.partition("\n")
        subprocess.run(
            ["bash", *first.split()[1:], "-c", script], check=True, capture_output=True, env=os.environ, timeout=60
        )
    else:
        exec(compile(source, "<answer>", "exec"), dict(given))


def empty(given: dict[str, Any]) -> None:
    """Remove every repository and every local name that an answer made."""
    for region in REGIONS:
        ecr = boto3.client("ecr", region_name=region)
        for repository in ecr.describe_repositories()["repositories"]:
            ecr.delete_repository(repositoryName=repository["repositoryName"], force=True)
    client = given["docker_client"]
    for image in client.images.list():
        for name in image.tags:
            if any(f"/{ours}" in name for ours in OURS):
                with contextlib.suppress(docker.errors.ImageNotFound):
                    client.images.remove(name)
