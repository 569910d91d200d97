"""Whole answers that are one text: given to the caller under another id and model, without becoming replies first."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sagewire.content_handlers.openai.plain_replies import PlainText
from sagewire.openai_shapes.answers import usage_of
from sagewire.types import ResponseInfo

__all__ = ["PlainAnswer"]


@dataclass(slots=True)
class PlainAnswer:
    """A whole answer that is one text.

    Args:
        found: The text and what belongs to it.
        fingerprint: The server's `system_fingerprint`.
        info: What the service said about the response.
    """

    found: PlainText
    fingerprint: Any
    info: ResponseInfo

    def body(self, *, model: str, id: str) -> dict[str, Any]:
        """Return the body that `chat_completion` makes of the reply, at a fraction of the time.

        Args:
            model: The name under which it was asked for.
            id: The object's id.
        """
        text, reason, stop, usage = self.found
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": reason,
        }
        if stop is not None:
            choice["stop_reason"] = stop
        body: dict[str, Any] = {
            "id": id, "object": "chat.completion", "created": int(time.time()), "model": model, "choices": [choice]
        }  # fmt: skip
        if usage is not None:
            body["usage"] = usage_of(usage)
        if self.fingerprint is not None:
            body["system_fingerprint"] = self.fingerprint
        return body
