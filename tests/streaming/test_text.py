"""UTF-8, stop strings, echoed prompts and readers, wherever the pieces are cut."""

import re
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagewire.errors import FrameError, StreamTruncated, UsageError
from sagewire.streaming import (
    BaseDecoder,
    EchoStage,
    ParserStage,
    Pipeline,
    StopStage,
    Utf8Decoder,
    decode,
    finish,
    fold,
)
from sagewire.testing import chop, drain
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

USAGE = UsageDelta(Usage(3, 4))


def text_of(deltas: Iterable[Delta], choice: int = 0) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta) and delta.choice == choice)


def cut_text(text: str) -> list[list[str]]:
    """The same cuts as for bytes, made in a string: each character stands for one byte."""
    cuts = []
    for pieces in chop(bytes(len(text))):
        position, cut = 0, []
        for piece in pieces:
            cut.append(text[position : position + len(piece)])
            position += len(piece)
        cuts.append(cut)
    return cuts


# UTF-8


@given(st.text())
@settings(max_examples=60)
def test_utf8_at_every_cut(text: str) -> None:
    for pieces in chop(text.encode("utf-8", "ignore")):
        assert "".join(decode(Utf8Decoder(), pieces)) == text.encode("utf-8", "ignore").decode()


@pytest.mark.parametrize("tail", [b"\xff", b"\xf0\x9f\x98", b"\xc3(", b"\xed\xa0\x80", b"\xc0\x80", b"\xf0\x9f\x98x"])
def test_what_is_not_utf8_is_refused_behind_what_is(tail: bytes) -> None:
    for pieces in chop("gut é".encode() + tail):
        texts, error = drain(decode(Utf8Decoder(), pieces))
        assert "".join(texts) == "gut é"
        assert isinstance(error, FrameError)


# Stop strings

alphabet = st.text(st.sampled_from("ab."), max_size=14)
stop_strings = st.lists(st.text(st.sampled_from("ab."), min_size=1, max_size=4), min_size=1, max_size=4)


