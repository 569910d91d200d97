"""Whatever the bytes are, values and errors do not depend on where they are cut."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.errors import WireError
from sagewire.streaming import (
    BaseDecoder,
    EventStreamDecoder,
    JsonDocumentsDecoder,
    JsonEventDecoder,
    Pipeline,
    SseDecoder,
    Utf8Decoder,
    decode,
    encode_exception,
    encode_payload_part,
)
from sagewire.testing import chop, drain

fragments = [
    *(b"data: ", b"data:", b"data", b"event: e\n", b": c\n", b"id", b"[DONE]", b'data: {"a":1}\n\n'),
    *(b'{"a":1}', b"{", b"}", b"[", b"]", b'"', b"\\", b"1", b"tru", b"NaN", b","),
    *(b"\n", b"\r\n", b"\r", b" ", b"\xef\xbb\xbf", b"\xff", b"\xc3", b"\xa9", b"x", b"<", b":"),
]
frames = [
    encode_payload_part(b'data: {"a":'),
    encode_payload_part(b"1}\n\n"),
    encode_payload_part(b""),
    encode_exception("InternalStreamFailure", b"{}"),
    b"\x00",
    encode_payload_part(b"x")[:-1] + b"?",
]


@pytest.mark.parametrize(
    "make",
    [JsonEventDecoder, JsonDocumentsDecoder, SseDecoder, lambda: SseDecoder(strict=True), Utf8Decoder],
    ids=["events", "documents", "sse", "strict sse", "utf-8"],
)
@given(st.lists(st.sampled_from(fragments), max_size=9).map(b"".join), st.integers(0, 99))
@settings(max_examples=200)
def test_bytes_of_any_kind(make: Callable[[], BaseDecoder], stream: bytes, seed: int) -> None:
    check(make, stream, seed)


@given(st.lists(st.sampled_from(frames), max_size=6).map(b"".join), st.integers(0, 99))
@settings(max_examples=100)
def test_frames_of_any_kind(stream: bytes, seed: int) -> None:
    check(EventStreamDecoder, stream, seed)
    check(lambda: Pipeline(EventStreamDecoder(), JsonEventDecoder()), stream, seed)


def check(make: Callable[[], BaseDecoder], stream: bytes, seed: int) -> None:
    outcomes = set()
    for pieces in chop(stream, random_cuts=3, seed=seed):
        values, error = drain(decode(make(), pieces))
        assert error is None or isinstance(error, WireError)
        shown = "".join(values) if make is Utf8Decoder else repr(values)
        outcomes.add((shown, type(error)))
    assert len(outcomes) == 1


def test_pieces_taken_at_once_give_what_they_give_one_after_the_other() -> None:
    stream = b"".join(encode_payload_part(b'data: {"n": %d}\n\n' % n + b"\n" * (n % 3)) for n in range(20))
    for pieces in chop(stream):
        at_once = Pipeline(EventStreamDecoder(), JsonEventDecoder()).feed_all(pieces)
        assert at_once == list(decode(Pipeline(EventStreamDecoder(), JsonEventDecoder()), pieces))
