"""Tools that must be called, on containers that take plain text."""

import jsonschema
import orjson
import pytest

from sagewire import Client, Tool, UnsupportedFeature, UsageError, WireError
from sagewire.client.forced_tools import call_schema
from sagewire.emulator import Emulator
from sagewire.emulator.endpoints import EndpointSpec
from sagewire.emulator.engines import Scripted

from ..cases import each

CITY = {"type": "object", "properties": {"city": {"$ref": "#/$defs/City"}}, "required": ["city"]}
WEATHER = Tool("weather", "Tell the weather.", {**CITY, "$defs": {"City": {"type": "string", "maxLength": 9}}})
TIME = Tool("time", "Tell the time.", {**CITY, "$defs": {"City": {"enum": ["Rome", "Oslo"]}}})
TREE = Tool(
    "tree",
    "Grow a tree.",
    {
        "type": "object",
        "properties": {"root": {"$ref": "#/definitions/Node"}},
        "definitions": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/definitions/Node"}}}},
    },
)


@pytest.fixture(scope="module")
def emulator():
    with Emulator({"tgi": "tgi:schema", "lmi": "lmi:schema"}) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(emulator, monkeypatch):
    for name, value in emulator.environ().items():
        monkeypatch.setenv(name, value)


def client(endpoint="tgi", handler=None, **arguments):
    return Client(endpoint, handler=handler or endpoint, format="qwen2_5", options={"max_tokens": 300}, **arguments)


def scripted(emulator, dialect, *replies):
    emulator.add(f"scripted-{dialect}", EndpointSpec(dialect, Scripted(replies, loop=True)))
    return client(f"scripted-{dialect}", dialect)


@pytest.mark.parametrize("endpoint", ["tgi", "lmi"])
def test_one_tool(endpoint):
    reply = client(endpoint).chat("Weather in Rome?", tools=[WEATHER, TIME], tool_choice="weather")
    assert [call.name for call in reply.tool_calls] == ["weather"]
    assert orjson.loads(reply.tool_calls[0].arguments) == {"city": "Rome"}
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize("endpoint", ["tgi", "lmi"])
def test_any_tool_in_a_stream(endpoint):
    with client(endpoint).stream("Hello!", tools=[WEATHER, TIME], tool_choice="required") as stream:
        list(stream)
    assert stream.reply.tool_calls[0].name in ("weather", "time")
    assert stream.reply.text == ""


def test_the_grammar_is_that_of_a_call(emulator):
    client().chat("Rome?", tools=[WEATHER], tool_choice="weather")
    assert emulator.calls[-1].json["parameters"]["grammar"] == {
        "type": "json",
        "value": {
            "type": "object",
            "properties": {
                "name": {"const": "weather"},
                "arguments": {
                    "type": "object",
                    "properties": {"city": {"$ref": "#/$defs/weather.City"}},
                    "required": ["city"],
                },
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
            "$defs": {"weather.City": {"type": "string", "maxLength": 9}},
        },
    }


def test_definitions_of_several_tools_do_not_mix(emulator):
    client().chat("Rome?", tools=[WEATHER, TIME, TREE], tool_choice="required")
    grammar = emulator.calls[-1].json["parameters"]["grammar"]["value"]
    assert len(grammar["anyOf"]) == 3
    assert grammar["$defs"] == {
        "weather.City": {"type": "string", "maxLength": 9},
        "time.City": {"enum": ["Rome", "Oslo"]},
        "tree.Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree.Node"}}},
    }
    # The caller's own schemas stay as they were.
    assert TREE.parameters["properties"] == {"root": {"$ref": "#/definitions/Node"}}


def test_the_model_is_told_where_there_is_no_grammar(emulator):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Rome?"}]
    client("lmi").chat(messages, tools=[WEATHER, TIME], tool_choice="weather")
    prompt = emulator.calls[-1].json["inputs"]
    assert "Be brief.\n\nYou must call the function `weather` now" in prompt
    assert '"time"' not in prompt


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_a_call_is_an_error_that_shows_it(emulator, stream):
    talker = scripted(emulator, "lmi", "I would rather talk.")

    def ask():
        if not stream:
            return talker.chat("Rome?", tools=[WEATHER], tool_choice="required")
        with talker.stream("Rome?", tools=[WEATHER], tool_choice="required") as deltas:
            return list(deltas)

    with pytest.raises(WireError, match=r"had to call 'weather' and answered: 'I would rather talk\.'"):
        ask()


def test_an_answer_cut_off_at_its_length_is_delivered(emulator):
    reply = scripted(emulator, "tgi", '{"name": "weather", "arguments": {"city": "Ro').chat(
        "Rome?", tools=[WEATHER], tool_choice="required", max_tokens=4
    )
    assert reply.finish_reason == "length"
    assert reply.tool_calls == ()
    assert reply.text


def test_a_tool_that_is_not_on_offer():
    with pytest.raises(UsageError, match=r"'wether' is not one of the tools.*did you mean 'weather'\?"):
        client().chat("Rome?", tools=[WEATHER], tool_choice="wether")


def test_two_schemas_at_once():
    with pytest.raises(UnsupportedFeature, match="response_format"):
        client().chat("?", tools=[WEATHER], tool_choice="required", response_format={"type": "json_object"})


A = {"type": "object", "properties": {"n": {"$ref": "#/$defs/A"}}}
REFERRING = [
    ({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": A}}, {"a": {"n": {}}}),
    ({"$ref": "#/$defs/A", "$defs": {"A": A}}, {"n": {"n": {}}}),
    ({"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": A}}, {"n": {}}),
    ({"type": "object", "properties": {"$ref": {"type": "string"}, "a": {"$ref": "#/properties/$ref"}}}, {"a": "x"}),
    ({"type": "object", "properties": {"a/b": {"type": "integer"}, "c": {"$ref": "#/properties/a~1b"}}}, {"c": 3}),
    *(
        ({"type": "object", "properties": {"a": {"$ref": f"#/$defs/{written}"}}, "$defs": {name: {"type": "integer"}}},
         {"a": 3})
        for name, written in (("Box[int]", "Box[int]"), ("Box[int]", "Box%5Bint%5D"), ("a/b", "a~1b"), ("a~b", "a~0b"),
                              ("a b", "a%20b"))
    ),
]  # fmt: skip


@each(("parameters", "arguments"), REFERRING)
def test_references_of_a_forced_call_lead_somewhere(parameters, arguments):
    schema = call_schema([Tool("f", "", parameters), Tool("g", "", parameters)])
    check = jsonschema.Draft202012Validator(schema)
    for name in ("f", "g"):
        check.validate({"name": name, "arguments": arguments})
        assert not check.is_valid({"name": name, "arguments": {**arguments, next(iter(arguments)): [None]}})
