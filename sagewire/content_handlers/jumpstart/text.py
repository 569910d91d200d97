"""JumpStart's script containers: `text_inputs` as JSON, or bare text as `application/x-text`.

Source: the text2text and text generation notebooks of aws/amazon-sagemaker-examples. None of them streams or knows
stop strings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sagewire.content_handlers.base import Capabilities, JsonHandler
from sagewire.content_handlers.sampling import drop_greedy_leftovers, is_zero, set_do_sample, write_no_top_k
from sagewire.content_handlers.value_checks import as_text
from sagewire.errors import UsageError
from sagewire.types import Delta, PromptRequest, TextDelta

__all__ = ["JumpStartText2TextHandler", "JumpStartTextGenerationHandler", "JumpStartTextHandler"]

_TEXT_FIELDS = ("generated_text", "summary_text", "translation_text")


class JumpStartText2TextHandler(JsonHandler):
    """Flan-T5, Flan-UL2, T0 and their like: `{"text_inputs": ...}` in, `{"generated_texts": [...]}` out."""

    name = "jumpstart_text2text"
    speaks = "prompt"
    path = "/invocations"
    can = Capabilities(streaming=False, n=True)
    takes_extra = True
    option_names: Mapping[str, str] = {
        "max_tokens": "max_length",
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "seed": "seed",
        "n": "num_return_sequences",
    }

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        settings = self.named_options(request.options)
        write_no_top_k(settings, 0)
        if is_zero(settings.get("temperature")):
            drop_greedy_leftovers(settings)
        set_do_sample(settings)
        return {"text_inputs": request.prompt, **settings}

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        """Return the deltas of a whole response, in any of the shapes these scripts answer with."""
        for number, text in enumerate(_texts(payload)):
            yield TextDelta(text, number)


class JumpStartTextGenerationHandler(JumpStartText2TextHandler):
    """BLOOM, GPT-J and their like: the same request, `[[{"generated_text": ...}]]` out, the prompt at its start.

    `max_length` counts the prompt as well here, so `max_tokens` cannot be expressed: pass `max_length` in `extra`.
    """

    name = "jumpstart_textgeneration"
    echoes_prompt = True
    option_names: Mapping[str, str] = {
        wire: named for wire, named in JumpStartText2TextHandler.option_names.items() if wire != "max_tokens"
    }
    cures: Mapping[str, str] = {
        "max_tokens": "Pass `max_length` in `extra`; it counts the tokens of the prompt and the answer together."
    }


class JumpStartTextHandler(JumpStartText2TextHandler):
    """Any of these scripts, and the summarization and translation ones, given bare text: no settings at all."""

    name = "jumpstart_xtext"
    content_type = "application/x-text"
    can = Capabilities(streaming=False)
    takes_extra = False
    echoes_prompt = True
    option_names: Mapping[str, str] = {}
    cures: Mapping[str, str] = dict.fromkeys(
        JumpStartText2TextHandler.option_names, "Use handler 'jumpstart_text2text', which sends JSON."
    )

    def transform_input(self, request: PromptRequest, /) -> bytes:
        """Return the prompt itself."""
        try:
            return request.prompt.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the prompt is not valid Unicode text: {error}") from None


def _texts(payload: Any) -> list[str]:
    if isinstance(payload, list):
        # [{...}], or [[{...}, {...}]] with one inner array per input.
        answers = payload[0] if isinstance(payload[0], list) else payload
        return [_text(answer) for answer in answers] or [_text({})]
    if "generated_texts" in payload:
        return [as_text(text) for text in payload["generated_texts"]] or [_text({})]
    return [_text(payload)]


def _text(answer: Any) -> str:
    for field in _TEXT_FIELDS:
        if field in answer:
            return as_text(answer[field])
    raise KeyError(_TEXT_FIELDS[0])
