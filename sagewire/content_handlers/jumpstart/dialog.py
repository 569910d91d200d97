"""JumpStart's first Llama 2 models (model versions 1 and 2): dialogs for chat models, plain text for base models.

Source: the example notebooks of aws/amazon-sagemaker-examples and djl-deepspeed 0.23 images. Versions from 3 on use
TGI's or LMI's wire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sagewire.content_handlers.base import Capabilities, JsonHandler, Request
from sagewire.content_handlers.value_checks import as_text
from sagewire.errors import UnsupportedFeature
from sagewire.types import ChatRequest, Delta, PromptRequest, TextDelta

__all__ = ["JumpStartDialogHandler", "JumpStartLlama2Handler"]


class _Llama2Handler(JsonHandler):
    """What both have in common.

    Args:
        accept_eula: You have read and accept Meta's licence; the container does not answer without it, sent in
            the custom attributes of every request.
    """

    path = "/invocations"
    can = Capabilities(streaming=False)
    takes_extra = True
    option_names: Mapping[str, str] = {
        "max_tokens": "max_new_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
    }

    def __init__(self, *, accept_eula: bool = False) -> None:
        self.accept_eula = accept_eula

    def parameters(self, request: Request, /) -> Mapping[str, str]:
        """Return `accept_eula=true` if the user gave it."""
        return {"CustomAttributes": "accept_eula=true"} if self.accept_eula else {}


class JumpStartDialogHandler(_Llama2Handler):
    """Llama 2 chat models (`meta-textgeneration-llama-2-*-f`).

    A conversation has an optional first system turn, then user and assistant in turn, and the user last.
    """

    name = "jumpstart_dialog"
    speaks = "messages"

    def payload(self, request: ChatRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object: a batch of one dialog."""
        _check_turns(request, self.name)
        dialog = [{"role": message.role, "content": message.text} for message in request.messages]
        return {"inputs": [dialog], "parameters": self.named_options(request.options)}

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        """Return the deltas of `[{"generation": {"role": ..., "content": ...}}]`."""
        yield TextDelta(as_text(payload[0]["generation"]["content"]))


class JumpStartLlama2Handler(_Llama2Handler):
    """Llama 2 base models (`meta-textgeneration-llama-2-*`): a prompt in, `[{"generation": "..."}]` out."""

    name = "jumpstart_llama2"
    speaks = "prompt"

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        return {"inputs": request.prompt, "parameters": self.named_options(request.options)}

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        """Return the deltas of a whole response."""
        answer = payload[0] if isinstance(payload, list) else payload
        yield TextDelta(as_text(answer["generation"]))


def _check_turns(chat: ChatRequest, handler: str) -> None:
    roles = [message.role for message in chat.messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    wanted = ["user" if number % 2 == 0 else "assistant" for number in range(len(turns))]
    if not turns or turns != wanted or turns[-1] != "user":
        raise UnsupportedFeature(
            f"a conversation of {', '.join(roles) or 'no turns'}",
            f"handler '{handler}'",
            "Send an optional first system message, then user and assistant in turn, the user last.",
        )
