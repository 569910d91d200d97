"""What clients send beside the plain case: raw prompts, tokens, scores, reasoning, hosted tools, long waits."""

import base64
import json
import re
import socket
import struct
import time

import pytest

from sagewire.gateway.server import http_exchange
from tests.cases import each

HELLO = [{"role": "user", "content": "Hello there"}]


def gateway_of(start, vllm, **settings: object):
    more = "".join(f", {name}: {json.dumps(value)}" for name, value in settings.items())
    return start(f"models: {{m: {{url: '{vllm.url}/v1', served_model: served{more}}}}}")


def test_completions_are_completions_upstream(start, vllm) -> None:
    gateway = gateway_of(start, vllm, handler="openai_chat")
    prompt = "<|fim_prefix|>def f(<|fim_suffix|>):<|fim_middle|>"
    assert gateway.post("/v1/completions", {"model": "m", "prompt": prompt}).json()["choices"][0]["text"] == "ok"
    assert vllm.bodies[-1] == {"prompt": prompt, "model": "served"}


def test_a_handler_for_completions_may_be_named(start, vllm) -> None:
    gateway = gateway_of(start, vllm, handler="openai_chat", completion_handler="openai_chat")
    gateway.post("/v1/completions", {"model": "m", "prompt": "Once"})
    assert vllm.bodies[-1]["messages"] == [{"role": "user", "content": "Once"}]


def test_scores_of_a_prompt(start, vllm) -> None:
    logprobs = {
        "tokens": ["Once", " upon", " a"],
        "token_logprobs": [None, -1.5, -0.5],
        "top_logprobs": [None, {" upon": -1.5}, {" a": -0.5}],
        "text_offset": [0, 4, 9],
    }
    choice = {"index": 0, "text": "Once upon a", "logprobs": logprobs, "finish_reason": "length"}
    vllm.answers = {"/completions": (200, {"choices": [choice]})}
    gateway = gateway_of(start, vllm, handler="openai_completions")
    asked = {"model": "m", "prompt": "Once upon", "echo": True, "logprobs": 1, "max_tokens": 0}
    answer = gateway.post("/v1/completions", asked).json()["choices"][0]
    assert (answer["text"], answer["logprobs"]) == ("Once upon a", logprobs)
    assert (vllm.bodies[-1]["echo"], vllm.bodies[-1]["max_tokens"]) == (True, 0)


def test_scores_where_the_server_repeats_nothing(start) -> None:
    gateway = start("models: {m: {endpoint: tgi, handler: tgi}}")
    answer = gateway.post("/v1/completions", {"model": "m", "prompt": "a", "echo": True, "logprobs": 1})
    assert (answer.status, answer.json()["error"]["param"]) == (400, "echo")


@pytest.mark.parametrize("stream", [False, True])
def test_prompts_of_token_numbers(start, vllm, stream: bool) -> None:
    gateway = gateway_of(start, vllm, handler="openai_completions")
    assert gateway.post("/v1/completions", {"model": "m", "prompt": [[1, 2], [3]], "stream": stream}).status == 200
    assert sorted(body["prompt"] for body in vllm.bodies) == [[1, 2], [3]]
    wrong = gateway.post("/v1/completions", {"model": "m", "prompt": [1, "a"]})
    assert (wrong.status, wrong.json()["error"]["param"]) == (400, "prompt")


def test_prompts_of_token_numbers_need_a_server_that_takes_them(start) -> None:
    answer = start("models: {m: {endpoint: tgi, handler: tgi}}").post("/v1/completions", {"model": "m", "prompt": [1]})
    assert (answer.status, answer.json()["error"]["param"]) == (400, "prompt")


