"""What holds for every style and every text, however garbled and however it is cut."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sagewire.prompt_formats.output_parsers import OUTPUT_PARSERS, get_output_parser
from sagewire.streaming.accumulate import fold
from sagewire.types import ThinkingDelta, ToolCallDelta

from ...cases import examples

TOOLS = [{"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}]
FRAGMENTS = (
    "{", "}", "[", "]", '"', "'", ":", ",", ";", "(", ")", "=", "\\", "\n", " ", "```", "```json", "`", "f", "a", "all",
    "1", "null", "function", "text ", "é", "😀", '{"name": "f", "arguments": {"a": 1}}', '"name": "f", ', '{"a": 1}',
    '"parameters": {', '{"name": "f", "parameters": {"a": "', '{"tool_name": "f", "parameters": {}}', "[f(a=1)]", "[f(",
    "f\n", ">>>", "Action:", "functions.f:0", "</s>", "<|im_end|>", "<s>", "<thi", "commentary", "analysis", " to=f",
    '<invoke name="f">', '<parameter name="a">', "</parameter>", "</invoke>", "<parameter=a>", "<arg_key>a</arg_key>",
    "<arg_value>", "</arg_value>", ">", "<|message|>", "<|tool_call_argument_begin|>", "<｜tool▁sep｜>", "[ARGS]",
)  # fmt: skip


def markers(style):
    tags = [tag for tags in style.thinking for tag in (tags.open, tags.close)]
    return [*style.blocks, *style.closers, *style.silent, *style.frames, *style.frames.values(), *tags]


def soup(name):
    return st.lists(st.sampled_from((*FRAGMENTS, *2 * markers(OUTPUT_PARSERS[name]))), max_size=25).map("".join)


def content(reply):
    # Where the model gave no id, the call's index makes one, and calls that were taken back have had indexes too.
    return reply.text, reply.thinking, [(call.name, call.arguments) for call in reply.tool_calls]


def read(name, pieces, **options):
    reader = get_output_parser(name, TOOLS, **options)
    deltas = []
    for piece in pieces:
        deltas += reader.feed(piece)
    return deltas + reader.close()


@pytest.mark.parametrize("name", OUTPUT_PARSERS)
@hypothesis_settings(max_examples=examples(15), deadline=None)
@given(data=st.data())
def test_garbage_is_read_the_same_however_it_is_cut(name, data):
    raw = data.draw(soup(name))
    prompt = data.draw(st.sampled_from(["", "x", "<think>\n", ">>>", "<|start|>assistant"]))
    whole = fold(read(name, [raw], prompt=prompt))
    assert fold(read(name, raw, prompt=prompt)) == whole
    cut = data.draw(st.integers(0, len(raw)))
    assert fold(read(name, [raw[:cut], raw[cut:]], prompt=prompt)) == whole
    assert content(fold(read(name, [raw], prompt=prompt, stream_arguments=False))) == content(whole)
    for call in whole.tool_calls:
        assert call.name
        assert isinstance(json.loads(call.arguments), dict)


@pytest.mark.parametrize("name", sorted(OUTPUT_PARSERS.keys() - {"gpt_oss", "inkling"}))
@hypothesis_settings(max_examples=examples(20), deadline=None)
@given(data=st.data())
def test_what_is_no_call_stays_text_to_the_letter(name, data):
    # Recipients (`all`) and tags of thinking frame text, and are rightly not part of it.
    style = OUTPUT_PARSERS[name]
    fragments = [fragment for fragment in (*FRAGMENTS, *style.blocks, *style.closers) if fragment != "all"]
    raw = data.draw(st.lists(st.sampled_from(fragments), max_size=25).map("".join)) + "."
    reply = fold(read(name, [raw], prompt="x"))
    if not reply.tool_calls:
        assert reply.thinking is None
        assert reply.text == raw.strip()


@pytest.mark.parametrize("name", OUTPUT_PARSERS)
@hypothesis_settings(max_examples=examples(10), deadline=None)
@given(data=st.data())
def test_without_streamed_arguments_nothing_is_taken_back(name, data):
    deltas = read(name, data.draw(soup(name)), stream_arguments=False, prompt="x")
    assert not any(delta.cancelled for delta in deltas if isinstance(delta, ToolCallDelta))
    assert not any(delta.takes_text for delta in deltas if isinstance(delta, ThinkingDelta))
    assert len({delta.index for delta in deltas if isinstance(delta, ToolCallDelta)}) == len(fold(deltas).tool_calls)


@hypothesis_settings(max_examples=300, deadline=None)
@example(["ab", "\n", " "], ["b\n"])
@example([">", ">>", "</s", ">"], [">>>"])
@given(
    st.lists(st.sampled_from(["a", "b", " ", "\n", "</s>", "</", "s>", ">", "<|im_end|>", "\nUser:", "User", ":"])),
    st.lists(st.sampled_from(["\nUser:", "b\n", ">>>", "s>x", "\n\n", "User:", "a"]), max_size=3),
)
def test_the_end_of_a_plain_answer_is_trimmed_the_same_however_it_is_cut(pieces, stops):
    def text(pieces):
        return fold(read("plain", pieces, stops=stops)).text

    raw = "".join(pieces)
    assert text(pieces) == text([raw]) == text(raw)
    assert not raw.strip().startswith(text([raw])) or not text([raw]).endswith(("</s>", "<|im_end|>", *stops))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("hermes", "<tool_call>"),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"x": "'),
        ("hermes", "<think><tool_call>"),
        ("llama3_json", '{"arguments":'),
        ("llama3_json", '{"name": "f", "parameters": {'),
        ("pythonic", "[f(a=["),
        ("qwen3_coder", "<function=f><parameter=a>"),
        ("glm", "<tool_call>f\n<arg_key>a</arg_key><arg_value>"),
        ("gpt_oss", '<|channel|>commentary to=f<|message|>{"a":"'),
        ("deepseek", "</think>"),
        ("plain", " \n"),
        ("plain", "</s>"),
    ],
)
@pytest.mark.parametrize("size", [5, 200_000])
def test_hostile_text_takes_linear_time(name, unit, size):
    # Takes half a second; were it quadratic, it would take minutes.
    raw = unit * (200_000 // len(unit))
    started = time.process_time()
    fold(read(name, [raw[start : start + size] for start in range(0, len(raw), size)]))
    assert time.process_time() - started < 15


def test_a_call_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr("sagewire.prompt_formats.output_parsers.engine.source.MAX_BLOCK_CHARACTERS", 10_000)
    raw = '<tool_call>{"name": "f", "arguments": {"a": "' + "b" * 30_000
    reader = get_output_parser("hermes")
    deltas = [delta for start in range(0, len(raw), 100) for delta in reader.feed(raw[start : start + 100])]
    assert fold(deltas).text.startswith("<tool_call>")
    assert fold(deltas + reader.close()).text == raw
