"""One question to an endpoint, decided before anything is sent: messages or text, and with which settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sagewire.content_handlers import ContentHandler, LlamaIndexHandler
from sagewire.integrations._client_pool import ClientPair
from sagewire.types import Delta, Message, Reply

__all__ = ["Question"]

Response_co = TypeVar("Response_co", covariant=True)


class Growth(Protocol[Response_co]):
    """What turns deltas into LlamaIndex's cumulative responses."""

    def add(self, delta: Delta) -> Response_co | None:
        """Return the response after one more delta, if it shows."""
        ...

    def finish(self, reply: Reply) -> Response_co:
        """Return the last response."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the client.

    Args:
        content: A conversation, or text to be continued as it is.
        pair: The clients of the endpoint.
        handler: Its request format.
        arguments: Settings and tools, as keyword arguments of the client's methods.
        single_call: Show only the first tool call of an answer.
    """

    content: tuple[Message, ...] | str
    pair: ClientPair
    handler: ContentHandler
    arguments: dict[str, Any] = field(default_factory=dict)
    single_call: bool = False

    def answer(self) -> Reply:
        """Ask and wait for the whole answer."""
        client = self.pair.client
        if isinstance(self.content, str):
            return client.complete(self.content, **self.arguments)
        return client.chat(self.content, **self.arguments)

    def aanswer(self) -> Awaitable[Reply]:
        """Ask; the whole answer is to be awaited."""
        client = self.pair.twin
        if isinstance(self.content, str):
            return client.complete(self.content, **self.arguments)
        return client.chat(self.content, **self.arguments)

    def grow(self, growth: Growth[Response_co]) -> Generator[Response_co, None, None]:
        """Ask and yield the answer as it grows; the connection closes with the generator."""
        with self._stream(self.pair.client) as stream:
            for delta in stream:
                response = growth.add(delta)
                if response is not None:
                    yield response
            yield growth.finish(stream.reply)

    async def agrow(self, growth: Growth[Response_co]) -> AsyncGenerator[Response_co, None]:
        """Ask and yield the answer as it grows, without ever blocking the event loop."""
        async with self._stream(self.pair.twin) as stream:
            async for delta in stream:
                response = growth.add(delta)
                if response is not None:
                    yield response
            yield growth.finish(stream.reply)

    def cleaner(self) -> Any:
        """Return the filter of the answer's text if a LlamaIndex content handler is in use, else `None`.

        That handler's `remove_prefix` is written for servers that echo the prompt, and some cut as many characters as
        the prompt has without looking. The echo has been removed by now, if there was one; it is put back for the
        call, so that such a handler cuts the echo and never the answer.
        """
        handler, prompt = self.handler, self.content
        if not isinstance(handler, LlamaIndexHandler) or not isinstance(prompt, str):
            return None
        return lambda text: handler.remove_prefix(prompt + text, prompt).removeprefix(prompt)

    def _stream(self, client: Any) -> Any:
        if isinstance(self.content, str):
            return client.stream_complete(self.content, **self.arguments)
        return client.stream(self.content, **self.arguments)
