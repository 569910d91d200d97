"""LangChain models on endpoints of your own.

    >>> from sagewire.integrations.langchain import ChatSagemakerEndpoint
    >>> model = ChatSagemakerEndpoint(endpoint_name="my-llama", content_handler="openai_chat")  # doctest: +SKIP
    >>> model.invoke("Why is the sky blue?").content  # doctest: +SKIP
    'Because air scatters blue light more than red.'

Names are loaded when they are first used, so that importing this package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sagewire._extras import require
from sagewire._names import missing_name

require("langchain_core", "langchain")

# Public name -> the module it lives in.
_HOMES = {
    "ChatHuggingFaceEndpoint": "huggingface",
    "ChatModelContentHandler": "_custom",
    "ChatSagemakerEndpoint": "chat",
    "ContentHandlerBase": "_custom",
    "CrossEncoderContentHandler": "cross_encoder",
    "EmbeddingsContentHandler": "embeddings",
    "HuggingFaceEndpoint": "huggingface",
    "HuggingFaceEndpointEmbeddings": "huggingface",
    "HuggingFaceRerank": "huggingface",
    "LLMContentHandler": "_custom",
    "SagemakerEndpoint": "llm",
    "SagemakerEndpointCrossEncoder": "cross_encoder",
    "SagemakerEndpointEmbeddings": "embeddings",
    "SagemakerRerank": "rerank",
}

if TYPE_CHECKING:
    from sagewire.integrations.langchain._custom import ChatModelContentHandler, ContentHandlerBase, LLMContentHandler
    from sagewire.integrations.langchain.chat import ChatSagemakerEndpoint
    from sagewire.integrations.langchain.cross_encoder import CrossEncoderContentHandler, SagemakerEndpointCrossEncoder
    from sagewire.integrations.langchain.embeddings import EmbeddingsContentHandler, SagemakerEndpointEmbeddings
    from sagewire.integrations.langchain.huggingface import (
        ChatHuggingFaceEndpoint,
        HuggingFaceEndpoint,
        HuggingFaceEndpointEmbeddings,
        HuggingFaceRerank,
    )
    from sagewire.integrations.langchain.llm import SagemakerEndpoint
    from sagewire.integrations.langchain.rerank import SagemakerRerank

__all__ = [
    "ChatHuggingFaceEndpoint",
    "ChatModelContentHandler",
    "ChatSagemakerEndpoint",
    "ContentHandlerBase",
    "CrossEncoderContentHandler",
    "EmbeddingsContentHandler",
    "HuggingFaceEndpoint",
    "HuggingFaceEndpointEmbeddings",
    "HuggingFaceRerank",
    "LLMContentHandler",
    "SagemakerEndpoint",
    "SagemakerEndpointCrossEncoder",
    "SagemakerEndpointEmbeddings",
    "SagemakerRerank",
]


if not TYPE_CHECKING:
    # Type checkers would take every name for one of this package's.
    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise missing_name(__name__, name, __all__)
        value = getattr(import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
