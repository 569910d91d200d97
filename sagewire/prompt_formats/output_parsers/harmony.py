"""gpt-oss: messages with channels. `analysis` is reasoning, `final` the answer, a recipient makes it a tool call.

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>
    <|channel|>commentary to=functions.f <|constrain|>json<|message|>{...}<|call|>

Facts: OpenAI's description of the harmony format, and the model's chat template.
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["GPT_OSS"]

START, CHANNEL, MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
ENDS = ("<|end|>", "<|return|>", "<|call|>")
MAX_HEADER = 300

MESSAGE_ENDS = Markers((*ENDS, START))
HEADER_TEXT = re.compile(r"[^<\n]*")
HEADER_TOKENS = (CHANNEL, "<|constrain|>")
RECIPIENT = re.compile(r"\bto=(\S+?)(?=\s|<\||$)")
CHANNEL_NAME = re.compile(r"<\|channel\|>\s*(\w+)")


def _read_header(source: Source, header: str) -> Wait[str]:
    """Read to the end of a message's header, of which `header` has been read."""
    while True:
        header += yield from source.read(HEADER_TEXT, limit=MAX_HEADER)
        if (yield from source.accept(MESSAGE)):
            return header
        for token in HEADER_TOKENS:
            if (yield from source.accept(token)):
                header += token
                break
        else:
            raise NotACall
        if len(header) > MAX_HEADER:
            raise NotACall


def _read_message(source: Source, calls: Calls, header: str) -> Wait[None]:
    channel = CHANNEL_NAME.search(header)
    recipient = RECIPIENT.search(header)
    source.opened()
    if recipient is not None:
        yield from read_arguments(source, calls, recipient[1].removeprefix("functions."))
    elif channel is not None and channel[1] == "analysis":
        calls.thinking.separate()
        yield from _read_analysis(source, calls)
    else:
        # `final`, and what is said to the user on `commentary`: text, up to the next marker.
        calls.text.separate()


def _read_analysis(source: Source, calls: Calls) -> Wait[None]:
    source.release()
    while True:
        found = MESSAGE_ENDS.find(source.buffer, source.position)
        if found is not None:
            calls.thinking.write(source.buffer[source.position : found[0]])
            source.position = found[0] + (len(found[1]) if found[1] != START else 0)
            return
        end = MESSAGE_ENDS.certain_end(source.buffer, source.position)
        end = len(source.buffer) if source.ended else end
        calls.thinking.write(source.buffer[source.position : end])
        source.position = end
        if source.ended:
            return
        yield


def _read_channel(source: Source, calls: Calls) -> Wait[None]:
    header = yield from _read_header(source, CHANNEL)
    yield from _read_message(source, calls, header)


def _read_turn(source: Source, calls: Calls) -> Wait[None]:
    header = yield from _read_header(source, "")
    if not header.startswith("assistant"):
        raise NotACall
    yield from _read_message(source, calls, header)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read what the prompt began: the header after `<|start|>assistant`, or a message that is to be continued."""
    tail = prompt[prompt.rfind(START) :] if START in prompt else ""
    header, message, _ = tail.removeprefix(START).partition(MESSAGE)
    if message:
        if not any(end in tail for end in ENDS):
            yield from _read_message(source, calls, header)
        return
    if (yield from source.skip_space()) == "t":
        yield from source.expect("to=")
        header += " to="
    elif not CHANNEL_NAME.search(header) and not header.endswith(CHANNEL):
        # An ordinary beginning, `<|channel|>` as a rule, is read as any other message.
        raise NotACall
    header = yield from _read_header(source, header)
    yield from _read_message(source, calls, header)


GPT_OSS = OutputSyntax(
    name="gpt_oss",
    blocks={START: _read_turn, CHANNEL: _read_channel},
    closers=(),
    silent=ENDS,
    thinking=(),
    start=_read_start,
)
