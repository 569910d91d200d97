"""Embeddings from JumpStart's script containers: `{"text_inputs": [...]}` in, `{"embedding": [[...]]}` out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagewire.content_handlers.embeddings.base import JsonEmbeddingHandler
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["JumpStartEmbeddingHandler"]


class JumpStartEmbeddingHandler(JsonEmbeddingHandler):
    """GPT-J 6B, all-MiniLM and other `textembedding` models of JumpStart, in their script versions."""

    name = "jumpstart_embedding"
    takes_extra = True
    path = "/invocations"

    def payload(self, texts: Sequence[str], options: EmbedOptions, /) -> dict[str, Any]:
        """Return the request as a JSON object."""
        return {"text_inputs": list(texts), **self.named_options(options)}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the vectors in a parsed response."""
        rows = payload["embedding"]
        if count == 1 and rows and not isinstance(rows[0], list):
            # One text is answered with its vector alone by some versions.
            rows = [rows]
        return Embeddings(rows)
