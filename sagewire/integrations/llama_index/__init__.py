"""Endpoints as LlamaIndex models: text, vectors, and rankings.

>>> from sagewire.integrations.llama_index import SageMakerLLM
>>> llm = SageMakerLLM("my-llama", content_handler="openai_chat", aws_region_name="eu-west-1")
>>> llm.metadata.is_function_calling_model
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagewire._extras import require
from sagewire._names import missing

require("llama_index.core", "llama-index")

from sagewire.integrations.llama_index.embedding_io_handler import (  # noqa: E402
    BaseEmbeddingIOHandler,
    EmbeddingIOHandler,
)
from sagewire.integrations.llama_index.embeddings import SageMakerEmbedding  # noqa: E402
from sagewire.integrations.llama_index.huggingface import (  # noqa: E402
    HuggingFaceEndpointEmbedding,
    HuggingFaceEndpointLLM,
    HuggingFaceEndpointRerank,
)
from sagewire.integrations.llama_index.io_handler import BaseIOHandler, IOHandler  # noqa: E402
from sagewire.integrations.llama_index.llm import SageMakerLLM  # noqa: E402
from sagewire.integrations.llama_index.rerank import SageMakerRerank  # noqa: E402

__all__ = [
    "BaseEmbeddingIOHandler",
    "BaseIOHandler",
    "EmbeddingIOHandler",
    "HuggingFaceEndpointEmbedding",
    "HuggingFaceEndpointLLM",
    "HuggingFaceEndpointRerank",
    "IOHandler",
    "SageMakerEmbedding",
    "SageMakerLLM",
    "SageMakerRerank",
]

if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
