"""The engines: what they say to the prompts that chains, chats and agents write."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import validate

from sagewire.emulator.engines import Call, EngineFailure, Scripted, Text, Turn, get_engine
from sagewire.emulator.engines.evidence import Evidence
from sagewire.emulator.engines.filling import fill
from sagewire.emulator.engines.patterns import matching
from sagewire.emulator.engines.prompt import conversation, unfold
from sagewire.types import ImagePart, Message, TextPart, Tool, ToolCall

from ..cases import each

STORY = (
    "Peter and Elizabeth took a taxi to attend the night party in the city. While in the party, Elizabeth collapsed "
    "and was rushed to the hospital. Since she was diagnosed with a brain injury, the doctor told Peter to stay "
    "besides her until she gets well. Therefore, Peter stayed with her at the hospital for 3 days without leaving."
)
CHAIN = """Use the following pieces of context to answer the question at the end. If you don't know the answer, just \
say that you don't know, don't try to make up an answer.

{context}

Question: {question}
Helpful Answer:"""
INDEX = """Context information is below.
---------------------
{context}
---------------------
Given the context information and not prior knowledge, answer the query.
Query: {question}
Answer: """
SHORT = "{context}\n\nQuestion: {question}\nAnswer:"
TEMPLATES = [
    "{}",
    "<s>[INST] <<SYS>>\nYou are a helpful assistant.\n<</SYS>>\n\n{} [/INST]",
    "<s>[INST] {} [/INST]",
    "<|im_start|>system\nBe helpful, you are an assistant.<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "<bos><start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
    "<|user|>\n{}</s>\n<|assistant|>\n",
    "### Instruction:\n{}\n\n### Response:\n",
    "A chat between a user and an assistant.\n\nUSER: {} ASSISTANT:",
]


def say(turn, engine="extractive"):
    return list(get_engine(engine).generate(turn))


@each("template", TEMPLATES)
@each("question_form", [CHAIN, INDEX, SHORT])
@each(
    ("question", "answer"),
    [
        ("How long was Elizabeth hospitalized?", "for 3 days without leaving."),
        ("Who told Peter to stay?", "the doctor told Peter to stay"),
        ("Why was Elizabeth rushed to the hospital?", "Elizabeth collapsed"),
        ("How many penguins fly?", "I don't know."),
    ],
)
def test_extractive_copies_the_sentence_that_answers(template, question_form, question, answer):
    prompt = template.format(question_form.format(context=STORY, question=question))
    ((piece,),) = (say(Turn(prompt=prompt)),)
    assert answer in piece.text


def test_extractive_reads_chats():
    system = Message("system", f"Answer from the context.\n\nContext:\n{STORY}")
    turns = (system, Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "How long did Peter stay?"))
    assert "3 days" in say(Turn(messages=turns))[0].text
    assert "I can only answer" in say(Turn(messages=(Message("user", "What now?"),)))[0].text
    assert say(Turn(messages=()))


@pytest.mark.parametrize("template", TEMPLATES[1:], ids=lambda text: text[:16].strip())
def test_a_prompt_is_read_back_into_its_conversation(template):
    user = [message for message in conversation(template.format("How are you?")) if message.role == "user"]
    assert user == [Message("user", "How are you?")]


def test_tools_calls_and_results_are_read_out_of_a_hermes_prompt():
    tool = {
        "type": "function",
        "function": {"name": "get_weather", "description": "d", "parameters": {"type": "object"}},
    }
    prompt = (
        "<|im_start|>system\nCall functions within <tools></tools> tags:\n<tools>\n"
        f'{json.dumps(tool)}\n</tools>\nReturn <tool_call>\n{{"name": <name>}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\nWeather in Paris?<|im_end|>\n<|im_start|>assistant\n<tool_call>\n"
        '{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nsunny\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    turn = unfold(Turn(prompt=prompt))
    assert [tool.name for tool in turn.tools] == ["get_weather"]
    assert [message.role for message in turn.messages] == ["system", "user", "assistant", "tool"]
    assert turn.messages[2].tool_calls == (ToolCall("", "get_weather", '{"city": "Paris"}'),)
    assert say(Turn(prompt=prompt), "schema") == [Text("sunny")]
    asked = prompt[: prompt.index("<|im_start|>assistant")] + "<|im_start|>assistant\n"
    text = say(Turn(prompt=asked), "schema")[0].text
    assert json.loads(re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", text)[1]) == {
        "name": "get_weather",
        "arguments": {},
    }


def tool(name, description="", **properties):
    return Tool(name, description, {"type": "object", "properties": properties, "required": list(properties)})


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
WEATHER = tool("get_weather", "Get the weather at a location.", location=TEXT)
ADD = tool("add", "Add two integers.", a=WHOLE, b=WHOLE)
MULTIPLY = tool("multiply", "Multiply two integers.", a=WHOLE, b=WHOLE)
TOOLS = (WEATHER, ADD, MULTIPLY)


def calls(text, tools=TOOLS, **options):
    pieces = say(Turn(messages=(Message("user", text),), tools=tools, **options), "schema")
    return [(piece.name, json.loads(piece.arguments)) for piece in pieces if isinstance(piece, Call)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello!", []),
        ("What is the weather in San Francisco, CA?", [("get_weather", {"location": "San Francisco, CA"})]),
        ("what is the weather in tokyo", [("get_weather", {"location": "tokyo"})]),
        (
            "Weather in Paris and London?",
            [("get_weather", {"location": "Paris"}), ("get_weather", {"location": "London"})],
        ),
        ("Add 3 and 4.", [("add", {"a": 3, "b": 4})]),
        ("What is 3 + 4?", [("add", {"a": 3, "b": 4})]),
        ("Multiply 3 by 4 and add 5 and 6.", [("multiply", {"a": 3, "b": 4}), ("add", {"a": 5, "b": 6})]),
    ],
)
def test_the_schema_engine_calls_what_is_asked_for(text, expected):
    assert calls(text) == expected


def test_tool_choice_is_obeyed():
    assert calls("Weather in Paris?", tool_choice="none") == []
    assert calls("Hello!", tool_choice="required")[0][0] == "get_weather"
    assert calls("Hello!", tool_choice="multiply") == [("multiply", {"a": 1, "b": 1})]
    assert len(calls("Weather in Paris and London?", parallel_tool_calls=False)) == 1


def test_after_a_result_comes_the_answer_and_after_an_error_another_try():
    asked = (
        Message("user", "Weather in Paris?"),
        Message("assistant", tool_calls=(ToolCall("1", "get_weather", '{"location": "Paris"}'),)),
    )
    done = (*asked, Message("tool", "It is sunny.", tool_call_id="1"))
    assert say(Turn(messages=done, tools=TOOLS), "schema") == [Text("According to get_weather: It is sunny.")]
    failed = (*asked, Message("tool", "Error: no such place", tool_call_id="1"))
    assert isinstance(say(Turn(messages=failed, tools=TOOLS), "schema")[0], Call)
    report = tool("WeatherReport", "The weather as a report", summary=TEXT)
    forced = say(Turn(messages=done, tools=(*TOOLS, report), tool_choice="required"), "schema")
    assert [piece.name for piece in forced] == ["WeatherReport"]


def test_calls_and_results_that_smolagents_writes_as_text_are_turns_like_others():
    final = Tool("final_answer", "Give the answer.", {"type": "object", "properties": {"answer": {"type": "string"}}})
    weather = next(tool for tool in TOOLS if tool.name == "get_weather")
    called = "Calling tools:\n[{'id': '1', 'type': 'function', 'function': {'name': 'get_weather', 'arguments': {}}}]"
    task = Message("user", "New task:\nWhat is the weather in Rome?")
    after = (task, Message("assistant", called), Message("user", "Observation:\nIt is sunny."))
    for said, expected in (((task,), "get_weather"), (after, "final_answer")):
        (call,) = say(Turn(messages=said, tools=(weather, final), tool_choice="required"), "schema")
        assert call.name == expected
    # The same words without a call before them are a user's.
    alone = (Message("user", "Observation:\nHello"), Message("assistant", "Calling tools:\nnone"))
    assert say(Turn(messages=alone, tools=(weather, final)), "schema")


def test_a_grammar_of_several_calls_gets_the_one_that_fits():
    tools = [{"name": t.name, "description": t.description, "parameters": t.parameters} for t in TOOLS]
    prompt = (
        f"<|im_start|>system\n<tools>\n{json.dumps(tools)}\n</tools><|im_end|>\n<|im_start|>user\nASKED<|im_end|>\n"
    )
    options = [
        {
            "type": "object",
            "properties": {"name": {"const": t.name}, "arguments": t.parameters},
            "required": ["name", "arguments"],
        }
        for t in TOOLS
    ]
    for text, expected in (
        ("Multiply 6 by 7.", {"name": "multiply", "arguments": {"a": 6, "b": 7}}),
        ("Weather in Paris?", {"name": "get_weather", "arguments": {"location": "Paris"}}),
    ):
        turn = Turn(prompt=prompt.replace("ASKED", text), json_schema={"anyOf": options})
        assert json.loads(say(turn, "schema")[0].text) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            '[AVAILABLE_TOOLS] [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", '
            '"properties": {"a": {"type": "integer"}}, "required": ["a"]}}}] [/AVAILABLE_TOOLS][INST] add 5 [/INST]',
            '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 5}}]',
        ),
        (
            "<|start_header_id|>user<|end_header_id|>\n\nGiven the following functions, please respond with a JSON for "
            'a function call.\n\n{"type": "function", "function": {"name": "add", "parameters": {"type": "object", '
            '"properties": {"a": {"type": "integer"}}, "required": ["a"]}}}\n\nadd 5<|eot_id|>',
            '{"name": "add", "parameters": {"a": 5}}',
        ),
    ],
    ids=["mistral", "llama3"],
)
def test_calls_are_written_in_the_way_of_the_family(prompt, expected):
    assert say(Turn(prompt=prompt), "schema") == [Text(expected)]


def test_json_is_written_for_a_schema_in_the_request_or_in_the_text():
    schema = {"type": "object", "properties": {"setup": TEXT, "punchline": TEXT}, "required": ["setup", "punchline"]}
    joke = (Message("user", "Tell me a joke"),)
    assert json.loads(say(Turn(messages=joke, json_schema=schema), "schema")[0].text).keys() == {"setup", "punchline"}
    written = (Message("user", f"Tell me a joke as JSON of this schema: {json.dumps(schema)}"),)
    assert json.loads(say(Turn(messages=written), "schema")[0].text).keys() == {"setup", "punchline"}
    keys = (Message("user", "A joke as JSON with 'setup' and 'punchline' keys"),)
    assert json.loads(say(Turn(messages=keys, json_schema={"type": "object"}), "schema")[0].text).keys() == {
        "setup",
        "punchline",
    }


def test_images_are_acknowledged_and_thinking_comes_when_asked():
    picture = ImagePart(data=b"12345")
    message = Message("user", (TextPart("What is this?"), ImagePart(url=picture.as_url())))
    thinking, text = say(Turn(messages=(message,), reasoning=True), "schema")
    assert "What is this?" in thinking.text
    assert text.text == "I was given 1 image (image/png, 5 bytes)."


names = st.text(st.characters(categories=["Ll"]), min_size=1, max_size=6)
leaves = st.one_of(
    st.sampled_from([{"type": "string"}, {"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}]),
    st.sampled_from(["date", "email", "uri", "uuid", "date-time"]).map(lambda kind: {"type": "string", "format": kind}),
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-9, 9),
        st.integers(0, 9),
    ),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low}, st.integers(-9, 9)),
    st.builds(
        lambda short, more: {"type": "string", "minLength": short, "maxLength": short + more},
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    st.lists(names, min_size=1, max_size=3, unique=True).map(lambda options: {"enum": options}),
    names.map(lambda value: {"const": value}),
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least, "maxItems": least + 1},
            inner,
            st.integers(0, 2),
        ),
        st.builds(
            lambda properties, every: {
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if every],
                "additionalProperties": False,
            },
            st.dictionaries(names, inner, max_size=3),
            st.booleans(),
        ),
        inner.map(lambda option: {"anyOf": [option, {"type": "null"}]}),
        inner.map(lambda option: {"$defs": {"x": option}, "allOf": [option]}),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    schemas, st.text(max_size=40) | st.just("Book 3 rooms in 'Grand Hotel', Paris on 2025-02-03 for 12.5 EUR, b@c.de")
)
def test_what_is_filled_in_fits_the_schema(schema, text):
    validate(fill(schema, Evidence(text)), schema)


def test_references_are_followed_and_do_not_run_in_circles():
    node = {
        "type": "object",
        "properties": {"name": TEXT, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["name", "next"],
    }
    schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    validate(fill(schema, Evidence("next: next")), schema)


@pytest.mark.parametrize(
    "pattern",
    [
        r"yes|no",
        r"\d{4}-\d{2}-\d{2}",
        r"[A-Z]{3}[^\w]",
        r"(a|b)+c?",
        r"(?:x{2,5}y*)\.",
        r"^\[\d+\]$",
        r"(?P<year>20\d\d)",
        r"[\]a]",
        r"\w+@\w+",
    ],
)
def test_a_pattern_is_followed(pattern):
    assert re.fullmatch(pattern, matching(pattern))


@pytest.mark.parametrize("pattern", [r"(?=a)b", "(", r"(?<!x)y\1", "[", "*"])
def test_a_pattern_beyond_the_engine_is_an_error_and_no_guess(pattern):
    with pytest.raises(EngineFailure, match="not one this engine can follow"):
        matching(pattern)


def test_a_script_is_followed_and_then_fails_loudly():
    engine = Scripted(["one", Call("f"), EngineFailure("boom")])
    assert list(engine.generate(Turn())) == [Text("one")]
    assert list(engine.generate(Turn())) == [Call("f")]
    with pytest.raises(EngineFailure, match="boom"):
        list(engine.generate(Turn()))
    with pytest.raises(EngineFailure, match="all 3 are used up"):
        list(engine.generate(Turn()))
    engine.add("more")
    assert list(engine.generate(Turn())) == [Text("more")]
    assert [say(Turn(), looped)[0].text for looped in [get_engine("scripted=a|b")] * 3] == ["a", "b", "a"]
