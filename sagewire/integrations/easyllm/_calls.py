"""One call of EasyLLM's: its parameters as sagewire's, sent, and the answer in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

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
from sagewire.integrations._client_pool import ClientPair
from sagewire.integrations._fallback_profile import once
from sagewire.integrations._objects import OpenAiObject, chat_object, embedding_object, text_object
from sagewire.integrations.easyllm._service import LOG, Connection, Service
from sagewire.integrations.easyllm.prompt_utils import BASE_FORMAT
from sagewire.openai_shapes import ChatChunks, TextChunks
from sagewire.prompt_formats.base import without_bos
from sagewire.types import Message, Reply, as_messages

__all__ = ["ChatCall", "EmbeddingCall", "TextCall"]

T = TypeVar("T")

# Settings that are sent by default. If a request format lacks one, it is left out.
DEFAULTS = {
    "max_tokens": 1024,
    "temperature": 0.9,
    "top_p": 0.6,
    "top_k": 10,
    "repetition_penalty": 1.0,
    "seed": 42,
}


@dataclass(frozen=True, slots=True)
class _Call:
    """What chat and text have in common.

    Args:
        service: The module.
        model: The endpoint, or the model.
        n: How many answers.
        stream: Whether the answer is streamed.
        options: Generation settings under sagewire's names.
    """

    service: Service
    model: str | None
    n: int
    stream: bool
    options: Mapping[str, Any] = field(default_factory=dict)

    def _settings(self, handler: ContentHandler) -> dict[str, Any]:
        service = self.service
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise UsageError(f"n={self.n!r} must be a whole number of at least 1")
        settings = {name: value for name, value in self.options.items() if value is not None}
        if settings.get("top_p") == 0:
            # EasyLLM's way of saying "off"; no server takes it.
            del settings["top_p"]
        stops = [*_listed(service.setting("stop_sequences")), *_listed(settings.pop("stop", None))]
        settings |= {"seed": service.setting("seed"), "model": service.served_name(self.model)}
        if stops:
            settings["stop"] = list(dict.fromkeys(stops))
        return _fitting({name: value for name, value in settings.items() if value is not None}, handler)

    def _check_stream(self, handler: ContentHandler, answers: int) -> None:
        if answers > 1 and not handler.can.n:
            raise UsageError(
                f"'{handler.name}' cannot stream more than one completion; leave n out, or call once for each answer"
            )


@dataclass(frozen=True, slots=True)
class ChatCall(_Call):
    """`ChatCompletion.create`."""

    messages: Any = ()

    def run(self) -> OpenAiObject | Chunks:
        """Return the completion, or its chunks."""
        connection = self.service.for_chat(self.model, self._wanted())
        messages, settings = self._ready(connection.handler)
        client = connection.pooled.client
        if not self.stream:
            return chat_object(chat_n(client, connection.handler, messages, self.n, settings), model=self.model)
        self._check_stream(connection.handler, self.n)
        return Chunks(client.stream(messages, **settings, n=_n(self.n)), self._encoder(connection), self.model)

    async def arun(self) -> OpenAiObject | AsyncChunks:
        """`run`, awaited."""
        find = partial(self.service.for_chat, wanted=self._wanted())
        connection = await _found(self.service, find, self.model)
        messages, settings = self._ready(connection.handler)
        client = connection.pooled.twin
        if not self.stream:
            replies = await chat_n_async(client, connection.handler, messages, self.n, settings)
            return chat_object(replies, model=self.model)
        self._check_stream(connection.handler, self.n)
        return AsyncChunks(client.stream(messages, **settings, n=_n(self.n)), self._encoder(connection), self.model)

    def _wanted(self) -> list[str]:
        return [name for name in DEFAULTS if self.options.get(name) not in (None, DEFAULTS[name])]

    def _ready(self, handler: ContentHandler) -> tuple[tuple[Message, ...], dict[str, Any]]:
        messages, settings = as_messages(self.messages), self._settings(handler)
        LOG.debug("chat with %s: %s %s", self.model, messages, settings)
        return messages, settings

    def _encoder(self, connection: Connection) -> ChatChunks:
        return ChatChunks(self.model or "", calls_are_final=connection.handler.can.tools)


@dataclass(frozen=True, slots=True)
class TextCall(_Call):
    """`Completion.create`."""

    prompt: Any = ""
    suffix: str | None = None
    echo: bool = False

    def run(self) -> OpenAiObject | Chunks:
        """Return the completion, or its chunks."""
        connection = self.service.for_completion(self.model)
        prompts, settings = self._ready(connection)
        client = connection.pooled.client
        if self.stream:
            self._check_stream(connection.handler, len(prompts) * self.n)
            stream = client.stream_complete(prompts[0], **settings, n=_n(self.n))
            return Chunks(stream, self._encoder(prompts[0]), self.model)
        calls = [partial(client.complete, *one, **more) for one, more in self._each(prompts, settings, connection)]
        return self._object(run_all(calls), prompts)

    async def arun(self) -> OpenAiObject | AsyncChunks:
        """`run`, awaited."""
        connection = await _found(self.service, self.service.for_completion, self.model)
        prompts, settings = self._ready(connection)
        client = connection.pooled.twin
        if self.stream:
            self._check_stream(connection.handler, len(prompts) * self.n)
            stream = client.stream_complete(prompts[0], **settings, n=_n(self.n))
            return AsyncChunks(stream, self._encoder(prompts[0]), self.model)
        calls: list[Callable[[], Awaitable[Reply]]] = [
            partial(client.complete, *one, **more) for one, more in self._each(prompts, settings, connection)
        ]
        return self._object(await gather(calls), prompts)

    def _ready(self, connection: Connection) -> tuple[list[str], dict[str, Any]]:
        prompts = [self._written(prompt, connection) for prompt in _prompts(self.prompt, self.suffix)]
        settings = self._settings(connection.handler)
        if connection.format is not None:
            stops = [*settings.get("stop", ()), *connection.format.stops]
            settings["stop"] = list(dict.fromkeys(stops))
        if not settings.get("stop"):
            settings.pop("stop", None)
        LOG.debug("completion with %s: %s %s", self.model, prompts, settings)
        return prompts, settings

    def _written(self, prompt: str | list[Any], connection: Connection) -> str:
        if isinstance(prompt, str) and connection.format is None:
            return prompt
        if connection.format is None:
            once(LOG, "A conversation as the prompt of a completion is written as 'USER: ...'; set prompt_builder.")
        writer = connection.format or BASE_FORMAT
        text = writer.render_completion(prompt) if isinstance(prompt, str) else writer.render(as_messages(prompt))
        return without_bos(text, writer.tokenizer_bos) if connection.handler.adds_bos else text

    def _each(
        self, prompts: list[str], settings: dict[str, Any], connection: Connection
    ) -> list[tuple[tuple[str], Mapping[str, Any]]]:
        if connection.handler.can.n:
            return [((prompt,), {**settings, "n": _n(self.n)}) for prompt in prompts]
        return [((prompt,), with_seed(settings, number)) for prompt in prompts for number in range(self.n)]

    def _object(self, replies: list[Reply], prompts: list[str]) -> OpenAiObject:
        each = len(replies) // len(prompts)
        echo = [prompts[number // each] for number in range(len(replies))] if self.echo else None
        return text_object(replies, model=self.model, echo=echo)

    def _encoder(self, prompt: str) -> TextEncoder:
        return TextEncoder(TextChunks(self.model or "", n=self.n), prompt if self.echo else None)


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """`Embedding.create`."""

    service: Service
    model: str | None
    input: Any

    def run(self) -> OpenAiObject:
        """Return the vectors."""
        texts, pooled = self._texts(), self.service.for_embedding(self.model)
        return embedding_object(pooled.client.embed(texts, model=self._name()), model=self.model)

    async def arun(self) -> OpenAiObject:
        """`run`, awaited."""
        texts = self._texts()
        pooled: ClientPair = await _found(self.service, self.service.for_embedding, self.model)
        return embedding_object(await pooled.twin.embed(texts, model=self._name()), model=self.model)

    def _texts(self) -> list[str]:
        texts = [self.input] if isinstance(self.input, str) else list(self.input)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise UsageError("input must be a text or a list of texts, and not be empty")
        return texts

    def _name(self) -> str | None:
        return self.service.served_name(self.model)


async def _found(service: Service, find: Callable[[str | None], T], model: str | None) -> T:
    """Return the client for a call; may ask the control plane through botocore, which blocks."""
    if service.knows(model, embedding=find == service.for_embedding):
        return find(model)
    return await in_thread(find, model)


def _fitting(settings: dict[str, Any], handler: ContentHandler) -> dict[str, Any]:
    """Return the settings without defaults that the request format lacks; the user's own settings stay."""
    names = getattr(handler, "option_names", None)
    if not names:
        return settings
    left_out = [name for name, value in DEFAULTS.items() if name not in names and settings.get(name) == value]
    if left_out:
        LOG.debug("'%s' does not support %s, which EasyLLM sets by default", handler.name, ", ".join(left_out))
    return {name: value for name, value in settings.items() if name not in left_out}


def _prompts(prompt: Any, suffix: str | None) -> list[str | list[Any]]:
    if isinstance(prompt, str):
        return [prompt + (suffix or "")]
    listed = list(prompt)
    if not listed:
        raise UsageError("prompt is empty")
    if all(isinstance(one, str) for one in listed):
        return [one + (suffix or "") for one in listed]
    if suffix is not None:
        raise UsageError("suffix goes behind a text; this prompt is a conversation")
    return [listed]


def _listed(stops: Any) -> list[str]:
    return [stops] if isinstance(stops, str) else list(stops or ())


def _n(n: int) -> int | None:
    return n if n > 1 else None
