"""The base class of content handlers written for LlamaIndex, and the one that the published class uses by default."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from llama_index.core.bridge.pydantic import BaseModel, Field

__all__ = ["BaseIOHandler", "IOHandler"]


class BaseIOHandler(BaseModel, ABC):
    """A content handler as LlamaIndex's own SageMaker class defines it; subclasses written for that work unchanged.

    Most endpoints do not need one: name one of `sagewire.content_handlers.HANDLERS` instead.

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


class IOHandler(BaseIOHandler):
    """`inputs` and `parameters` in, `generated_text` out: the published class's default, for subclasses to change.

    A prompt is removed from the answer only if the answer begins with it.
    """

    content_type: str = "application/json"
    accept: str = "application/json"

    def serialize_input(self, request: str, model_kwargs: dict[str, Any]) -> bytes:
        """Return the request body."""
        return json.dumps({"inputs": request, "parameters": model_kwargs}).encode()

    def deserialize_output(self, response: Any) -> str:
        """Return the text in a whole answer."""
        text: str = json.loads(response.read())[0]["generated_text"]
        return text

    def deserialize_streaming_output(self, response: bytes) -> str:
        """Return the text in one event: a token of TGI's, or an answer as a whole."""
        event = json.loads(response.strip().removeprefix(b"data:"))
        if isinstance(event, list):
            event = event[0]
        token = event.get("token")
        if token is None:
            return str(event["generated_text"])
        return "" if token.get("special") else str(token["text"])

    def remove_prefix(self, response: str, prompt: str) -> str:
        """Return the answer without the prompt."""
        return response.removeprefix(prompt)
