"""One emulator for the matrix, and the places a call can go wrong before it reaches one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest

from sagewire.emulator import Emulator


@pytest.fixture(scope="session")
def matrix_emulator() -> Iterator[Emulator]:
    with Emulator({}) as emulator:
        yield emulator


@pytest.fixture
def emulator(matrix_emulator: Emulator, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    for name, value in matrix_emulator.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    # The shortest of the waits that full jitter may draw: the frameworks' classes take no other base delay.
    monkeypatch.setattr("sagewire.transports.backoff.random", SimpleNamespace(uniform=lambda low, high: low))
    matrix_emulator.clear()
    return matrix_emulator


class RawServer:
    """Answers requests with bytes as given, whatever they were, and closes the connection after each."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65_536)
            if not piece:
                return
            # A TLS record of a handshake begins with 22, and no HTTP request does.
            if piece[:1] == b"\x16":
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                return
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(body) < length:
            body += connection.recv(65_536)
        connection.sendall(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="session")
def raw_server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


@pytest.fixture
def go_to(emulator: Emulator, raw_server: RawServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Send calls to where the row says."""
    set_variable = monkeypatch.setenv

    def no_such_host() -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        set_variable("AWS_ENDPOINT_URL", "http://runtime.sagemaker.invalid")

    def closed_port() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            set_variable("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")

    def no_credentials() -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name)

    def no_region() -> None:
        for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
            monkeypatch.delenv(name)

    def expired_token() -> None:
        credentials = emulator.issue_credentials(seconds=-60)
        set_variable("AWS_ACCESS_KEY_ID", credentials.access_key)
        set_variable("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
        set_variable("AWS_SESSION_TOKEN", credentials.session_token or "")

    places: dict[str, Callable[[], object]] = {
        "no_such_host": no_such_host,
        "closed_port": closed_port,
        "tls_to_plain_server": lambda: set_variable("AWS_ENDPOINT_URL", f"https://{raw_server.address}"),
        "expired_token": expired_token,
        "unknown_key": lambda: set_variable("AWS_ACCESS_KEY_ID", "AKIAUNKNOWNUNKNOWN00"),
        "wrong_secret": lambda: set_variable("AWS_SECRET_ACCESS_KEY", "wrong"),
        "no_credentials": no_credentials,
        "no_region": no_region,
        "no_such_endpoint": lambda: None,
        "raw": lambda: set_variable("AWS_ENDPOINT_URL", f"http://{raw_server.address}"),
    }
    return lambda place: places[place]() and None
