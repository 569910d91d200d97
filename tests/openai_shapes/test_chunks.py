"""Streams of chunks, judged by the types of OpenAI's own client and by what they add up to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk

from sagewire.errors import WireError
from sagewire.openai_shapes import ChatChunks, TextChunks, chat_completion
from sagewire.streaming.accumulate import fold
from sagewire.types import (
    Delta,
    FinishDelta,
    LogprobsDelta,
    MetadataDelta,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
    UsageDelta,
)


def encode(deltas: list[Delta], **settings: bool) -> list[dict]:
    chunks = ChatChunks("m", id="chatcmpl-1", created=1, include_usage=True, **settings)
    return [chunk for delta in deltas for chunk in chunks.encode(delta)] + chunks.close()


def added_up(documents: list[dict]) -> object:
    state = ChatCompletionStreamState()
    for document in documents:
        state.handle_chunk(ChatCompletionChunk.model_validate(document))
    return state.current_completion_snapshot


def test_text_and_usage() -> None:
    deltas = [MetadataDelta("x", "y", {"system_fingerprint": "fp"}), TextDelta("Hel"), TextDelta(""), TextDelta("lo")]
    documents = encode([*deltas, FinishDelta("stop", "END"), UsageDelta(Usage(1, 2))])
    assert [choice["delta"] for document in documents for choice in document["choices"]] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert documents[-2]["choices"][0]["stop_reason"] == "END"
    assert documents[-1]["choices"] == []
    assert documents[-1]["usage"]["total_tokens"] == 3
    assert {(document["id"], document["model"], document["system_fingerprint"]) for document in documents} == {
        ("chatcmpl-1", "m", "fp")
    }


def test_an_empty_answer_still_begins_and_ends() -> None:
    assert [document["choices"][0]["finish_reason"] for document in encode([])] == [None, "stop"]


def test_usage_is_sent_only_where_it_was_asked_for() -> None:
    chunks = ChatChunks("m")
    chunks.encode(UsageDelta(Usage(1, 2)))
    assert all(chunk["choices"] for chunk in chunks.close())
    assert chunks.usage == Usage(1, 2)


CALL = [ToolCallDelta(0, "c0", "add", '{"a"'), ToolCallDelta(0, arguments=":1}")]


def test_final_calls_are_sent_piece_by_piece() -> None:
    documents = encode([*CALL, FinishDelta("tool_calls")], calls_are_final=True)
    pieces = [choice["delta"]["tool_calls"][0] for document in documents[1:3] for choice in document["choices"]]
    assert pieces == [
        {"index": 0, "id": "c0", "type": "function", "function": {"name": "add", "arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
    ]


def test_a_call_that_was_taken_back_is_never_sent() -> None:
    taken_back = ToolCallDelta(0, cancelled=True)
    again = ToolCallDelta(1, None, "sub", "{}")
    documents = encode([*CALL, taken_back, TextDelta("{a"), again, FinishDelta("tool_calls")])
    message = added_up(documents).choices[0].message
    assert message.content == "{a"
    (call,) = message.tool_calls
    assert (call.function.name, call.index) == ("sub", 0)
    assert call.id.startswith("call_")
    with pytest.raises(WireError, match="taken back"):
        encode([*CALL, taken_back], calls_are_final=True)


def test_a_stream_without_an_end_says_why_it_may_have_ended() -> None:
    assert encode(CALL)[-1]["choices"][0]["finish_reason"] == "tool_calls"


pieces = st.text("ab é\n", max_size=5)
deltas = st.lists(
    st.one_of(
        st.builds(TextDelta, pieces, st.integers(0, 1)),
        st.builds(ThinkingDelta, pieces, st.integers(0, 1)),
        st.builds(
            LogprobsDelta, st.tuples(st.builds(TokenLogprob, pieces, st.sampled_from([-1.0, -0.5]))), st.integers(0, 1)
        ),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(deltas, st.integers(0, 3), st.booleans())
def test_a_stream_adds_up_to_the_whole_answer(some: list[Delta], calls: int, final: bool) -> None:
    for index in range(calls):
        some = [*some, ToolCallDelta(index, f"c{index}", "f", "{"), ToolCallDelta(index, arguments="}")]
    some = [*some, FinishDelta("length"), FinishDelta("stop", choice=1), UsageDelta(Usage(1, 2, 3, 4))]
    whole = chat_completion(fold(some), model="m", id="chatcmpl-1", created=1)
    read = added_up(encode(some, calls_are_final=final)).to_dict()
    for theirs, ours in zip(read["choices"], whole["choices"], strict=True):
        message = theirs["message"]
        assert (message.get("content") or "") == (ours["message"]["content"] or "")
        assert message.get("reasoning_content") == ours["message"].get("reasoning_content")
        for call in message.get("tool_calls") or []:
            del call["index"]
            call["function"].pop("parsed_arguments", None)
        assert (message.get("tool_calls") or None) == ours["message"].get("tool_calls")
        assert theirs["finish_reason"] == ours["finish_reason"]
        assert ((theirs.get("logprobs") or {}).get("content")) == ((ours["logprobs"] or {}).get("content"))
    assert read["usage"] == whole["usage"]


def test_text_of_several_prompts() -> None:
    chunks = TextChunks("m", n=2, include_usage=True)
    documents = chunks.echo("P", 1)
    documents += chunks.encode(TextDelta("a"), 0)
    documents += chunks.encode(LogprobsDelta((TokenLogprob("b", -1.0),), choice=1), 1)
    documents += chunks.encode(FinishDelta("length", choice=1), 1)
    documents += chunks.close(Usage(1, 1), prompts=2)
    read = [Completion.construct(**document) for document in documents]
    assert [(one.choices[0].index, one.choices[0].text) for one in read[:3]] == [(2, "P"), (3, "P"), (0, "a")]
    assert read[3].choices[0].logprobs.text_offset == [1]
    ends = {one.choices[0].index: one.choices[0].finish_reason for one in read[4:-1]}
    assert ends == {3: "length", 0: "stop", 1: "stop", 2: "stop"}
    assert read[-1].usage.total_tokens == 2
