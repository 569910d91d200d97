"""What is charged is never far below what was used: estimates, time limits, and many texts in one request."""

import threading
from typing import Any

import sqlalchemy as sa
import urllib3

from sagewire.errors import EndpointError, EndpointTimeout, ModelError
from sagewire.gateway.accounting.budgets import SpendTable
from sagewire.gateway.accounting.database import open_store
from sagewire.gateway.accounting.tables import RESERVED
from sagewire.gateway.errors import is_time_limit
from sagewire.gateway.keys import Key
from sagewire.gateway.quota import MOST_TOKENS, estimated_answer, estimated_inputs, estimated_prompt, estimated_tokens
from sagewire.gateway.request_log import used_tokens
from sagewire.types import Usage
from tests.cases import each
from tests.gateway.accounting.logs import ended

BOB = {"authorization": "Bearer sk-bob"}
HELLO = [{"role": "user", "content": "Hello"}]
LONG = "data: " + "word " * 20_000


@each(
    ("text", "least", "most"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 10, 100, 150),
        # Tokenizers of Llama 2 and Qwen read digits one by one.
        ("1234567890" * 10, 50, 100),
        ('{"a": [1, 2], "b": {"c": null}}' * 10, 90, 220),
        ("日本語の文章です" * 10, 80, 80),
        ("😀🎉" * 10, 60, 60),
        ("\ud800", 1, 3),
    ],
)
def test_tokens_of_texts(text: str, least: int, most: int) -> None:
    assert least <= estimated_tokens(text) <= most


@each(
    ("body", "least"),
    [
        # It only looks like an attachment.
        ({"messages": [{"role": "user", "content": LONG}]}, 20_000),
        ({"input": [LONG, LONG]}, 40_000),
        # They only begin like token numbers.
        ({"prompt": [1, LONG]}, 20_000),
        ({"messages": [{"role": "user", "content": "Hi"}], "chat_template_kwargs": {"system": LONG}}, 20_000),
        ({"prompt": "a", "suffix": LONG}, 20_000),
        # The query is read with each document.
        ({"query": LONG, "documents": ["a"] * 100}, 2_000_000),
        ({"query": "a", "documents": [{"text": LONG}] * 2}, 40_000),
        ({"prompt": [list(range(10_000))] * 2}, 20_000),
    ],
)
def test_tokens_of_prompts(body: dict[str, Any], least: int) -> None:
    assert least <= estimated_prompt(body) <= 2 * least


@each(
    ("limits", "expected"),
    [
        ({"max_tokens": 1000.0, "n": 8.0}, 8_000),
        ({"max_tokens": 10, "options": {"num_predict": 5_000}}, 5_000),
        ({"max_tokens": 10, "extra": {"max_length": 5_000, "num_return_sequences": 2}}, 10_000),
        # Whatever a request says, sums have 64 bits.
        ({"max_tokens": 2**63 - 1, "n": 2**63 - 1}, MOST_TOKENS),
        ({"max_tokens": 1e308}, MOST_TOKENS),
        ({"max_tokens": -5, "n": 0}, 256),
        ({"max_tokens": "many"}, 256),
    ],
)
def test_tokens_of_answers(limits: dict[str, Any], expected: int) -> None:
    assert estimated_answer({"messages": HELLO, **limits}) == expected


def test_texts_that_were_begun_are_the_longest() -> None:
    body = {"input": ["a" * 400, *["a" * 4] * 9]}
    assert [estimated_inputs(body, count) for count in (0, 1, 2, 99)] == [0, 100, 101, 109]
    ranked = {"query": "a" * 40, "documents": ["a" * 4] * 9}
    assert (estimated_inputs(ranked, 3), estimated_inputs({"input": "a" * 4}, 1)) == (33, 1)
    # Token numbers: one text, or several.
    assert [estimated_inputs({"input": [7, 8, 9]}, count) for count in (0, 1)] == [0, 3]
    assert [estimated_inputs({"input": [[7], [8, 9]]}, count) for count in (0, 1, 2)] == [0, 2, 3]


