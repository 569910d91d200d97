"""`/v1/chat/completions` and `/v1/completions`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from starlette.types import Send

from sagewire.content_handlers import OpenAiCompletionsHandler
from sagewire.gateway.generation import PROMPTS_IN_FLIGHT, Callee, Generation, Opened
from sagewire.gateway.plain_answers import PlainAnswer
from sagewire.gateway.relay import ChatRelay, RelayedStream
from sagewire.gateway.request_log import RequestLog
from sagewire.gateway.routes.base import ModelRoute
from sagewire.gateway.server.http_exchange import respond_json
from sagewire.gateway.stream_events import ChunkEvents, Events, Stream
from sagewire.gateway.turn import Turn
from sagewire.openai_shapes import (
    BadRequest,
    ChatChunks,
    TextChunks,
    chat_arguments,
    chat_completion,
    completion_arguments,
    text_completion,
    token_prompts,
    wants_stream,
    wants_usage,
)
from sagewire.openai_shapes.answers import add_usage
from sagewire.openai_shapes.plain import plain_chat
from sagewire.types import Delta, Reply, Usage, UsageDelta

__all__ = ["Chat", "Completions", "stream_chat", "whole_chat"]

Arguments = Callable[[], dict[str, Any]]


class Chat(ModelRoute):
    """Conversations."""

    name = "chat"

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer whole, or as a stream of chunks."""
        plain = plain_chat(turn.body)
        skip = "tools" in turn.body and any(one.config.drop_unsupported for one in turn.model.deployments)
        arguments: Arguments = partial(chat_arguments, turn.body, generation.skipped if skip else None)
        if plain is None:
            # What may be wrong is read at once; what is plain, if a deployment's server is not.
            arguments = partial(dict, arguments())
        if wants_stream(turn.body):
            await self._stream(turn, generation, arguments, plain)
            return

        id = f"chatcmpl-{turn.log.request_id}"
        answer = await _whole(turn, generation, arguments, plain)
        if isinstance(answer, PlainAnswer):
            await respond_json(send, 200, answer.body(model=turn.name, id=id))
        else:
            await respond_json(send, 200, chat_completion(answer, model=turn.name, id=id))

    def _stream(
        self, turn: Turn, generation: Generation, arguments: Arguments, plain: dict[str, Any] | None
    ) -> Awaitable[None]:
        include_usage = wants_usage(turn.body)

        def chunks(*, calls_are_final: bool = True) -> ChunkEvents:
            id = f"chatcmpl-{turn.log.request_id}"
            return ChunkEvents(
                ChatChunks(turn.name, id=id, include_usage=include_usage, calls_are_final=calls_are_final)
            )

        def events(opened: Opened | None) -> Events:
            if opened is None:
                return chunks()
            if isinstance(opened.stream, RelayedStream):
                return opened.stream.encoder
            return chunks(calls_are_final=opened.calls_are_final)

        def call(callee: Callee) -> Stream:
            full = partial(_stream_of, generation, callee, arguments)
            relay = ChatRelay.of(callee.client, plain, callee.parameters) if plain is not None else None
            return full() if relay is None else relay.stream(chunks(), generation, full)

        return generation.stream(call, events)


async def whole_chat(turn: Turn, generation: Generation, arguments: Arguments) -> Reply:
    """Return the whole answer to a conversation, and note what it took.

    Args:
        turn: The request.
        generation: Finds a deployment that answers.
        arguments: Returns those of `AsyncClient.chat`.
    """
    reply = await _whole(turn, generation, arguments)
    assert isinstance(reply, Reply), "nothing is relayed"
    return reply


async def _whole(
    turn: Turn, generation: Generation, arguments: Arguments, plain: dict[str, Any] | None = None
) -> PlainAnswer | Reply:
    """Return the whole answer; `plain` is the request as an OpenAI-shaped server takes it, if it can be passed on."""

    async def call(callee: Callee) -> PlainAnswer | Reply:
        if plain is not None and (relay := ChatRelay.of(callee.client, plain, callee.parameters)) is not None:
            answer = await relay.whole()
            if answer is not None:
                return answer
        fitting = generation.fitting(callee, arguments())
        return await callee.client.chat(**fitting, endpoint_kwargs=callee.parameters)

    answer = await generation.whole(call)
    turn.log.upstream_id = answer.info.request_id
    if isinstance(answer, PlainAnswer):
        turn.log.answered(answer.found.text)
        if answer.found.usage is not None:
            turn.log.counted(answer.found.usage)
    else:
        generation.note_replies([answer])
    return answer


