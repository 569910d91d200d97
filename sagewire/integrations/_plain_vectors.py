"""Embeddings as EasyLLM and LiteLLM ask endpoints for them that may not be described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.content_handlers.embeddings import EmbeddingHandler, JsonEmbeddingHandler, get_embedding_handler
from sagewire.content_handlers.embeddings.openai import OpenAiEmbeddingsHandler
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["INPUTS", "by_endpoint_name"]

# Where scripts put the vectors.
_FIELDS = ("vectors", "predictions", "embeddings", "embedding")


class Inputs(JsonEmbeddingHandler):
    """`{"inputs": [...]}` in; an array of vectors, or an object that holds one, out: TEI and most scripts."""

    name = "plain_inputs"
    takes_extra = True
    option_names: Mapping[str, str] = {"truncate": "truncate", "normalize": "normalize"}

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


class Voyage(OpenAiEmbeddingsHandler):
    """Voyage's models from AWS Marketplace: OpenAI's wire, with its own name for the number of dimensions."""

    name = "voyage"
    takes_tokens = False
    option_names: Mapping[str, str] = {"dimensions": "output_dimension", "input_type": "input_type"}


INPUTS = Inputs()


def by_endpoint_name(name: str) -> EmbeddingHandler:
    """Return what LiteLLM takes an endpoint for: it looks for two makers' names in the endpoint's.

    Example:
        >>> by_endpoint_name("my-voyage-3-5").name
        'voyage'
    """
    if "voyage" in name.lower():
        return Voyage()
    return get_embedding_handler("cohere_embed") if "cohere" in name.lower() else INPUTS
