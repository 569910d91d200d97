"""The base class of content handlers written for LlamaIndex."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from llama_index.core.bridge.pydantic import BaseModel, Field

__all__ = ["BaseIOHandler"]


class BaseIOHandler(BaseModel, ABC):
    """A content handler as LlamaIndex's own SageMaker class defines it; subclasses written for that work unchanged.

    Most endpoints need none: name one of `sagewire.content_handlers.HANDLERS` instead.

    Example:
        >>> import json
        >>> class Handler(BaseIOHandler):
        ...     content_type: str = "application/json"
        ...     accept: str = "application/json"
        ...     def serialize_input(self, request, model_kwargs):
        ...         return json.dumps({"inputs": request, "parameters": model_kwargs}).encode()
        ...     def deserialize_output(self, response):
        ...         return json.load(response)[0]["generated_text"]
        ...     def deserialize_streaming_output(self, response):
        ...         return json.loads(response.removeprefix(b"data:"))["token"]["text"]
        ...     def remove_prefix(self, response, prompt):
        ...         return response.removeprefix(prompt)
        >>> Handler().content_type
        'application/json'
    """

    content_type: str = Field(description="The media type of the request body.")
    accept: str = Field(description="The media type asked of the container.")

    @abstractmethod
    def serialize_input(self, request: str, model_kwargs: dict[str, Any]) -> bytes:
        """Return the request body.

        Args:
            request: The prompt.
            model_kwargs: The settings that were given.
        """

    @abstractmethod
    def deserialize_output(self, response: Any) -> str:
        """Return the text in a whole answer, which can be read like a file and is bytes as well."""

    @abstractmethod
    def deserialize_streaming_output(self, response: bytes) -> str:
        """Return the text in one event of a streamed answer."""

    @abstractmethod
    def remove_prefix(self, response: str, prompt: str) -> str:
        """Return the answer without the prompt, for containers that repeat it.

        Args:
            response: The whole answer.
            prompt: The prompt that was sent.
        """
