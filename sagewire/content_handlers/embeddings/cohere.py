"""Cohere's embedding models from AWS Marketplace.

Source: cohere-python manually_maintained/cohere_aws/client.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.content_handlers.embeddings.base import JsonEmbeddingHandler
from sagewire.content_handlers.outcome import token_count
from sagewire.types import Embeddings, EmbedOptions, InputType, Usage

__all__ = ["CohereEmbedHandler"]

_INPUT_TYPES: Mapping[InputType, str] = {
    "query": "search_query",
    "document": "search_document",
    "classification": "classification",
    "clustering": "clustering",
}


class CohereEmbedHandler(JsonEmbeddingHandler):
    """Cohere embed.

    Models from version 3 on need the purpose of the texts; without `input_type` it is `search_document`.
    `extra={"input_type": None}` leaves the field out for older ones.
    """

    name = "cohere_embed"
    takes_extra = True
    path = "/v1/embed"
    max_texts = 96
    option_names: Mapping[str, str] = {"dimensions": "output_dimension", "truncate": "truncate"}

    def payload(self, texts: Sequence[str], options: EmbedOptions, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        named = {"input_type": _INPUT_TYPES[options.input_type or "document"], **self.named_options(options)}
        if options.truncate is not None and "truncate" not in options.extra:
            named["truncate"] = "END" if options.truncate else "NONE"
        return {"texts": list(texts), **{name: value for name, value in named.items() if value is not None}}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the vectors in a parsed response."""
        rows = payload["embeddings"]
        if isinstance(rows, dict):
            # With `embedding_types`: the floats if they are there, else the one other type that was requested.
            rows = rows["float"] if "float" in rows else next(iter(rows.values()))
        meta = payload.get("meta") or {}
        counts = meta.get("tokens") or meta.get("billed_units") or {}
        tokens = token_count(counts.get("input_tokens"))
        return Embeddings(rows, Usage(prompt_tokens=tokens) if tokens is not None else None)
