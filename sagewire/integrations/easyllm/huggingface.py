"""EasyLLM's `huggingface` client.

Settings are variables of this module, read at each call:

    >>> from sagewire.integrations.easyllm import huggingface
    >>> huggingface.api_base = "https://abc.us-east-1.aws.endpoints.huggingface.cloud"
    >>> huggingface.ChatCompletion.create(  # doctest: +SKIP
    ...     messages=[{"role": "user", "content": "What is 1 + 1?"}]
    ... )["choices"][0]["message"]["content"]
    '2'
    >>> huggingface.api_base = None

Attributes:
    prompt_builder: The name of a prompt builder, or a function from messages to the prompt; else
        `HUGGINGFACE_PROMPT`. Without one the server's own chat template is used.
    stop_sequences: Strings that end every answer.
    seed: The seed of every call; the second of several answers gets the next one. `None` for none.
    api_base: The server's address; else `HUGGINGFACE_API_BASE`, else Hugging Face's router, for which `model` is
        a model's id on the Hub. An address that ends in `/models` is continued by the model's id.
    api_key: The token for `api_base`; else, for Hugging Face's own hosts, `HUGGINGFACE_TOKEN`, `HF_TOKEN` or the
        token that `hf auth login` has stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from sagewire._names import missing
from sagewire.errors import UsageError
from sagewire.integrations._addresses import HUB_INFERENCE, HUB_MODELS, ROUTER
from sagewire.integrations.easyllm import _resources
from sagewire.integrations.easyllm._service import Service
from sagewire.transports.http.hugging_face import is_hugging_face

__all__ = ["ChatCompletion", "Completion", "Embedding"]

api_type = "huggingface"
api_version = "2023-07-29"
api_base: str | None = None
api_key: str | None = None
prompt_builder: str | Callable[[Any], str] | None = None
stop_sequences: list[str] = []
seed: int | None = 42


class _HuggingFace(Service):
    variables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "prompt_builder": ("HUGGINGFACE_PROMPT",),
        "api_base": ("HUGGINGFACE_API_BASE",),
    }

    def arguments(self, model: str | None) -> dict[str, Any]:
        base = self.setting("api_base")
        if _is_url(model) or base is not None:
            # Servers that do not describe themselves are probed: those of EasyLLM's time hardly ever do.
            return {**self._at(str(model) if _is_url(model) else _continued(base, model)), "probe": True}
        if not model:
            raise UsageError("name the model (model='org/name'), or set api_base to the address of a server")
        return {**self._at(ROUTER), "handler": "openai_chat"}

    def embedding_arguments(self, model: str | None) -> dict[str, Any]:
        base = self.setting("api_base") or HUB_MODELS
        if _is_url(model) or not base.rstrip("/").endswith("/models"):
            return self.arguments(model)
        if not model:
            raise UsageError("name the model (model='org/name'), or set api_base to the address of a server")
        url = f"{_continued(base, model)}/pipeline/feature-extraction"
        return {**self._at(url), "handler": HUB_INFERENCE}

    def served_name(self, model: str | None) -> str | None:
        return None if _is_url(model) else model

    def _at(self, url: str) -> dict[str, Any]:
        token = self.setting("api_key")
        if token is None and is_hugging_face(urlsplit(url).hostname or ""):
            # EasyLLM looks here first, the transport last.
            token = os.environ.get("HUGGINGFACE_TOKEN") or None
        return {"url": url, "token": token}


def _is_url(model: str | None) -> bool:
    return bool(model) and str(model).startswith(("http://", "https://"))


def _continued(base: str, model: str | None) -> str:
    base = base.rstrip("/")
    return f"{base}/{model}" if model and base.endswith("/models") else base


_service = _HuggingFace(__name__)


class ChatCompletion(_resources.ChatCompletion):
    """Answers to conversations."""

    _service = _service


class Completion(_resources.Completion):
    """Continuations of texts, or answers to single instructions if a prompt builder is set."""

    _service = _service


class Embedding(_resources.Embedding):
    """Vectors of texts."""

    _service = _service


if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
