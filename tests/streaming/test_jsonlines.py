"""JSON documents one after another, however they are separated and cut."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagewire.errors import FrameError, StreamTruncated, WireError
from sagewire.streaming import JsonDocumentsDecoder, decode, finish
from sagewire.testing import chop, drain

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.sampled_from('ab"\\{}[]é字😀\n\r\t ,:'), max_size=6),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
containers = st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=4), values, max_size=3)
indents = st.sampled_from([None, None, 2])


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, list[object]]:
    """Documents with whatever may stand between them: objects and arrays need nothing, scalars a blank."""
    given = draw(st.lists(values, max_size=6))
    text = ""
    for value in given:
        written = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(indents))
        tight = isinstance(value, dict | list)
        text += written + draw(st.sampled_from(["\n", "\r\n", "\n\n", " ", *([""] if tight else [])]))
    return text.encode(), given


@given(documents())
@settings(max_examples=150)
def test_every_cut_gives_the_documents(sample: tuple[bytes, list[object]]) -> None:
    stream, expected = sample
    for pieces in chop(stream, random_cuts=5):
        assert list(decode(JsonDocumentsDecoder(), pieces)) == expected


@given(st.lists(containers, min_size=1, max_size=4))
@settings(max_examples=60)
def test_a_stream_cut_short_is_noticed(given_values: list[object]) -> None:
    stream = "".join(map(json.dumps, given_values)).encode()
    for end in range(len(stream)):
        decoder = JsonDocumentsDecoder()
        whole = decoder.feed(stream[:end])
        assert whole == given_values[: len(whole)]
        _, error = finish(decoder)
        complete = "".join(map(json.dumps, whole)).encode() == stream[:end]
        assert isinstance(error, StreamTruncated) != complete


def test_a_document_without_line_break_is_delivered_with_its_last_byte() -> None:
    decoder = JsonDocumentsDecoder()
    assert decoder.feed(b'{"text": "a}"') == []
    assert decoder.feed(b"}") == [{"text": "a}"}]
    assert decoder.feed(b'{"b": "\\') == []
    assert decoder.feed(b'""}{"c": [') == [{"b": '"'}]
    assert decoder.feed(b"{}]}") == [{"c": [{}]}]
    assert decoder.close() == []


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b" \r\n\n\t\n", []),
        (b'\xef\xbb\xbf{"a":1}\n', [{"a": 1}]),
        (b"12\n", [12]),
        (b"12", [12]),
        (b'1 2{"a":3}4[5]"six"7', [1, 2, {"a": 3}, 4, [5], "six", 7]),
        (b"true\nfalse\nnull", [True, False, None]),
        (b'{\n  "a": [\n    1\n  ]\n}\n{"b": 2}\n', [{"a": [1]}, {"b": 2}]),
    ],
)
def test_the_rules(stream: bytes, expected: list[object]) -> None:
    for pieces in chop(stream):
        assert list(decode(JsonDocumentsDecoder(), pieces)) == expected


def test_numbers_that_only_python_writes_are_read() -> None:
    stream = b'{"logprob": -Infinity}\n{"logprob": NaN, "text": "Infinity"}\n{"logprob": Infinity}'
    for pieces in chop(stream):
        first, second, third = decode(JsonDocumentsDecoder(), pieces)
        assert first == {"logprob": -math.inf}
        assert math.isnan(second["logprob"])
        assert third == {"logprob": math.inf}


@pytest.mark.parametrize(
    "garbage",
    [
        b"Internal Server Error\n",
        b"<html>\n",
        b"}\n",
        b"12}\n",
        b'{"a": tru}\n',
        b'{"a": [1}\n',
        b"{'a': 1}\n",
        b"{\"a\": '\xff'}\n",
        b'{"a": "\xff"}\n',
        b'{"a": NaN,}\n',
        b"NaN" + b"[" * 2000 + b"]" * 2000,
    ],
)
def test_garbage_is_refused_behind_what_was_good(garbage: bytes) -> None:
    for pieces in chop(b'{"a": 1}\n' + garbage):
        good, error = drain(decode(JsonDocumentsDecoder(), pieces))
        assert isinstance(error, WireError)
        assert [document for document in good if isinstance(document, dict)] == [{"a": 1}]


def test_the_error_shows_an_excerpt() -> None:
    with pytest.raises(WireError, match="Internal Server Error") as caught:
        JsonDocumentsDecoder().feed(b"Internal Server Error " + b"x" * 10_000 + b"\n")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_depth_is_bounded(opening: bytes) -> None:
    for pieces in ([opening * 3000], [opening] * 3000, [opening * 3000 + b"\n"]):
        with pytest.raises(FrameError, match="nested"):
            list(decode(JsonDocumentsDecoder(), pieces))


def test_the_deepest_document_is_the_same_at_every_cut() -> None:
    document = b"[" * 1024 + b"]" * 1024
    for pieces in ([document + b"\n"], [document], [document[:5], document[5:]]):
        assert len(list(decode(JsonDocumentsDecoder(), pieces))) == 1


@pytest.mark.parametrize("stream", [b'{"a": "' + b"x" * 100, b'{"a": "' + b"x" * 100 + b'"}\n', b"1" * 100])
def test_size_is_bounded(stream: bytes) -> None:
    for pieces in chop(stream):
        with pytest.raises(FrameError, match="64 bytes"):
            list(decode(JsonDocumentsDecoder(max_bytes=64), pieces))


LARGE = {"a": ["x" * 1000, {"b": 'y"\\'}] * 1000}


@pytest.mark.parametrize(
    ("stream", "count"),
    [
        (json.dumps(LARGE).encode(), 1),
        (json.dumps(LARGE, indent=1).encode(), 1),
        (b'{"a":1}' * 100_000, 100_000),
        (b'{"a":1}\n' * 100_000, 100_000),
        (b"[1] " * 100_000, 100_000),
    ],
    ids=["one line", "many lines", "bare", "lines", "blanks"],
)
@pytest.mark.parametrize("piece", [100, 1 << 22])
def test_large_streams_take_linear_work(stream: bytes, count: int, piece: int) -> None:
    # Parsing, or copying, what was read so far for each piece or document would take many minutes.
    pieces = (stream[i : i + piece] for i in range(0, len(stream), piece))
    assert sum(1 for _ in decode(JsonDocumentsDecoder(), pieces)) == count


def test_integers_of_any_size_are_found_wherever_they_lie_in_a_large_answer() -> None:
    for offset in range(60):
        text, number = "x" * (20_000 + offset), 10**18 + offset
        body = {"text": text, "arguments": {"account": number * 10**offset}}
        assert list(decode(JsonDocumentsDecoder(), [json.dumps(body).encode()])) == [body]
