"""Opening the learner's browser."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
import webbrowser
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer


def has_screen(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a browser would have a window; without one, Python would start a text browser in the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))


def open_once(url: str, seconds: float = 30.0) -> threading.Thread:
    """Open the browser on ``url`` without showing it in the list of processes, where others could read its token.

    The browser is given an address that leads to ``url`` one single time, within ``seconds``. (A private file would
    do too, but a browser in a sandbox may not read it.) Returns the thread that waits for the browser.
    """
    path = f"/{secrets.token_urlsafe(16)}"
    visited = threading.Event()

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == path and not visited.is_set()
            self.send_response(302 if known else 404)
            if known:
                visited.set()
                self.send_header("Location", url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Redirect)
    server.timeout = 0.5

    def wait() -> None:
        limit = time.monotonic() + seconds
        with server:
            while not visited.is_set() and time.monotonic() < limit:
                server.handle_request()

    waiting = threading.Thread(target=wait, name="browser", daemon=True)
    waiting.start()
    address = f"http://127.0.0.1:{server.server_port}{path}"
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    return waiting
