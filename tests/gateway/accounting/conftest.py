"""Real PostgreSQL and Redis servers, which the tests start; skipped where the programs are missing."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.accounting.store_errors import StoreError

Until = Callable[..., Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    try:
        open_store(url).close()
    except StoreError:  # it accepts connections before it answers
        return False
    return True


@pytest.fixture(scope="session")
def postgres(until: Until) -> Iterator[str]:
    pytest.importorskip("psycopg")
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin")]
    binaries = next((place for place in places if (place / "initdb").exists()), None)
    if binaries is None:
        pytest.skip("needs PostgreSQL (on Debian: apt-get install postgresql)")
    # PostgreSQL refuses to run as root.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="sagewire-postgres-", dir="/tmp"))
    if as_user:
        shutil.chown(folder, "postgres")
    data, port = folder / "data", free_port()
    subprocess.run(
        [*as_user, binaries / "initdb", "-D", data, "-U", "sagewire", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
    )
    settings = [
        "-c",
        "fsync=off",
        "-c",
        f"port={port}",
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={folder}",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*as_user, binaries / "postgres", "-D", data, *settings], stdout=log, stderr=log)
    try:
        until(lambda: listens(port), 30)
        url = f"postgresql://sagewire@127.0.0.1:{port}/postgres"
        until(lambda: answers(url), 20)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(postgres: str) -> str:
    """An empty database of its own."""
    name = f"test_{uuid.uuid4().hex}"
    admin = sa.create_engine(postgres.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    admin.dispose()
    return f"{postgres.rpartition('/')[0]}/{name}"


@pytest.fixture
def redis(tmp_path: Path, until: Until) -> Iterator["RedisServer"]:
    pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("needs Redis (on Debian: apt-get install redis-server)")
    server = RedisServer(tmp_path, until)
    server.start()
    yield server
    server.stop()


class RedisServer:
    def __init__(self, folder: Path, until: Until) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._until = until
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        self._until(lambda: listens(self.port), 30)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)


class CutNetwork:
    """A way to a server that can be cut: connections stay open, and what is sent on them disappears."""

    def __init__(self, url: str) -> None:
        address = url.rpartition("@")[2].partition("/")[0]
        host, _, port = address.partition(":")
        self._target = host, int(port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = url.replace(address, f"127.0.0.1:{self._listening.getsockname()[1]}")
        self.cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listening.accept()[0]
            except OSError:
                return
            self._open.append(near)
            if self.cut:
                continue
            far = socket.create_connection(self._target)
            self._open.append(far)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        lost = False
        try:
            while data := source.recv(65536):
                # What has lost something once is of no use any more, as with a router that forgets connections.
                lost = lost or self.cut
                if not lost:
                    sink.sendall(data)
        except OSError:
            pass
        if not lost:
            sink.close()

    def close(self) -> None:
        self._listening.close()
        for one in self._open:
            one.close()


@pytest.fixture
def cut_network() -> Iterator[Callable[[str], CutNetwork]]:
    made: list[CutNetwork] = []

    def make(url: str) -> CutNetwork:
        made.append(CutNetwork(url))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def port() -> int:
    """A port that nothing listens on."""
    return free_port()
