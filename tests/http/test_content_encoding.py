"""Compressed bodies: every name, several members, damaged and cut ones, and bombs."""

import gzip
import random
import tracemalloc
import zlib

import pytest

from sagewire.http.content_encoding import BodyDecoder, EncodingError

TEXT = b"The quick brown fox jumps over the lazy dog. " * 200
RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
PACKED = {
    "gzip": gzip.compress(TEXT),
    "GZIP": gzip.compress(TEXT),
    " x-gzip ": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "Deflate": RAW_DEFLATE.compress(TEXT) + RAW_DEFLATE.flush(),
    "deflate, gzip": gzip.compress(zlib.compress(TEXT)),
    "identity, gzip": gzip.compress(TEXT),
}
MEMBERS = gzip.compress(TEXT[:100]) + gzip.compress(b"") + gzip.compress(TEXT[100:])


def unpack(encodings, data, cuts=()):
    decoder = BodyDecoder(encodings)
    found = []
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        found += decoder.feed(data[start:end])
    decoder.close()
    return b"".join(found)


@pytest.mark.parametrize("encodings", PACKED)
def test_every_name(encodings):
    data = PACKED[encodings]
    assert unpack(encodings, data) == TEXT
    for seed in range(20):
        cuts = sorted(random.Random(seed).sample(range(1, len(data)), 3))
        assert unpack(encodings, data, cuts) == TEXT


def test_several_members_wherever_they_are_cut():
    for cut in range(1, len(MEMBERS)):
        assert unpack("gzip", MEMBERS, (cut,)) == TEXT


def test_what_follows_the_last_member_is_ignored_as_by_other_clients():
    assert unpack("gzip", gzip.compress(TEXT) + b"\0" * 20) == TEXT


@pytest.mark.parametrize("encodings", PACKED)
def test_a_body_that_broke_off(encodings):
    data = PACKED[encodings]
    for length in (1, 5, len(data) // 2, len(data) - 1):
        with pytest.raises(EncodingError, match="incomplete") as caught:
            unpack(encodings, data[:length])
        assert caught.value.incomplete


def test_a_second_member_that_broke_off():
    with pytest.raises(EncodingError, match="incomplete"):
        unpack("gzip", MEMBERS[:-4])


def test_no_body_at_all():
    assert unpack("gzip", b"") == b""


@pytest.mark.parametrize("encodings", ["gzip", "deflate"])
def test_a_damaged_body(encodings):
    with pytest.raises(EncodingError, match="damaged") as caught:
        unpack(encodings, b"this is not compressed at all")
    assert not caught.value.incomplete


@pytest.mark.parametrize("encodings", ["compress", "aes128gcm", "gzip, compress", ", ".join(["gzip"] * 6)])
def test_an_encoding_that_cannot_be_unpacked(encodings):
    with pytest.raises(EncodingError):
        BodyDecoder(encodings)


@pytest.mark.parametrize("encodings", [None, "", "identity", " Identity "])
def test_a_body_that_is_not_compressed_needs_no_decoder(encodings):
    assert BodyDecoder.of(encodings) is None


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_unpacked_in_small_pieces(layers):
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    for _ in range(layers - 1):
        bomb = zlib.compress(bomb, 9)
    decoder = BodyDecoder(", ".join(["deflate"] * layers))
    tracemalloc.start()
    try:
        total = sum(len(piece) for piece in decoder.feed(bomb))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 64 << 20
    assert peak < 16 << 20
