"""Request bodies as arguments of the clients."""

import pickle

import pytest

from sagewire.client import Client
from sagewire.errors import UsageError
from sagewire.openai_shapes import (
    BadRequest,
    chat_arguments,
    completion_arguments,
    embedding_arguments,
    rerank_arguments,
    response_arguments,
    wants_stream,
    wants_usage,
)
from sagewire.types import Message, Tool
from tests.cases import each

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "add"}}


def test_every_field_finds_its_place() -> None:
    body = {
        "model": "m",
        "messages": HI,
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "parallel_tool_calls": False,
        "max_completion_tokens": 9,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 1,
        "seed": 3,
        "n": 2,
        "stop": "END",
        "logprobs": True,
        "top_logprobs": 2,
        "frequency_penalty": 0.5,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "user": "u",
        "store": True,
        "metadata": {"a": "b"},
        "service_tier": None,
        "guided_regex": "a+",
    }
    arguments = chat_arguments(body)
    assert arguments == {
        "messages": (Message("user", "Hi"),),
        "tools": (Tool("add"),),
        "tool_choice": "add",
        "parallel_tool_calls": False,
        "max_tokens": 9,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 1,
        "seed": 3,
        "n": 2,
        "stop": ["END"],
        "logprobs": True,
        "top_logprobs": 2,
        "frequency_penalty": 0.5,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "extra": {"guided_regex": "a+"},
    }
    assert wants_stream(body)
    assert wants_usage(body)
    # They are what the client takes: nothing in here is refused as an unknown option.
    messages = arguments.pop("messages")
    Client(url="http://127.0.0.1:1").stream(messages, **arguments)


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"messages": None}, "messages", "at least one message"),
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": "Hi"}, "messages", "must be an array, not a string"),
        ({"messages": [{"role": "poet"}]}, "messages", "unknown role"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages", "tool|well formed"),
        ({"tools": [5]}, "tools", "tool|well formed"),
        ({"temperature": "hot"}, "temperature", "must be a number, not a string"),
        ({"temperature": True}, "temperature", "not a boolean"),
        ({"temperature": float("nan")}, "temperature", "number"),
        ({"top_k": 1.5}, "top_k", "whole number"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "contradict"),
        ({"stop": ["a", ""]}, "stop", "none of them empty"),
        ({"stop": 3}, "stop", "array of strings"),
        ({"tool_choice": {"type": "custom"}}, "tool_choice", "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice", "auto"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": 3}}, "tool_choice", "needs a 'mode' and 'tools'"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "a"}]}}, "tool_choice", "not in"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice", "not in"),
        ({"tools": {}}, "tools", "must be an array, not an object"),
        ({"functions": [{}]}, "functions", "use 'tools'"),
        ({"modalities": ["text", "audio"]}, "modalities", "text"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"response_format": "json"}, "response_format", "object"),
    ],
)
def test_what_is_wrong_is_named(change: dict, param: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as caught:
        chat_arguments({"model": "m", "messages": HI, **change})
    assert caught.value.param == param
    assert isinstance(caught.value, UsageError)
    assert pickle.loads(pickle.dumps(caught.value)).param == param


@each("kind", ["functions", "Function", "", "object", 5, ["function"]])
def test_a_function_of_a_wrong_type_is_not_left_out_as_another_kind_of_tool(kind: object) -> None:
    tool = {"type": kind, "function": {"name": "add"}} if kind in ("functions", "Function") else {"type": kind}
    for skipped in (None, []):
        with pytest.raises(BadRequest, match=r"a tool has the type .*write \{'type': 'function'"):
            chat_arguments({"messages": HI, "tools": [TOOL, tool]}, skipped)
        with pytest.raises(BadRequest, match=r"a tool has the type"):
            response_arguments({"input": "Hi", "tools": [tool]}, skipped)
        assert not skipped


def test_many_tools_of_other_kinds_are_left_out_at_once() -> None:
    free = [{"type": "custom", "custom": {"name": f"f{number}"}} for number in range(40_000)]
    skipped: list[str] = []
    assert chat_arguments({"messages": HI, "tools": [*free, TOOL]}, skipped)["tools"] == (Tool("add"),)
    assert skipped == ["custom"]


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_a_choice_of_some_tools(nested: bool, mode: str) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("a", "b", "c")]
    allowed = [tools[0], tools[2]] if nested else [{"type": "function", "name": "a"}, {"type": "function", "name": "c"}]
    inner = {"mode": mode, "tools": allowed}
    choice = {"type": "allowed_tools", **({"allowed_tools": inner} if nested else inner)}
    arguments = chat_arguments({"model": "m", "messages": HI, "tools": tools, "tool_choice": choice})
    assert [tool.name for tool in arguments["tools"]] == ["a", "c"]
    assert arguments["tool_choice"] == mode


