"""One call of LiteLLM's: read, sent, and answered in OpenAI's shape, waiting in one of two ways."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Self, TypeVar

from sagewire.content_handlers import ContentHandler
from sagewire.errors import UsageError
from sagewire.http.abandonable import in_thread
from sagewire.integrations._answers import (
    AsyncChunks,
    Chunks,
    TextEncoder,
    chat_n,
    chat_n_async,
    gather,
    run_all,
    with_seed,
)
from sagewire.integrations._objects import OpenAiObject, chat_object, embedding_object, text_object
from sagewire.integrations.litellm._arguments import PROVIDERS_OWN, Dropping, own_options, take_dropping
from sagewire.integrations.litellm._connections import Connection, VectorConnection, Wish
from sagewire.integrations.litellm._errors import coded_errors
from sagewire.integrations.litellm._prompts import take_template
from sagewire.integrations.litellm._targets import find_target
from sagewire.openai_shapes import (
    ChatChunks,
    TextChunks,
    chat_arguments,
    completion_arguments,
    embedding_arguments,
    wants_stream,
    wants_usage,
)
from sagewire.types import Reply

__all__ = ["ChatCall", "EmbeddingCall", "TextCall"]

T = TypeVar("T")


def _module() -> ModuleType:
    """Return the module with the settings that users assign to."""
    return sys.modules["sagewire.integrations.litellm"]


@dataclass(frozen=True, slots=True)
class _Call:
    """What all calls have in common.

    Args:
        model: The model's name as it was given.
        wish: The server.
        dropping: The settings that may be left out.
        arguments: The arguments of the client's method.
        n: How many answers.
        stream: Whether the answer is streamed.
        include_usage: Whether the stream ends with token counts.
    """

    model: str
    wish: Wish
    dropping: Dropping
    arguments: Mapping[str, Any]
    n: int = 1
    stream: bool = False
    include_usage: bool = False

    def guard(self) -> Any:
        """Return the context in which errors get their status codes."""
        return _coded(self.wish)

    def _settings(self, handler: ContentHandler) -> dict[str, Any]:
        return self.dropping.fit(dict(self.arguments), handler)

    def _check_stream(self, handler: ContentHandler, answers: int) -> None:
        if answers > 1 and not handler.can.n:
            raise UsageError(f"'{handler.name}' streams one answer at a time; leave n out, or call once for each")

    async def _found(self, find: Callable[[], T]) -> T:
        """Return what the control plane may have to be asked for, through botocore, which blocks."""
        return find() if self.wish.known else await in_thread(find)


@dataclass(frozen=True, slots=True)
class ChatCall(_Call):
    """`completion`."""

    @classmethod
    def of(cls, model: str, messages: Any, options: dict[str, Any]) -> Self:
        """Return the call with these arguments."""
        wish, dropping, body = _read(model, options)
        with _coded(wish):
            if isinstance(messages, str):
                raise UsageError(
                    "messages must be a list: [{'role': 'user', 'content': ...}]; a text alone is a prompt="
                )
            body["messages"] = messages if isinstance(messages, list) else list(messages)
            arguments = chat_arguments(body)
        n = arguments.pop("n", None) or 1
        if wish.target.served is not None:
            arguments["model"] = wish.target.served
        return cls(model, wish, dropping, arguments, n, wants_stream(body), wants_usage(body))

    def run(self) -> OpenAiObject | Chunks:
        """Return the completion, or its chunks."""
        with self.guard():
            connection = self.wish.for_chat(self._wanted())
            client, settings = connection.pooled.client, self._settings(connection.handler)
            messages = settings.pop("messages")
            if not self.stream:
                replies = chat_n(client, connection.handler, messages, self.n, settings)
                return chat_object(replies, model=self.wish.target.name)
            self._check_stream(connection.handler, self.n)
            stream = client.stream(messages, **settings, n=_n(self.n), include_usage=self.include_usage)
            chunks = Chunks(stream, self._encoder(connection), self.wish.target.name, self.guard)
        return chunks.start()

    async def arun(self) -> OpenAiObject | AsyncChunks:
        """`run`, awaited."""
        with self.guard():
            connection = await self._found(partial(self.wish.for_chat, self._wanted()))
            client, settings = connection.pooled.twin, self._settings(connection.handler)
            messages = settings.pop("messages")
            if not self.stream:
                replies = await chat_n_async(client, connection.handler, messages, self.n, settings)
                return chat_object(replies, model=self.wish.target.name)
            self._check_stream(connection.handler, self.n)
            stream = client.stream(messages, **settings, n=_n(self.n), include_usage=self.include_usage)
            chunks = AsyncChunks(stream, self._encoder(connection), self.wish.target.name, self.guard)
        return await chunks.start()

    def _wanted(self) -> list[str]:
        return [name for name in (*PROVIDERS_OWN, "extra") if name in self.arguments]

    def _encoder(self, connection: Connection) -> ChatChunks:
        return ChatChunks(self.model, include_usage=self.include_usage, calls_are_final=connection.handler.can.tools)


@dataclass(frozen=True, slots=True)
class TextCall(_Call):
    """`text_completion`."""

    prompts: tuple[str, ...] = ()
    echo: bool = False

    @classmethod
    def of(cls, model: str, prompt: Any, options: dict[str, Any]) -> Self:
        """Return the call with these arguments."""
        wish, dropping, body = _read(model, options)
        body["prompt"] = prompt
        echo = bool(body.pop("echo", None))
        with _coded(wish):
            prompts, arguments = completion_arguments(body)
        n = arguments.pop("n", None) or 1
        if wish.target.served is not None:
            arguments["model"] = wish.target.served
        stream, usage = wants_stream(body), wants_usage(body)
        return cls(model, wish, dropping, arguments, n, stream, usage, tuple(prompts), echo)

    def run(self) -> OpenAiObject | Chunks:
        """Return the completion, or its chunks."""
        with self.guard():
            connection = self._connection()
            client, settings = connection.pooled.client, self._settings(connection.handler)
            if self.stream:
                self._check_stream(connection.handler, len(self.prompts) * self.n)
                begin = client.stream if self.wish.template is not None else client.stream_complete
                stream = begin(self.prompts[0], **settings, n=_n(self.n), include_usage=self.include_usage)
                return Chunks(stream, self._encoder(), self.wish.target.name, self.guard).start()
            ask: Any = client.chat if self.wish.template is not None else client.complete
            return self._object(run_all(self._asked(ask, settings, connection.handler)))

    async def arun(self) -> OpenAiObject | AsyncChunks:
        """`run`, awaited."""
        with self.guard():
            connection = await self._found(self._connection)
            client, settings = connection.pooled.twin, self._settings(connection.handler)
            if self.stream:
                self._check_stream(connection.handler, len(self.prompts) * self.n)
                begin = client.stream if self.wish.template is not None else client.stream_complete
                stream = begin(self.prompts[0], **settings, n=_n(self.n), include_usage=self.include_usage)
                return await AsyncChunks(stream, self._encoder(), self.wish.target.name, self.guard).start()
            ask: Any = client.chat if self.wish.template is not None else client.complete
            calls: list[Callable[[], Awaitable[Reply]]] = self._asked(ask, settings, connection.handler)
            return self._object(await gather(calls))

    def _connection(self) -> Connection:
        # LiteLLM makes a prompt a user message; without a template that comes to the same as the bare text.
        return self.wish.for_text() if self.wish.template is None else self.wish.for_chat()

    def _asked(self, ask: Any, settings: Mapping[str, Any], handler: ContentHandler) -> list[Callable[[], Any]]:
        if handler.can.n:
            return [partial(ask, prompt, **settings, n=_n(self.n)) for prompt in self.prompts]
        numbers = range(self.n)
        return [partial(ask, prompt, **with_seed(settings, number)) for prompt in self.prompts for number in numbers]

    def _object(self, replies: list[Reply]) -> OpenAiObject:
        each = len(replies) // len(self.prompts)
        echo = [self.prompts[number // each] for number in range(len(replies))] if self.echo else None
        return text_object(replies, model=self.wish.target.name, echo=echo)

    def _encoder(self) -> TextEncoder:
        chunks = TextChunks(self.model, n=self.n, include_usage=self.include_usage)
        return TextEncoder(chunks, self.prompts[0] if self.echo else None)


@dataclass(frozen=True, slots=True)
class EmbeddingCall(_Call):
    """`embedding`."""

    base64: bool = False

    @classmethod
    def of(cls, model: str, given: Any, options: dict[str, Any]) -> Self:
        """Return the call with these arguments."""
        wish, dropping, body = _read(model, options)
        body["input"] = list(given) if isinstance(given, tuple) else given
        with _coded(wish):
            arguments = embedding_arguments(body)
        return cls(model, wish, dropping, arguments, base64=body.get("encoding_format") == "base64")

    def run(self) -> OpenAiObject:
        """Return the vectors."""
        with self.guard():
            connection = self.wish.for_embedding()
            vectors = connection.pooled.client.embed(**self._fitting(connection), model=self.wish.target.served)
            return embedding_object(vectors, model=self.wish.target.name, base64=self.base64)

    async def arun(self) -> OpenAiObject:
        """`run`, awaited."""
        with self.guard():
            connection = await self._found(self.wish.for_embedding)
            vectors = await connection.pooled.twin.embed(**self._fitting(connection), model=self.wish.target.served)
            return embedding_object(vectors, model=self.wish.target.name, base64=self.base64)

    def _fitting(self, connection: VectorConnection) -> dict[str, Any]:
        return self.dropping.fit_vectors(dict(self.arguments), connection.handler)


def _coded(wish: Wish) -> Any:
    return coded_errors(wish.target.provider, wish.target.name)


def _read(model: str, options: dict[str, Any]) -> tuple[Wish, Dropping, dict[str, Any]]:
    """Return the server, what may be left out, and the rest as the body of a request to OpenAI's API."""
    module = _module()
    options = {name: value for name, value in options.items() if value is not None}
    if module.num_retries is not None and "max_retries" not in options:
        options.setdefault("num_retries", module.num_retries)
    dropping = take_dropping(options, module.drop_params)
    with coded_errors(model.partition("/")[0], model):
        target = find_target(model, options)
        template = take_template(target, model, options)
        allow_zero = bool(options.pop("aws_sagemaker_allow_zero_temp", None))
        wish = Wish(target, options.pop("handler", None), template, allow_zero)
        own_options(options)
    return wish, dropping, options


def _n(n: int) -> int | None:
    return n if n > 1 else None
