"""Embeddings from AWS's LMI containers (`OPTION_TASK=text-embedding`): the Rust/ONNX engine and the vLLM handler.

Source: djl-serving embedding-user-guide.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.content_handlers.embeddings.tei import TeiHandler
from sagewire.types import Embeddings

__all__ = ["LmiEmbeddingHandler"]


class LmiEmbeddingHandler(TeiHandler):
    """LMI: TEI's shapes without its options; a single vector may come without the array around it."""

    name = "lmi_embedding"
    path = "/invocations"
    takes_tokens = False
    max_bytes = 5_000_000
    option_names: Mapping[str, str] = {}

    def read(self, payload: Any, count: int, /) -> Embeddings:
        """Return the vectors in a parsed response."""
        if count == 1 and payload and not isinstance(payload[0], list):
            payload = [payload]
        return super().read(payload, count)