@each(
    ("usage", "expected"),
    [
        (Usage(7, 0), (7, 0)),
        (Usage(7, None), (7, 25)),
        # A server that does not count.
        (Usage(0, 0), (1, 25)),
        (Usage(0), (1, 25)),
        (None, (1, 25)),
    ],
)
def test_counts_that_say_nothing_are_estimated(usage: Usage | None, expected: tuple[int, int]) -> None:
    log = ended(body={"prompt": "word"}, usage=usage, answer_tokens=25)
    assert used_tokens(log) == expected


@each(
    ("error", "is_limit"),
    [
        (EndpointTimeout("", code="first_byte"), True),
        (EndpointTimeout("", code="total"), True),
        (EndpointTimeout("", code="idle"), True),
        # It was never asked.
        (EndpointTimeout("", code="connect"), False),
        (EndpointError("", code="connection"), False),
        (ModelError("", status=424), False),
    ],
)
def test_limits_that_end_work(error: EndpointError, is_limit: bool) -> None:
    assert is_time_limit(error) is is_limit
    gave_up = ModelError("", status=424)
    gave_up.original_status = 0
    assert is_time_limit(gave_up)


FOUR = {"prompt": ["a" * 400, "b" * 40, "c" * 4, "d" * 4000], "suffix": "word"}


@each(
    ("facts", "expected"),
    [
        # Nothing has come yet; the suffix goes along with each prompt.
        ({"gone": True, "begun_prompts": 1}, (101, 0)),
        ({"gone": True, "begun_prompts": 2, "answer_tokens": 9}, (112, 9)),
        # The first is counted. The second was sent, which costs even without a word of its answer.
        ({"gone": True, "begun_prompts": 2, "counted_prompts": 1, "usage": Usage(90, 7)}, (101, 7)),
        ({"timed_out": True, "begun_prompts": 2, "counted_prompts": 1, "usage": Usage(90, 7)}, (101, 7)),
        (
            {"gone": True, "begun_prompts": 2, "counted_prompts": 1, "usage": Usage(90, 7), "answer_tokens": 11,
             "counted_tokens": 8},
            (101, 10),
        ),
        # One that fails before its answer begins costs nothing.
        ({"begun_prompts": 2, "counted_prompts": 1, "usage": Usage(90, 7)}, (90, 7)),
        ({"begun_prompts": 2, "counted_prompts": 1, "usage": Usage(90, 7), "answer_tokens": 5}, (101, 12)),
        # Servers may count on the way.
        ({"gone": True, "begun_prompts": 1, "counted_prompts": 1, "usage": Usage(90, 3), "answer_tokens": 5,
          "counted_tokens": 4}, (90, 4)),
        # Not a stream: any of them may be on their way.
        ({"gone": True}, (1115, 0)),
    ],
)  # fmt: skip
def test_of_several_prompts_those_are_charged_that_were_sent(facts: dict[str, Any], expected: tuple[int, int]) -> None:
    assert used_tokens(ended(body=FOUR, error="client_gone", **facts)) == expected


def test_a_stream_of_many_prompts_that_is_dropped_costs_what_was_sent(start, upstream, until) -> None:
    gateway = start("""
models: {m: {endpoint: tgi--slow-tokens, handler: tgi, format: chatml, input_cost_per_token: 0.001}}
keys: [{name: bob, key: sk-bob, max_budget: 100, tokens_per_minute: 1000000}]
""")
    key = next(iter(gateway.gateway.access._configured.values()))
    body = {"model": "m", "stream": True, "max_tokens": 100, "prompt": ["word " * 80] * 20}
    answer = urllib3.request(
        "POST", f"{gateway.url}/v1/completions", json=body, headers=BOB, retries=False, preload_content=False
    )
    assert answer.status == 200
    assert b"text" in next(answer.stream(64))
    answer.close()
    # A prompt is 100 tokens of $0.001; the others were not sent.
    until(lambda: 0 < SpendTable(gateway.gateway.store).of(key).nanodollars < 500_000_000)


