"""gpt-oss: messages with channels. `analysis` is reasoning, `final` the answer, a recipient makes it a tool call.

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>
    <|channel|>commentary to=functions.f <|constrain|>json<|message|>{...}<|call|>

The body of a call is JSON. Code that the model writes to the built-in tool `python` is the text of its only parameter;
so is what a header calls code, if the tool takes nothing but code.

Servers that drop control tokens leave `analysis...assistantfinal...`, which is read as far as it can be surely.

Facts: OpenAI's description of the harmony format, and the model's chat template.
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import normal_arguments, read_arguments
from sagewire.prompt_formats.output_parsers.engine.json_text import from_json, to_json
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls, Prose
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["GPT_OSS"]

START, CHANNEL, MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
CALL = "<|call|>"
ENDS = ("<|end|>", "<|return|>", CALL)
MAX_HEADER = 300

HEADER_TEXT = re.compile(r"[^<\n]*")
HEADER_TOKENS = (CHANNEL, "<|constrain|>")
RECIPIENT = re.compile(r"\bto=(\S+?)(?=\s|<\||$)")
CHANNEL_NAME = re.compile(r"<\|channel\|>\s*(\w+)")
# The ways in which a header announces the kind of body.
SAYS_CODE = re.compile(r"(?:\s|<\|constrain\|>)code\s*$")
SAYS_JSON = re.compile(r"(?:\s|<\|constrain\|>)json\b")
# The only parameter of a tool that takes code.
CODE_PARAMETERS = ("code", "input", "program", "python_code", "script", "source", "source_code")
BODY_END = Markers(ENDS)
BODY_END_OR_NEXT = Markers((*ENDS, START, CHANNEL))
# Recipients that are no tools.
SPEAKERS = ("assistant", "user", "all")

# The rest of the headers if a server drops the control tokens.
GLUED = Markers(("assistantanalysis", "assistantcommentary", "assistantfinal"))
NAME = re.compile(r"[\w.\-]*")


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
    # A header that was begun twice means the last channel.
    channel = (CHANNEL_NAME.findall(header) or [""])[-1]
    address = (RECIPIENT.findall(header) or ["all"])[-1]
    recipient = address.removeprefix("functions.")
    source.opened()
    if recipient not in SPEAKERS and channel != "final":
        yield from _read_call(source, calls, header, address)
    elif channel == "analysis":
        yield from read_reasoning(source, calls, ENDS, START)
    else:
        # `final`, and what is said to the user on `commentary`: text, up to the next marker.
        calls.text.separate()


def _read_call(source: Source, calls: Calls, header: str, address: str) -> Wait[None]:
    name = address.removeprefix("functions.")
    parameter = calls.offered.only_text(name)
    says_code = SAYS_CODE.search(header) is not None
    if parameter is not None and name == "python" and says_code:
        yield from _read_code(source, calls, name, parameter, sure=True)
    elif parameter is not None and (
        (address == "python" and not SAYS_JSON.search(header)) or (says_code and parameter in CODE_PARAMETERS)
    ):
        if (yield from source.skip_space()) == "{":
            yield from read_arguments(source, calls, name)
        else:
            yield from _read_code(source, calls, name, parameter, sure=False)
    else:
        yield from read_arguments(source, calls, name)


def _read_code(source: Source, calls: Calls, name: str, parameter: str, *, sure: bool) -> Wait[None]:
    """Read a body that is code; only the end of the message says that it is complete.

    Args:
        source: The text.
        calls: Where the call goes.
        name: The tool.
        parameter: Its only parameter.
        sure: The body is code whatever it looks like, unless it spells out the parameter; otherwise it is none if it is
            JSON or fenced, or if the message does not end as calls do.
    """
    yield from source.skip_space()
    start = source.place
    try:
        text, end = yield from source.until(BODY_END if sure else BODY_END_OR_NEXT)
        # The token is no part of what becomes text if this is no call.
        source.position -= len(end)
        source.opened()
    except NotACall:
        if not source.stopped:
            raise
        text, end = source.since(start), source.ending
    if not text.strip() or (not sure and not end.startswith(CALL)):
        raise NotACall
    try:
        value = from_json(text)
    except ValueError:
        if not sure and text.startswith("```"):
            raise NotACall from None
    else:
        spelled_out = isinstance(value, dict) and list(value) == [parameter] and isinstance(value[parameter], str)
        if spelled_out or not sure:
            try:
                text = normal_arguments(text)
            except ValueError:
                raise NotACall from None
            calls.commit(name, text)
            return
    calls.commit(name, to_json({parameter: text}))


def read_reasoning(source: Source, calls: Calls, ends: tuple[str, ...], *following: str) -> Wait[None]:
    """Read the reasoning of a message up to one of its `ends`, or up to what begins the message `following` it."""
    markers = Markers((*ends, *following))
    source.release()
    calls.thinking.separate()
    while True:
        found = markers.find(source.buffer, source.position)
        if found is not None:
            calls.thinking.write(source.buffer[source.position : found[0]])
            source.position = found[0] + (len(found[1]) if found[1] in ends else 0)
            return
        end = len(source.buffer) if source.ended else markers.certain_end(source.buffer, source.position)
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
        yield from _read_stripped(source, calls)
        return
    header = yield from _read_header(source, header)
    yield from _read_message(source, calls, header)


def _read_stripped(source: Source, calls: Calls) -> Wait[None]:
    """Read messages of which a server has dropped the control tokens, as far as they can be told apart surely."""
    if (yield from source.accept("commentary")):
        yield from _read_stripped_call(source, calls)
    elif (yield from source.accept("analysis")):
        first = yield from source.peek()
        if not first.isalpha() or first.islower():
            # It may be an ordinary word, unless another message follows.
            yield from _await_glued(source)
        source.release()
        calls.thinking.separate()
    else:
        raise NotACall
    prose = calls.thinking if not calls.count else calls.text
    while channel := (yield from _read_to_glued(source, prose)):
        prose = calls.thinking if channel == "analysis" else calls.text
        prose.separate()
        if channel == "final":
            return
        if channel == "commentary":
            source.checkpoint()
            try:
                yield from _read_stripped_call(source, calls)
            except NotACall:
                calls.cancel()
                source.rewind()
            source.release()


def _read_stripped_call(source: Source, calls: Calls) -> Wait[None]:
    """Read ` to=functions.f json{...}`; the tool has to be an offered one."""
    yield from source.skip_space()
    yield from source.expect("to=functions.")
    name = yield from source.read(NAME)
    if not calls.offered.knows(name):
        name = name.removesuffix("json")
    if not calls.offered.knows(name):
        raise NotACall
    yield from source.skip_space()
    yield from source.accept("json")
    if (yield from source.skip_space()) != "{":
        raise NotACall
    yield from read_arguments(source, calls, name)


def _await_glued(source: Source) -> Wait[None]:
    start = source.position
    while GLUED.find(source.buffer, start) is None:
        start = GLUED.certain_end(source.buffer, start) - source.position
        if not (yield from source.more()):
            raise NotACall
        start += source.position


def _read_to_glued(source: Source, prose: Prose) -> Wait[str]:
    """Read what a message says; return the channel of the next one, or the empty string at the end."""
    while True:
        found = GLUED.find(source.buffer, source.position)
        if found is not None:
            prose.write(source.buffer[source.position : found[0]])
            source.position = found[0] + len(found[1])
            return found[1].removeprefix("assistant")
        end = len(source.buffer) if source.ended else GLUED.certain_end(source.buffer, source.position)
        prose.write(source.buffer[source.position : end])
        source.position = end
        if source.ended:
            return ""
        yield


GPT_OSS = OutputSyntax(
    name="gpt_oss",
    blocks={START: _read_turn, CHANNEL: _read_channel},
    closers=(),
    silent=ENDS,
    thinking=(),
    start=_read_start,
)
