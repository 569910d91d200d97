"""Reading the configuration again: on SIGHUP, and when the file has changed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path

from sagewire.errors import SagewireError
from sagewire.gateway.config import parse_config
from sagewire.gateway.gateway import Gateway

__all__ = ["Reloader"]

_log = logging.getLogger("sagewire.gateway")
INTERVAL = 1.0


class Reloader:
    """Watches one configuration file for a gateway.

    The content is compared rather than waited for by inotify: mounted ConfigMaps are swapped by symbolic links, and
    network file systems report nothing.

    Args:
        gateway: What gets the new configuration.
        path: The file.
    """

    def __init__(self, gateway: Gateway, path: Path) -> None:
        self._gateway = gateway
        self._path = path
        self._seen: bytes | None = None
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Watch from now on."""
        self._seen = await asyncio.to_thread(self._digest)
        self._task = asyncio.create_task(self._watch(), name="sagewire-reload")

    def ask(self) -> None:
        """Read the file again at once, changed or not."""
        self._seen = None
        self._asked.set()

    async def check(self) -> bool:
        """Read the file if it has changed; return whether a new configuration is in use.

        A file with a mistake in it changes nothing but the log.
        """
        digest = await asyncio.to_thread(self._digest)
        if digest is None or digest == self._seen:
            return False
        self._seen = digest
        try:
            text = await asyncio.to_thread(self._path.read_text, "utf-8")
            config = parse_config(text, str(self._path))
            self._gateway.reload(config)
        except (SagewireError, OSError, UnicodeDecodeError) as error:
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
            self._asked.clear()
            await self.check()

    def _digest(self) -> bytes | None:
        try:
            return hashlib.sha256(self._path.read_bytes()).digest()
        except OSError:
            # In the middle of being replaced; the next look will find it.
            return None
