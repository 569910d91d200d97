"""Large answers in JSON, sent as they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import Send

from sagewire.gateway.errors import ClientGone
from sagewire.gateway.server.http_exchange import JSON_TYPE, STALL_SECONDS
from sagewire.http.timer_pool import Timer, TimerPool

__all__ = ["respond_in_pieces"]

# Bytes that are handed on together.
AT_ONCE = 1 << 16


async def respond_in_pieces(send: Send, pieces: Iterable[bytes], alarms: TimerPool) -> None:
    """Send JSON that is written piece by piece, each when the one before is on its way.

    Args:
        send: ASGI's.
        pieces: The body.
        alarms: The timers of the running event loop.

    Raises:
        ClientGone: The caller has stopped reading.
    """
    headers = [(b"content-type", JSON_TYPE.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) < AT_ONCE:
            continue
        await _hand_on(send, bytes(held), alarms, more=True)
        held.clear()
        # To write that much takes milliseconds, and other requests wait.
        await asyncio.sleep(0)
    await _hand_on(send, bytes(held), alarms, more=False)


async def _hand_on(send: Send, data: bytes, alarms: TimerPool, *, more: bool) -> None:
    try:
        with Timer(STALL_SECONDS, alarms):
            await send({"type": "http.response.body", "body": data, "more_body": more})
    except TimeoutError:
        raise ClientGone from None