def until_stop(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The rule, said of the whole text: the first place wins, there the longest."""
    found = [(position, -len(stop), stop) for stop in stops if (position := text.find(stop)) >= 0]
    if not found:
        return text, None
    position, _, stop = min(found)
    return text[:position], stop


@given(alphabet, stop_strings)
@settings(max_examples=400)
@example("xab", ["xabc", "ab"])
@example("aab", ["ab", "abc", "aabd"])
def test_stops_are_found_at_every_cut(text: str, stops: list[str]) -> None:
    kept, stop = until_stop(text, stops)
    expected = FinishDelta("length") if stop is None else FinishDelta("stop", stop)
    for pieces in cut_text(text):
        stage = StopStage(stops)
        deltas = list(decode(stage, [*map(TextDelta, pieces), FinishDelta("length"), USAGE]))
        assert text_of(deltas) == kept
        assert [delta for delta in deltas if isinstance(delta, FinishDelta)] == [expected]
        assert deltas[-1] == USAGE
        assert stage.stopped == (stop is not None)
        assert text_of(decode(StopStage(stops), map(TextDelta, pieces))) == kept, "the same without a FinishDelta"


@given(alphabet, stop_strings)
@settings(max_examples=150)
def test_no_more_is_held_back_than_could_begin_a_stop(text: str, stops: list[str]) -> None:
    stage, given_text, shown = StopStage(stops), "", ""
    for character in text:
        given_text += character
        deltas = stage.feed(TextDelta(character))
        shown += text_of(deltas)
        if any(isinstance(delta, FinishDelta) for delta in deltas):
            break
        held = given_text[len(shown) :]
        assert given_text.startswith(shown)
        assert not held or any(stop.startswith(held) and stop != held for stop in stops)


def test_special_characters_are_literal() -> None:
    for stop in (".", "[", "a|b", "\\d", "(?i)x", "^", "$", "\n\n", "é", "]"):
        text = f"Hello 7 world {stop} rest"
        deltas = list(decode(StopStage([stop]), map(TextDelta, text)))
        assert text_of(deltas) == text[: text.find(stop)]
        assert deltas[-1] == FinishDelta("stop", stop)


def test_nothing_of_an_answer_is_emitted_after_its_stop() -> None:
    logprobs = LogprobsDelta((TokenLogprob("b", -1.0),))
    stage = StopStage(["END"])
    deltas: list[Delta] = [
        MetadataDelta("id"),
        TextDelta("a EN"),
        logprobs,
        TextDelta("D b"),
        TextDelta("c"),
        ThinkingDelta("hm"),
        ToolCallDelta(0, "1", "f", "{}"),
        logprobs,
        FinishDelta("length"),
        USAGE,
        MetadataDelta(extra={"late": 1}),
    ]
    assert list(decode(stage, deltas)) == [
        MetadataDelta("id"),
        TextDelta("a "),
        logprobs,
        FinishDelta("stop", "END"),
        USAGE,
        MetadataDelta(extra={"late": 1}),
    ]


def test_answers_are_stopped_one_by_one() -> None:
    stage = StopStage(["X"], choices=2)
    assert stage.feed(TextDelta("aXb", 0)) == [TextDelta("a", 0), FinishDelta("stop", "X", 0)]
    assert not stage.stopped, "the second answer has not begun yet"
    assert stage.feed(TextDelta("c", 1)) == [TextDelta("c", 1)]
    assert stage.feed(TextDelta("d", 0)) == []
    assert stage.feed(TextDelta("X", 1)) == [FinishDelta("stop", "X", 1)]
    assert stage.stopped


def test_an_answer_the_server_ended_counts_as_over_but_does_not_stop_the_stream_alone() -> None:
    stage = StopStage(["X"], choices=2)
    stage.feed(TextDelta("a", 0))
    stage.feed(FinishDelta("length", choice=0))
    stage.feed(TextDelta("X", 1))
    assert stage.stopped
    stage = StopStage(["X"])
    stage.feed(TextDelta("a"))
    stage.feed(FinishDelta("length"))
    assert not stage.stopped, "the server ended by itself: what it still says (token counts) is wanted"


def test_an_answer_more_than_was_asked_for_is_waited_for() -> None:
    stage = StopStage(["X"])
    stage.feed(ThinkingDelta("hm", 1))
    stage.feed(TextDelta("X", 0))
    assert not stage.stopped


def test_without_stops_everything_passes_unchanged() -> None:
    deltas: list[Delta] = [TextDelta(""), TextDelta("a"), FinishDelta("stop"), TextDelta("b"), USAGE]
    stage = StopStage(())
    assert list(decode(stage, deltas)) == deltas
    assert not stage.stopped


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UsageError, match="empty stop string"):
        StopStage(["a", ""])


def test_a_lone_string_is_one_stop_string() -> None:
    assert text_of(decode(StopStage("END"), [TextDelta("DEN END")])) == "DEN "


def test_stops_in_a_long_text_take_linear_work() -> None:
    stages = [StopStage(["a" * 50 + "b"]), StopStage(["\n\nHuman:"])]
    for stage in stages:
        assert len(text_of(decode(stage, [TextDelta("a" * 1_000_000), FinishDelta("stop")]))) == 1_000_000
        tokens = [TextDelta("aaaa\n")] * 100_000
        assert len(text_of(decode(StopStage(["\nHuman:", "aaaab"]), tokens))) == 500_000


# Echo


@given(st.text("ab", max_size=5), st.text("ab", max_size=8))
@settings(max_examples=200)
def test_an_echo_is_removed_at_every_cut(prompt: str, text: str) -> None:
    expected = text[len(prompt) :] if text.startswith(prompt) else text
    for pieces in cut_text(text):
        assert text_of(decode(EchoStage(prompt), map(TextDelta, pieces))) == expected
        ended = list(decode(EchoStage(prompt), [*map(TextDelta, pieces), FinishDelta("stop")]))
        assert text_of(ended) == expected
        assert ended[-1] == FinishDelta("stop")


def test_echoes_are_removed_from_each_answer_and_only_at_its_beginning() -> None:
    deltas: list[Delta] = [TextDelta("Hi", 1), TextDelta("Hi you Hi", 0), USAGE, TextDelta("Hi", 1), TextDelta("Hi", 0)]
    assert list(decode(EchoStage("Hi"), deltas)) == [
        TextDelta(" you Hi", 0),
        USAGE,
        TextDelta("Hi", 1),
        TextDelta("Hi", 0),
    ]


def test_an_echo_that_stays_undecided_is_delivered_before_the_end() -> None:
    stage = EchoStage("Hello")
    assert stage.feed(TextDelta("Hel")) == []
    assert stage.feed(FinishDelta("length")) == [TextDelta("Hel"), FinishDelta("length")]
    stage = EchoStage("Hello")
    assert stage.feed(TextDelta("Hel")) == []
    assert stage.feed(TextDelta("p")) == [TextDelta("Help")]
    assert stage.close() == []


# Readers


class Shouter(BaseDecoder[str, Delta]):
    """Reads `<...>` as a tool call and the rest as loud text; holds everything back until a full stop."""

    def __init__(self) -> None:
        self.held = ""

    def _decode(self, data: str, out: list[Delta]) -> None:
        self.held += data
        while "." in self.held:
            sentence, self.held = self.held.split(".", 1)
            self.read(sentence + ".", out)

    def _finish(self, out: list[Delta]) -> None:
        if self.held:
            self.read(self.held, out)
        if self.held == "!":
            raise StreamTruncated("shouted too soon")

    def read(self, sentence: str, out: list[Delta]) -> None:
        for number, part in enumerate(re.split("<(.*?)>", sentence)):
            if number % 2:
                out.append(ToolCallDelta(number // 2, None, part, "{}"))
            elif part:
                out.append(TextDelta(part.upper()))


def test_each_answer_has_its_own_reader() -> None:
    deltas: list[Delta] = [
        TextDelta("a", 0),
        TextDelta("b.", 1),
        ThinkingDelta("hm", 1),
        TextDelta("c.d", 0),
        TextDelta("<f>", 1),
        FinishDelta("stop", choice=0),
        FinishDelta("stop", choice=1),
        USAGE,
    ]
    assert list(decode(ParserStage(Shouter), deltas)) == [
        TextDelta("B.", 1),
        ThinkingDelta("hm", 1),
        TextDelta("AC.", 0),
        TextDelta("D", 0),
        FinishDelta("stop", choice=0),
        ToolCallDelta(0, None, "f", "{}", choice=1),
        FinishDelta("tool_calls", choice=1),
        USAGE,
    ]


def test_only_the_reason_stop_becomes_tool_calls() -> None:
    for reason, expected in (("stop", "tool_calls"), ("length", "length"), ("tool_calls", "tool_calls")):
        deltas = list(decode(ParserStage(Shouter), [TextDelta("<f>"), FinishDelta(reason, "END")]))
        assert deltas[-1] == FinishDelta(expected, "END")


def test_readers_are_closed_at_the_end_and_their_errors_come_last() -> None:
    deltas: list[Delta] = [TextDelta("!", 0), TextDelta("b", 1)]
    stage = ParserStage(Shouter)
    assert [delta for given_delta in deltas for delta in stage.feed(given_delta)] == []
    held_back, error = finish(stage)
    assert held_back == [TextDelta("!", 0), TextDelta("B", 1)]
    assert isinstance(error, StreamTruncated)
    with pytest.raises(StreamTruncated):
        stage.close()


def test_text_behind_an_end_is_not_lost() -> None:
    deltas = [TextDelta("a"), FinishDelta("stop"), TextDelta("b")]
    assert list(decode(ParserStage(Shouter), deltas)) == [TextDelta("A"), FinishDelta("stop"), TextDelta("b")]


@given(alphabet)
@settings(max_examples=60)
def test_the_stages_together_at_every_cut(text: str) -> None:
    expected = until_stop(text.removeprefix("ab"), ["ba"])[0].upper()
    for pieces in cut_text(text):
        chain = Pipeline(EchoStage("ab"), StopStage(["ba"]), ParserStage(Shouter))
        reply = fold(decode(chain, [*map(TextDelta, pieces), FinishDelta("stop"), USAGE]))
        assert reply.text == expected
        assert reply.usage == USAGE.usage
        assert reply.finish_reason == "stop"


def test_long_stop_strings_take_no_more_than_themselves() -> None:
    tracemalloc.start()
    stage = StopStage(["x" * 100_000 + "!", *("x" * (900 - number) + "y" for number in range(64))])
    shown = text_of(decode(stage, [TextDelta("x" * 500), TextDelta("z"), TextDelta("ab")]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shown == "x" * 500 + "zab"
    assert peak < 1_000_000
