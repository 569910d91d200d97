"""Text Embeddings Inference's own wire, `/embed`, which SageMaker's TEI images put behind `/invocations`.

Source: text-embeddings-inference router/src/http/types.rs, router/src/lib.rs (defaults of the limits).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.content_handlers.embeddings.base import JsonEmbeddingHandler
from sagewire.errors import WireError
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["TeiHandler"]


class TeiHandler(JsonEmbeddingHandler):
    """TEI: `{"inputs": [...]}` in, an array of vectors out. A prompt of the model's own goes through `extra`."""

    name = "tei"
    takes_extra = True
    takes_tokens = True
    path = "/embed"
    max_texts = 32
    max_bytes = 1_900_000
    option_names: Mapping[str, str] = {"dimensions": "dimensions", "truncate": "truncate", "normalize": "normalize"}

    def payload(self, texts: Sequence[Any], options: EmbedOptions, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        return {"inputs": list(texts), **self.named_options(options)}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the vectors in a parsed response, which servers of its kind nest in their own array."""
        if not isinstance(payload, list):
            raise TypeError(f"expected an array of vectors, got {type(payload).__name__}")
        return Embeddings(_rows(payload, count))


def _rows(payload: list[Any], count: int) -> list[Any]:
    """Return a vector for each text.

    Raises:
        WireError: There is a vector for each token.
    """
    if count == 1 and payload and not isinstance(payload[0], list):
        return [payload]
    if not all(isinstance(row, list) and row and isinstance(row[0], list) for row in payload) or not payload:
        return payload
    if all(len(row) == 1 for row in payload):
        return [row[0] for row in payload]
    if len(payload) == 1 and len(payload[0]) == count:
        found: list[Any] = payload[0]
        return found
    raise WireError(
        "embedding handler 'tei' got a vector for each token; name handler='hf_feature_extraction', which makes one of "
        "them (for TEI: the route /embed, not /embed_all)"
    )
