"""Embeddings as EasyLLM asks for them: `inputs`, answered in any of the ways its containers answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.content_handlers.embeddings import JsonEmbeddingHandler
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["INPUTS", "Inputs"]

# Where the scripts of EasyLLM's time put the vectors.
_FIELDS = ("vectors", "predictions", "embeddings", "embedding")


class Inputs(JsonEmbeddingHandler):
    """`{"inputs": [...]}` in; an array of vectors, or an object that holds one, out."""

    name = "easyllm_inputs"
    takes_extra = True

    def payload(self, texts: Sequence[str], options: EmbedOptions, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        return {"inputs": list(texts), **self.named_options(options)}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the vectors in a parsed response."""
        rows = payload
        if isinstance(payload, dict):
            rows = next(payload[name] for name in _FIELDS if name in payload)
        if count == 1 and rows and not isinstance(rows[0], list):
            rows = [rows]
        return Embeddings(rows)


INPUTS = Inputs()
