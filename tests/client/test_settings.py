"""One setting under every spelling; the later word wins."""

import json

import pytest

from sagewire import Client
from sagewire.testing import FakeTransport
from sagewire.types import Options, make_options

from ..cases import each

CHAT = json.dumps({"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}).encode()
TEXT = b'[{"generated_text": "ok"}]'


def sent(handler, standing, **options):
    transport = FakeTransport(CHAT if handler.endswith("chat") else TEXT)
    Client(transport=transport, handler=handler, options=standing).complete("Hi", **options)
    body = json.loads(transport.calls[-1].body)
    return body.get("parameters", body)


SPELLINGS = ["max_tokens", "max_new_tokens", "max_completion_tokens"]


@pytest.mark.parametrize("earlier", SPELLINGS)
@pytest.mark.parametrize("later", SPELLINGS)
@pytest.mark.parametrize(("handler", "name"), [("tgi", "max_new_tokens"), ("openai_chat", "max_tokens"),
                                               ("tgi_chat", "max_tokens"), ("lmi", "max_new_tokens")])  # fmt: skip
def test_the_later_word_wins_under_either_name(earlier, later, handler, name):
    standing = {earlier: 512} if earlier == "max_tokens" else {"extra": {earlier: 512}}
    options = {later: 7} if later == "max_tokens" else {"extra": {later: 7}}
    written = sent(handler, standing, **options)
    assert {key: written[key] for key in SPELLINGS if key in written} == {name: 7}
    written = sent(handler, standing)
    assert {key: written[key] for key in SPELLINGS if key in written} == {name: 512}


@each(("handler", "name", "wire"), [
    (handler, name, wire)
    for handler, wire in (("tgi", "max_new_tokens"), ("lmi", "max_new_tokens"), ("hf_pipeline", "max_new_tokens"),
                          ("openai_chat", "max_tokens"), ("tgi_chat", "max_tokens"))
    for name in SPELLINGS
])  # fmt: skip
def test_every_spelling_in_extra_reaches_the_wire_under_its_own_name(handler, name, wire):
    for standing in ({}, {"max_tokens": 512}):
        written = sent(handler, standing, extra={name: 7})
        assert {key: written[key] for key in SPELLINGS if key in written} == {wire: 7}


def test_stop_strings_have_two_spellings():
    assert sent("openai_chat", {"stop": "a"}, extra={"stop_sequences": ["b"]})["stop"] == ["b"]
    assert make_options(Options(extra={"stop_sequences": ["a"]}), stop="b") == Options(stop=("b",))


def test_other_settings_in_extra_are_merged():
    assert make_options(Options(extra={"a": 1, "b": 2}), extra={"b": 3}, seed=1) == Options(
        seed=1, extra={"a": 1, "b": 3}
    )


def test_a_server_that_refuses_to_count_is_asked_once():
    error = {"error": {"message": "stream_options: Extra inputs are not permitted", "code": 400}}
    asked = []

    class Strict(FakeTransport):
        def stream(self, call):
            asked.append(json.loads(call.body))
            if "stream_options" in asked[-1]:
                from sagewire.errors import EndpointError

                refusal = EndpointError(error["error"]["message"], status=400)
                raise refusal
            return super().stream(call)

    chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    client = Client(transport=Strict(b"data: " + json.dumps(chunk).encode() + b"\n\n"), handler="openai_chat")
    for _ in range(2):
        assert "".join(client.stream("x").text) == "hi"
    assert ["stream_options" in body for body in asked] == [True, False, False]
