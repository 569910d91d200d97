"""Every handler, of text, embeddings and ranks, given what no container should send: typed errors, and no more memory
than the body itself."""

import gc
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from sagewire.content_handlers import EMBEDDING_HANDLERS, HANDLERS, RERANK_HANDLERS
from sagewire.errors import SagewireError, WireError

ROOT = Path(__file__).parents[1] / "vectors" / "containers"
LARGE = 2 * 1024 * 1024
DEEP = 100_000

BODIES = {
    "empty": b"",
    "blank": b" \r\n\t",
    "an HTML page": b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
    "plain text": b"upstream connect error or disconnect/reset before headers",
    "XML": b'<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>',
    "not UTF-8": b'{"choices": "\xff\xfe"}',
    "UTF-16": '{"choices": []}'.encode("utf-16"),
    "a gzip header": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "NaN": b"[[NaN, Infinity]]",
    "half an object": b'{"choices": [{"message": {"content": "a',
    "open brackets": b"[" * DEEP,
    "nested arrays": b"[" * DEEP + b"]" * DEEP,
    "nested objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "arrays as deep as the parser goes": b"[" * 1000 + b"]" * 1000,
}
LARGE_BODIES = {
    "a page": b"<html>" + b"x" * LARGE,
    "an object of another kind": b'{"pad": "' + b"x" * LARGE + b'"}',
}


ALL: dict[str, Any] = {**HANDLERS, **EMBEDDING_HANDLERS, **RERANK_HANDLERS}
# What token classification answers with is an array of anything, and none of it an entity.
ANYTHING = {("hf_token_classification", what) for what in ("arrays as deep as the parser goes", "NaN")}


def read_whole(name, body, count=2):
    handler = ALL[name]()
    return handler.transform_output(body) if name in HANDLERS else handler.transform_output(body, count)


def read_streamed(name, body):
    decoder = HANDLERS[name]().stream_decoder("text/html")
    for start in range(0, len(body), 1 << 20):
        decoder.feed(body[start : start + (1 << 20)])
    decoder.close()


@pytest.mark.parametrize("name", ALL)
def test_what_no_container_sends_is_a_typed_and_short_error(name):
    for what, body in BODIES.items():
        if (name, what) in ANYTHING:
            continue
        for read in (read_whole, read_streamed) if name in HANDLERS else (read_whole,):
            with pytest.raises(WireError) as caught:
                read(name, body)
            assert len(str(caught.value)) < 700, what


@pytest.mark.parametrize("name", ALL)
def test_a_large_body_of_another_kind_takes_no_more_memory_than_reading_it(name):
    for what, body in LARGE_BODIES.items():
        gc.collect()
        tracemalloc.start()
        try:
            with pytest.raises(WireError) as caught:
                read_whole(name, body)
            now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(str(caught.value)) < 700
        # The parser reserves twelve bytes for each one it reads, and touches few of them (yyjson.h,
        # yyjson_read_max_memory_usage); then there are the text, and the body once more.
        assert peak < 15 * LARGE
        # The error may be kept, and holds nothing of the page; of an object it holds what was parsed, in its traceback.
        assert now < LARGE / 10 or what != "a page"


@pytest.mark.parametrize("name", ["openai_chat", "tgi", "lmi", "cohere", "triton", "jumpstart_xtext"])
def test_a_large_stream_of_another_kind_is_an_error(name):
    for body in LARGE_BODIES.values():
        with pytest.raises(WireError):
            read_streamed(name, body)


def sample(name):
    path = next(iter(sorted((ROOT / name).glob("*.json"))))
    case = json.loads(path.read_text(encoding="utf-8"))
    return case["whole"].encode(), len(case["request"].get("texts") or case["request"].get("documents") or ())


@pytest.mark.parametrize("name", ALL)
def test_an_answer_cut_anywhere_is_never_taken_for_a_whole_one(name):
    body, count = sample(name)
    for end in range(len(body.rstrip())):
        with pytest.raises(SagewireError):
            read_whole(name, body[:end], count)
