"""Addresses that the libraries people come from write down: SageMaker Runtime's, and Hugging Face's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.content_handlers.embeddings import HfFeatureExtractionHandler
from sagewire.types import EmbedOptions

__all__ = ["HUB_INFERENCE", "HUB_MODELS", "ROUTER", "HubInference", "routed", "runtime_address"]

ROUTER = "https://router.huggingface.co/v1"
"""Hugging Face's router; it has the chat route only, whatever else lives below other servers' /v1."""

HUB_MODELS = "https://router.huggingface.co/hf-inference/models"
"""Hugging Face's own servers; a model's id follows, and then the route."""

_RUNTIME = re.compile(
    r"(?P<url>https?://[^?#]*?)(/endpoints(/(?P<name>[^/?#]+)(/invocations(-response-stream)?)?)?)?/?"
)


class HubInference(HfFeatureExtractionHandler):
    """Feature extraction on Hugging Face's own servers: one vector for a text, or one for each token."""

    name = "hub_inference"
    path = ""
    option_names: Mapping[str, str] = {"normalize": "normalize", "truncate": "truncate"}

    def payload(self, texts: Sequence[str], options: EmbedOptions, /) -> dict[str, Any]:
        """Return the request as a JSON object, with the settings beside the text, where these servers look for them.

        Source: huggingface/hub-docs, the specification of hf-inference's feature extraction.
        """
        return {**self.named_options(options), "inputs": texts[0]}


HUB_INFERENCE = HubInference()


def routed(model: str, provider: str | None) -> str:
    """Return the name under which Hugging Face's router knows a model of one of its inference providers.

    Example:
        >>> routed("Qwen/Qwen3-8B", "together")
        'Qwen/Qwen3-8B:together'
    """
    return f"{model}:{provider}" if provider and provider != "auto" else model


def runtime_address(address: str) -> tuple[str, str | None] | None:
    """Return the base URL of SageMaker Runtime and the endpoint in an address, `None` for other addresses.

    Example:
        >>> runtime_address("https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints/llama/invocations")
        ('https://runtime.sagemaker.us-east-1.amazonaws.com', 'llama')
    """
    found = _RUNTIME.fullmatch(address)
    return None if found is None else (found["url"], found["name"])
