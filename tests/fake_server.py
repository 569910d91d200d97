"""A server of JSON on loopback, for tests that need an answer the emulator does not give."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class JsonHandler(BaseHTTPRequestHandler):
    """Reads and answers requests; a subclass says what, in `do_GET` and `do_POST`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def asked(self) -> Any:
        """Return what the request holds."""
        return json.loads(self.rfile.read(int(self.headers["content-length"])))

    def answer(self, status: int, body: Any, content_type: str = "application/json") -> None:
        """Answer with bytes as they are, or with a value as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Write nothing."""


@contextlib.contextmanager
def serving(handler: type[JsonHandler]) -> Iterator[str]:
    """Serve in a thread; the value is the server's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
