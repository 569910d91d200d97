"""A reply is the fold of its deltas."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.errors import WireError
from sagewire.streaming import Accumulator, fold, unfold
from sagewire.types import (
    Choice,
    FinishDelta,
    LogprobsDelta,
    MetadataDelta,
    Reply,
    ResponseInfo,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageDelta,
)

text = st.text(max_size=4)
counts = st.none() | st.integers(0, 9)
usages = st.builds(Usage, counts, counts, counts, counts)
tokens = st.builds(TokenLogprob, text, st.floats(-9, 0), st.tuples(st.tuples(text, st.floats(-9, 0))) | st.just(()))
reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "error", "other"])
extras = st.dictionaries(text, st.integers(), max_size=2)

filled_choices = st.builds(
    Choice,
    text=text,
    thinking=st.none() | st.text(min_size=1, max_size=4),
    tool_calls=st.lists(st.builds(ToolCall, st.text(min_size=1, max_size=3), text, text), max_size=3).map(tuple),
    finish_reason=reasons,
    stop=st.none() | text,
    logprobs=st.lists(tokens, max_size=2).map(tuple),
)
replies = st.builds(
    Reply,
    choices=st.lists(st.just(Choice()) | filled_choices, min_size=1, max_size=3).map(tuple),
    usage=st.none() | usages,
    id=st.none() | text,
    model=st.none() | text,
    extra=extras,
)

choice = st.integers(0, 2)
deltas = st.lists(
    st.one_of(
        st.builds(TextDelta, text, choice),
        st.builds(ThinkingDelta, text, choice),
        st.builds(
            ToolCallDelta, st.integers(0, 2), st.none() | st.sampled_from(["", "call_1", "x"]), st.none(), text, choice
        ),
        st.builds(LogprobsDelta, st.lists(tokens, max_size=2).map(tuple), choice),
        st.builds(FinishDelta, reasons, st.none() | text, choice),
        st.builds(UsageDelta, usages),
        st.builds(MetadataDelta, st.none() | text, st.none() | text, extras),
    ),
    max_size=12,
)


@given(replies)
def test_fold_undoes_unfold(reply: Reply) -> None:
    info = ResponseInfo(content_type="text/event-stream")
    assert fold(unfold(reply)) == reply
    assert fold(unfold(reply), info).info == info


@given(deltas)
@settings(max_examples=200)
def test_unfold_gives_the_same_reply_for_whatever_was_folded(given_deltas: list) -> None:
    reply = fold(given_deltas)
    assert fold(unfold(reply)) == reply
    assert fold(given_deltas) == reply


@given(deltas, st.integers(0, 12))
@settings(max_examples=100)
def test_the_reply_so_far_does_not_disturb_the_rest(given_deltas: list, early: int) -> None:
    accumulator = Accumulator()
    for number, delta in enumerate(given_deltas):
        if number == early:
            assert accumulator.reply() == fold(given_deltas[:early])
        accumulator.add(delta)
    assert accumulator.reply() == fold(given_deltas)


def test_nothing_folds_into_one_empty_answer() -> None:
    assert fold([]) == Reply()
    assert unfold(Reply()) == []


def test_answers_are_sorted_and_missing_ones_filled_in() -> None:
    reply = fold([TextDelta("c", 2), TextDelta("a", 0), FinishDelta("length", choice=2)])
    assert reply.choices == (Choice("a"), Choice(), Choice("c", finish_reason="length"))


def test_pieces_are_joined_and_tool_calls_sorted() -> None:
    reply = fold(
        [
            ThinkingDelta("h"),
            ThinkingDelta("m"),
            ToolCallDelta(1, "b", "second"),
            ToolCallDelta(0, "a", "first", '{"x"'),
            ToolCallDelta(1, None, None, "{}"),
            ToolCallDelta(0, None, None, ": 1}"),
            TextDelta("t"),
            TextDelta("u"),
        ]
    )
    assert reply.thinking == "hm"
    assert reply.text == "tu"
    assert reply.tool_calls == (ToolCall("a", "first", '{"x": 1}'), ToolCall("b", "second", "{}"))


def test_a_later_count_and_end_replace_earlier_ones_and_metadata_is_merged() -> None:
    reply = fold(
        [
            MetadataDelta("1", "m", {"a": 1, "b": 1}),
            UsageDelta(Usage(1, 1)),
            FinishDelta("stop", "x"),
            MetadataDelta(None, "n", {"b": 2}),
            UsageDelta(Usage(1, 2)),
            FinishDelta("length"),
        ]
    )
    assert (reply.id, reply.model, reply.extra) == ("1", "n", {"a": 1, "b": 2})
    assert reply.usage == Usage(1, 2)
    assert (reply.finish_reason, reply.choices[0].stop) == ("length", None)


def test_empty_thinking_is_no_thinking() -> None:
    assert fold([ThinkingDelta(""), TextDelta("a")]).thinking is None


def test_calls_without_id_get_ids_that_are_unique_in_the_reply() -> None:
    given_deltas = [
        ToolCallDelta(0, None, "f"),
        ToolCallDelta(1, "call_0", "g"),
        ToolCallDelta(2, "", "h"),
        ToolCallDelta(0, None, "f", choice=1),
    ]
    reply = fold(given_deltas)
    ids = [call.id for one in reply.choices for call in one.tool_calls]
    assert ids == ["call_0_", "call_0", "call_2", "call_1_0"]
    assert fold(given_deltas) == reply


def test_the_first_id_of_a_call_counts() -> None:
    reply = fold([ToolCallDelta(0, "a", "f", "{"), ToolCallDelta(0, "b", None, "}"), ToolCallDelta(0, "c", "f")])
    assert reply.tool_calls == (ToolCall("a", "f", "{}"),)


def test_two_calls_that_share_an_index_are_an_error() -> None:
    with pytest.raises(WireError, match="'f' and 'g' share the index 0"):
        fold([ToolCallDelta(0, "a", "f", "{}"), ToolCallDelta(0, "b", "g", "{}")])


@pytest.mark.parametrize("delta", [TextDelta("x", 10**9), TextDelta("x", -1), ToolCallDelta(-1), ToolCallDelta(10**9)])
def test_indexes_out_of_bounds_are_refused(delta: object) -> None:
    with pytest.raises(WireError, match="numbered"):
        fold([delta])


def test_what_is_no_delta_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a delta, got str"):
        fold(["text"])


def test_the_extras_of_a_reply_are_its_own() -> None:
    accumulator = Accumulator()
    accumulator.add(MetadataDelta(extra={"a": 1}))
    early = accumulator.reply()
    accumulator.add(MetadataDelta(extra={"b": 2}))
    assert early.extra == {"a": 1}


def test_a_long_answer_takes_linear_work() -> None:
    piece = "x" * 50
    assert len(fold(TextDelta(piece) for _ in range(200_000)).text) == 10_000_000
