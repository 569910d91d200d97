"""The error objects containers send, recognised by shape.

They arrive as whole bodies (with an error status, or with 200) and inside streams, where the status was sent long
before. The shapes, one per line:

    {"error": "...", "error_type": "validation"}                      TGI, TEI
    {"error": {"message": "...", "type": "...", "code": 400}}         vLLM, SGLang streams, llama.cpp
    {"error": {"message": "...", "http_status_code": 422}}            TGI chat streams
    {"object": "error", "message": "...", "type": "...", "code": 400} SGLang, vLLM <= 0.10
    {"code": 424, "message": "...", "error": "..."}                   DJL serving
    {"code": 400, "type": "InternalServerException", "message": "..."}  Hugging Face inference toolkit
    {"error": "..."}                                                  Triton
    {"message": "..."}                                                Cohere
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagewire.errors import ModelError, ModelStreamError, excerpt

__all__ = ["ErrorBody", "find_fault"]

_MESSAGE_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """An error that a container reported.

    Args:
        message: Its own words.
        code: Its error type or code, as text.
        status: The HTTP status it named, if any.
    """

    message: str
    code: str | None = None
    status: int | None = None

    def as_model_error(self) -> ModelError:
        """Return the error for a whole answer."""
        error = ModelError(self.message, code=self.code, fault="model")
        error.original_status = self.status
        error.original_message = self.message
        return error

    def as_stream_error(self) -> ModelStreamError:
        """Return the error for an answer that is being streamed."""
        return ModelStreamError(self.message, self.code)


def find_fault(payload: Any) -> ErrorBody | None:
    """Return the error if `payload` is an error object, else `None`.

    Example:
        >>> find_fault({"error": "Model is overloaded", "error_type": "overloaded"})
        ErrorBody(message='Model is overloaded', code='overloaded', status=None)
        >>> find_fault({"choices": []}) is None
        True
    """
    if isinstance(payload, list) and len(payload) == 1:
        # LMI with OPTION_TGI_COMPAT wraps everything in an array.
        payload = payload[0]
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    if isinstance(error, dict):
        return _fault(error, error.get("message"))
    if isinstance(error, str) and error:
        return _fault(payload, error)
    message = payload.get("message")
    if not isinstance(message, str):
        return None
    is_error = payload.get("object") == "error" or payload.keys() <= {"message", "code", "type", "param", "id"}
    return _fault(payload, message) if is_error else None


def _fault(fields: dict[str, Any], message: Any) -> ErrorBody:
    text = message if isinstance(message, str) and message else str(fields)
    code, status = None, None
    for name in ("error_type", "type", "code", "http_status_code"):
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            status = status or value
        if value and code is None:
            code = str(value)
    return ErrorBody(excerpt(text, _MESSAGE_LIMIT), code, status)