def test_embeddings_of_token_numbers(start, vllm, caplog) -> None:
    def answer(path, body, headers):
        texts = body["input"]
        data = [{"index": number, "embedding": [float(text[0]), 0.5]} for number, text in enumerate(texts)]
        return 200, {"data": data, "usage": {"prompt_tokens": sum(map(len, texts)), "total_tokens": 0}}

    vllm.answer = answer
    gateway = gateway_of(start, vllm, embedding_handler={"name": "openai_embeddings"})
    one = gateway.post("/v1/embeddings", {"model": "m", "input": [7, 8, 9], "dimensions": 2}).json()
    assert vllm.bodies[-1] == {"input": [[7, 8, 9]], "model": "served", "dimensions": 2}
    assert (one["data"][0]["embedding"], one["usage"]["prompt_tokens"]) == ([7.0, 0.5], 3)
    # More than a batch of the server's.
    many = {"model": "m", "input": [[number, 1] for number in range(200)], "encoding_format": "base64"}
    answered = gateway.post("/v1/embeddings", many).json()
    rows = [struct.unpack("<2f", base64.b64decode(item["embedding"])) for item in answered["data"]]
    assert rows == [(float(number), 0.5) for number in range(200)]
    assert (answered["usage"]["prompt_tokens"], len(vllm.bodies)) == (400, 3)
    # Said once: OpenAI's numbers, which LangChain sends, give vectors of other texts.
    assert len([record for record in caplog.records if "check_embedding_ctx_length" in record.getMessage()]) == 1


@pytest.mark.parametrize("given", [[1, "a"], [[]], [[1], [2, -1]], [["a"]], [True], [1.5], [[1], "a"], []])
def test_inputs_that_are_neither_text_nor_token_numbers(everything, upstream, given) -> None:
    answer = everything.post("/v1/embeddings", {"model": "embedding", "input": given})
    assert (answer.status, answer.json()["error"]["param"]) == (400, "input")


def test_servers_without_token_numbers(start, vllm) -> None:
    vllm.answers = {"/embeddings": (422, {"detail": [{"msg": "Input should be a valid string"}]})}
    gateway = gateway_of(start, vllm, embedding_handler="cohere_embed")
    asked = {"model": "m", "input": [[1, 2]]}
    refused = gateway.post("/v1/embeddings", asked)
    assert (refused.status, vllm.bodies) == (400, [])
    gateway = gateway_of(start, vllm, embedding_handler="openai_embeddings")
    theirs = gateway.post("/v1/embeddings", asked)
    assert theirs.status == 422
    for answer in (refused, theirs):
        assert "check_embedding_ctx_length=False" in answer.json()["error"]["message"]


