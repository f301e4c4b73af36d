from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from ecrlab.lab.errors import LabError
from ecrlab.lab.options import Options, check_same, settled
from ecrlab.lab.state import Engine, StateDir, new_record


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path)
    state.create()
    return state


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (Options(account_id="12345"), "--account-id"),
        (Options(account_id="12345678901a"), "--account-id"),
        (Options(account_id="١٢٣٤٥٦٧٨٩٠١٢"), "--account-id"),
        (Options(region="Frankfurt"), "--region"),
        (Options(region="us-east-1\n"), "--region"),
        (Options(access_key_id="A" * 20), "--secret-access-key"),
        (Options(secret_access_key="s" * 40), "--access-key-id"),
        (Options(access_key_id="short", secret_access_key="s" * 40), "--access-key-id"),
        (Options(access_key_id="A" * 20, secret_access_key="with a space"), "--secret-access-key"),
        (Options(host="no.such.host.invalid", port=4566), "--host"),
        (Options(port=70000), "--port"),
    ],
)
def test_when_an_option_cannot_be_used_then_it_is_named(state: StateDir, options: Options, named: str) -> None:
    with pytest.raises(LabError, match=named):
        settled(state, options)


def test_when_the_port_is_in_use_then_it_is_named(state: StateDir) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LabError, match=rf"Port {port} .*--port"):
            settled(state, Options(port=port))


def test_when_the_last_port_is_free_then_it_is_taken_again_and_else_another(state: StateDir) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        state.write(replace(new_record(), endpoint=f"http://127.0.0.1:{port}"))
        assert settled(state, Options()).port != port
    assert settled(state, Options()).port == port


def test_when_started_again_then_what_was_chosen_is_kept(state: StateDir) -> None:
    first = settled(
        state,
        Options(account_id="000699977340", region="us-east-2", access_key_id="A" * 20, secret_access_key="s" * 40),
    )
    state.write(first)
    second = settled(state, Options())
    assert (second.account_id, second.region) == ("000699977340", "us-east-2")
    assert (second.access_key_id, second.secret_access_key) == ("A" * 20, "s" * 40)
    assert second.control_token == first.control_token


def test_when_an_engine_is_chosen_then_the_uri_style_follows(state: StateDir) -> None:
    embedded = settled(state, Options(engine="embedded"))
    assert (embedded.uri_style, embedded.engine) == ("aws", Engine("embedded", f"unix://{state.engine_socket()}"))
    assert settled(state, Options(engine="embedded", uri_style="loopback")).uri_style == "loopback"
    assert settled(state, Options(engine="none")).engine == Engine("none", None)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (Options(port=4567), "--port"),
        (Options(region="eu-west-1"), "--region"),
        (Options(engine="docker"), "--engine"),
        (Options(uri_style="loopback"), "--uri-style"),
    ],
)
def test_when_the_running_lab_differs_from_what_is_asked_then_it_is_named(options: Options, named: str) -> None:
    record = replace(new_record(), endpoint="http://127.0.0.1:4566", pid=1)
    with pytest.raises(LabError, match=named):
        check_same(record, options)
    check_same(record, Options(port=4566, engine="auto"))
