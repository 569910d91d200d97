"""Text Embeddings Inference's own wire, `/embed`, which SageMaker's TEI images put behind `/invocations`.

Source: text-embeddings-inference router/src/http/types.rs, router/src/lib.rs (defaults of the limits).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.content_handlers.embeddings.base import JsonEmbeddingHandler
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["TeiHandler"]


class TeiHandler(JsonEmbeddingHandler):
    """TEI: `{"inputs": [...]}` in, an array of vectors out. A prompt of the model's own goes through `extra`."""

    name = "tei"
    takes_extra = True
    path = "/embed"
    max_texts = 32
    max_bytes = 1_900_000
    option_names: Mapping[str, str] = {"dimensions": "dimensions", "truncate": "truncate", "normalize": "normalize"}

    def payload(self, texts: Sequence[str], options: EmbedOptions, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        return {"inputs": list(texts), **self.named_options(options)}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the vectors in a parsed response."""
        return Embeddings(_array(payload))


def _array(payload: Any) -> list[Any]:
    if not isinstance(payload, list):
        raise TypeError(f"expected an array of vectors, got {type(payload).__name__}")
    return payload