@pytest.mark.parametrize("body", [None, [], "x", 3])
def test_a_body_that_is_no_object(body: object) -> None:
    with pytest.raises(BadRequest, match="must be a JSON object"):
        chat_arguments(body)


def test_what_asks_for_nothing_is_left_out() -> None:
    body = {"messages": HI, "tools": [], "stop": [], "response_format": {"type": "text"}, "modalities": ["text"]}
    assert chat_arguments(body) == {"messages": (Message("user", "Hi"),)}
    assert not wants_stream(body)
    assert not wants_usage({"stream_options": {}})


def test_completions() -> None:
    prompts, arguments = completion_arguments(
        {"model": "m", "prompt": ["a", "b"], "logprobs": 0, "best_of": 1, "echo": True, "suffix": "z", "max_tokens": 0}
    )
    assert prompts == ["a", "b"]
    assert arguments == {"max_tokens": 0, "logprobs": True, "extra": {"suffix": "z"}}
    assert completion_arguments({"prompt": "a", "logprobs": 3})[1] == {"logprobs": True, "top_logprobs": 3}
    for prompt in ([1, 2], [[1], [2]]):
        with pytest.raises(BadRequest, match="token numbers"):
            completion_arguments({"prompt": prompt})
    for prompt in (None, [], [None], 5):
        with pytest.raises(BadRequest, match="string or an array"):
            completion_arguments({"prompt": prompt})


def test_embeddings_and_rankings() -> None:
    body = {"input": ["a"], "dimensions": 8, "input_type": "search_query", "encoding_format": "base64", "x": 1}
    assert embedding_arguments(body) == {"texts": ["a"], "dimensions": 8, "input_type": "query", "extra": {"x": 1}}
    with pytest.raises(BadRequest, match="input_type"):
        embedding_arguments({"input": "a", "input_type": "poem"})
    with pytest.raises(BadRequest, match="encoding_format"):
        embedding_arguments({"input": "a", "encoding_format": "int8"})
    assert rerank_arguments({"query": "q", "documents": ["a"], "return_documents": True, "x": 1}) == {
        "query": "q",
        "documents": ["a"],
        "extra": {"x": 1},
    }
    with pytest.raises(BadRequest, match="query"):
        rerank_arguments({"documents": ["a"]})
    with pytest.raises(BadRequest, match="documents"):
        rerank_arguments({"query": "q", "documents": [1]})
    with pytest.raises(BadRequest, match="'documents' must be an array"):
        rerank_arguments({"query": "q"})
    for more in ({}, {"documents": ["a"]}):
        with pytest.raises(BadRequest, match="send them as 'documents'"):
            rerank_arguments({"query": "q", "texts": ["a"], **more})
    # As NVIDIA's client writes it.
    body = {"input": ["a"], "input_type": "passage", "truncate": "NONE"}
    assert embedding_arguments(body) == {"texts": ["a"], "input_type": "document", "truncate": False}
    assert embedding_arguments({"input": "a", "truncate": "END"})["truncate"] is True
    for wrong in ("START", 1, []):
        with pytest.raises(BadRequest, match="truncate"):
            embedding_arguments({"input": "a", "truncate": wrong})
