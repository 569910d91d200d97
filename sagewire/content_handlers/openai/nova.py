"""Customised Amazon Nova models on SageMaker: OpenAI chat with a shorter list of settings.

Source: the Nova user guide's SageMaker inference API reference.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagewire.content_handlers.base import Capabilities
from sagewire.content_handlers.openai.chat import OpenAiChatHandler

__all__ = ["NovaHandler"]

_NAMES = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
)


class NovaHandler(OpenAiChatHandler):
    """Nova: text and images, no tools; stop strings are enforced by sagewire."""

    name = "nova"
    can = Capabilities(images=True, usage=True, logprobs=True)
    option_names: Mapping[str, str] = {name: name for name in _NAMES}
    cures: Mapping[str, str] = {"adapter": "Deploy the customised model itself: requests to Nova name no adapter."}
