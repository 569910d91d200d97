"""Inkling: blocks of one kind each, in messages of the model.

    <|message_model|><|content_thinking|>...<|end_message|>
    <|message_model|><|content_text|>...<|end_message|>
    <|message_model|>f<|content_invoke_tool_json|>{"name": "f", "args": {...}}<|end_message|>
    <|content_model_end_sampling|>

The name before a call says what the call itself says (vLLM parser/inkling.py and renderers/inkling_encoding.py).
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import CallKeys, read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.harmony import read_reasoning

__all__ = ["INKLING"]

MESSAGE = "<|message_model|>"
THINKING, CALL = "<|content_thinking|>", "<|content_invoke_tool_json|>"
# Calls in the tool's own words, and errors, are shown as they are.
TEXTS = ("<|content_text|>", "<|content_invoke_tool_text|>", "<|content_tool_error|>")
ENDS = ("<|end_message|>", "<|content_model_end_sampling|>")

NAME = re.compile(r"[\w.\-]*")
KEYS = CallKeys(arguments=("args", "arguments", "parameters"))


def _read_message(source: Source, calls: Calls) -> Wait[None]:
    """Read the block that a message begins with, behind the name of a tool."""
    yield from source.read(NAME)
    for marker in TEXTS:
        if (yield from source.accept(marker)):
            calls.text.separate()
            return
    if (yield from source.accept(THINKING)):
        yield from _read_thinking(source, calls)
        return
    yield from source.expect(CALL)
    source.opened()
    yield from _read_call(source, calls)


def _read_thinking(source: Source, calls: Calls) -> Wait[None]:
    yield from read_reasoning(source, calls, ENDS, MESSAGE, CALL)


def _read_call(source: Source, calls: Calls) -> Wait[None]:
    yield from read_calls(source, calls, KEYS)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read what the prompt began: a message, or reasoning that is to be continued."""
    block = prompt[prompt.rfind(MESSAGE) + len(MESSAGE) :] if MESSAGE in prompt else ""
    if any(end in block for end in ENDS) or any(marker in block for marker in (*TEXTS, CALL)):
        raise NotACall
    if THINKING in block:
        yield from _read_thinking(source, calls)
    else:
        yield from _read_message(source, calls)


INKLING = OutputSyntax(
    name="inkling",
    blocks={MESSAGE: _read_message, THINKING: _read_thinking, CALL: _read_call},
    silent=(*TEXTS, *ENDS),
    thinking=(),
    start=_read_start,
)
