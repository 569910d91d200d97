"""Tools of every shape, and results and arguments nobody expects."""

import pytest

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats import FORMATS, get_format
from sagewire.types import Tool

from ...cases import each

ASK = {"role": "user", "content": "Hi"}
WITH_TOOLS = [name for name, fmt in FORMATS.items() if getattr(fmt, "supports_tools", False)]
RICH = {
    "name": "f",
    "description": None,
    "parameters": {
        "type": "object",
        "properties": {
            "any": True,
            "maybe": {"type": ["string", "null"]},
            "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            "bare": {"type": "array"},
            "map": {"type": "object", "additionalProperties": {"type": "number"}},
            "either": {"anyOf": [{"type": "string"}, {"$ref": "#/x"}]},
            "one": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "fixed": {"enum": [1, None], "default": 1},
            "word": {"type": "string", "enum": ["a"], "default": "a", "description": 5},
        },
        "required": None,
    },
}
MISTAKES = [
    {"name": "f", "parameters": 5},
    {"name": "f", "parameters": {"properties": [1]}},
    {"type": "function", "function": {}},
    {"type": "function", "function": {"name": None}},
    {"name": "f", "parameters": {"x": {1, 2}}},
]


@each("name", WITH_TOOLS)
def test_any_json_schema_can_be_described(name):
    for tool in (RICH, {"name": "f"}, {"name": "f", "parameters": None}, {"name": "f", "parameters": {}}, Tool("f")):
        prompt = FORMATS[name].render([ASK], [tool])
        assert prompt.count("f") > FORMATS[name].render([ASK]).count("f")


@each("name", WITH_TOOLS)
@each("tool", MISTAKES[:4])
def test_what_is_no_schema(name, tool):
    with pytest.raises(UsageError):
        FORMATS[name].render([ASK], [tool])


def test_what_json_cannot_write():
    with pytest.raises(UsageError, match="JSON"):
        get_format("qwen3").render([ASK], [MISTAKES[4]])


@each("name", [name for name in FORMATS if not name.startswith("litellm")])
@each("arguments", ["no json", 5, [1], {"a": {1, 2}}, '"text"'])
def test_arguments_are_written_or_refused(name, arguments):
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": arguments}}
    result = {"role": "tool", "content": {"a": 1}, "tool_call_id": "abcdefghi", "name": "f"}
    messages = [ASK, {"role": "assistant", "content": None, "tool_calls": [call]}, result]
    try:
        prompt = get_format(name).render(messages)
    except (UsageError, UnsupportedFeature):
        return
    assert '"a": 1' in prompt or "a:1" in prompt


def test_a_result_that_is_an_object():
    result = {"role": "tool", "content": {"temp": 21}, "tool_call_id": "1", "name": "f"}
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}
    assert '\n\n{"temp": 21}<|eot_id|>' in get_format("llama3_1").render([ASK, call, result])
    assert '<tool_response>\n{"temp": 21}\n' in get_format("qwen3").render([ASK, call, result])


def test_types_as_each_family_writes_them():
    hermes = get_format("hermes_3").render([ASK], [RICH])
    assert "any: Any, maybe: Union[str,Any], list: list[dict], bare: list[Any], map: dict[str, float]" in hermes
    harmony = get_format("gpt_oss").render([ASK], [RICH])
    assert "any?: any,\nmaybe?: string | null,\nlist?: {\nx?: \n                number}[]," in harmony
    assert "bare?: any[],\nmap?: object," in harmony
    assert 'word?: "a", // default: a,' in harmony
