"""Reading the configuration again: on SIGHUP, and when one of its files has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from sagewire.errors import SagewireError
from sagewire.gateway.config import GatewayConfig, ServerConfig, load_config
from sagewire.gateway.config.yaml_files import digest_of
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.threads import in_thread

__all__ = ["Reloader"]

_log = logging.getLogger("sagewire.gateway")
INTERVAL = 1.0


# Settings of the server that a reload puts to work; the others are the process's own.
_RELOADED = frozenset({
    "master_key", "metrics_need_key", "access_log", "max_body_bytes", "store_responses", "store_responses_bytes",
})  # fmt: skip


class Reloader:
    """The watch on a configuration file, and on those it includes.

    The content is compared, because inotify would miss changes: mounted ConfigMaps are swapped by symbolic links, and
    network file systems report nothing.

    Args:
        gateway: The gateway that gets new configurations.
        path: The file.
        files: The digests of the files that the present configuration was read from, by path.
    """

    def __init__(self, gateway: Gateway, path: Path, files: Mapping[Path, bytes] | None = None) -> None:
        self._gateway = gateway
        self._path = path
        self._files = dict(files or {path: b""})
        self._started_with = gateway.config.server
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Watch from now on."""
        self._task = asyncio.create_task(self._watch(), name="sagewire-reload")

    def ask(self) -> None:
        """Read the files again at once, changed or not."""
        self._asked.set()

    async def check(self, *, asked: bool = False) -> bool:
        """Read the files if one has changed; return whether a new configuration is in use.

        A file with a mistake in it changes nothing but the log.

        Args:
            asked: Read them in any case.
        """
        if not await in_thread(self._changed) and not asked:
            return False
        metrics = self._gateway.metrics
        try:
            config = await in_thread(self._load)
            self._gateway.reload(config)
            self._gateway.warm_up()
        except SagewireError as error:
            _log.error("the configuration is not reloaded, the one in use stays: %s", error)
            metrics.config_current.set(0)
            return False
        except Exception as error:
            # However the parser fails on a file, the next good one must still be loaded.
            _log.error(
                "the configuration is not reloaded, the one in use stays: %s", type(error).__name__, exc_info=True
            )
            metrics.config_current.set(0)
            return False
        waiting = self._needs_restart(config.server)
        metrics.config_current.set(int(not waiting))
        _log.info("configuration reloaded: %s", ", ".join(config.models))
        if waiting:
            _log.warning("restart the gateway to put these settings of `server` to work: %s", ", ".join(waiting))
        return True

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(INTERVAL):
                    await self._asked.wait()
            except TimeoutError:
                pass
            asked = self._asked.is_set()
            self._asked.clear()
            await self.check(asked=asked)

    def _needs_restart(self, server: ServerConfig) -> list[str]:
        before = self._started_with
        names = (name for name in ServerConfig.model_fields if name not in _RELOADED)
        return [name for name in names if getattr(server, name) != getattr(before, name)]

    def _load(self) -> GatewayConfig:
        files: dict[Path, bytes] = {}
        try:
            return load_config(self._path, files)
        finally:
            # As they were read, also by a mistake: a change of any of them may mend it.
            self._files = files or {self._path: b""}

    def _changed(self) -> bool:
        now = {path: digest_of(path) for path in self._files}
        # Without content it is in the middle of being replaced; the next look will find it.
        return now.get(self._path, b"") != b"" and now != self._files
