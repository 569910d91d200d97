"""The order of values and errors, in one decoder and in a row of them."""

import pytest

from sagewire import streaming
from sagewire.errors import FrameError, StreamTruncated, WireError
from sagewire.streaming import (
    BaseDecoder,
    EventStreamDecoder,
    JsonEventDecoder,
    Pipeline,
    SseDecoder,
    Utf8Decoder,
    decode,
    encode_exception,
    encode_payload_part,
    finish,
)
from sagewire.testing import chop, drain


class Words(BaseDecoder[str, str]):
    """Delivers words at blanks; fails at `bad`, and at the end if the last word is `half`."""

    def __init__(self, bad: str = "bad") -> None:
        self.held = ""
        self.bad = bad

    def _decode(self, data: str, out: list[str]) -> None:
        *words, self.held = (self.held + data).split(" ")
        for word in words:
            if word == self.bad:
                raise FrameError(word)
            out.append(word)

    def _finish(self, out: list[str]) -> None:
        if self.held:
            out.append(self.held)
        if self.held.endswith("half"):
            raise StreamTruncated(self.held)


class Pairs(BaseDecoder[str, str]):
    """Joins two values to one; an odd one is held back until the end."""

    def __init__(self) -> None:
        self.odd: str | None = None

    def _decode(self, data: str, out: list[str]) -> None:
        if self.odd is None:
            self.odd = data
        else:
            out.append(f"{self.odd}+{data}")
            self.odd = None

    def _finish(self, out: list[str]) -> None:
        if self.odd is not None:
            out.append(self.odd)


class Fussy(BaseDecoder[str, str]):
    """Fails at a word of its own."""

    def _decode(self, data: str, out: list[str]) -> None:
        out.append(data)
        if data == "fussy":
            raise WireError(data)


class Bare:
    """A decoder that owes nothing to the base class."""

    def feed(self, data: str, /) -> list[str]:
        return [data.upper()]

    def close(self) -> list[str]:
        return ["."]


def run(decoder: object, *pieces: str) -> tuple[list[str], str | None]:
    values, error = drain(decode(decoder, pieces))
    return values, None if error is None else str(error)


def test_good_values_first_then_the_error_with_each_further_call() -> None:
    decoder = Words()
    assert decoder.feed("a b bad c ") == ["a", "b"]
    for call in (lambda: decoder.feed("d "), decoder.close, decoder.close):
        with pytest.raises(FrameError, match="bad"):
            call()


def test_an_error_with_nothing_before_it_is_raised_at_once() -> None:
    with pytest.raises(FrameError, match="bad"):
        Words().feed("bad ")


def test_an_error_that_close_put_off_is_raised_by_closing_again() -> None:
    decoder = Words()
    decoder.feed("half")
    assert decoder.close() == ["half"]
    with pytest.raises(StreamTruncated):
        decoder.close()


def test_closing_twice_does_nothing_twice() -> None:
    decoder = Words()
    decoder.feed("a")
    assert decoder.close() == ["a"]
    assert decoder.close() == []


def test_finish_tells_values_and_error_apart() -> None:
    decoder = Words()
    decoder.feed("half")
    held_back, error = finish(decoder)
    assert held_back == ["half"]
    assert isinstance(error, StreamTruncated)
    assert finish(Bare()) == (["."], None)


def test_decode_delivers_everything_before_the_error() -> None:
    assert run(Words(), "a b", " bad c") == (["a", "b"], "bad")
    assert run(Words(), "a h", "alf") == (["a", "half"], "half")
    assert run(Words(), "a ", "b") == (["a", "b"], None)


@pytest.mark.parametrize(
    ("stages", "text", "expected"),
    [
        ([Words, Pairs], "a b c", (["a+b", "c"], None)),
        ([Words, Pairs], "a b c bad d", (["a+b", "c"], "bad")),
        ([Words, Pairs, Pairs], "a b c d e f bad ", (["a+b+c+d", "e+f"], "bad")),
        ([Words, Pairs], "a b half", (["a+b", "half"], "half")),
        ([Words, Fussy, Pairs], "a b c fussy d e", (["a+b", "c+fussy"], "fussy")),
        ([Words, Fussy, Pairs], "a fussy bad d ", (["a+fussy"], "fussy")),
        ([Words, Fussy, Pairs], "a fussy half", (["a+fussy"], "fussy")),
        ([Words, Fussy, Pairs], "a b fussy", (["a+b", "fussy"], "fussy")),
        ([Words, Fussy, Pairs], "a b fussyhalf", (["a+b", "fussyhalf"], "fussyhalf")),
        ([], "a b", (["a b"], None)),
    ],
)
def test_a_row_keeps_the_order_of_values_and_errors_at_every_cut(
    stages: list[type], text: str, expected: tuple[list[str], str | None]
) -> None:
    for pieces in chop(text.encode()):
        if not stages and len(pieces) > 1:
            continue
        assert run(Pipeline(*(stage() for stage in stages)), *(piece.decode() for piece in pieces)) == expected


def test_a_row_takes_decoders_of_any_kind_and_rows() -> None:
    assert run(Pipeline(Words(), Bare(), Pairs()), "a b c") == (["A+B", "C+."], None)
    assert run(Pipeline(Pipeline(Words(), Pairs()), Pipeline(Bare())), "a b c half") == (["A+B", "C+HALF", "."], "half")


def test_an_error_of_the_first_stage_comes_behind_what_later_stages_held_back() -> None:
    stream = (
        encode_payload_part(b'data: {"a": 1}\n\nda')
        + encode_payload_part(b'ta: {"b": 2}\n')
        + encode_exception("ModelStreamError", b'{"Message":"gone","ErrorCode":"StreamBroken"}')
    )
    for pieces in chop(stream):
        values, error = run(Pipeline(EventStreamDecoder(), JsonEventDecoder()), *pieces)
        assert values == [{"a": 1}, {"b": 2}]
        assert error == "gone (StreamBroken)"


@pytest.mark.parametrize("garbage", [b"Killed\n", b"data: Killed\n\n"])
@pytest.mark.parametrize("good", [b'data: {"a": 1}\n\n', b'{"a": 1}\n'])
def test_the_error_that_comes_first_in_the_stream_is_the_one_reported(good: bytes, garbage: bytes) -> None:
    stream = encode_payload_part(good + garbage) + encode_exception("InternalStreamFailure", b"{}")
    for pieces in chop(stream):
        values, error = run(Pipeline(EventStreamDecoder(), JsonEventDecoder()), *pieces)
        assert values == [{"a": 1}]
        assert "Killed" in (error or "")
    for pieces in chop(stream[:-5]):
        assert "Killed" in (run(Pipeline(EventStreamDecoder(), JsonEventDecoder()), *pieces)[1] or "")


def test_a_character_cut_over_two_frames_is_whole_again() -> None:
    euro = "€".encode()
    stream = encode_payload_part(b"data: " + euro[:1]) + encode_payload_part(euro[1:] + b"\n\n")
    for pieces in chop(stream):
        assert run(Pipeline(EventStreamDecoder(), SseDecoder(), Utf8Decoder()), *pieces) == (["€"], None)


def test_public_names_are_sorted() -> None:
    assert streaming.__all__ == sorted(streaming.__all__)
