"""The server of the samples, run outside a container, from the bytes in the image's layer."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.samples.stored_samples import server_program

SECONDS = 20  # how long a test waits for the server before it fails


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[str]
    port: int

    def exchange(self, request: bytes) -> bytes:
        """All that the server answers to these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            connection.sendall(request)
            answer = b""
            while received := connection.recv(65536):
                answer += received
            return answer

    def request(self, method: str, target: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.putrequest(method, target)
            connection.endheaders()
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, this_architecture: str) -> Path:
    path = tmp_path_factory.mktemp("server") / "simplehttp"
    path.write_bytes(server_program(this_architecture))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("files")
    (outside / "secret.txt").write_text("secret")
    root = outside / "www"
    (root / "sub").mkdir(parents=True)
    (root / "index.html").write_text("<p>{{hostname}} {{architecture}} {{other}}</p>\n")
    (root / "sub" / "a b.txt").write_text("plain\n")
    (root / "empty.css").write_text("")
    (root / "large.bin").write_bytes(os.urandom(3_000_001))
    (root / "link.txt").symlink_to("../secret.txt")
    (root / "up").symlink_to("..")
    os.mkfifo(root / "pipe")
    return root


def start(program: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [program, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def running(program: Path, folder: Path) -> Iterator[Running]:
    process = start(program, "0", str(folder), "127.0.0.1")
    assert process.stdout is not None
    try:
        yield Running(process, int(process.stdout.readline().rsplit(" ", 1)[1]))
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


def test_when_the_page_is_asked_for_then_it_names_the_host_and_the_architecture(
    running: Running, this_architecture: str
) -> None:
    response, body = running.request("GET", "/")
    assert body.decode() == f"<p>{socket.gethostname()} {this_architecture} {{{{other}}}}</p>\n"
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Content-Length"] == str(len(body))
    assert response.headers["Date"]


def test_when_health_is_asked_for_then_ok(running: Running) -> None:
    response, body = running.request("GET", "/health?from=probe")
    assert (response.status, body) == (200, b"ok\n")


@pytest.mark.parametrize(
    ("target", "name", "content_type"),
    [
        ("/sub/a%20b.txt", "sub/a b.txt", "text/plain; charset=utf-8"),
        ("//sub/./a%20b.txt?x=1", "sub/a b.txt", "text/plain; charset=utf-8"),
        ("/sub%2Fa%20b.txt", "sub/a b.txt", "text/plain; charset=utf-8"),
        ("/empty.css", "empty.css", "text/css; charset=utf-8"),
        ("/large.bin", "large.bin", "application/octet-stream"),
        ("/index.html", "index.html", "text/html; charset=utf-8"),
    ],
)
def test_when_a_file_is_asked_for_then_its_bytes_come(
    running: Running, folder: Path, target: str, name: str, content_type: str
) -> None:
    response, body = running.request("GET", target)
    assert (response.status, response.headers["Content-Type"]) == (200, content_type)
    assert body == (folder / name).read_bytes()
    head, nothing = running.request("HEAD", target)
    assert (head.status, nothing) == (200, b"")
    assert head.headers["Content-Length"] == response.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize(
    "target",
    [
        *("/missing", "/sub", "/sub/", "/empty.css/", "/empty.css/x", "/pipe", "/" + "a" * 4000),
        *("/../secret.txt", "/sub/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//../secret.txt"),
        *("/link.txt", "/up/secret.txt", "/up/www/empty.css"),
    ],
)
def test_when_there_is_no_such_file_below_the_folder_then_404(running: Running, target: str) -> None:
    response, body = running.request("GET", target)
    assert (response.status, body) == (404, b"404 Not Found\n")


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET index.html HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /% HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%0d%0aX HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",  # TLS
    ],
)
def test_when_the_request_is_malformed_then_400(running: Running, request_head: bytes) -> None:
    assert running.exchange(request_head).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_when_the_request_is_http_1_0_then_no_host_is_needed(running: Running) -> None:
    assert running.exchange(b"GET /health HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nok\n")


def test_when_the_request_ends_early_then_400(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) as connection:
        connection.sendall(b"GET / HTT")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_when_the_head_is_too_large_then_431_arrives_although_input_is_unread(running: Running) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"
    assert running.exchange(head).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_when_the_method_is_neither_get_nor_head_then_405_names_them(running: Running, method: str) -> None:
    answer = running.exchange(
        f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 100_000
    )
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nAllow: GET, HEAD\r\n" in answer


def test_when_other_clients_are_slow_then_a_client_is_answered(running: Running) -> None:
    slow = [socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) for _ in range(10)]
    try:
        for connection in slow:
            connection.sendall(b"GET / HT")
        assert running.request("GET", "/health")[1] == b"ok\n"
    finally:
        for connection in slow:
            connection.close()


def test_when_more_clients_than_the_limit_come_then_each_is_answered(running: Running) -> None:
    for _ in range(200):
        assert running.request("GET", "/health")[1] == b"ok\n"


def test_when_sigterm_comes_then_the_server_ends_with_status_0_though_a_client_is_connected(
    program: Path, folder: Path
) -> None:
    process = start(program, PORT="0", WEB_ROOT=str(folder), BIND_ADDRESS="127.0.0.1")
    assert process.stdout is not None
    port = int(process.stdout.readline().rsplit(" ", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS):
        assert Running(process, port).request("GET", "/health")[0].status == 200
        process.terminate()
        assert process.wait(timeout=5) == 0
    process.communicate(timeout=SECONDS)


def test_when_requests_are_answered_then_each_is_one_line_of_the_log(program: Path, folder: Path) -> None:
    process = start(program, "0", str(folder), "127.0.0.1")
    assert process.stdout is not None
    server = Running(process, int(process.stdout.readline().rsplit(" ", 1)[1]))
    server.request("GET", "/health")
    server.request("GET", "/sub/a%20b.txt")
    server.exchange(b"nonsense\r\n\r\n")
    process.terminate()
    log, _ = process.communicate(timeout=SECONDS)
    assert log.splitlines() == ["200 3 GET /health", "200 6 GET /sub/a b.txt", "400 16 -"]


@pytest.mark.parametrize("port", ["", "http", "-1", "65536", "80x"])
def test_when_the_port_is_no_port_then_the_server_says_so(program: Path, port: str) -> None:
    process = start(program, port, "/", "127.0.0.1")
    _, error = process.communicate(timeout=SECONDS)
    assert (process.returncode, error) == (1, f"simplehttp: {port} is no port (0 to 65535)\n")


def test_when_the_port_is_taken_then_the_server_says_so(program: Path, running: Running) -> None:
    process = start(program, str(running.port), "/", "127.0.0.1")
    _, error = process.communicate(timeout=SECONDS)
    assert (process.returncode, error) == (1, "simplehttp: cannot listen: Address in use\n")
