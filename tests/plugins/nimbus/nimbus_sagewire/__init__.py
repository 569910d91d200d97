"""Handlers for the containers of Nimbus, and the prompt format of its models."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sagewire.content_handlers import Capabilities, JsonHandler
from sagewire.content_handlers.embeddings import JsonEmbeddingHandler
from sagewire.content_handlers.rerank import JsonRerankHandler
from sagewire.types import Delta, Embeddings, EmbedOptions, Message, TextDelta


class NimbusHandler(JsonHandler):
    """Nimbus chat: turns in, `out` out."""

    name = "nimbus"
    path = "/nimbus/chat"
    can = Capabilities(streaming=False)
    option_names: Mapping[str, str] = {"max_tokens": "most", "temperature": "heat"}

    def payload(self, request: Any, /) -> dict[str, Any]:
        turns = [[message.role, message.text] for message in request.messages]
        return {"turns": turns, **self.named_options(request.options)}

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        yield TextDelta(payload["out"])


class NimbusTextHandler(NimbusHandler):
    """Nimbus text: a prompt in, `out` out."""

    name = "nimbus_text"
    speaks = "prompt"
    path = "/nimbus/text"

    def payload(self, request: Any, /) -> dict[str, Any]:
        return {"text": request.prompt, **self.named_options(request.options)}


class NimbusVectors(JsonEmbeddingHandler):
    """Nimbus embeddings."""

    name = "nimbus_vectors"
    path = "/nimbus/vectors"

    def payload(self, texts: Sequence[str], options: EmbedOptions, /) -> dict[str, Any]:
        return {"texts": list(texts)}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        return Embeddings(payload["rows"])


class NimbusRanks(JsonRerankHandler):
    """Nimbus rerankers."""

    name = "nimbus_ranks"
    path = "/nimbus/ranks"

    def payload(
        self, query: str, documents: Sequence[str], top_n: int | None, extra: Mapping[str, Any], /
    ) -> dict[str, Any]:
        return {"query": query, "texts": list(documents)}

    def read(self, payload: Any, /) -> Sequence[tuple[int, float]]:
        return list(enumerate(payload["scores"]))


def write_turns(messages: Sequence[Message]) -> str:
    """Return a conversation as Nimbus models were trained on it."""
    return "".join(f"<{message.role}>{message.text}" for message in messages) + "<assistant>"


FORMAT = write_turns
