"""An adaptor for embedding handlers written for LangChain or LlamaIndex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.content_handlers.custom import unreadable
from sagewire.content_handlers.embeddings.base import EmbeddingHandler, verified
from sagewire.content_handlers.readable_bytes import WholeBody
from sagewire.errors import SagewireError, UsageError
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["AdaptedEmbeddingHandler"]


class AdaptedEmbeddingHandler(EmbeddingHandler):
    """A handler in the style of LangChain's `EmbeddingsContentHandler` or LlamaIndex's embedding `BaseIOHandler`.

    Args:
        handler: Has `transform_input(texts, model_kwargs)` and `transform_output(body)`, or `serialize_input` and
            `deserialize_output`; may have `content_type` and `accepts` or `accept`.
    """

    name = "custom"
    max_texts = 64
    option_names: Mapping[str, str] = {name: name for name in ("dimensions", "truncate", "normalize", "model")}
    takes_extra = True

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        native = hasattr(handler, "transform_input")
        self._serialize = handler.transform_input if native else handler.serialize_input
        self._deserialize = handler.transform_output if native else handler.deserialize_output
        self.content_type = getattr(handler, "content_type", None) or self.content_type
        self.accept = getattr(handler, "accepts", None) or getattr(handler, "accept", None) or self.accept

    def __repr__(self) -> str:
        return f"AdaptedEmbeddingHandler({type(self.handler).__name__}())"

    def transform_input(self, texts: Sequence[str], options: EmbedOptions, /) -> bytes:
        """Return the request of the user's handler for the texts."""
        given = {name: getattr(options, name) for name in self.option_names}
        kwargs = {**{name: value for name, value in given.items() if value is not None}, **options.extra}
        body = self._serialize(list(texts), kwargs)
        if isinstance(body, str):
            return body.encode()
        if isinstance(body, bytes | bytearray | memoryview):
            return bytes(body)
        raise UsageError(f"{type(self.handler).__name__} must return the request as bytes, not {type(body).__name__}")

    def transform_output(self, body: bytes, /, count: int) -> Embeddings:
        """Return the verified vectors the user's handler finds."""
        try:
            rows = self._deserialize(WholeBody(body))
            return verified(Embeddings([list(map(float, row)) for row in rows]), count, self.name)
        except SagewireError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise unreadable(self.handler, error, body) from error
