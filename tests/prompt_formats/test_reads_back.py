"""A format that takes tools reads back the calls that it writes into the history."""

import json
import re

from sagewire.errors import SagewireError
from sagewire.prompt_formats import FORMATS
from sagewire.streaming.accumulate import fold
from sagewire.types import Message, Tool, ToolCall

from ..cases import each

ARGUMENTS = {"city": 'Oslo "x" <b>\n  y', "days": 3, "open": True, "tags": ["a", "b"]}
TYPES = {"city": "string", "days": "integer", "open": "boolean", "tags": "array"}
LOOK = Tool("look", "Look.", {"type": "object", "properties": {name: {"type": kind} for name, kind in TYPES.items()}})
# Families check the shape of ids, or put the name into them.
IDS = ("call00001", "functions.look:0")
TOKEN_BEGUN = re.compile(r"[<\[][^<>\[\]\s]{0,20}\Z")


def common_start(one, other):
    return one[: next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))]


def written(fmt, call_id):
    """The ways to cut the model's own text out of a conversation with a call: the prompt, and the text."""
    hello = Message("user", "Hello")
    call = ToolCall(call_id, "look", json.dumps(ARGUMENTS))
    prompt = fmt.render([hello], [LOOK])
    said = fmt.render([hello, Message("assistant", "", tool_calls=(call,))], [LOOK], add_generation_prompt=False)
    other = fmt.render([hello, Message("assistant", "Sagewire")], [LOOK], add_generation_prompt=False)
    common = common_start(said, other)
    starts = {prompt, common, TOKEN_BEGUN.sub("", common)}
    return [(start, said[len(start) :]) for start in starts if said.startswith(start)]


@each("name", [name for name, fmt in FORMATS.items() if getattr(fmt, "supports_tools", False)])
def test_calls_are_read_back(name):
    fmt = FORMATS[name]
    found = []
    for call_id in IDS:
        try:
            ways = written(fmt, call_id)
        except SagewireError:
            continue
        for prompt, text in ways:
            parser = fmt.make_parser([LOOK], prompt=prompt)
            reply = fold([*parser.feed(text), *parser.close()])
            found.append([(call.name, json.loads(call.arguments)) for call in reply.tool_calls])
    assert not found or [("look", ARGUMENTS)] in found
