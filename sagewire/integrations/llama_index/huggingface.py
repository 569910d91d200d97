"""The same classes on any HTTP server: Hugging Face Inference Endpoints, TGI, vLLM, TEI, llama.cpp, Ollama."""

from __future__ import annotations

from typing import Any

from sagewire.integrations.llama_index._connection import HuggingFaceConnection
from sagewire.integrations.llama_index._language_model import EndpointLLM
from sagewire.integrations.llama_index.embeddings import EndpointEmbedding
from sagewire.integrations.llama_index.rerank import EndpointRerank

__all__ = ["HuggingFaceEndpointEmbedding", "HuggingFaceEndpointLLM", "HuggingFaceEndpointRerank"]


class HuggingFaceEndpointLLM(HuggingFaceConnection, EndpointLLM):
    """A language model on any HTTP server; see `SageMakerLLM` for its behaviour and the other arguments.

    Args:
        url: The server's base URL (also `base_url`, `endpoint_url`).
        token: Bearer token, sent to that host only; without one, the user's own Hugging Face token is sent to Hugging
            Face's own hosts, and nothing elsewhere.
        model: A served model name, if the server has several (the router, Ollama).

    Example:
        >>> llm = HuggingFaceEndpointLLM("http://localhost:8000", content_handler="openai_chat")
        >>> llm.complete("Why is the sky blue?").text  # doctest: +SKIP
        'Because air scatters blue light more than red.'
    """

    # Without it, type checkers derive the arguments from the fields, and refuse a name in first place and its aliases.
    def __init__(self, url: str = "", **data: Any) -> None:
        super().__init__(url, **data)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which serialised models are known."""
        return "HuggingFaceEndpointLLM"

    def _own_settings(self) -> dict[str, Any]:
        return {**super()._own_settings(), **({"model": self.model} if self.model else {})}

    def _model_name(self) -> str:
        return self.model or self.url


class HuggingFaceEndpointEmbedding(HuggingFaceConnection, EndpointEmbedding):
    """An embedding model on any HTTP server; see `SageMakerEmbedding` for the other arguments.

    Args:
        url: The server's base URL (also `base_url`, `endpoint_url`).
        token: As for `HuggingFaceEndpointLLM`.
        model: A served model name, if the server has several.

    Example:
        >>> model = HuggingFaceEndpointEmbedding("http://localhost:8080", content_handler="tei")
        >>> len(model.get_text_embedding("The sky is blue."))  # doctest: +SKIP
        1024
    """

    def __init__(self, url: str = "", **data: Any) -> None:
        super().__init__(url, **data)
        if "model_name" not in data:
            self.model_name = self.model or self.url

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which serialised models are known."""
        return "HuggingFaceEndpointEmbedding"

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), **({"model": self.model} if self.model else {})}


class HuggingFaceEndpointRerank(HuggingFaceConnection, EndpointRerank):
    """A reranker on any HTTP server; see `SageMakerRerank` for the other arguments.

    Args:
        url: The server's base URL (also `base_url`, `endpoint_url`).
        token: As for `HuggingFaceEndpointLLM`.
        model: A served model name, if the server has several.

    Example:
        >>> reranker = HuggingFaceEndpointRerank("http://localhost:8080", content_handler="tei_rerank", top_n=3)
        >>> engine = index.as_query_engine(node_postprocessors=[reranker])  # doctest: +SKIP
    """

    # Without it, type checkers derive the arguments from the fields, and refuse a name in first place and its aliases.
    def __init__(self, url: str = "", **data: Any) -> None:
        super().__init__(url, **data)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which serialised rerankers are known."""
        return "HuggingFaceEndpointRerank"

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        return {**options, "extra": {**options["extra"], "model": self.model}} if self.model else options

    def _model_name(self) -> str:
        return self.model or self.url
