"""Answers of servers that drop control tokens: read as far as nothing has to be guessed."""

import json

import pytest

from sagewire.prompt_formats.output_parsers import get_output_parser
from sagewire.streaming.accumulate import fold

TOOLS = [{"name": name, "parameters": {"properties": {"city": {"type": "string"}}}} for name in ("look", "get_json")]


def read(name, raw, tools=TOOLS, prompt="x"):
    def run(pieces):
        parser = get_output_parser(name, tools, prompt=prompt)
        return fold([delta for piece in pieces for delta in parser.feed(piece)] + parser.close())

    whole = run([raw])
    assert all(run([raw[:cut], raw[cut:]]) == whole for cut in range(len(raw)))
    assert run(raw) == whole
    return whole.text, whole.thinking, [(call.name, json.loads(call.arguments), call.id) for call in whole.tool_calls]


@pytest.mark.parametrize(
    ("name", "raw", "ids"),
    [
        ("mistral", '[{"name": "look", "arguments": {"city": "Oslo"}, "id": "abcdef123"}]', ["abcdef123"]),
        ("mistral", 'look{"city": "Oslo"}', ["call_0"]),
        ("mistral", 'lookabcdef123{"city": "Oslo"}', ["abcdef123"]),
        ("lfm2", "[look(city='Oslo')]", ["call_0"]),
        ("apertus", '[{"look": {"city": "Oslo"}}]', ["call_0"]),
        ("granite", '[{"name": "look", "arguments": {"city": "Oslo"}}]', ["call_0"]),
        ("command_r", '[{"tool_call_id": "0", "tool_name": "look", "parameters": {"city": "Oslo"}}]', ["0"]),
        ("kimi_k2", 'functions.look:0{"city": "Oslo"}', ["functions.look:0"]),
        ("gpt_oss", 'commentary to=functions.look json{"city": "Oslo"}', ["call_0"]),
        ("gpt_oss", 'commentary to=functions.lookjson{"city": "Oslo"}', ["call_0"]),
    ],
)
def test_a_call_without_its_token(name, raw, ids):
    text, thinking, calls = read(name, raw)
    assert (text, thinking) == ("", None)
    assert calls == [("look", {"city": "Oslo"}, id) for id in ids]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("mistral", '[{"name": "Bob", "arguments": {"age": 4}}]'),
        ("mistral", 'dict{"city": "Oslo"}'),
        ("lfm2", "[print(city='Oslo')]"),
        ("apertus", '[{"data": {"city": "Oslo"}}]'),
        ("command_r", '[{"tool_name": "Bob", "parameters": {}}]'),
        ("kimi_k2", 'functions.print:0{"city": "Oslo"}'),
        ("gpt_oss", 'commentary to=functions.print json{"city": "Oslo"}'),
    ],
)
def test_what_names_no_offered_tool_is_text(name, raw):
    assert read(name, raw) == (raw, None, [])


@pytest.mark.parametrize("name", ["mistral", "command_r", "apertus", "lfm2"])
def test_nothing_is_a_call_where_nobody_said_what_was_offered(name):
    raw = '[{"name": "look", "arguments": {}, "tool_name": "look", "parameters": {}}]'
    assert read(name, raw, tools=None)[2] == []


def test_glued_channels():
    raw = 'analysisThe user wants a look.assistantcommentary to=functions.look json{"city": "Oslo"}'
    assert read("gpt_oss", raw) == ("", "The user wants a look.", [("look", {"city": "Oslo"}, "call_0")])
    raw = "analysisSimple sum.assistantfinalFour, as an analysis shows."
    assert read("gpt_oss", raw) == ("Four, as an analysis shows.", "Simple sum.", [])
    raw = 'analysisA look.assistantcommentaryI look.assistantcommentary to=functions.get_json {"city": "Oslo"}'
    assert read("gpt_oss", raw) == ("I look.", "A look.", [("get_json", {"city": "Oslo"}, "call_0")])
    raw = "analysis we need no tool.assistantanalysisNone at all.assistantfinalNo."
    assert read("gpt_oss", raw) == ("No.", "we need no tool.\n\nNone at all.", [])


@pytest.mark.parametrize(
    "raw", ["analysis of the data shows four.", "analysis", "final", "finally, four.", "commentary"]
)
def test_ordinary_words_stay_text(raw):
    assert read("gpt_oss", raw) == (raw, None, [])


def test_thinking_that_was_cut_off():
    assert read("gpt_oss", "analysisThe user wants") == ("", "The user wants", [])


@pytest.mark.parametrize("arguments", ["null", '"null"', '""', "[]", '"[]"', '"{}"', "{}"])
@pytest.mark.parametrize("name", ["hermes", "mistral", "llama3_json", "jamba", "granite"])
def test_empty_arguments_are_an_empty_object(name, arguments):
    call = f'{{"name": "look", "arguments": {arguments}}}'
    mark = {"hermes": "<tool_call>", "mistral": "[TOOL_CALLS]", "jamba": "<tool_calls>", "granite": "<|tool_call|>"}
    assert read(name, mark.get(name, "") + call)[2] == [("look", {}, "call_0")]


def test_large_integers_stay_integers():
    number = 12345678901234567890123
    tools = [{"name": "look", "parameters": {"properties": {"id": {"type": "integer"}}}}]
    for name, raw in {
        "hermes": f'<tool_call>{{"name": "look", "arguments": {{"id": {number}}}}}</tool_call>',
        "qwen3_coder": f"<tool_call><function=look><parameter=id>{number}</parameter></function></tool_call>",
        "gemma4": f"<|tool_call>call:look{{id:{number}}}<tool_call|>",
        "glm": f"<tool_call>look<arg_key>id</arg_key><arg_value>{number}</arg_value></tool_call>",
        "pythonic": f"[look(id={number})]",
    }.items():
        assert read(name, raw, tools)[2] == [("look", {"id": number}, "call_0")]


def test_line_breaks_in_arguments():
    raw = '<tool_call>{"name": "look", "arguments": {"city": "Os\nlo"}}</tool_call>'
    assert read("hermes", raw)[2] == [("look", {"city": "Os\nlo"}, "call_0")]
