"""System messages where a family has no place for one: they open the next user turn, and nothing is lost."""

import json

import pytest

from sagewire import Client, UsageError
from sagewire.client.system_messages import folded
from sagewire.prompt_formats import FORMATS
from sagewire.testing import FakeTransport
from sagewire.types import ImagePart, Message, TextPart

from ..cases import each

S, U, A, V = (
    Message("system", "Be brief."),
    Message("user", "Hi"),
    Message("assistant", "Hello"),
    Message("user", "Bye"),
)
ONCE = {"litellm_builtin", "litellm_custom"}


def sent(name, messages):
    transport = FakeTransport(b'[{"generated_text": "x"}]')
    Client(transport=transport, handler="tgi", format=name).chat(messages)
    return json.loads(transport.calls[0].body)["inputs"]


@each("name", sorted(set(FORMATS) - ONCE))
@each("turns", [[S, U], [U, A, S, V], [S, U, A, S, V]])
def test_no_family_loses_or_refuses_a_system_message(name, turns):
    prompt = sent(name, turns)
    assert prompt.count("Be brief.") == turns.count(S)
    assert prompt.index("Hi") < prompt.rindex("Bye" if V in turns else "Hi") + 1


def test_families_with_a_place_for_it_keep_it_there():
    assert sent("qwen2_5", [U, A, S, V]) == FORMATS["qwen2_5"].render([U, A, S, V])
    assert sent("olmo", [S, U]).endswith("<|user|>\nBe brief.\n\nHi\n<|assistant|>\n")
    assert sent("deepseek_v3", [S, U, A, S, V]).startswith("Be brief.<｜User｜>Hi")


def test_what_is_wrong_otherwise_stays_an_error():
    with pytest.raises(UsageError, match="alternate"):
        sent("gemma", [A, U])


def test_two_messages_of_one_role_become_one():
    assert sent("gemma", [U, V]) == sent("gemma", [Message("user", "Hi\n\nBye")])


def test_a_system_message_that_no_user_turn_follows():
    roles = [[(turn.role, turn.text) for turn in turns] for turns in folded([U, S, A, S])]
    assert roles[0] == [("user", "Hi\n\nBe brief."), ("assistant", "Hello"), ("user", "Be brief.")]
    assert roles[-1] == [("user", "Be brief.\n\nBe brief.\n\nHi"), ("assistant", "Hello")]
    assert list(folded([U, A])) == []


def test_parts_are_joined():
    pictured = Message("user", (ImagePart(url="https://x/y.png"), TextPart("What is it?")))
    ((turn,),) = folded([S, pictured])
    assert turn.content == (TextPart("Be brief."), TextPart("\n\n"), *pictured.content)