async def stream_chat(
    generation: Generation,
    arguments: Arguments,
    events: Callable[[Opened | None], Events],
    before_end: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Answer a conversation with a stream of events.

    Args:
        generation: Finds a deployment that answers.
        arguments: Returns those of `AsyncClient.stream`.
        events: Makes the encoder, once the stream is open.
        before_end: Awaited before the encoder ends.
    """
    await generation.stream(lambda callee: _stream_of(generation, callee, arguments), events, before_end)


def _stream_of(generation: Generation, callee: Callee, arguments: Arguments) -> Stream:
    # Token counts are asked for in any case: accounts need them.
    return callee.client.stream(**generation.fitting(callee, arguments()), endpoint_kwargs=callee.parameters)


class Completions(ModelRoute):
    """Text to be continued; several prompts are answered side by side, and streamed one after the other."""

    name = "completions"
    task = "complete"

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer whole, or as a stream of chunks."""
        prompts = _Prompts(turn.body)
        if wants_stream(turn.body):
            await self._stream(turn, generation, prompts)
            return

        async def call(callee: Callee) -> list[Reply]:
            arguments = generation.fitting(callee, prompts.arguments)
            turn.log.begin_anew()

            async def complete(number: int) -> Reply:
                text, options = prompts.of(number, arguments, callee)
                reply = await callee.client.complete(text, **options, endpoint_kwargs=callee.parameters)
                # At once: if another prompt fails, this one has been answered all the same.
                generation.note_replies([reply])
                return reply

            if len(prompts.texts) == 1:
                return [await complete(0)]
            at_once = min(PROMPTS_IN_FLIGHT, callee.config.max_concurrency or PROMPTS_IN_FLIGHT)
            return await _side_by_side([partial(complete, number) for number in range(len(prompts.texts))], at_once)

        replies = await generation.whole(call)
        turn.log.usage = add_usage([reply.usage for reply in replies])
        id = f"cmpl-{turn.log.request_id}"
        body = text_completion(replies, model=turn.name, id=id, echo=prompts.echo, echoed=prompts.server_echoes)
        await respond_json(send, 200, body)

    async def _stream(self, turn: Turn, generation: Generation, prompts: _Prompts) -> None:
        def call(callee: Callee) -> Stream:
            arguments = generation.fitting(callee, prompts.arguments)

            def complete(number: int) -> Stream:
                text, options = prompts.of(number, arguments, callee)
                return callee.client.stream_complete(text, **options, endpoint_kwargs=callee.parameters)

            count = len(prompts.texts)
            return complete(0) if count == 1 else _InTurn([complete(number) for number in range(count)], turn.log)

        def events(opened: Opened | None) -> ChunkEvents:
            return ChunkEvents(_Numbered(turn, opened.stream if opened else None, prompts))

        await generation.stream(call, events)


class _Prompts:
    """The prompts of a request: texts, or token numbers for servers that take them.

    Attributes:
        texts: One text per prompt; empty for one of token numbers.
        arguments: The options of all, for `AsyncClient.complete`.
        server_echoes: The server itself has to repeat the prompts: their log probabilities are wanted, nothing else
            is, or they are token numbers.
        echo: The prompts, if the gateway is to repeat them.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self._tokens = token_prompts(body)
        readable = body if self._tokens is None else {**body, "prompt": [""] * len(self._tokens)}
        self.texts, self.arguments = completion_arguments(readable)
        echo = bool(body.get("echo"))
        scored = body.get("logprobs") is not None or body.get("max_tokens") == 0
        self.server_echoes = echo and (scored or self._tokens is not None)
        self.echo = self.texts if echo and not self.server_echoes else []

    def of(self, number: int, arguments: dict[str, Any], callee: Callee) -> tuple[str, dict[str, Any]]:
        """Return the text and the options of one prompt.

        Raises:
            BadRequest: The deployment's server takes no token numbers, or does not repeat prompts.
        """
        extra: dict[str, Any] = {}
        if self._tokens is not None:
            extra["prompt"] = self._tokens[number]
        if self.server_echoes:
            extra["echo"] = True
        if not extra:
            return self.texts[number], arguments
        if not isinstance(callee.client.handler, OpenAiCompletionsHandler):
            field, cure = ("prompt", "send text") if self._tokens is not None else ("echo", "leave out 'echo'")
            raise BadRequest(f"the model's server cannot do this with {field!r}: {cure}", field)
        return self.texts[number], {**arguments, "extra": {**(arguments.get("extra") or {}), **extra}}


async def _side_by_side(calls: list[Callable[[], Awaitable[Reply]]], at_once: int) -> list[Reply]:
    slots = asyncio.Semaphore(at_once)

    async def run(call: Callable[[], Awaitable[Reply]]) -> Reply:
        async with slots:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(call)) for call in calls]
    except BaseExceptionGroup as failed:
        # The first failure cancelled the others; it is the one to report.
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


class _InTurn:
    """The streams of several prompts, one after the other: each is sent when the one before has been answered.

    Args:
        streams: The streams.
        log: Told how many prompts were sent, and how many are counted.

    Attributes:
        at: The number of the prompt whose answer is being read.
    """

    def __init__(self, streams: list[Any], log: RequestLog) -> None:
        self._streams = streams
        self._log = log
        self.at = 0

    async def __aiter__(self) -> AsyncIterator[Delta]:
        before: list[Usage | None] = []
        for number, stream in enumerate(self._streams):
            self.at = number
            self._log.begun_prompts = number + 1
            async for delta in stream:
                if isinstance(delta, UsageDelta):
                    # Of all prompts so far, like the answer that has been noted.
                    usage = add_usage([*before, delta.usage])
                    if usage is not None:
                        self._log.counted_prompts = number + 1
                        yield UsageDelta(usage)
                else:
                    yield delta
            before.append(stream.reply.usage)

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

    def __init__(self, turn: Turn, stream: Stream | None, prompts: _Prompts) -> None:
        usage, n = wants_usage(turn.body), int(prompts.arguments.get("n") or 1)
        self._chunks = TextChunks(turn.name, id=f"cmpl-{turn.log.request_id}", n=n, include_usage=usage)
        self._stream = stream
        self._count = len(prompts.texts)
        self._to_echo = dict(enumerate(prompts.echo))

    def encode(self, delta: Delta, /) -> list[dict[str, Any]]:
        at = self._stream.at if isinstance(self._stream, _InTurn) else 0
        echoed = self._to_echo.pop(at, None)
        before = [] if echoed is None else self._chunks.echo(echoed, at)
        return before + self._chunks.encode(delta, at)

    def close(self) -> list[dict[str, Any]]:
        usage: Usage | None = self._stream.reply.usage if self._stream else None
        return self._chunks.close(usage, self._count)
