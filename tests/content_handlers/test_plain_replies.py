"""Answers that hold one text: reading them the short way changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagewire.content_handlers import OpenAiChatHandler
from sagewire.content_handlers.error_bodies import ErrorBody, find_fault
from sagewire.content_handlers.openai.events import read_chat_reply
from sagewire.content_handlers.openai.plain_replies import plain_reply
from sagewire.errors import ModelError
from sagewire.streaming.accumulate import fold
from sagewire.types import Delta, TextDelta

TEXTS = st.sampled_from(["Hi", "", " ", "\n", "é", "\\", "\ud83d\ude00"])
ODD = st.sampled_from([None, 0, 1, -1, 2.5, True, "", "x", "stop", "length", [], {}, ["x"], {"type": "text"}, 10**20])
NUMBERS = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "reasoning_tokens", "prompt_tokens_details"]),
    st.one_of(ODD, st.just({"cached_tokens": 3})),
)


def some(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), ODD, max_size=2)


@given(
    st.one_of(TEXTS, ODD),
    some("reasoning_content", "reasoning", "refusal", "tool_calls", "function_call", "role"),
    some("index", "finish_reason", "logprobs", "stop_reason", "matched_stop"),
    some("id", "model", "error", "message", "object", "created", "system_fingerprint", "timings", "choices"),
    st.one_of(NUMBERS, ODD),
)
def test_a_plain_reply_is_the_one_that_reading_it_makes(content: Any, message: Any, more: Any, top: Any, usage: Any):
    choice = {"index": 0, "message": {"content": content, **message}, "finish_reason": "stop", **more}
    body = json.loads(json.dumps({"choices": [choice], "usage": usage, **top}))
    plain = plain_reply(body)
    if plain is not None:
        assert find_fault(body) is None
        assert plain == fold(read_chat_reply(body))


@pytest.mark.parametrize("content", ["Hi", "", "\n", "é"])
def test_usual_replies_are_plain(content: str) -> None:
    message = {"role": "assistant", "content": content, "refusal": None, "tool_calls": [], "reasoning": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "length", "stop_reason": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "prompt_tokens_details": None}
    body = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    plain = plain_reply(body)
    assert plain is not None
    assert (plain.text, plain.finish_reason, plain.usage and plain.usage.total_tokens) == (content, "length", 3)


def test_handlers_that_read_answers_in_their_own_way_read_plain_ones_too() -> None:
    class Louder(OpenAiChatHandler):
        def read_reply(self, payload: Any, /) -> Iterable[Delta]:
            return [TextDelta(payload["choices"][0]["message"]["content"].upper())]

    class Stricter(OpenAiChatHandler):
        def read_error(self, payload: Any, /) -> ErrorBody | None:
            return ErrorBody("no")

    body = orjson.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert OpenAiChatHandler().transform_output(body).text == "Hi"
    assert Louder().transform_output(body).text == "HI"
    with pytest.raises(ModelError, match="no"):
        Stricter().transform_output(body)
