"""Embedding handlers: the request and response formats of containers that turn texts into vectors.

`EMBEDDING_HANDLERS` is the whole list. A name from it, a handler object of your own, or one written for LangChain or
LlamaIndex is accepted wherever sagewire takes one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagewire.content_handlers.embeddings.base import (
    SEND_TEXT,
    EmbeddingHandler,
    JsonEmbeddingHandler,
    join_embeddings,
    verified,
)
from sagewire.content_handlers.embeddings.cohere import CohereEmbedHandler
from sagewire.content_handlers.embeddings.custom import AdaptedEmbeddingHandler
from sagewire.content_handlers.embeddings.feature_extraction import HfFeatureExtractionHandler
from sagewire.content_handlers.embeddings.jumpstart import JumpStartEmbeddingHandler
from sagewire.content_handlers.embeddings.lmi import LmiEmbeddingHandler
from sagewire.content_handlers.embeddings.openai import OpenAiEmbeddingsHandler, VllmPoolingHandler
from sagewire.content_handlers.embeddings.tei import TeiHandler
from sagewire.content_handlers.embeddings.triton import TritonEmbeddingHandler
from sagewire.content_handlers.registry import pick, register

__all__ = [
    "EMBEDDING_HANDLERS",
    "SEND_TEXT",
    "AdaptedEmbeddingHandler",
    "CohereEmbedHandler",
    "EmbeddingHandler",
    "HfFeatureExtractionHandler",
    "JsonEmbeddingHandler",
    "JumpStartEmbeddingHandler",
    "LmiEmbeddingHandler",
    "OpenAiEmbeddingsHandler",
    "TeiHandler",
    "TritonEmbeddingHandler",
    "VllmPoolingHandler",
    "get_embedding_handler",
    "join_embeddings",
    "verified",
]

EMBEDDING_HANDLERS: dict[str, Callable[[], EmbeddingHandler]] = register(
    EmbeddingHandler,
    {
        "cohere_embed": CohereEmbedHandler,
        "hf_feature_extraction": HfFeatureExtractionHandler,
        "jumpstart_embedding": JumpStartEmbeddingHandler,
        "lmi_embedding": LmiEmbeddingHandler,
        "openai_embeddings": OpenAiEmbeddingsHandler,
        "tei": TeiHandler,
        "triton_embedding": TritonEmbeddingHandler,
        "vllm_pooling": VllmPoolingHandler,
    },
)

_STYLES: dict[tuple[str, ...], Callable[[Any], EmbeddingHandler]] = {
    ("transform_input", "transform_output"): AdaptedEmbeddingHandler,
    ("serialize_input", "deserialize_output"): AdaptedEmbeddingHandler,
}


def get_embedding_handler(handler: Any) -> EmbeddingHandler:
    """Return the embedding handler that is meant.

    Args:
        handler: A name in `EMBEDDING_HANDLERS` or of a plug-in, `package.module:Name`, an `EmbeddingHandler` or a class
            of it, or an object (or class) in the style of LangChain's `EmbeddingsContentHandler` or LlamaIndex's
            `BaseIOHandler`.

    Raises:
        UsageError: The name is unknown, or the object is not a handler.

    Example:
        >>> get_embedding_handler("tei")
        TeiHandler()
    """
    return pick(handler, EmbeddingHandler, EMBEDDING_HANDLERS, _STYLES, "embedding handler")
