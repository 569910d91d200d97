"""A server of raw sockets: each test says byte by byte what the other side does."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

import pytest

from sagewire.aws.session import static_session
from sagewire.transports.base import Retries
from sagewire.transports.sagemaker import AsyncSageMakerTransport, SageMakerTransport

QUICK = Retries(base_delay=0.001)


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict
    body: bytes
    connection: int


class Gone(Exception):
    """The client closed the connection."""


@dataclass
class Peer:
    """The server's end of a connection, for scripted answers."""

    sock: socket.socket
    number: int
    stopping: threading.Event

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone from error

    def answer(self, body: bytes = b"{}", status: int = 200, **headers) -> None:
        named = {"content-type": "application/json", "x-amzn-requestid": "req-1"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self.send(f"HTTP/1.1 {status} Reason\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    def start_chunks(self, content_type="application/vnd.amazon.eventstream", **headers) -> None:
        named = {"x-amzn-sagemaker-content-type": "text/event-stream", "x-amzn-requestid": "req-1"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self.send(
            f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{head}transfer-encoding: chunked\r\n\r\n".encode()
        )

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end_chunks(self) -> None:
        self.send(b"0\r\n\r\n")

    def close(self) -> None:
        """Close in an orderly way."""
        self.sock.shutdown(socket.SHUT_RDWR)
        raise Gone

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def wait_until_closed(self, timeout: float = 60.0) -> bool:
        """Return whether the client closes the connection in time."""
        self.sock.settimeout(timeout)
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except OSError:
            return False


@dataclass
class Server:
    """Answers each request by calling `script(peer, seen)`; keeps what it saw."""

    script: object = None
    seen: list = field(default_factory=list)
    opened: int = 0
    open_now: int = 0
    read_bodies: bool = True

    def __post_init__(self):
        self.stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._threads = []
        self._socks = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.opened += 1
                self.open_now += 1
                self._socks.add(sock)
                number = self.opened
            thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
            thread.start()
            self._threads.append(thread)

    def wrap(self, sock):
        return sock

    def _serve(self, sock, number):
        wrapped, file = sock, None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = self.wrap(sock)
            with self._lock:
                self._socks.add(wrapped)
            peer = Peer(wrapped, number, self.stopping)
            file = wrapped.makefile("rb")
            while (seen := self._read(file, number)) is not None:
                with self._lock:
                    self.seen.append(seen)
                self.script(peer, seen)
        except (Gone, OSError, ValueError):
            pass
        finally:
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()
            with contextlib.suppress(OSError):
                wrapped.close()
            sock.close()
            with self._lock:
                self.open_now -= 1
                self._socks -= {sock, wrapped}

    def _read(self, file, number):
        line = file.readline().decode("latin-1")
        if not line:
            return None
        method, path, _ = line.split(" ")
        headers = {}
        while (line := file.readline().decode("latin-1")) not in ("\r\n", ""):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = file.read(int(headers.get("content-length", 0))) if self.read_bodies else b""
        return Seen(method, path, headers, body, number)

    def wait_for(self, condition, timeout=60.0):
        until = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        return True

    def close(self):
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        with self._lock:
            socks = list(self._socks)
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def answer_ok(peer, seen):
    peer.answer(b'{"ok": true}')


@pytest.fixture
def server():
    server = Server(answer_ok)
    yield server
    server.close()


@pytest.fixture
def session():
    return static_session("AKIDEXAMPLE", "not-a-real-secret", region_name="us-east-1")


@pytest.fixture(autouse=True)
def no_outside_settings(monkeypatch, tmp_path):
    """Tests see neither the machine's AWS settings nor its proxies."""
    for name in (
        *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"),
        *("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))


class Carrier:
    """A transport of sync or async behind one face, so that each test says once what both must do."""

    def __init__(self, flavour, transport):
        self.flavour = flavour
        self.transport = transport

    def run(self, awaitable):
        return asyncio.run(awaitable)

    def invoke(self, call):
        if self.flavour == "sync":
            return self.transport.invoke(call)
        return self.run(self.transport.invoke(call))

    def stream(self, call, take=None):
        """Return what was said of the stream and its pieces; with `take`, leave after that many."""
        if self.flavour == "sync":
            pieces = []
            with self.transport.stream(call) as stream:
                for piece in stream:
                    pieces.append(piece)
                    if len(pieces) == take:
                        break
            return stream.info, pieces
        return self.run(self._stream(call, take))

    async def _stream(self, call, take):
        pieces = []
        async with self.transport.stream(call) as stream:
            async for piece in stream:
                pieces.append(piece)
                if len(pieces) == take:
                    break
        return stream.info, pieces

    def close(self):
        if self.flavour == "sync":
            self.transport.close()


@pytest.fixture(params=["sync", "async"])
def carry_kinds(request):
    """Return a function that makes the sync or the async kind of a transport."""
    made = []

    def make(sync_kind, async_kind, *arguments, **options):
        kind = sync_kind if request.param == "sync" else async_kind
        made.append(Carrier(request.param, kind(*arguments, **options)))
        return made[-1]

    yield make
    for carrier in made:
        carrier.close()


@pytest.fixture
def carry(carry_kinds, server, session):
    """Return a function that makes a SageMaker transport of sync or async to the scripted server."""

    def make(**options):
        options = {"session": session, "endpoint_url": server.url, "retries": QUICK, **options}
        return carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "my-llm", **options)

    return make