def test_a_key_does_not_pay_for_one_that_had_its_name() -> None:
    store = open_store("sqlite://")
    table = SpendTable(store)
    old, new = (Key("bob", digest * 64, max_budget=1.0, budget_duration="1d") for digest in "ab")
    store.add_key(old)
    running = table.reserve(old, 500)
    store.remove_key("bob")
    store.add_key(new)
    table.settle(table.reserve(new, 300), 200)
    table.settle(running, 500)
    assert table.of(new).nanodollars == 200
    # One that was given back meanwhile is still paid by its own key.
    late = table.reserve(new, 300)
    with store.transaction("test") as connection:
        connection.execute(sa.delete(RESERVED))
    table.settle(late, 100)
    assert table.of(new).nanodollars == 600


def config(url: str) -> str:
    prices = "input_cost_per_token: 0.00001, output_cost_per_token: 0.00002"
    limit = "timeouts: {first_byte: 0.2, connect: 5}"
    return f"""
models:
  m: {{url: "{url}", handler: openai_chat, attempts: 1, {limit}, {prices}}}
  two: {{url: "{url}", handler: openai_chat, attempts: 1, {limit}, {prices}, fallbacks: [other]}}
  other: {{url: "{url}", handler: openai_chat, served_model: other, {prices}}}
  gone: {{url: "http://127.0.0.1:1", handler: openai_chat, attempts: 1, {prices}}}
  e: {{url: "{url}", embedding_handler: tei, rerank_handler: tei_rerank, attempts: 1, {prices}}}
keys: [{{name: bob, key: sk-bob, max_budget: 1, tokens_per_minute: 1000000}}]
"""


@each(
    ("model", "more", "status", "spent"),
    [
        ("m", {}, 504, 230_000),
        # The prompt was sent, and nothing came back.
        ("m", {"stream": True}, 504, 30_000),
        # One answer is paid once, at the 60 and 40 tokens that were counted.
        ("two", {}, 200, 1_400_000),
        ("gone", {}, 502, 0),
    ],
)
def test_work_that_a_time_limit_ends_is_charged(
    start, vllm, until, model: str, more: dict[str, Any], status: int, spent: int
) -> None:
    ended = threading.Event()
    vllm.answers['"other"'] = vllm.answer("", {}, {})
    vllm.answers["never"] = lambda headers: (200, {"late": ended.wait(20)})
    gateway = start(config(vllm.url))
    key = next(iter(gateway.gateway.access._configured.values()))
    body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "never"}], **more}
    assert gateway.post("/v1/chat/completions", body, **BOB).status == status
    ended.set()
    until(lambda: SpendTable(gateway.gateway.store).of(key).nanodollars == spent)


@each(
    ("path", "body", "status", "spent"),
    [
        # TEI counts nothing: a token each, and the query's with each document.
        ("embeddings", {"input": ["word"] * 40}, 200, 40),
        ("rerank", {"query": "word" * 10, "documents": ["word"] * 40}, 200, 40 + 400),
        # Of two batches one is refused; the other is on its way, or answered. Any 32 texts have 33 tokens at most.
        ("embeddings", {"input": [*["word"] * 32, "refused"]}, 400, 33),
        ("embeddings", {"input": ["refused", *["word"] * 31, *["long" * 100] * 8]}, 400, 8 * 100),
        # Alone, nothing was done.
        ("embeddings", {"input": ["refused"]}, 400, 0),
        ("embeddings", {"input": ["broken"] * 32}, 502, 0),
    ],
)
def test_many_texts_are_charged_as_far_as_they_were_sent(
    start, vllm, until, path: str, body: dict[str, Any], status: int, spent: int
) -> None:
    def answer(path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        texts = body.get("inputs") or body.get("texts")
        if "refused" in texts:
            return 400, {"error": "too long", "error_type": "Validation"}
        if "broken" in texts:
            return 500, {"error": "broken"}
        if "query" in body:
            return 200, [{"index": number, "score": 0.5} for number in range(len(texts))]
        return 200, [[0.5]] * len(texts)

    vllm.answer = answer
    gateway = start(config(vllm.url))
    key = next(iter(gateway.gateway.access._configured.values()))
    assert gateway.post(f"/v1/{path}", {"model": "e", **body}, **BOB).status == status
    until(lambda: SpendTable(gateway.gateway.store).of(key).nanodollars == spent * 10_000)
