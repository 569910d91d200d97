"""Running a gateway: the address, the workers, reloading, draining."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, start_http_server

from sagewire.errors import UsageError
from sagewire.gateway.accounting.database import Store, open_store
from sagewire.gateway.accounting.metrics import shared_registry
from sagewire.gateway.config import GatewayConfig, load_config
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.rate_limits import require_shared_counts
from sagewire.gateway.server.access_log import configure_access_log
from sagewire.gateway.server.app import create_app
from sagewire.gateway.server.browser_guard import is_loopback
from sagewire.gateway.server.header_limits import limited_protocol
from sagewire.gateway.server.reloading import Reloader
from sagewire.gateway.server.supervisor import INTERRUPTED, NOT_ON_WINDOWS, Supervisor

__all__ = ["Plan", "load_plan", "serve"]

_log = logging.getLogger("sagewire.gateway")
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Plan:
    """The configuration and the address of a server.

    Args:
        config: The configuration.
        path: The file it came from, to be watched; `None` if it came from no file.
        files: The digests of the files that were read for it, by path.
        host: The address to bind.
        port: The port; 0 picks a free one.
        workers: Worker processes.
        insecure: Serve everybody without a key, also from other machines, if no key is configured.
    """

    config: GatewayConfig
    path: Path | None = None
    host: str = "127.0.0.1"
    port: int = 4000
    workers: int = 1
    insecure: bool = False
    files: Mapping[Path, bytes] = field(default_factory=dict)


def serve(plan: Plan, *, ready: Callable[[str], None] = lambda url: None) -> int:
    """Serve until a signal ends it; return the exit code.

    Args:
        plan: The configuration and the address.
        ready: Called with the URL once the address is bound.

    Raises:
        UsageError: Others could reach a gateway without keys, the address cannot be bound, or there are several workers
            on Windows.
        StoreError: The database cannot be opened.
    """
    if plan.workers > 1 and sys.platform == "win32":
        raise UsageError(NOT_ON_WINDOWS)
    os.environ.update({name: value.get_secret_value() for name, value in plan.config.environment.items()})
    store = open_plan_store(plan)
    with_keys = plan.config.has_keys or bool(store.all_keys(1, notes=False))
    check_address(plan, with_keys=with_keys)
    check_limits(plan, store)
    store.close()
    listening = _bind(plan.host, plan.port)
    address = listening.getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    ready(f"http://{shown}:{address[1]}")
    for note in plan.config.warnings:
        _log.warning("%s", note)
    if plan.workers == 1:
        return run_worker(plan, with_keys, listening)
    with tempfile.TemporaryDirectory(prefix="sagewire-metrics-") as directory:
        # Read by prometheus_client when the workers import it.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        try:
            drain = plan.config.server.drain_seconds
            with metrics_server(plan, shared_registry()):
                return Supervisor(run_worker, (plan, with_keys), listening, plan.workers, drain).run()
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def run_worker(plan: Plan, with_keys: bool, listening: socket.socket) -> int:
    """Serve in this process."""
    configure_logging()
    config = plan.config
    gateway = Gateway(
        config,
        # Updated by the parent. A worker that is replaced starts while the database is away, too.
        open_plan_store(plan, update=plan.workers == 1),
        require_keys=with_keys,
        workers=plan.workers,
        local_only=not plan.insecure and is_loopback(plan.host),
    )
    reloader = None if plan.path is None else Reloader(gateway, plan.path, plan.files)

    async def on_start() -> None:
        loop = asyncio.get_running_loop()
        if reloader is not None:
            await reloader.start()
        if sys.platform != "win32":
            # Without a handler the signal would end the process, which is why it was held back until now.
            loop.add_signal_handler(signal.SIGHUP, reloader.ask if reloader is not None else lambda: None)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        # Before the first request: the first connection to a database takes longest.
        await gateway.remember_keys()
        gateway.warm_up()
        gateway.in_background(gateway.responses.purge())
        if plan.workers > 1:
            gateway.states.join(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
            gateway.in_background(gateway.states.keep_written())
        # Present objects stay: looking through all of them again and again would stop every stream for a moment.
        gc.collect()
        gc.freeze()
        # Of what is made for a request nearly nothing outlives it: looking for garbage so often finds none.
        gc.set_threshold(10_000)
        parent = multiprocessing.parent_process()
        if parent is not None:
            # Readable when the supervisor is gone, which a worker would otherwise outlive unseen.
            loop.add_reader(parent.sentinel, os.kill, os.getpid(), signal.SIGTERM)

    server = _Server(
        uvicorn.Config(
            create_app(gateway, on_start=on_start),
            http=limited_protocol(config.server.max_header_bytes, config.server.header_seconds),
            log_config=None,
            access_log=False,
            server_header=False,
            # SSE clients and load balancers reuse connections; theirs must not be the longer patience.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(config.server.drain_seconds),
            backlog=BACKLOG,
            ws="none",
        ),
        gateway,
    )
    # A signal that comes before uvicorn listens for it ends the server as soon as it has started. Uvicorn raises the
    # one that ended it once more when it is done, for this handler, to which it then means nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    if plan.workers > 1:
        server.run(sockets=[listening])
    else:
        with metrics_server(plan, gateway.metrics.registry()):
            server.run(sockets=[listening])
    if not server.started:
        return 1
    return INTERRUPTED if server.interrupted else 0


@contextmanager
def metrics_server(plan: Plan, registry: CollectorRegistry) -> Iterator[None]:
    """Serve the metrics on their own port while the block runs, if one is configured.

    Raises:
        UsageError: The port is taken.
    """
    config = plan.config.server
    if config.metrics_port is None:
        yield
        return
    server: Any
    thread: threading.Thread
    try:
        server, thread = start_http_server(config.metrics_port, config.metrics_host, registry)
    except OSError as error:
        place = f"{config.metrics_host}:{config.metrics_port}"
        raise UsageError(f"cannot serve metrics on {place}: {error.strerror}; choose another metrics_port") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(uvicorn.Server):
    """Uvicorn with a readiness probe that knows when it is ending.

    Attributes:
        interrupted: Whether Ctrl-C ends it.
    """

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway
        self.interrupted = False

    def handle_exit(self, sig: int, frame: object) -> None:
        self.interrupted = sig == signal.SIGINT
        self._gateway.draining = True
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


def open_plan_store(plan: Plan, *, update: bool = True) -> Store:
    """Return the store a plan names: its database, the usual file, or memory for a gateway without a file."""
    url = plan.config.server.database_url
    if url is not None:
        return open_store(url.get_secret_value(), update=update)
    if plan.path is None:
        return open_store("sqlite://")
    return open_store(update=update)


def check_address(plan: Plan, *, with_keys: bool) -> None:
    """Raise `UsageError` if other machines could reach a gateway that asks for no key."""
    if with_keys or plan.insecure or is_loopback(plan.host):
        return
    raise UsageError(
        f"without keys everyone who reaches {plan.host} could use your endpoints: configure `server.master_key` or "
        "`keys` (`general_settings.master_key` in a LiteLLM file), bind 127.0.0.1, or pass --insecure"
    )


def check_limits(plan: Plan, store: Store) -> None:
    """Raise `UsageError` if limits would not hold: each worker would count for itself."""
    keys = store.all_keys(notes=False)
    shared, alone = not store.in_memory, not store.on_network
    require_shared_counts(plan.config, plan.workers, keys, shared=shared, alone=alone)


def _bind(host: str, port: int) -> socket.socket:
    listening = None
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        # From here on callers wait in the queue instead of being refused, however long a worker takes to start.
        listening.listen(BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port") from None
    return listening


def configure_logging() -> None:
    """Send the access log to standard output as JSON lines, everything else to standard error."""
    configure_access_log()
    root = logging.getLogger()
    if not root.handlers:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    # No line says them, and to find them out takes half the time of a line of the access log.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for name in ("sagewire.gateway", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)


def load_plan(path: Path, host: str, port: int, workers: int, insecure: bool) -> Plan:
    """Return the plan for a configuration file.

    Raises:
        UsageError: The file cannot be read, or something in it is wrong.
    """
    files: dict[Path, bytes] = {}
    # Not resolved: the target of a symbolic link may be replaced while the gateway runs.
    path = path.absolute()
    return Plan(load_config(path, files), path, host, port, workers, insecure, files)
