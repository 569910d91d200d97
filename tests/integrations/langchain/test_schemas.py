"""Schemas of every kind reach the wire as the class means them, and answers are read back as instances of it."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from typing import Annotated, Any, ClassVar, Generic, Literal, NotRequired, TypeVar

import jsonschema
import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

from sagewire import SagewireError, UsageError
from sagewire.integrations.langchain import ChatHuggingFaceEndpoint
from sagewire.integrations.langchain._parsing import InstanceOfAnswer
from tests.cases import each
from tests.fake_server import JsonHandler, serving

T = TypeVar("T")
METHODS = ("json_schema", "function_calling", "json_mode")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    title: str


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    others: list[Cat | Dog] = []


class Times(BaseModel):
    at: datetime.datetime
    day: datetime.date
    id: uuid.UUID
    price: decimal.Decimal
    span: datetime.timedelta


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    at: datetime.datetime
    id: uuid.UUID
    color: Color
    pair: tuple[int, str]


class Alias(BaseModel):
    first: str = Field(alias="firstName")
    count: int = Field(validation_alias="the-count", default=3)


class Words(BaseModel):
    """Fields named like keywords of JSON schema."""

    title: str
    description: str
    properties: dict[str, int]
    type: str


class Data(BaseModel):
    """Values that look like schemas."""

    book: dict[str, Any] = Field(default={"title": "Emma", "type": "object"}, examples=[{"title": "Persuasion"}])
    kind: dict[str, Any] = Field(default={}, json_schema_extra={"enum": [{"title": "a"}, {}]})


class Maps(BaseModel):
    counts: dict[str, int]
    cats: dict[str, Cat]
    anything: dict[str, Any] = {}


class Optionals(BaseModel):
    cat: Cat | None = None
    numbers: list[int | None] | None = None
    either: int | str | None


class Tree(BaseModel):
    value: int
    kids: list[Tree] = []


class Forest(BaseModel):
    """A forest."""

    trees: list[Tree]
    parent: Forest | None = None


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    cat: Cat


class Box(BaseModel, Generic[T]):
    value: T


class Scores(RootModel[dict[str, int]]):
    pass


class Numbers(RootModel[list[int]]):
    pass


class Part(TypedDict, total=False):
    """A part of a machine."""

    name: Annotated[str, ..., "what it is called"]
    size: NotRequired[int]
    cats: list[Cat]
    parts: list[Part]


@dataclasses.dataclass
class Point:
    """A point."""

    x: int
    tree: Tree
    label: str = "p"


CAT = {"kind": "cat", "lives": 9}
VALUES: list[tuple[Any, Any]] = [
    (Pet, {"pet": {"kind": "dog", "title": "Rex"}, "others": [CAT]}),
    (Times, {"at": "2026-01-02T03:04:05Z", "day": "2026-01-02", "id": str(uuid.UUID(int=7)), "price": "12.50",
             "span": "PT5M"}),
    (Strict, {"at": "2026-01-02T03:04:05Z", "id": str(uuid.UUID(int=7)), "color": "red", "pair": [1, "a"]}),
    (Alias, {"firstName": "Ada", "the-count": 4}),
    (Words, {"title": "t", "description": "d", "properties": {"a": 1}, "type": "q"}),
    (Data, {"book": {"title": "Emma", "pages": 400}, "kind": {"title": "a"}}),
    (Maps, {"counts": {"a": 1}, "cats": {"x": CAT}, "anything": {"b": [1]}}),
    (Optionals, {"cat": None, "numbers": [1, None], "either": None}),
    (Tree, {"value": 1, "kids": [{"value": 2, "kids": [{"value": 3, "kids": []}]}]}),
    (Forest, {"trees": [{"value": 1, "kids": []}], "parent": {"trees": [], "parent": None}}),
    (Closed, {"cat": CAT}),
    (Box[int], {"value": 12345678901234567890123}),
    (Box[Box[list[Cat]]], {"value": {"value": [CAT]}}),
    (Scores, {"a": 1}),
    (Numbers, [1, 2]),
    (Part, {"name": "a", "cats": [CAT], "parts": [{"name": "b"}]}),
    (Point, {"x": 1, "tree": {"value": 1, "kids": []}, "label": "q"}),
]  # fmt: skip


def name_of(schema: Any, method: str) -> str:
    from sagewire.integrations.langchain._schemas import function_of

    return str(function_of(schema)["name"]) if method == "function_calling" else ""


class Answering(JsonHandler):
    """Answers with the text of the test, as text or as a call of the tool that is offered."""

    text, reason, called = "", None, False
    last: ClassVar[dict[str, Any]] = {}

    def do_POST(self):
        asked = self.asked()
        Answering.last = asked
        said = {"role": "assistant", "content": self.text}
        if asked.get("tools") and self.called:
            function = {"name": asked["tools"][0]["function"]["name"], "arguments": self.text}
            said = {"content": None, "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}
        streams = asked.get("stream")
        choice = {"index": 0, "delta" if streams else "message": said, "finish_reason": self.reason}
        body = json.dumps({"id": "x", "choices": [choice]}).encode()
        if streams:
            body = b"data: " + body + b"\n\ndata: [DONE]\n\n"
        self.answer(200, body, "text/event-stream" if streams else "application/json")


@pytest.fixture(scope="module")
def model():
    with serving(Answering) as url:
        yield ChatHuggingFaceEndpoint(endpoint_url=url, content_handler="openai_chat", max_retries=0)


@pytest.fixture
def say(model):
    def say(text: str, *, called: bool = False, finish: str | None = "stop") -> ChatHuggingFaceEndpoint:
        Answering.text, Answering.called, Answering.reason = text, called, finish
        return model

    return say


def sent_schema() -> Any:
    asked = Answering.last
    if asked.get("tools"):
        return asked["tools"][0]["function"]["parameters"]
    return asked["response_format"]["json_schema"]["schema"]


@each(("schema", "value", "method", "strict"), [
    (schema, value, *way)
    for schema, value in VALUES
    for way in (("json_schema", None), ("json_schema", True), ("function_calling", None), ("json_mode", None))
    if not (schema is Numbers and way[0] == "function_calling")
])  # fmt: skip
def test_what_the_class_takes_the_schema_allows_and_is_read_back(say, schema, value, method, strict):
    model = say(json.dumps(value), called=method == "function_calling")
    chain = model.with_structured_output(schema, method=method, strict=strict)
    is_class = isinstance(schema, type) and issubclass(schema, BaseModel)
    expected = schema.model_validate_json(json.dumps(value)) if is_class else value
    assert chain.invoke("q") == list(chain.stream("q"))[-1] == expected
    if method != "json_mode" and not strict:
        # OpenAI's flag makes every property required.
        jsonschema.Draft202012Validator(sent_schema()).validate(value)
    if method != "json_mode" and schema is Data:
        book = sent_schema()["properties"]["book"]
        assert (book["default"], book["examples"]) == ({"title": "Emma", "type": "object"}, [{"title": "Persuasion"}])


@each("schema", [Maps, Words, Scores])
def test_strict_leaves_dictionaries_their_keys(say, schema):
    value = next(value for kind, value in VALUES if kind is schema)
    say(json.dumps(value)).with_structured_output(schema, method="json_schema", strict=True).invoke("q")
    jsonschema.Draft202012Validator(sent_schema()).validate(value)


def test_annotations_of_a_typed_dict_describe_its_fields(say):
    say("{}").with_structured_output(Part, method="json_schema").invoke("q")
    described = Answering.last["response_format"]["json_schema"]
    assert described["description"] == "A part of a machine."
    assert described["schema"]["properties"]["name"]["description"] == "what it is called"


@each("schema", [Numbers, {"title": "Numbers", "type": "array", "items": {"type": "integer"}}])
def test_arguments_of_a_function_are_an_object(say, schema):
    with pytest.raises(UsageError, match="method='json_schema'"):
        say("[1]").with_structured_output(schema, method="function_calling")


@each("keyword", ["$defs", "definitions"])
def test_a_schema_that_refers_to_one_of_its_definitions(say, keyword):
    schema = {"title": "N", "$ref": f"#/{keyword}/N", keyword: {"N": {"type": "object", "properties": {"a": {}}}}}
    say("{}").with_structured_output(schema, method="json_schema").invoke("q")
    assert sent_schema()["properties"] == {"a": {}}


NODE = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}
OF_MCP = [
    {"title": "walkArgs", "type": "object", "properties": {"node": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": NODE}},
    {"type": "object", "properties": {"next": {"$ref": "#"}, "title": {"type": "string"}}},
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}},
]


@each("schema", OF_MCP)
def test_a_tool_of_mcp_keeps_its_references(say, schema):
    tool = StructuredTool.from_function(func=str, name="walk", description="Walk.", args_schema=schema)
    say("").bind_tools([tool]).invoke("q")
    expected = {key: value for key, value in schema.items() if key != "title"}
    function = {"name": "walk", "description": "Walk.", "parameters": expected}
    assert Answering.last["tools"] == [{"type": "function", "function": function}]


class Prescription(BaseModel):
    medicines: list[str] = []
    note: str | None = None


CUTS = (
    '{"medicines": ["aspirin 100 mg", "warf',
    '{"medicines": ["a"], "note": nul',
    '{"medicines": ["a"], ',
    '```json\n{"medicines": ["a"], "note',
    "{",
)


@each(("cut", "finish", "method", "schema"), [
    (cut, finish, method, schema)
    for cut, finish in zip(CUTS, (None, "abort", "error", "stop", "length"), strict=True)
    for method in ("json_schema", "json_mode")
    for schema in (Prescription, Prescription.model_json_schema())
])  # fmt: skip
def test_json_that_does_not_end_is_never_completed_whatever_the_server_says(say, cut, finish, method, schema):
    model = say(cut, finish=finish)
    chain = model.with_structured_output(schema, method=method)
    if finish is not None:
        with pytest.raises(OutputParserException, match="max_tokens" if finish == "length" else "does not end"):
            chain.invoke("q")
        with pytest.raises(OutputParserException, match="max_tokens" if finish == "length" else "does not end"):
            list(chain.stream("q"))
        *_, last = model.with_structured_output(schema, method=method, include_raw=True).stream("q")
        assert last["parsed"] is None
        assert isinstance(last["parsing_error"], OutputParserException)
    else:
        with pytest.raises((OutputParserException, SagewireError)):
            chain.invoke("q")
        with pytest.raises((OutputParserException, SagewireError)):
            list(chain.stream("q"))


@each("said", ['{"note": "a"}', ' {"note": "a"}\n\n', '```json\n{"note": "a"}\n```', '```\n{"note": "a"}\n```\nThere.',
               '{"note": "a"} That is all.', 'Here:\n```json\n{"note": "a"}\n```', '{"note": "\na"}'])  # fmt: skip
def test_what_stands_around_json_is_no_part_of_it(say, said):
    chain = say(said).with_structured_output(Prescription, method="json_mode")
    assert chain.invoke("q").note.strip() == "a"
    assert list(chain.stream("q"))[-1].note.strip() == "a"


@each("method", METHODS)
def test_a_stream_that_never_fits_ends_with_the_error_of_a_whole_answer(say, method):
    chain = say('{"kind": "cow"}', called=True).with_structured_output(Cat, method=method)
    with pytest.raises(ValueError, match="kind"):
        chain.invoke("q")
    with pytest.raises(ValueError, match="kind"):
        list(chain.stream("q"))


class OldNumber(BaseModelV1):
    x: int
    y: int


@pytest.mark.filterwarnings("ignore:.*[pP]ydantic.*:UserWarning")
def test_a_class_of_pydantic_v1_is_read_as_it_grows_and_what_does_not_fit_is_a_parser_error(say):
    chain = say('{"x": 12, "y": 3}').with_structured_output(OldNumber, method="json_mode")
    assert list(chain.stream("q"))[-1] == chain.invoke("q") == OldNumber(x=12, y=3)
    pieces = [AIMessageChunk(piece) for piece in ('{"x"', ": 12", ', "y": 3', "}")]
    assert list(InstanceOfAnswer(pydantic_object=OldNumber).transform(iter(pieces)))[-1] == OldNumber(x=12, y=3)
    chain = say('{"x": "cow"}').with_structured_output(OldNumber, method="json_mode")
    with pytest.raises(OutputParserException, match="OldNumber"):
        chain.invoke("q")
    with pytest.raises(OutputParserException, match="OldNumber"):
        list(chain.stream("q"))
