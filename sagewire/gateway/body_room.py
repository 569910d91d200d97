"""The memory for large request bodies, shared among keys: while they arrive, and until they are answered."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any

from sagewire.gateway.errors import GatewayError
from sagewire.gateway.request_log import RequestLog

__all__ = ["SMALL_BODY", "BodyRoom", "check_values"]

# Bytes up to which a body takes no room: most have fewer, and a connection's buffers hold as many in any case.
SMALL_BODY = 65_536
# The largest bodies for which there is room at the same time, in this process.
LARGEST_BODIES = 10
# Bytes that parsed JSON takes: a value without its text, a number among numbers, and an object beside its values.
VALUE, NUMBER, OBJECT = 60, 36, 200
# Seconds that a request waits for room before it is refused; nothing more of its body is read meanwhile.
WAIT_SECONDS = 30.0
# Texts, arrays and objects of one body: those of 20 MB could take 25 times as much, and seconds to parse.
MOST_VALUES = 300_000
# Without going back: a text that does not end is looked through once.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class BodyRoom:
    """The bytes of bodies that are on their way or being answered.

    A key may take as much as it leaves free: alone it has half of all, of two busy keys each a third. So however much
    some keys take, the next one finds room. Requests beyond that wait, those of one key in the order in which they
    came, and no request takes a part of its room and waits for the rest.

    Args:
        wait_seconds: How long a request waits.
    """

    def __init__(self, wait_seconds: float = WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._taken: dict[str, int] = {}
        self._total = 0
        self._waiting: dict[str, deque[_Waiter]] = {}

    async def take(self, log: RequestLog, size: int, largest: int) -> None:
        """Take room for a body until `give_back`; wait while all of it is taken.

        Args:
            log: The request, whose key is known.
            size: The bytes of the body, as announced.
            largest: The bytes of the largest body that is served.

        Raises:
            GatewayError: 429 if the key's own requests take its share of the room, 503 if those of all keys do.
        """
        assert log.key is not None, "bodies of strangers are not read"
        key, most = log.key.name, LARGEST_BODIES * largest
        if key in self._waiting or not self._fits(key, size, most):
            await self._wait(_Waiter(key, size, most))
        else:
            self._add(key, size)
        log.body_room += size

    def weigh(self, log: RequestLog, body: Any, largest: int) -> None:
        """Take the room that a large body needs when it is parsed.

        Args:
            log: The request, which has taken room for the bytes.
            body: The parsed body.
            largest: The bytes of the largest body that is served.

        Raises:
            GatewayError: 413 if no key has so much room, 429 if this one has not at present.
        """
        assert log.key is not None, "bodies of strangers are not read"
        key, most = log.key.name, LARGEST_BODIES * largest
        more = memory_of(body, most // 2 - log.body_room)
        if more < 0:
            raise _too_much_memory()
        if more > 2 * log.body_room and not self._fits(key, more, most):
            raise self._none_left(key)
        self._add(key, more)
        log.body_room += more

    def shrink(self, log: RequestLog, size: int) -> None:
        """Give back what a body has turned out not to need."""
        spare = log.body_room - size
        if spare > 0 and log.key is not None:
            log.body_room = size
            self._add(log.key.name, -spare)
            self._wake()

    def give_back(self, log: RequestLog) -> None:
        """Give back all that a request has taken."""
        self.shrink(log, 0)

    def _fits(self, key: str, size: int, most: int) -> bool:
        taken = self._taken.get(key, 0)
        free = most - self._total - size
        # The first body of a key is served whatever others leave free for the next, else it might wait for ever.
        return free >= (taken + size if taken else 0) or not self._total

    def _add(self, key: str, size: int) -> None:
        self._total += size
        self._taken[key] = self._taken.get(key, 0) + size
        if not self._taken[key]:
            del self._taken[key]

    def _wake(self) -> None:
        """Let in the first waiting request of each key that fits now, and those behind it."""
        for key, queue in list(self._waiting.items()):
            while queue and (queue[0].found.done() or self._fits(key, queue[0].size, queue[0].most)):
                waiter = queue.popleft()
                if not waiter.found.done():
                    self._add(key, waiter.size)
                    waiter.found.set_result(None)
            if not queue:
                del self._waiting[key]

    async def _wait(self, waiter: _Waiter) -> None:
        self._waiting.setdefault(waiter.key, deque()).append(waiter)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await waiter.found
        except BaseException as error:
            if waiter.found.done() and not waiter.found.cancelled():
                # It had just been let in.
                self._add(waiter.key, -waiter.size)
            # Those behind it may be smaller.
            waiter.found.cancel()
            self._wake()
            if isinstance(error, TimeoutError):
                raise self._none_left(waiter.key) from None
            raise

    def _none_left(self, key: str) -> GatewayError:
        headers = {"retry-after": "5", "connection": "close"}
        taken = self._taken.get(key, 0)
        if not taken:
            says = "request bodies of other callers take all the memory there is for them; try again"
            return GatewayError(503, "bodies_in_flight", says, headers=headers)
        return GatewayError(
            429,
            "bodies_in_flight",
            f"{taken:,} bytes of request bodies of key '{key}' are on their way or being answered, which is its "
            "share of the memory; try again when some are answered, or send fewer at a time",
            headers=headers,
        )


def check_values(body: bytes | bytearray) -> None:
    """Refuse a body of more than `MOST_VALUES` texts, arrays and objects, before it is parsed.

    Raises:
        GatewayError: 413.
    """
    if body.count(b'"') // 2 + body.count(b"[") + body.count(b"{") <= MOST_VALUES:
        return
    found, end = 0, 0
    while found <= MOST_VALUES:
        start = body.find(b'"', end)
        text = _TEXT.match(body, start) if start >= 0 else None
        outside = start if text else len(body)
        found += body.count(b"[", end, outside) + body.count(b"{", end, outside)
        if text is None:
            break
        found, end = found + 1, text.end()
    if found > MOST_VALUES:
        raise _too_much_memory()


def memory_of(value: Any, most: int) -> int:
    """Return about how many bytes parsed JSON takes beside its texts, -1 if that is more than `most`."""
    total, waiting = 0, [value] if isinstance(value, dict | list) else []
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            total += OBJECT + 2 * VALUE * len(one)
            inner: Any = one.values()
        else:
            numbers = set(map(type, one)) <= {int}
            total += VALUE + (NUMBER if numbers else VALUE) * len(one)
            inner = () if numbers else one
        if total > most:
            return -1
        waiting += [other for other in inner if isinstance(other, dict | list)]
    return total


def _too_much_memory() -> GatewayError:
    says = "the request body has too many values for the memory there is: send fewer at a time"
    return GatewayError(413, "request_too_large", says, headers={"connection": "close"})


class _Waiter:
    """A request that waits for room."""

    __slots__ = ("found", "key", "most", "size")

    def __init__(self, key: str, size: int, most: int) -> None:
        self.key, self.size, self.most = key, size, most
        self.found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
