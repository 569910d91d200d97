"""Reading the configuration again: on SIGHUP, and when one of its files has changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from sagewire.errors import SagewireError
from sagewire.gateway.config import GatewayConfig, load_config
from sagewire.gateway.config.yaml_files import digest_of
from sagewire.gateway.gateway import Gateway

__all__ = ["Reloader"]

_log = logging.getLogger("sagewire.gateway")
INTERVAL = 1.0


class Reloader:
    """Watches a configuration file, and those it includes, for a gateway.

    The content is compared rather than waited for by inotify: mounted ConfigMaps are swapped by symbolic links, and
    network file systems report nothing.

    Args:
        gateway: What gets the new configuration.
        path: The file.
    """

    def __init__(self, gateway: Gateway, path: Path) -> None:
        self._gateway = gateway
        self._path = path
        self._files = {path: b""}
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Watch from now on."""
        with contextlib.suppress(SagewireError):
            await asyncio.to_thread(self._load)
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
        if not await asyncio.to_thread(self._changed) and not asked:
            return False
        try:
            config = await asyncio.to_thread(self._load)
            self._gateway.reload(config)
        except SagewireError as error:
            _log.error("the configuration is not reloaded, the one in use stays: %s", error)
            self._gateway.metrics.config_current.set(0)
            return False
        self._gateway.metrics.config_current.set(1)
        _log.info("configuration reloaded: %s", ", ".join(config.models))
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

    def _load(self) -> GatewayConfig:
        files: dict[Path, bytes] = {}
        try:
            return load_config(self._path, files)
        finally:
            # As they were read, also by a mistake: what mends it may be a change of any of them.
            self._files = files

    def _changed(self) -> bool:
        now = {path: digest_of(path) for path in self._files}
        # Without content it is in the middle of being replaced; the next look will find it.
        return now[self._path] != b"" and now != self._files
