"""Tokens, stop strings and limits: what the containers share."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.emulator import Reply, Scripted, tokens
from sagewire.emulator.engines import Call, Text, Turn
from sagewire.emulator.generation import Generation, Token

words = st.text(st.sampled_from("ab <|>é世🎉\n"), max_size=30)


class Pieces:
    """An engine that says its text in the given pieces, as a streaming upstream does."""

    blocking = False

    def __init__(self, pieces):
        self.pieces = pieces

    def generate(self, turn):
        yield from map(Text, self.pieces)


@given(st.text())
def test_tokens_join_to_the_text(text):
    parts = tokens.pieces(text)
    assert "".join(parts) == text
    assert all(parts)
    assert tokens.count(text) == len(parts)


@settings(max_examples=200)
@given(st.lists(words, max_size=5), st.lists(words.filter(bool), max_size=3), st.booleans())
def test_a_stop_string_ends_the_text_wherever_it_is_cut(pieces, stops, keep):
    run = Generation(Pieces(pieces), Turn(prompt="x", stop=tuple(stops)), keep_stop=keep)
    said = "".join(event.text for event in run if isinstance(event, Token))
    text = "".join(pieces)
    if run.stop is None:
        assert said == text
        assert not any(stop in text for stop in stops)
    else:
        assert text.startswith(said)
        assert said.endswith(run.stop) if keep else not any(stop in said for stop in stops)
        assert run.finish == "stop"


@given(words.filter(bool), st.integers(1, 20))
def test_a_limit_cuts_at_its_token(text, limit):
    run = Generation(Scripted([text]), Turn(prompt="x", max_tokens=limit))
    answer = run.collect()
    assert len(answer.tokens) == min(limit, tokens.count(text))
    assert answer.finish == ("length" if tokens.count(text) >= limit else "stop")
    assert answer.completion_tokens == min(limit, tokens.count(text) + 1)


def test_a_limit_covers_thinking_and_arguments_too():
    reply = Reply("answer", thinking="let me see", calls=[Call("f", '{"a": 1}')])
    answer = Generation(Scripted([reply]), Turn(max_tokens=2)).collect()
    assert (answer.thinking, answer.text, answer.calls, answer.finish) == ("let me", "", (), "length")
    answer = Generation(Scripted([reply]), Turn()).collect()
    assert (answer.thinking, answer.text, answer.finish) == ("let me see", "answer", "tool_calls")
    assert answer.calls[0].arguments == '{"a": 1}'
    assert answer.reasoning_tokens == 3
