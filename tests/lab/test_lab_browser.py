from __future__ import annotations

import http.client
import webbrowser
from queue import Queue
from urllib.parse import urlsplit

import pytest

from ecrlab.lab.browser import has_screen, open_once

SECRET = "http://127.0.0.1:8888/lab?token=secret"


def get(address: str) -> tuple[int, str | None]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location")
    finally:
        connection.close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Queue[str]:
    addresses: Queue[str] = Queue()
    monkeypatch.setattr(webbrowser, "open", addresses.put)
    return addresses


def test_when_the_browser_comes_then_it_is_led_to_the_page_once(opened: Queue[str]) -> None:
    waiting = open_once(SECRET)
    address = opened.get(timeout=5)
    assert "secret" not in address
    assert get(address.rpartition("/")[0] + "/guessed") == (404, None)
    assert get(address) == (302, SECRET)
    waiting.join(5)
    assert not waiting.is_alive()
    with pytest.raises(ConnectionRefusedError):
        get(address)


def test_when_no_browser_comes_then_the_way_closes(opened: Queue[str]) -> None:
    waiting = open_once(SECRET, seconds=0.1)
    waiting.join(5)
    with pytest.raises(ConnectionRefusedError):
        get(opened.get(timeout=5))


def test_when_there_is_no_screen_then_no_text_browser_takes_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert not has_screen({})
    assert has_screen({"WAYLAND_DISPLAY": "wayland-0"})
    monkeypatch.setattr("sys.platform", "darwin")
    assert has_screen({})
