"""How many ECR API calls a second: ecrlab beside moto's server and MiniStack, at the wire, over 8 connections.

    python benchmarks/api.py [--seconds 3] [--rounds 3] [--ministack PATH]

MiniStack is not among ecrlab's dependencies: install it into an environment of its own and name its program. The
servers run one after the other, in turn for each round; the calls, the images and the client are the same. Prints the
median of the rounds for each call, and the ratio of ecrlab to each peer. A call that a peer does not answer is left
out.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "example-secret")
REGION = "us-east-1"
CONNECTIONS = 8
REPOSITORIES = 50
IMAGES = 100
TARGET = "AmazonEC2ContainerRegistry_V20150921"

CALLS: dict[str, dict[str, Any]] = {
    "DescribeRepositories": {"maxResults": 20},
    "ListImages": {"repositoryName": "bench-0", "maxResults": 100},
    "DescribeImages": {"repositoryName": "bench-0", "imageIds": [{"imageTag": "v1"}]},
    "BatchGetImage": {"repositoryName": "bench-0", "imageIds": [{"imageTag": "v1"}]},
    "GetAuthorizationToken": {},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server(name: str, ministack: str | None) -> Iterator[str]:
    """Run a server, filled with the repositories and images; give its URL."""
    port = free_port()
    scripts = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if name == "ecrlab":
            command = [str(scripts / "ecrlab"), "serve", "--state-dir", folder, "--port", str(port), "--engine", "none"]
            command += ["--access-key-id", KEYS.access_key, "--secret-access-key", KEYS.secret_key]
        elif name == "moto":
            command = [str(scripts / "moto_server"), "-p", str(port)]
        else:
            command = [str(ministack)]
            environment |= {"GATEWAY_PORT": str(port), "EDGE_PORT": str(port), "HOME": folder}
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment, cwd=folder)
        try:
            endpoint = f"http://127.0.0.1:{port}"
            fill(client(endpoint))
            # What a server loads only when it is needed, or behind its first answers, is loaded now.
            client(endpoint, "sts").get_caller_identity()
            yield endpoint
        finally:
            process.terminate()
            process.wait()


def client(endpoint: str, service: str = "ecr") -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
        config=Config(retries={"max_attempts": 0}),
    )


def fill(ecr: Any) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            ecr.describe_repositories()
            break
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    for number in range(REPOSITORIES):
        ecr.create_repository(repositoryName=f"bench-{number}")
    for number in range(IMAGES):
        config = json.dumps({"os": "linux", "architecture": "amd64", "note": number}).encode()
        digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        try:
            upload = ecr.initiate_layer_upload(repositoryName="bench-0")["uploadId"]
            part = {"partFirstByte": 0, "partLastByte": len(config) - 1, "layerPartBlob": config}
            ecr.upload_layer_part(repositoryName="bench-0", uploadId=upload, **part)
            ecr.complete_layer_upload(repositoryName="bench-0", uploadId=upload, layerDigests=[digest])
        except (ClientError, BotoCoreError):
            pass  # a peer without layers takes manifests without them
        media_type = "application/vnd.docker.distribution.manifest.v2+json"
        described = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest}
        manifest = {"schemaVersion": 2, "mediaType": media_type, "layers": []}
        manifest["config"] = {**described, "size": len(config)}
        ecr.put_image(repositoryName="bench-0", imageManifest=json.dumps(manifest), imageTag=f"v{number}")


def wire(endpoint: str, operation: str, parameters: dict[str, Any]) -> bytes:
    """Return a signed request as the bytes of a connection."""
    body = json.dumps(parameters).encode()
    headers = {"X-Amz-Target": f"{TARGET}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", f"{endpoint}/", headers=headers, data=body)
    SigV4Auth(KEYS, "ecr", REGION).add_auth(request)
    lines = ["POST / HTTP/1.1", f"Host: {endpoint.removeprefix('http://')}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def rate(endpoint: str, operation: str, parameters: dict[str, Any], seconds: float) -> float | None:
    """Return how many calls a second are answered, or None when they are not answered with 200."""
    request = wire(endpoint, operation, parameters)
    host, _, port = endpoint.removeprefix("http://").partition(":")
    answered = 0
    refused = False
    end = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal answered, refused
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.perf_counter() < end and not refused:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            refused = b" 200 " not in head.partition(b"\r\n")[0]
            answered += 1
            if b"connection: close" in head:
                writer.close()
                reader, writer = await asyncio.open_connection(host, int(port))
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return None if refused else answered / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ministack")
    arguments = parser.parse_args()
    names = ["ecrlab", "moto", *(["ministack"] if arguments.ministack else [])]
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(arguments.rounds):
        for name in names:
            with server(name, arguments.ministack) as endpoint:
                for operation, parameters in CALLS.items():
                    asyncio.run(rate(endpoint, operation, parameters, 0.3))
                    found = asyncio.run(rate(endpoint, operation, parameters, arguments.seconds))
                    if found is not None:
                        rates.setdefault((name, operation), []).append(found)
    for operation in CALLS:
        ours = statistics.median(rates["ecrlab", operation])
        line = f"{operation:24} ecrlab {ours:7.0f}/s"
        for peer in names[1:]:
            if (peer, operation) in rates:
                theirs = statistics.median(rates[peer, operation])
                line += f"   {peer} {theirs:7.0f}/s ({ours / theirs:.1f}x)"
            else:
                line += f"   {peer} does not answer"
        print(line)


if __name__ == "__main__":
    main()
