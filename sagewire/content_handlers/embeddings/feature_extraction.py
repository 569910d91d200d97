"""Embeddings from the feature-extraction pipeline of Hugging Face's inference toolkit, pooled here.

The pipeline returns a vector per token (1 x tokens x dimensions), special tokens included and without the attention
mask. Releases of transformers that batch a list pad its shorter texts, and padding cannot be told from text: so each
text is its own call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from sagewire.content_handlers.embeddings.base import JsonEmbeddingHandler
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["HfFeatureExtractionHandler"]


class HfFeatureExtractionHandler(JsonEmbeddingHandler):
    """The toolkit's feature-extraction pipeline.

    Args:
        pooling: `mean` of all tokens, what sentence-transformers models are mostly trained with; `cls` for the first
            token and `last` for the last one, if the model's card says so.
        normalize: Scale the vectors to length 1.
    """

    name = "hf_feature_extraction"
    takes_extra = True
    path = "/"
    max_texts = 1

    def __init__(self, *, pooling: Literal["mean", "cls", "last"] = "mean", normalize: bool = False) -> None:
        self.pooling = pooling
        self.normalize = normalize

    def payload(self, texts: Sequence[str], options: EmbedOptions, /) -> dict[str, Any]:
        """Return the request as a JSON object."""
        settings = self.named_options(options)
        return {"inputs": texts[0], "parameters": settings} if settings else {"inputs": texts[0]}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the pooled vector of the one text."""
        tokens = payload
        if tokens and isinstance(tokens[0], list) and tokens[0] and isinstance(tokens[0][0], list):
            if len(tokens) != 1:
                raise ValueError(f"{len(tokens)} texts in the answer to one")
            tokens = tokens[0]
        row = self._pool(tokens) if isinstance(tokens[0], list) else tokens
        return Embeddings([_unit(row) if self.normalize else row])

    def _pool(self, tokens: list[list[float]]) -> list[float]:
        if self.pooling == "cls":
            return tokens[0]
        if self.pooling == "last":
            return tokens[-1]
        # strict: a token with fewer numbers than the others is damage, not something to cut the rest to.
        return [sum(column) / len(tokens) for column in zip(*tokens, strict=True)]


def _unit(row: list[float]) -> list[float]:
    length = math.hypot(*row)
    return [value / length for value in row] if length else row
