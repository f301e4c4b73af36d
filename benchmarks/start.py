"""How long from the start of a process until its first ECR call is answered: `ecrlab serve` beside moto's server.

    python benchmarks/start.py [--runs 7]

Prints the median of each in seconds and their ratio. The call is DescribeRepositories, signed, tried every 5 ms.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "example-secret")
TARGET = "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"


def first_answer(port: int) -> float:
    """Return when the first call was answered, on the clock of `time.perf_counter`."""
    request = AWSRequest("POST", f"http://127.0.0.1:{port}/", headers={"X-Amz-Target": TARGET}, data=b"{}")
    SigV4Auth(KEYS, "ecr", "us-east-1").add_auth(request)
    headers = {**request.headers, "Content-Type": "application/x-amz-json-1.1"}
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("POST", "/", b"{}", headers)
            if connection.getresponse().status == 200:
                return time.perf_counter()
        except OSError:
            time.sleep(0.005)
        finally:
            connection.close()


def measure(command: list[str], port: int) -> float:
    """Start a server and return how many seconds its first answer took."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return first_answer(port) - started
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ecrlab(engine: str) -> float:
    port = free_port()
    scripts = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as state:
        keys = ["--access-key-id", KEYS.access_key, "--secret-access-key", KEYS.secret_key]
        where = ["--state-dir", state, "--port", str(port), "--engine", engine]
        return measure([str(scripts / "ecrlab"), "serve", *where, *keys], port)


def moto() -> float:
    port = free_port()
    return measure([str(Path(sys.executable).parent / "moto_server"), "-p", str(port)], port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    servers = {
        "ecrlab serve, with its engine": lambda: ecrlab("embedded"),
        "ecrlab serve --engine none": lambda: ecrlab("none"),
        "moto_server": moto,
    }
    seconds: dict[str, list[float]] = {name: [] for name in servers}
    for number in range(runs + 1):
        for name, run in servers.items():
            took = run()
            if number:  # the first round warms the caches of the machine
                seconds[name].append(took)
    peer = statistics.median(seconds["moto_server"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:32} median {median:.3f} s  (min {min(values):.3f}, max {max(values):.3f})  {median / peer:.2f}x")


if __name__ == "__main__":
    main()
