"""OpenAI's routes over a client: a request body in, JSON objects out, waiting in one of two ways."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from sagewire.client import AsyncClient, AsyncReplyStream, Client, ReplyStream
from sagewire.content_handlers import ContentHandler
from sagewire.errors import UnsupportedFeature
from sagewire.http.abandonable import in_thread
from sagewire.integrations._answers import TextEncoder, chat_n, chat_n_async, gather, run_all, with_seed
from sagewire.integrations._objects import joined
from sagewire.openai_shapes import (
    ChatChunks,
    ResponseEvents,
    TextChunks,
    chat_arguments,
    chat_completion,
    completion_arguments,
    embedding_arguments,
    embedding_list,
    rerank_arguments,
    rerank_list,
    response_arguments,
    response_object,
    text_completion,
    wants_stream,
    wants_usage,
)
from sagewire.openai_shapes.answers import new_id
from sagewire.openai_shapes.vectors import encoding_format
from sagewire.types import Embeddings, Ranking, Reply

__all__ = ["ROUTES", "Route", "model_list"]

JSON = dict[str, Any]
Answered = TypeVar("Answered", Reply, Embeddings, Ranking)


class Route(ABC):
    """One request to one route.

    Args:
        body: The request's JSON.
        names: The endpoint's own names, which as `model` say nothing that the container should be told.

    Attributes:
        stream: The answer is wanted in pieces.
        request_id: The server's id of the request, once an answer has begun.
    """

    def __init__(self, body: Mapping[str, Any], names: tuple[str, ...]) -> None:
        self.body = body
        asked = body.get("model")
        self.model = asked if isinstance(asked, str) and asked else names[0]
        self.served = None if self.model in names else self.model
        self.stream = False
        self.request_id: str | None = None

    @abstractmethod
    def run(self, client: Client) -> JSON:
        """Return the whole answer."""

    @abstractmethod
    async def arun(self, client: AsyncClient) -> JSON:
        """Return the whole answer."""

    def chunks(self, client: Client) -> Iterator[JSON]:
        """Return the answer's chunks as they arrive; raise `UnsupportedFeature` if an answer comes as a whole."""
        raise UnsupportedFeature("streaming", type(self).__name__, "Its answer comes as a whole; leave stream out.")

    def achunks(self, client: AsyncClient) -> AsyncIterator[JSON]:
        """Return the answer's chunks as they arrive; raise `UnsupportedFeature` if an answer comes as a whole."""
        raise UnsupportedFeature("streaming", type(self).__name__, "Its answer comes as a whole; leave stream out.")

    def _of(self, answer: Answered) -> Answered:
        """Keep the request's id and return the answer."""
        if self.request_id is None:
            self.request_id = answer.info.request_id
        return answer


