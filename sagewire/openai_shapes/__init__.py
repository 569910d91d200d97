"""OpenAI's JSON shapes as pure functions: request bodies to arguments, replies and deltas to response bodies.

Whoever plays an OpenAI server (the gateway) or an OpenAI client in process needs the same translations; nothing in here
waits, and nothing knows of endpoints or HTTP.

    >>> from sagewire.types import Choice, Reply
    >>> body = chat_completion(Reply((Choice("Hello"),)), model="m")
    >>> body["choices"][0]["message"]["content"]
    'Hello'
"""

from __future__ import annotations

from sagewire.openai_shapes.answers import chat_completion, new_id, text_completion, usage_of
from sagewire.openai_shapes.arguments import (
    BadRequest,
    chat_arguments,
    completion_arguments,
    token_prompts,
    wants_stream,
    wants_usage,
)
from sagewire.openai_shapes.chunks import ChatChunks, TextChunks
from sagewire.openai_shapes.envelopes import error_body, error_envelope
from sagewire.openai_shapes.responses_events import ResponseEvents
from sagewire.openai_shapes.responses_input import response_arguments
from sagewire.openai_shapes.responses_output import response_object
from sagewire.openai_shapes.vectors import embedding_arguments, embedding_list, rerank_arguments, rerank_list

__all__ = [
    "BadRequest",
    "ChatChunks",
    "ResponseEvents",
    "TextChunks",
    "chat_arguments",
    "chat_completion",
    "completion_arguments",
    "embedding_arguments",
    "embedding_list",
    "error_body",
    "error_envelope",
    "new_id",
    "rerank_arguments",
    "rerank_list",
    "response_arguments",
    "response_object",
    "text_completion",
    "token_prompts",
    "usage_of",
    "wants_stream",
    "wants_usage",
]
