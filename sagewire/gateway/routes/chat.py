"""`/v1/chat/completions` and `/v1/completions`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from starlette.types import Send

from sagewire.gateway.gateway import Turn
from sagewire.gateway.generation import (
    PROMPTS_IN_FLIGHT,
    Callee,
    ChunkEvents,
    Events,
    Generation,
    Opened,
    Stream,
)
from sagewire.gateway.routes.base import ModelRoute
from sagewire.gateway.server.http_exchange import respond_json
from sagewire.openai_shapes import (
    ChatChunks,
    TextChunks,
    chat_arguments,
    chat_completion,
    completion_arguments,
    text_completion,
    wants_stream,
    wants_usage,
)
from sagewire.openai_shapes.answers import add_usage
from sagewire.types import Delta, Reply, Usage

__all__ = ["Chat", "Completions", "stream_chat", "whole_chat"]


class Chat(ModelRoute):
    """Conversations."""

    name = "chat"

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer whole, or as a stream of chunks."""
        arguments = chat_arguments(turn.body)
        if wants_stream(turn.body):
            await self._stream(turn, generation, arguments)
            return

        reply = await whole_chat(turn, generation, arguments)
        log = turn.log
        await respond_json(send, 200, chat_completion(reply, model=turn.name, id=f"chatcmpl-{log.request_id}"))

    async def _stream(self, turn: Turn, generation: Generation, arguments: dict[str, Any]) -> None:
        def events(opened: Opened) -> ChunkEvents:
            return ChunkEvents(
                ChatChunks(
                    turn.name,
                    id=f"chatcmpl-{turn.log.request_id}",
                    include_usage=wants_usage(turn.body),
                    calls_are_final=opened.calls_are_final,
                )
            )

        await stream_chat(generation, arguments, events)


async def whole_chat(turn: Turn, generation: Generation, arguments: dict[str, Any]) -> Reply:
    """Return the whole answer to a conversation, and note what it took.

    Args:
        turn: What is asked.
        generation: Finds a deployment that answers.
        arguments: Those of `AsyncClient.chat`.
    """

    def call(callee: Callee) -> Awaitable[Reply]:
        fitting = generation.fitting(callee, arguments)
        return callee.client.chat(**fitting, endpoint_kwargs=callee.parameters)

    reply = await generation.whole(call)
    turn.log.usage = reply.usage
    turn.log.upstream_id = reply.info.request_id if reply.info else None
    generation.note_replies([reply])
    return reply


async def stream_chat(generation: Generation, arguments: dict[str, Any], events: Callable[[Opened], Events]) -> None:
    """Answer a conversation with a stream of events.

    Args:
        generation: Finds a deployment that answers.
        arguments: Those of `AsyncClient.stream`.
        events: Makes the encoder, once the stream is open.
    """

    def call(callee: Callee) -> Stream:
        # Token counts are asked for in any case: accounts need them.
        return callee.client.stream(**generation.fitting(callee, arguments), endpoint_kwargs=callee.parameters)

    await generation.stream(call, events)


class Completions(ModelRoute):
    """Text to be continued; several prompts are answered side by side, and streamed one after the other."""

    name = "completions"
    task = "complete"

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer whole, or as a stream of chunks."""
        prompts, arguments = completion_arguments(turn.body)
        echo = prompts if turn.body.get("echo") else []
        if wants_stream(turn.body):
            await self._stream(turn, generation, prompts, arguments)
            return

        async def call(callee: Callee) -> list[Reply]:
            fitting = generation.fitting(callee, arguments)

            def complete(prompt: str) -> Awaitable[Reply]:
                return callee.client.complete(prompt, **fitting, endpoint_kwargs=callee.parameters)

            if len(prompts) == 1:
                return [await complete(prompts[0])]
            at_once = min(PROMPTS_IN_FLIGHT, callee.config.max_concurrency or PROMPTS_IN_FLIGHT)
            return await _side_by_side([partial(complete, prompt) for prompt in prompts], at_once)

        replies = await generation.whole(call)
        turn.log.usage = add_usage([reply.usage for reply in replies])
        generation.note_replies(replies)
        id = f"cmpl-{turn.log.request_id}"
        await respond_json(send, 200, text_completion(replies, model=turn.name, id=id, echo=echo))

    async def _stream(self, turn: Turn, generation: Generation, prompts: list[str], arguments: dict[str, Any]) -> None:
        def call(callee: Callee) -> Stream:
            fitting = generation.fitting(callee, arguments)

            def complete(prompt: str) -> Stream:
                return callee.client.stream_complete(prompt, **fitting, endpoint_kwargs=callee.parameters)

            return complete(prompts[0]) if len(prompts) == 1 else _InTurn([complete(prompt) for prompt in prompts])

        def events(opened: Opened) -> ChunkEvents:
            return ChunkEvents(_Numbered(turn, opened.stream, prompts, int(arguments.get("n") or 1)))

        await generation.stream(call, events)


async def _side_by_side(calls: list[Callable[[], Awaitable[Reply]]], at_once: int) -> list[Reply]:
    slots = asyncio.Semaphore(at_once)

    async def run(call: Callable[[], Awaitable[Reply]]) -> Reply:
        async with slots:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(call)) for call in calls]
    except BaseExceptionGroup as failed:
        # The first failure cancelled the others; it is the one to speak of.
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


class _InTurn:
    """The streams of several prompts, one after the other.

    Attributes:
        at: The number of the prompt whose answer is being read.
    """

    def __init__(self, streams: list[Any]) -> None:
        self._streams = streams
        self.at = 0

    async def __aiter__(self) -> AsyncIterator[Delta]:
        for number, stream in enumerate(self._streams):
            self.at = number
            async for delta in stream:
                yield delta

    @property
    def reply(self) -> Reply:
        """The last answer, with the token counts of all."""
        replies = [stream.reply for stream in self._streams]
        usage = add_usage([reply.usage for reply in replies])
        return Reply(replies[-1].choices, usage, info=replies[-1].info)

    async def close(self) -> None:
        """Close all streams."""
        for stream in self._streams:
            await stream.close()


class _Numbered:
    """Chunks of the answers to several prompts."""

    def __init__(self, turn: Turn, stream: Stream, prompts: list[str], n: int) -> None:
        usage = wants_usage(turn.body)
        self._chunks = TextChunks(turn.name, id=f"cmpl-{turn.log.request_id}", n=n, include_usage=usage)
        self._stream = stream
        self._prompts = prompts
        self._to_echo = dict(enumerate(prompts)) if turn.body.get("echo") else {}

    def encode(self, delta: Delta, /) -> list[dict[str, Any]]:
        at = self._stream.at if isinstance(self._stream, _InTurn) else 0
        echoed = self._to_echo.pop(at, None)
        before = [] if echoed is None else self._chunks.echo(echoed, at)
        return before + self._chunks.encode(delta, at)

    def close(self) -> list[dict[str, Any]]:
        usage: Usage | None = self._stream.reply.usage
        return self._chunks.close(usage, len(self._prompts))
