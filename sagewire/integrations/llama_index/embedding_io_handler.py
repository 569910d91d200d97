"""The base class of content handlers for embeddings written for LlamaIndex, and the published class's default one."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

__all__ = ["BaseEmbeddingIOHandler", "EmbeddingIOHandler"]


class BaseEmbeddingIOHandler(ABC):
    """A content handler for `SageMakerEmbedding`; LlamaIndex's own package calls it `BaseIOHandler`, too.

    Most endpoints do not need one: name one of `sagewire.content_handlers.EMBEDDING_HANDLERS` instead.

    Attributes:
        content_type: The media type of the request body.
        accept: The media type asked of the container.

    Example:
        >>> import json
        >>> class Handler(BaseEmbeddingIOHandler):
        ...     content_type = accept = "application/json"
        ...     def serialize_input(self, request, model_kwargs):
        ...         return json.dumps({"text_inputs": request, **model_kwargs}).encode()
        ...     def deserialize_output(self, response):
        ...         return json.load(response)["embedding"]
        >>> Handler().serialize_input(["Hi"], {})
        b'{"text_inputs": ["Hi"]}'
    """

    content_type: str
    accept: str

    @abstractmethod
    def serialize_input(self, request: list[str], model_kwargs: dict[str, Any]) -> bytes:
        """Return the request body.

        Args:
            request: The texts.
            model_kwargs: The settings that were given.
        """

    @abstractmethod
    def deserialize_output(self, response: Any) -> list[list[float]]:
        """Return the vectors in an answer, which can be read like a file and is bytes as well."""


class EmbeddingIOHandler(BaseEmbeddingIOHandler):
    """`inputs` in, a list of vectors out: the published class's default, for subclasses to change."""

    content_type: str = "application/json"
    accept: str = "application/json"

    def serialize_input(self, request: list[str], model_kwargs: dict[str, Any]) -> bytes:
        """Return the request body."""
        return json.dumps({"inputs": request, **model_kwargs}).encode()

    def deserialize_output(self, response: Any) -> list[list[float]]:
        """Return the vectors in an answer."""
        vectors: list[list[float]] = json.loads(response.read())
        return vectors
