"""Answers that go back into the conversation: `Reply.message`, tool calls and their ids, over several turns."""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagewire import Client
from sagewire.errors import UsageError
from sagewire.streaming import CallIdStage, fold
from sagewire.testing import FakeTransport
from sagewire.types import Message, Reply, ToolCall, ToolCallDelta

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bergen"}}\n</tool_call>'
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def text_client(*texts: str) -> Client:
    """A container that takes text only and gives no ids."""
    answers = itertools.cycle([orjson.dumps([{"generated_text": text}]) for text in texts])
    return Client(transport=FakeTransport(lambda call: next(answers)), handler="tgi", format="hermes_3")


def test_a_reply_is_a_turn_of_the_conversation() -> None:
    transport = FakeTransport(
        b'{"choices": [{"message": {"content": "Four.", "reasoning_content": "2+2"}, "finish_reason": "stop"}]}'
    )
    client = Client(transport=transport, handler="openai_chat")
    asked = [Message("user", "What is 2+2?")]
    reply = client.chat(asked)
    assert reply.message == Message("assistant", "Four.", thinking="2+2")
    client.chat([*asked, reply.message, Message("user", "And 3+3?")])
    sent = orjson.loads(transport.calls[1].body)["messages"]
    assert (sent[1]["role"], sent[1]["content"]) == ("assistant", "Four.")


def test_ids_made_up_in_several_turns_differ() -> None:
    client = text_client(CALL + CALL)
    conversation = [Message("user", "Is it raining?")]
    ids = []
    for _ in range(3):
        reply = client.chat(conversation, tools=[WEATHER])
        conversation.append(reply.message)
        for call in reply.tool_calls:
            ids.append(call.id)
            conversation.append(Message("tool", "rain", tool_call_id=call.id, name=call.name))
    assert ids == ["call_0", "call_1", "call_2", "call_3", "call_4", "call_5"]


def test_a_stream_makes_up_the_same_ids() -> None:
    client = text_client(CALL)
    earlier = [
        Message("user", "Is it raining?"),
        Message("assistant", tool_calls=(ToolCall("call_0", "get_weather", "{}"),)),
        Message("tool", "rain", tool_call_id="call_0", name="get_weather"),
    ]
    with client.stream(earlier, tools=[WEATHER]) as stream:
        deltas = list(stream)
    assert fold(deltas).tool_calls == client.chat(earlier, tools=[WEATHER]).tool_calls == stream.reply.tool_calls
    assert [call.id for call in stream.reply.tool_calls] == ["call_1"]


def test_ids_of_the_server_stay_as_they_are() -> None:
    deltas = [ToolCallDelta(0, "abc", "f"), ToolCallDelta(1, None, "f"), ToolCallDelta(0, None, None, "{}")]
    stage = CallIdStage(["abc", "call_7"])
    assert [delta for given in deltas for delta in stage.feed(given)] == deltas


@pytest.mark.parametrize("own", ["call_get_weather_0", "functions.f:0", "call-0"])
def test_a_server_that_counts_in_every_turn(own: str) -> None:
    stage = CallIdStage([own])
    (first,), (second,) = (stage.feed(ToolCallDelta(index, own, "f")) for index in (0, 1))
    assert len({own, first.id, second.id}) == 3
    assert {own[:-1], first.id[:-1], second.id[:-1]} == {own[:-1]}


names = st.sampled_from([None, "", "call_0", "call_1", "call_2", "call_1_0", "x"])


@given(st.lists(names.filter(bool), unique=True), st.lists(st.tuples(st.integers(0, 1), names), max_size=4))
def test_no_made_up_id_comes_twice(taken: list[str], calls: list[tuple[int, str | None]]) -> None:
    stage = CallIdStage(taken)
    deltas = [ToolCallDelta(index, name, "f", choice=choice) for index, (choice, name) in enumerate(calls)]
    given_ids = [name for _, name in calls if name]
    reply = fold([delta for each in deltas for delta in stage.feed(each)])
    made_up = [call.id for choice in reply.choices for call in choice.tool_calls if call.id not in given_ids]
    assert len(made_up) == len(set(made_up))
    assert not set(made_up) & set(taken)


@pytest.mark.parametrize("choice", ["get_weather", NAMED])
def test_tool_choice_is_a_name_or_openais_dictionary(choice: object) -> None:
    transport = FakeTransport(b'{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}')
    Client(transport=transport, handler="openai_chat").chat("Hi", tools=[WEATHER], tool_choice=choice)
    assert orjson.loads(transport.calls[0].body)["tool_choice"] == NAMED


@pytest.mark.parametrize("choice", [{}, {"type": "auto"}, {"type": "function", "function": "f"}, 5])
def test_any_other_tool_choice_is_refused(choice: object) -> None:
    transport = FakeTransport(b"{}")
    with pytest.raises(UsageError, match="tool_choice must be"):
        Client(transport=transport, handler="openai_chat").chat("Hi", tools=[WEATHER], tool_choice=choice)
    assert transport.calls == []


def test_texts_may_come_from_any_iterable() -> None:
    transport = FakeTransport(b"[[1.0, 0.0], [0.0, 1.0]]")
    client = Client(transport=transport, handler="tei")
    assert client.embed(text for text in ("a", "b")).vectors == [[1.0, 0.0], [0.0, 1.0]]
    assert client.embed(iter(())).vectors == []
    with pytest.raises(UsageError, match="put a single one into a list"):
        client.embed("one text")
    ranker = Client(
        transport=FakeTransport(b'[{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}]'), handler="tei_rerank"
    )
    assert [one.index for one in ranker.rerank("q", (text for text in "ab"))] == [1, 0]


def test_an_empty_reply_is_an_empty_turn() -> None:
    assert Reply().message == Message("assistant")
