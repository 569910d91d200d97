"""Arguments of the wrong kind: told at once, before anything is sent, by one kind of error."""

import math

import pytest

from sagewire import AsyncClient, Client, PayloadTooLarge, UsageError
from sagewire.types import EmbedOptions
from tests.cases import each

DEEP: dict[str, object] = {"type": "object"}
for _ in range(2000):
    DEEP = {"type": "object", "properties": {"a": DEEP}}

CHATS = [
    ({"messages": None}, "messages must be"),
    ({"messages": 5}, "messages must be"),
    ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "tool_calls must be a list"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {1, 2}}]}]}, "call of 'f' are no"),
    ({"tools": {"type": "function", "function": {"name": "f"}}}, "put it into a list"),
    ({"tools": ["f"]}, "a tool is a Tool or"),
    ({"tools": [None]}, "not NoneType"),
    ({"tools": [len]}, "not a function: describe it"),
    ({"tools": 5}, "tools must be a list"),
    ({"stop": 5}, "stop=5"),
    ({"temperature": math.nan}, "temperature=nan must be a finite"),
    ({"top_p": math.inf}, "top_p=inf must be a finite"),
    ({"extra": "text"}, "extra must be a mapping"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), CHATS, ids=[f"{message}-{n}" for n, (_, message) in enumerate(CHATS)]
)
def test_of_a_chat(emulator, arguments, message):
    with pytest.raises(UsageError, match=message):
        Client("vllm", handler="openai_chat").chat(**({"messages": "Hi"} | arguments))
    assert not emulator.calls


@pytest.mark.parametrize("tool_choice", [None, "f"])
def test_a_tool_too_deep_to_be_written_into_a_prompt(emulator, tool_choice):
    client = Client("tgi", handler="tgi", format="llama3_1")
    # Python 3.13 can write it, indented to more than any endpoint takes.
    with pytest.raises((UsageError, PayloadTooLarge), match=r"nested too deeply|the request has"):
        client.chat("Hi", tools=[{"name": "f", "parameters": DEEP}], tool_choice=tool_choice)
    assert not emulator.calls


@pytest.mark.parametrize("prompt", [None, 5, b"Hi", ["Hi"]])
async def test_of_a_completion(emulator, prompt):
    with pytest.raises(UsageError, match="a prompt is a string"):
        Client("tgi", handler="tgi").complete(prompt)
    with pytest.raises(UsageError, match="a prompt is a string"):
        await AsyncClient("tgi", handler="tgi").complete(prompt)
    assert not emulator.calls


@pytest.mark.parametrize("texts", ["Hi", [None], ["Hi", 5]])
def test_of_an_embedding_or_a_ranking(emulator, texts):
    with pytest.raises(UsageError, match="texts must be a list of strings"):
        Client("tgi", handler="tei").embed(texts)
    with pytest.raises(UsageError, match="documents must be a list of strings"):
        Client("tgi", handler="tei_rerank").rerank("Hi", texts)
    with pytest.raises(UsageError, match="query must be a string"):
        Client("tgi", handler="tei_rerank").rerank(None, ["Hi"])
    assert not emulator.calls


VECTORS = {
    "dimensions": (-5, 0, "x", "256", True, 2.5, [3]),
    "truncate": ("yes", 1, 0, "END"),
    "normalize": ("l2", 1),
    "model": (3, []),
    "input_type": ("qury", 3, "search_query", "passage"),
    "extra": ("x", [1], [], {1: 2}, 3),
    "endpoint_kwargs": ("x", 3, [1]),
    "max_concurrency": (0, "4", True, 1.5),
    "progress": ("yes", 3),
}
RANKINGS = {
    "top_n": ("1", True, 0, -1, 1.5, [1]),
    "extra": ("x", 3, [], {1: 2}),
    "endpoint_kwargs": ("x", 3),
}


@each(
    ("method", "name", "value"),
    [
        *(("embed", name, value) for name, values in VECTORS.items() for value in values),
        *(("rerank", name, value) for name, values in RANKINGS.items() for value in values),
    ],
)
def test_of_settings_of_vectors(method, name, value):
    given = {"embed": (["Hi"],), "rerank": ("Hi", ["a", "b"])}[method]
    handler = {"embed": "tei", "rerank": "tei_rerank"}[method]
    # Nothing listens there: a value that is not refused fails otherwise.
    client = Client(url="http://127.0.0.1:9", handler=handler, retries=1)
    with pytest.raises(UsageError, match=name):
        getattr(client, method)(*given, **{name: value})


@each(("given", "told"), [("search_query", "'query'"), ("passage", "'document'"), ("qury", "'query'"), (3, "Known")])
def test_of_the_purpose_of_texts(given, told):
    with pytest.raises(UsageError, match=told):
        EmbedOptions(input_type=given)


@each("texts", [{"a": 1}, {"a"}, frozenset("a"), 5, None, "a", b"a"])
def test_of_collections_of_texts(texts):
    with pytest.raises(UsageError, match="texts must be a list of strings"):
        Client(url="http://127.0.0.1:9", handler="tei").embed(texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"timeout": "5"}, "timeout='5'"),
        ({"timeout": math.inf}, "timeout=inf"),
        ({"timeout": math.nan}, "timeout=nan"),
        ({"retries": "5"}, "retries='5'"),
        ({"options": "temperature=0"}, "options must be"),
        ({"hooks": {"on_request": print}}, "hooks must be a sagewire.Hooks, not dict"),
        ({"endpoint": "http://127.0.0.1:8000"}, "give it as url="),
    ],
)
def test_of_a_client(arguments, message):
    with pytest.raises(UsageError, match=message):
        Client(**({"endpoint": "vllm"} | arguments))


def test_of_a_client_that_is_none():
    with pytest.raises(UsageError, match=r"client=object cannot invoke endpoints; pass boto3.client"):
        Client("vllm", client=object())
