"""Every recorded raw output, fed whole, by character, and cut anywhere."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sagewire.prompt_formats.output_parsers import get_output_parser
from sagewire.streaming.accumulate import fold

from ...cases import each

FOLDER = Path(__file__).parents[2] / "vectors" / "tool_outputs"

CASES = {
    f"{path.stem}-{case['name']}": (path.stem, case)
    for path in sorted(FOLDER.glob("*.json"))
    for case in json.loads(path.read_text("utf-8"))["cases"]
}


def make(style, options, **more):
    return get_output_parser(
        options.get("tool_style", style),
        options.get("tools"),
        stops=options.get("stop", ()),
        prompt=options.get("prompt_ends_with", ""),
        prompt_opened_thinking=options.get("prompt_opened_thinking"),
        **more,
    )


def read(reader, pieces):
    deltas = [delta for piece in pieces for delta in reader.feed(piece)] + reader.close()
    return fold(deltas)


def result(reply, like):
    """What was read, in the vectors' shape; an id counts only where the model wrote one."""
    calls = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in reply.tool_calls]
    for call, written, wanted in zip(calls, reply.tool_calls, like["tool_calls"], strict=False):
        if "id" in wanted:
            call["id"] = written.id
    return {"text": reply.text, "thinking": reply.thinking, "tool_calls": calls}


def joined(found):
    return {**found, "text": " ".join(found["text"].split())}


def check(reply, case):
    for wanted in (case["expected"], *case.get("also_ok", ())):
        found = result(reply, wanted)
        if found == wanted or (case.get("text_joined") and joined(found) == joined(wanted)):
            return
    assert result(reply, case["expected"]) == case["expected"]


@each("name", CASES)
@each("streaming", [True, False])
def test_vector(name, streaming):
    style, case = CASES[name]
    raw, options = case["raw"], case.get("options", {})
    whole = read(make(style, options, stream_arguments=streaming), [raw])
    check(whole, case)
    assert read(make(style, options, stream_arguments=streaming), raw) == whole


@hypothesis_settings(max_examples=600, deadline=None)
@given(st.data())
def test_any_cut_gives_the_same_reply(data):
    style, case = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    raw, options = case["raw"], case.get("options", {})
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert read(make(style, options), pieces) == read(make(style, options), [raw])
