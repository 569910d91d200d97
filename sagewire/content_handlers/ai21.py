"""AI21's models from AWS Marketplace: Jamba (OpenAI-like chat) and Jurassic-2 (its own completion wire)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sagewire.content_handlers.base import Capabilities, JsonHandler
from sagewire.content_handlers.openai.chat import OpenAiChatHandler
from sagewire.content_handlers.outcome import finish_reason
from sagewire.content_handlers.value_checks import as_text
from sagewire.types import Delta, FinishDelta, MetadataDelta, PromptRequest, TextDelta

__all__ = ["JambaHandler", "Jurassic2Handler"]

_NAMES = ("max_tokens", "temperature", "top_p", "stop", "n", "response_format")


class JambaHandler(OpenAiChatHandler):
    """Jamba 1.5: OpenAI chat without images and with a shorter list of settings."""

    name = "ai21_jamba"
    can = Capabilities(tools=True, tool_choice=True, parallel_tool_calls=True, usage=True, n=True, response_format=True)
    option_names: Mapping[str, str] = {name: name for name in _NAMES}
    cures: Mapping[str, str] = {"adapter": "Leave it out: a marketplace package loads no adapters."}


class Jurassic2Handler(JsonHandler):
    """Jurassic-2: a prompt in, `completions[].data.text` out; it does not stream."""

    name = "ai21_j2"
    speaks = "prompt"
    path = "/invocations"
    can = Capabilities(streaming=False, n=True)
    option_names: Mapping[str, str] = {
        "max_tokens": "maxTokens",
        "temperature": "temperature",
        "top_p": "topP",
        "stop": "stopSequences",
        "n": "numResults",
    }
    takes_extra = True

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        return {"prompt": request.prompt, **self.named_options(request.options)}

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        """Return the deltas of a whole response."""
        completions = payload["completions"]
        if payload.get("id") is not None:
            yield MetadataDelta(id=str(payload["id"]))
        for number, completion in enumerate(completions):
            yield TextDelta(as_text(completion["data"]["text"]), number)
            ended = completion.get("finishReason") or {}
            if ended.get("reason"):
                yield FinishDelta(finish_reason(ended["reason"]), choice=number)