FREE = {"type": "custom", "custom": {"name": "run_sql", "description": "Run it", "format": {"type": "text"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
SEARCH = {"type": "web_search"}


@each(
    ("tools", "says"),
    [
        ([FREE], r"'run_sql' is of type 'custom', .*describe it as a function with one text"),
        ([WEATHER, FREE], "'run_sql' is of type 'custom'"),
        ([SEARCH], "of type 'web_search' runs at a provider.*leave it out"),
        ([{"type": ["function"]}], "has the type .*write {'type': 'function'"),
    ],
)
def test_tools_that_are_no_functions_are_refused_in_chats(everything, upstream, tools, says) -> None:
    answer = everything.post("/v1/chat/completions", {"model": "chat", "messages": HELLO, "tools": tools})
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["param"] == "tools"
    assert re.search(says, error["message"])


def allowed(mode: str, *tools: dict) -> dict:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


NAMED = {"type": "function", "function": {"name": "weather"}}
NAMED_FREE = {"type": "custom", "custom": {"name": "run_sql"}}


def test_tools_that_are_no_functions_are_left_out_of_chats(start, vllm) -> None:
    gateway = gateway_of(start, vllm, handler="openai_chat", drop_unsupported=True)
    for tools, choice, names, sent_choice in [
        ([FREE], None, None, None),
        ([FREE], "required", None, None),
        ([WEATHER, FREE], None, ["weather"], None),
        ([WEATHER, FREE, SEARCH], "required", ["weather"], "required"),
        ([WEATHER, FREE], NAMED, ["weather"], NAMED),
        ([WEATHER, FREE], NAMED_FREE, ["weather"], None),
        ([WEATHER, FREE], allowed("required", NAMED, NAMED_FREE), ["weather"], "required"),
        ([WEATHER, FREE], allowed("required", NAMED_FREE), None, None),
    ]:
        asked = {"model": "m", "messages": HELLO, "tools": tools} | ({"tool_choice": choice} if choice else {})
        answer = gateway.post("/v1/chat/completions", asked)
        assert answer.status == 200, answer.data
        left_out = "custom, web_search" if SEARCH in tools else "custom"
        assert answer.headers["x-sagewire-dropped"] == left_out
        sent = vllm.bodies[-1].get("tools")
        assert (sent and [tool["function"]["name"] for tool in sent]) == names
        assert vllm.bodies[-1].get("tool_choice") == sent_choice


def test_reasoning_goes_back_to_the_model(start, vllm) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        *HELLO,
        {"role": "assistant", "content": None, "reasoning_content": "I must ask f.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    gateway_of(start, vllm, handler="openai_chat").post("/v1/chat/completions", {"model": "m", "messages": turns})
    assert vllm.bodies[-1]["messages"][1]["reasoning_content"] == "I must ask f."


def test_embeddings_and_reranking_have_the_served_model_and_options(start, vllm) -> None:
    vllm.answers = {
        "/embeddings": (200, {"data": [{"index": 0, "embedding": [0.5]}]}),
        "/rerank": (200, {"results": [{"index": 0, "relevance_score": 0.5}]}),
    }
    gateway = gateway_of(
        start, vllm, embedding_handler="openai_embeddings", rerank_handler="vllm_rerank", options={"extra": {"x": 1}}
    )
    assert gateway.post("/v1/embeddings", {"model": "m", "input": "a"}).status == 200
    assert gateway.post("/v1/rerank", {"model": "m", "query": "q", "documents": ["d"]}).status == 200
    assert [(body["model"], body["x"]) for body in vllm.bodies] == [("served", 1)] * 2


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search", "external_web_access": False},
        {"type": "custom", "name": "apply_patch", "format": {"type": "text"}},
        {"type": "namespace", "name": "mcp", "tools": []},
    ],
)
def test_hosted_tools_are_left_out_where_that_is_allowed(start, vllm, tool: dict[str, object]) -> None:
    function = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}
    asked = {"model": "m", "input": "Hi", "tools": [function, tool], "tool_choice": {"type": tool["type"]}}
    answer = gateway_of(start, vllm, handler="openai_chat", drop_unsupported=True).post("/v1/responses", asked)
    assert (answer.status, answer.headers["x-sagewire-dropped"]) == (200, tool["type"])
    assert [one["function"]["name"] for one in vllm.bodies[-1]["tools"]] == ["shell"]
    assert "tool_choice" not in vllm.bodies[-1]
    strict = gateway_of(start, vllm, handler="openai_chat").post("/v1/responses", asked)
    assert strict.status == 400


def test_types_of_tools_make_no_headers(start, vllm) -> None:
    gateway = gateway_of(start, vllm, handler="openai_chat", drop_unsupported=True)
    for kind in ("web\r\nx-evil: 1", "\0", "search\n", "x" * 100_000, "検索"):
        answer = gateway.post("/v1/responses", {"model": "m", "input": "Hi", "tools": [{"type": kind}]})
        assert (answer.status, "x-evil" in answer.headers) == (200, False)
        assert len(answer.headers["x-sagewire-dropped"]) < 400


@pytest.mark.parametrize(("endpoint", "ends"), [("slow", b"[DONE]"), ("chat--container-error-500", b"event: error")])
def test_a_stream_is_alive_while_the_model_thinks(start, monkeypatch, endpoint: str, ends: bytes) -> None:
    monkeypatch.setattr(http_exchange, "FIRST_COMMENT", 0.0)
    gateway = start(
        f"models: {{m: {{endpoint: {endpoint}, handler: openai_chat, attempts: 2, keepalive_seconds: 0.01}}}}"
    )
    answer = gateway.post("/v1/chat/completions", {"model": "m", "messages": HELLO, "stream": True})
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.data.startswith(b": waiting for the model\n\n")
    assert ends in answer.data


def test_a_stream_that_fails_at_once_has_its_status(start) -> None:
    gateway = start("models: {m: {endpoint: chat--container-error-500, handler: openai_chat, attempts: 1}}")
    answer = gateway.post("/v1/chat/completions", {"model": "m", "messages": HELLO, "stream": True})
    assert answer.status == 502


def test_streams_have_a_time_limit_of_their_own(start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        gateway = start(
            f"models: {{m: {{url: '{url}', handler: openai_chat, attempts: 1, timeouts: {{stream_first_byte: 0.05}}}}}}"
        )
        began = time.monotonic()
        answer = gateway.post("/v1/chat/completions", {"model": "m", "messages": HELLO, "stream": True})
        assert (answer.status, answer.json()["error"]["code"]) == (504, "timeout")
        assert time.monotonic() - began < 30