class _Generating(Route):
    """What chat and text have in common."""

    def __init__(self, body: Mapping[str, Any], names: tuple[str, ...]) -> None:
        super().__init__(body, names)
        self.stream, self.usage = wants_stream(body), wants_usage(body)
        self._noted = False

    def _take_n(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.n: int = arguments.pop("n", None) or 1
        return arguments if self.served is None else {**arguments, "model": self.served}

    def _note(self, stream: ReplyStream | AsyncReplyStream) -> None:
        # Known from the first piece on; the reply is put together for this once.
        if not self._noted:
            self._noted = True
            self._of(stream.reply)

    def _n_of_stream(self, handler: ContentHandler, answers: int) -> int | None:
        if answers > 1 and not handler.can.n:
            raise UnsupportedFeature("a stream of several answers", f"handler '{handler.name}'", "Leave n out.")
        return self.n if self.n > 1 else None


class ChatRoute(_Generating):
    """`/chat/completions`."""

    def __init__(self, body: Mapping[str, Any], names: tuple[str, ...]) -> None:
        super().__init__(body, names)
        self.arguments = self._take_n(chat_arguments(body))
        self.messages = self.arguments.pop("messages")

    def run(self, client: Client) -> JSON:
        """Return the whole answer."""
        replies = chat_n(client, client.handler, self.messages, self.n, self.arguments)
        self._of(replies[0])
        return chat_completion(joined(replies), model=self.model)

    async def arun(self, client: AsyncClient) -> JSON:
        """Return the whole answer."""
        handler = await _handler(client)
        replies = await chat_n_async(client, handler, self.messages, self.n, self.arguments)
        self._of(replies[0])
        return chat_completion(joined(replies), model=self.model)

    def chunks(self, client: Client) -> Iterator[JSON]:
        """Return the answer's chunks as they arrive."""
        handler = client.handler
        encoder = self._encoder(handler)
        n = self._n_of_stream(handler, self.n)
        with client.stream(self.messages, **self.arguments, n=n, include_usage=self.usage) as stream:
            for delta in stream:
                self._note(stream)
                yield from encoder.encode(delta)
        yield from encoder.close()

    async def achunks(self, client: AsyncClient) -> AsyncIterator[JSON]:
        """Return the answer's chunks as they arrive."""
        handler = await _handler(client)
        encoder = self._encoder(handler)
        n = self._n_of_stream(handler, self.n)
        async with client.stream(self.messages, **self.arguments, n=n, include_usage=self.usage) as stream:
            async for delta in stream:
                self._note(stream)
                for chunk in encoder.encode(delta):
                    yield chunk
        for chunk in encoder.close():
            yield chunk

    def _encoder(self, handler: ContentHandler) -> ChatChunks:
        return ChatChunks(self.model, include_usage=self.usage, calls_are_final=handler.can.tools)


class ResponseRoute(_Generating):
    """`/responses`: OpenAI's newer API for conversations, with text and function tools; nothing is stored."""

    def __init__(self, body: Mapping[str, Any], names: tuple[str, ...]) -> None:
        super().__init__(body, names)
        self.arguments = self._take_n(response_arguments(body))
        self.messages = self.arguments.pop("messages")

    def run(self, client: Client) -> JSON:
        """Return the whole answer."""
        return self._body(client.chat(self.messages, **self.arguments))

    async def arun(self, client: AsyncClient) -> JSON:
        """Return the whole answer."""
        return self._body(await client.chat(self.messages, **self.arguments))

    def chunks(self, client: Client) -> Iterator[JSON]:
        """Return the answer's events as they arrive."""
        events = self._events(client.handler)
        with client.stream(self.messages, **self.arguments) as stream:
            for delta in stream:
                self._note(stream)
                yield from events.encode(delta)
        yield from events.close()

    async def achunks(self, client: AsyncClient) -> AsyncIterator[JSON]:
        """Return the answer's events as they arrive."""
        events = self._events(await _handler(client))
        async with client.stream(self.messages, **self.arguments) as stream:
            async for delta in stream:
                self._note(stream)
                for event in events.encode(delta):
                    yield event
        for event in events.close():
            yield event

    def _body(self, reply: Reply) -> JSON:
        return response_object(self._of(reply), self.body, model=self.model, id=_response_id())

    def _events(self, handler: ContentHandler) -> ResponseEvents:
        return ResponseEvents(self.body, model=self.model, calls_are_final=handler.can.tools)


class TextRoute(_Generating):
    """`/completions`."""

    def __init__(self, body: Mapping[str, Any], names: tuple[str, ...]) -> None:
        super().__init__(body, names)
        self.echo = body.get("echo") is True
        prompts, arguments = completion_arguments({name: value for name, value in body.items() if name != "echo"})
        self.prompts = prompts
        self.arguments = self._take_n(arguments)

    def run(self, client: Client) -> JSON:
        """Return the whole answer."""
        return self._body(run_all(partial(client.complete, prompt, **more) for prompt, more in self._each()))

    async def arun(self, client: AsyncClient) -> JSON:
        """Return the whole answer."""
        return self._body(await gather(partial(client.complete, prompt, **more) for prompt, more in self._each()))

    def chunks(self, client: Client) -> Iterator[JSON]:
        """Return the answer's chunks as they arrive."""
        encoder = self._encoder(client.handler)
        with client.stream_complete(self.prompts[0], **self.arguments, include_usage=self.usage) as stream:
            for delta in stream:
                self._note(stream)
                yield from encoder.encode(delta)
        yield from encoder.close()

    async def achunks(self, client: AsyncClient) -> AsyncIterator[JSON]:
        """Return the answer's chunks as they arrive."""
        encoder = self._encoder(await _handler(client))
        async with client.stream_complete(self.prompts[0], **self.arguments, include_usage=self.usage) as stream:
            async for delta in stream:
                self._note(stream)
                for chunk in encoder.encode(delta):
                    yield chunk
        for chunk in encoder.close():
            yield chunk

    def _each(self) -> list[tuple[str, Mapping[str, Any]]]:
        # Not every request format has `n`; with separate calls the answers are the same.
        return [(prompt, with_seed(self.arguments, number)) for prompt in self.prompts for number in range(self.n)]

    def _body(self, replies: list[Reply]) -> JSON:
        self._of(replies[0])
        echo = [prompt for prompt in self.prompts for _ in range(self.n)] if self.echo else ()
        return text_completion(replies, model=self.model, echo=echo)

    def _encoder(self, handler: ContentHandler) -> TextEncoder:
        if len(self.prompts) * self.n > 1:
            raise UnsupportedFeature("a stream of several answers", "an endpoint", "Leave n out, and send one prompt.")
        chunks = TextChunks(self.model, include_usage=self.usage)
        return TextEncoder(chunks, self.prompts[0] if self.echo else None)


class EmbeddingRoute(Route):
    """`/embeddings`."""

    def __init__(self, body: Mapping[str, Any], names: tuple[str, ...]) -> None:
        super().__init__(body, names)
        self.arguments = {**embedding_arguments(body), "model": self.served}
        self.format = encoding_format(body)

    def run(self, client: Client) -> JSON:
        """Return the vectors."""
        return embedding_list(self._of(client.embed(**self.arguments)), model=self.model, encoding_format=self.format)

    async def arun(self, client: AsyncClient) -> JSON:
        """Return the vectors."""
        return embedding_list(
            self._of(await client.embed(**self.arguments)), model=self.model, encoding_format=self.format
        )


class RerankRoute(Route):
    """`/rerank`, which OpenAI does not have and vLLM does; `client.post("/rerank", ...)` reaches it."""

    def __init__(self, body: Mapping[str, Any], names: tuple[str, ...]) -> None:
        super().__init__(body, names)
        self.arguments = rerank_arguments(body)
        self.documents = self.arguments["documents"] if body.get("return_documents") else ()

    def run(self, client: Client) -> JSON:
        """Return the ranking."""
        return rerank_list(self._of(client.rerank(**self.arguments)), model=self.model, documents=self.documents)

    async def arun(self, client: AsyncClient) -> JSON:
        """Return the ranking."""
        return rerank_list(self._of(await client.rerank(**self.arguments)), model=self.model, documents=self.documents)


ROUTES: Mapping[str, type[Route]] = {
    "chat/completions": ChatRoute,
    "completions": TextRoute,
    "responses": ResponseRoute,
    "embeddings": EmbeddingRoute,
    "rerank": RerankRoute,
}


def _response_id() -> str:
    return new_id("resp").replace("-", "_")


def model_list(name: str) -> JSON:
    """Return the answer of `/models`: the endpoint itself."""
    return {"object": "list", "data": [model_object(name)]}


def model_object(name: str) -> JSON:
    """Return the endpoint as a model."""
    return {"id": name, "object": "model", "created": int(time.time()), "owned_by": "sagewire"}


async def _handler(client: AsyncClient) -> ContentHandler:
    """Return the handler for conversations; the control plane may have to be asked, through botocore, which blocks."""
    await client.look_up()
    return client.handler if client.known else await in_thread(lambda: client.handler)
