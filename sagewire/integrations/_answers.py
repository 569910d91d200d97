"""Several answers at once, and streams of OpenAI chunks, for integrations that are plain functions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from sagewire.client import AsyncClient, Client
from sagewire.content_handlers import ContentHandler
from sagewire.integrations._objects import OpenAiObject, object_of, usage_object
from sagewire.openai_shapes import TextChunks
from sagewire.types import Delta, Reply, Usage, UsageDelta

__all__ = ["AsyncChunks", "Chunks", "TextEncoder", "chat_n", "chat_n_async", "gather", "run_all", "with_seed"]

T = TypeVar("T")
# Maximum number of calls of one request in flight; others wait for their turn.
IN_FLIGHT = 16
Guard = Callable[[], AbstractContextManager[Any]]
"""Makes a context in which the stream is read, for integrations that put something on errors."""


class Encoder(Protocol):
    """`ChatChunks`, or `TextEncoder` for the answers to one prompt."""

    def encode(self, delta: Delta) -> list[dict[str, Any]]:
        """Return the chunks for one more delta."""
        ...

    def close(self) -> list[dict[str, Any]]:
        """Return the last chunks."""
        ...


class TextEncoder:
    """`TextChunks` for the answer to one prompt.

    Args:
        chunks: The chunks of the stream.
        echo: The prompt, if it should precede the answer.
    """

    def __init__(self, chunks: TextChunks, echo: str | None = None) -> None:
        self._chunks = chunks
        self._usage: Usage | None = None
        self._before = [] if echo is None else chunks.echo(echo)

    def encode(self, delta: Delta) -> list[dict[str, Any]]:
        """Return the chunks for one more delta."""
        if isinstance(delta, UsageDelta):
            self._usage = delta.usage
        before, self._before = self._before, []
        return [*before, *self._chunks.encode(delta)]

    def close(self) -> list[dict[str, Any]]:
        """Return the last chunks."""
        return [*self._before, *self._chunks.close(self._usage)]


class _Reading:
    """What both kinds of streams do with deltas."""

    def __repr__(self) -> str:
        loop = "async for" if type(self).__name__.startswith("Async") else "for"
        return f"<{type(self).__name__}: read it with `{loop}`>"

    def __init__(self, stream: Any, encoder: Encoder, model: str | None, guard: Guard) -> None:
        self._stream = stream
        self._encoder = encoder
        self._model = model
        self._guard = guard
        self._ready: list[OpenAiObject] = []
        self._ended = False

    @property
    def reply(self) -> Reply:
        """The answer as far as it was read; whole once the iteration has ended."""
        return self._stream.reply  # type: ignore[no-any-return]

    def _keep(self, delta: Delta) -> None:
        self._ready = [self._object(chunk) for chunk in self._encoder.encode(delta)][::-1]

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Nothing comes after an error, in particular no chunk that marks the answer as complete."""
        try:
            yield
        except BaseException:
            self._ended = True
            raise

    def _end(self) -> None:
        self._ended = True
        self._ready = [self._object(chunk) for chunk in self._encoder.close()][::-1]

    def _object(self, chunk: Mapping[str, Any]) -> OpenAiObject:
        made: OpenAiObject = object_of({**chunk, "model": self._model})
        if "usage" in made:
            made["usage"] = object_of({**made["usage"], **(usage_object(self.reply.usage) or {})})
        return made


class Chunks(_Reading):
    """OpenAI-shaped chunks as they arrive; leaving the `with` block early closes the connection.

    Args:
        stream: The deltas.
        encoder: The encoder that turns them into chunks.
        model: The name under which the answer was asked for.
        guard: The context in which deltas are read.
    """

    def __init__(self, stream: Any, encoder: Encoder, model: str | None, guard: Guard = nullcontext) -> None:
        super().__init__(stream, encoder, model, guard)
        self._deltas: Iterator[Delta] = iter(stream)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> OpenAiObject:
        self.start()
        if not self._ready:
            raise StopIteration
        return self._ready.pop()

    def start(self) -> Self:
        """Send the request, and wait for the first bytes to read, or an error to raise."""
        while not self._ready and not self._ended:
            with self._guard(), self._ending():
                delta = next(self._deltas, None)
            if delta is None:
                self._end()
            else:
                self._keep(delta)
        return self

    def close(self) -> None:
        """Stop reading and close the connection if the answer is not complete."""
        self._ended, self._ready = True, []
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class AsyncChunks(_Reading):
    """`Chunks` for `async for` and `async with`."""

    def __init__(self, stream: Any, encoder: Encoder, model: str | None, guard: Guard = nullcontext) -> None:
        super().__init__(stream, encoder, model, guard)
        self._deltas: AsyncIterator[Delta] = aiter(stream)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OpenAiObject:
        await self.start()
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.pop()

    async def start(self) -> Self:
        """Send the request, and wait for the first bytes to read, or an error to raise."""
        while not self._ready and not self._ended:
            with self._guard(), self._ending():
                delta = await anext(self._deltas, None)
            if delta is None:
                self._end()
            else:
                self._keep(delta)
        return self

    async def aclose(self) -> None:
        """Stop reading and close the connection if the answer is not complete."""
        self._ended, self._ready = True, []
        await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()


def chat_n(client: Client, handler: ContentHandler, messages: Any, n: int, arguments: Mapping[str, Any]) -> list[Reply]:
    """Return `n` answers to a conversation: in one call if the request format can, else in `n` calls at a time."""
    if n == 1 or handler.can.n:
        return [client.chat(messages, n=_n(n), **arguments)]

    def call(number: int) -> Callable[[], Reply]:
        return lambda: client.chat(messages, **with_seed(arguments, number))

    return run_all(map(call, range(n)))


async def chat_n_async(
    client: AsyncClient, handler: ContentHandler, messages: Any, n: int, arguments: Mapping[str, Any]
) -> list[Reply]:
    """Return `n` answers to a conversation; see `chat_n`."""
    if n == 1 or handler.can.n:
        return [await client.chat(messages, n=_n(n), **arguments)]

    def call(number: int) -> Callable[[], Awaitable[Reply]]:
        return lambda: client.chat(messages, **with_seed(arguments, number))

    return await gather(map(call, range(n)))


def _n(n: int) -> int | None:
    return n if n > 1 else None


def with_seed(arguments: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """Return the arguments of the answer of that number: with one seed for all, all would be the same."""
    seed = arguments.get("seed")
    return arguments if seed is None or not number else {**arguments, "seed": seed + number}


def run_all(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Call everything, several at a time, and return the results in order; the first error is raised."""
    work: Sequence[Callable[[], T]] = list(calls)
    if len(work) == 1:
        return [work[0]()]
    with ThreadPoolExecutor(min(IN_FLIGHT, len(work)), "sagewire-answers") as pool:
        # Each call sees the caller's context variables (a trace, for example).
        futures = [pool.submit(copy_context().run, call) for call in work]
        try:
            return [future.result() for future in futures]
        except BaseException:
            # Calls that have not begun need not be paid for.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


async def gather(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """`run_all` for coroutines: the first error cancels the others, and is raised alone."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def run(call: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(call)) for call in calls]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
