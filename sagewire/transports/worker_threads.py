"""Blocking streams for asyncio: one thread and a bounded queue each."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from sagewire.types import ResponseInfo

__all__ = ["WorkerStream"]

# Bytes that may wait for a slow reader before the worker stops reading the socket.
_HIGH_WATER = 1 << 20


class _Stream(Protocol):
    """A sync stream that another thread can interrupt."""

    @property
    def info(self) -> ResponseInfo: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def interrupt(self) -> None: ...


class _Pipe:
    """What the worker and the reader share. The worker knows only this, so a forgotten reader can be collected."""

    def __init__(self, stream: _Stream) -> None:
        self.stream = stream
        self.entered: Future[None] = Future()
        self.entered.set_running_or_notify_cancel()
        self.loop = asyncio.get_running_loop()
        self.wanted = asyncio.Event()
        self.changed = threading.Condition()
        self.pieces: deque[bytes] = deque()
        self.waiting = 0
        self.error: BaseException | None = None
        self.ended = False
        self.stopped = False

    def work(self) -> None:
        """Read the stream to its end, or until told to stop."""
        try:
            with self.stream as stream:
                self.entered.set_result(None)
                for piece in () if self.stopped else stream:
                    if not self._put(piece):
                        break
        except BaseException as error:
            if self.entered.done():
                self.error = error
            else:
                self.entered.set_exception(error)
        self.ended = True
        self._wake()

    def _put(self, piece: bytes) -> bool:
        with self.changed:
            while self.waiting > _HIGH_WATER and not self.stopped:
                self.changed.wait()
            first = not self.pieces
            self.pieces.append(piece)
            self.waiting += len(piece)
        if first:
            self._wake()
        return not self.stopped

    def _wake(self) -> None:
        # The loop may be closed by now; then there is no waiter.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.wanted.set)

    def take(self) -> tuple[deque[bytes], bool]:
        """Return everything that has arrived, and whether that was all."""
        with self.changed:
            self.wanted.clear()
            # Read before the pieces are taken, so that a piece put in between is among them.
            ended = self.ended
            pieces, self.pieces, self.waiting = self.pieces, deque(), 0
            self.changed.notify()
        return pieces, ended

    def stop(self) -> None:
        """Have the worker end, also out of a wait for the socket."""
        with self.changed:
            if self.ended or self.stopped:
                return
            self.stopped = True
            self.changed.notify()
        self.stream.interrupt()


class WorkerStream:
    """A sync stream read by one worker thread; an async context manager that sends on entry.

    All waiting pieces are taken in one go, so a stream costs one wake-up of the loop per burst, not per piece.
    """

    _pipe: _Pipe | None = None

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    @property
    def info(self) -> ResponseInfo:
        """What the service said ahead of the body; complete timings once the body was read."""
        return self._stream.info

    async def __aenter__(self) -> Self:
        self._pipe = pipe = _Pipe(self._stream)
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(pipe.work,), name="sagewire-stream", daemon=True).start()
        try:
            await asyncio.wrap_future(pipe.entered)
        except BaseException:
            pipe.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pipe = self._pipe
        if pipe is None:
            raise RuntimeError("a stream is read inside its `async with` block")
        while True:
            await pipe.wanted.wait()
            pieces, ended = pipe.take()
            for piece in pieces:
                yield piece
            if ended:
                if pipe.error is not None:
                    raise pipe.error
                return

    def close(self) -> None:
        """Stop the worker, which closes the connection."""
        if self._pipe is not None:
            self._pipe.stop()

    def __del__(self) -> None:
        self.close()
