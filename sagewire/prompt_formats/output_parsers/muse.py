"""Muse: messages with a recipient. `self` is reasoning, a tool's name makes it calls, everything else is the answer.

    <|start|>assistant to=self<|message|>...<|eom|>
    <|start|>assistant to=f<|message|><atem:function_calls>
    <atem:invoke name="f"><atem:parameter name="a">1</atem:parameter></atem:invoke></atem:function_calls><|eot|>

Calls count only in a message to a tool: elsewhere the same markup is text (vLLM
muse_tool_parser.py, the chat template).
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.harmony import read_reasoning
from sagewire.prompt_formats.output_parsers.invoke import Tags

__all__ = ["MUSE"]

START, MESSAGE = "<|start|>", "<|message|>"
ENDS = ("<|eom|>", "<|eot|>")
SECTION = "<atem:function_calls>"

HEADER = re.compile(r"[\w.\- =]*")
RECIPIENT = re.compile(r"\bto=([\w.\-]+)")
ATEM = Tags("atem:invoke", "atem:parameter")


def _read_turn(source: Source, calls: Calls) -> Wait[None]:
    header = yield from source.read(HEADER)
    if not header.startswith("assistant"):
        raise NotACall
    yield from source.expect(MESSAGE)
    yield from _read_message(source, calls, header)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read what the prompt began: the header after `<|start|>assistant`, or a message that is to be continued."""
    if START not in prompt:
        raise NotACall
    header, message, _ = prompt[prompt.rfind(START) + len(START) :].partition(MESSAGE)
    if not header.startswith("assistant") or (message and any(end in prompt[prompt.rfind(START) :] for end in ENDS)):
        raise NotACall
    if not message:
        header += yield from source.read(HEADER)
        yield from source.expect(MESSAGE)
    yield from _read_message(source, calls, header)


def _read_message(source: Source, calls: Calls, header: str) -> Wait[None]:
    found = RECIPIENT.search(header)
    recipient = found[1] if found is not None else "user"
    source.opened()
    if recipient == "self":
        yield from read_reasoning(source, calls, ENDS, START)
    elif recipient in ("user", "commentary"):
        calls.text.separate()
    else:
        yield from source.skip_space()
        yield from source.accept(SECTION)
        yield from source.skip_space()
        yield from source.expect(ATEM.opening)
        yield from ATEM.read_call(source, calls)
        while (yield from source.skip_space()) == "<" and (yield from source.accept(ATEM.opening)):
            yield from ATEM.read_call(source, calls)


MUSE = OutputSyntax(
    name="muse",
    blocks={START: _read_turn},
    closers=("</atem:function_calls>",),
    silent=ENDS,
    thinking=(),
    start=_read_start,
)
