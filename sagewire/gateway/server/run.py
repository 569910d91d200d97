"""Running a gateway: the address, the workers, reloading, draining."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from sagewire.errors import UsageError
from sagewire.gateway.accounting.database import Store, open_store
from sagewire.gateway.config import GatewayConfig, load_config
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.keys import from_config
from sagewire.gateway.server.app import create_app
from sagewire.gateway.server.header_limits import limited_protocol
from sagewire.gateway.server.reloading import Reloader
from sagewire.gateway.server.supervisor import Supervisor

__all__ = ["Plan", "load_plan", "serve"]

_log = logging.getLogger("sagewire.gateway")
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve, and where.

    Args:
        config: The configuration.
        path: The file it came from, to be watched; `None` for none.
        host: The address to bind.
        port: The port; 0 picks a free one.
        workers: Worker processes.
        insecure: Let everybody in, also from elsewhere, where no key is configured.
    """

    config: GatewayConfig
    path: Path | None = None
    host: str = "127.0.0.1"
    port: int = 4000
    workers: int = 1
    insecure: bool = False


def serve(plan: Plan, *, ready: Callable[[str], None] = lambda url: None) -> int:
    """Serve until a signal ends it; return the exit code.

    Args:
        plan: What and where.
        ready: Called with the URL once the address is bound.

    Raises:
        UsageError: Others could reach a gateway without keys, or the address cannot be bound.
        StoreError: The database cannot be opened.
    """
    os.environ.update(plan.config.environment)
    store = open_plan_store(plan)
    with_keys = plan.config.has_keys or bool(store.all_keys())
    check_address(plan, with_keys=with_keys)
    check_limits(plan, store)
    store.close()
    listening = _bind(plan.host, plan.port)
    address = listening.getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    ready(f"http://{shown}:{address[1]}")
    for note in plan.config.notes:
        _log.warning("%s", note)
    if plan.workers == 1:
        return run_worker(plan, with_keys, listening)
    with tempfile.TemporaryDirectory(prefix="sagewire-metrics-") as directory:
        # Read by prometheus_client when the workers import it.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        try:
            drain = plan.config.server.drain_seconds
            return Supervisor(run_worker, (plan, with_keys), listening, plan.workers, drain).run()
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def run_worker(plan: Plan, with_keys: bool, listening: socket.socket) -> int:
    """Serve in this process."""
    configure_logging()
    config = plan.config
    gateway = Gateway(config, open_plan_store(plan), require_keys=with_keys)
    reloader = None if plan.path is None else Reloader(gateway, plan.path)

    async def on_start() -> None:
        loop = asyncio.get_running_loop()
        if reloader is not None:
            await reloader.start()
        # Without a handler the signal would end the process.
        loop.add_signal_handler(signal.SIGHUP, reloader.ask if reloader is not None else lambda: None)
        gateway.warm_up()
        # What is there now stays: looking through all of it again and again would stop every stream for a moment.
        gc.collect()
        gc.freeze()
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
    # Uvicorn raises the signal that ended it once more when it is done, for whoever handled it before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    server.run(sockets=[listening])
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """Uvicorn, whose readiness probe knows when it is ending."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    def handle_exit(self, sig: int, frame: object) -> None:
        self._gateway.draining = True
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


def open_plan_store(plan: Plan) -> Store:
    """Return the store a plan names: its database, the usual file, or memory for a gateway without a file."""
    url = plan.config.server.database_url
    if url is not None:
        return open_store(url.get_secret_value())
    return open_store(None if plan.path is not None else "sqlite://")


def check_address(plan: Plan, *, with_keys: bool) -> None:
    """Raise `UsageError` where others could reach a gateway that asks for no key."""
    if with_keys or plan.insecure or is_loopback(plan.host):
        return
    raise UsageError(
        f"without keys everybody who reaches {plan.host} could use your endpoints: configure `server.master_key` or "
        "`keys` (`general_settings.master_key` in a LiteLLM file), bind 127.0.0.1, or say --insecure"
    )


def check_limits(plan: Plan, store: Store) -> None:
    """Raise `UsageError` where rate limits would not hold: each worker would count for itself."""
    if plan.workers == 1 or plan.config.server.redis_url is not None:
        return
    limited = [
        key.name
        for key in (*map(from_config, plan.config.keys), *store.all_keys())
        if key.requests_per_minute or key.tokens_per_minute
    ]
    limited += [
        one.label
        for model in plan.config.models.values()
        for one in model.deployments
        if one.requests_per_minute or one.tokens_per_minute
    ]
    if limited:
        raise UsageError(
            f"{', '.join(limited)} have rate limits, which {plan.workers} workers can only count together in "
            "Redis: set `server.redis_url` (`router_settings.redis_host` in a LiteLLM file), or run one worker"
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
    access = logging.getLogger("sagewire.gateway.access")
    if not access.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        access.addHandler(handler)
        access.setLevel(logging.INFO)
        access.propagate = False
    root = logging.getLogger()
    if not root.handlers:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    for name in ("sagewire.gateway", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)


def load_plan(path: Path, host: str, port: int, workers: int, insecure: bool) -> Plan:
    """Return the plan for a configuration file.

    Raises:
        UsageError: The file cannot be read, or something in it is wrong.
    """
    # Not resolved: what a symbolic link points at may be replaced while the gateway runs.
    return Plan(load_config(path), path.absolute(), host, port, workers, insecure)
