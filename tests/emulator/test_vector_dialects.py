"""Embeddings and rerankers: their shapes, their refusals, and that near texts are near."""

import base64
import itertools
import struct

import pytest

from sagewire.emulator import vectors
from tests.cases import each

from .containers import Container

TEXTS = ["The cat sat on the mat.", "Cats like mats.", "Quarterly revenue grew by 12 percent."]


def near(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_similar_texts_have_near_vectors_of_length_one():
    rows = [vectors.embed(text, 256) for text in [*TEXTS, "revenue of the quarter", "cat mat"]]
    assert all(near(row, row) == pytest.approx(1) for row in rows)
    assert near(rows[0], rows[4]) > near(rows[2], rows[4])
    assert near(rows[2], rows[3]) > near(rows[0], rows[3])
    assert near(rows[0], rows[1]) > near(rows[0], rows[2])
    assert vectors.embed("", 8) == vectors.embed("", 8)
    assert near(vectors.embed("?!", 8), vectors.embed("?!", 8)) == pytest.approx(1)


def test_relevance_ranks_what_answers():
    scores = [vectors.relevance("How much did revenue grow?", text) for text in TEXTS]
    assert max(range(3), key=scores.__getitem__) == 2
    assert all(0 <= score < 1 for score in scores)


@pytest.mark.parametrize(
    ("dialect", "body", "rows"),
    [
        ("tei", {"inputs": TEXTS}, lambda d: d),
        ("vllm_pooling", {"input": TEXTS}, lambda d: [item["embedding"] for item in d["data"]]),
        ("lmi_embedding", {"inputs": TEXTS}, lambda d: d),
        ("lmi_vllm_embedding", {"inputs": TEXTS}, lambda d: d),
        ("jumpstart_embedding", {"text_inputs": TEXTS}, lambda d: d["embedding"]),
        ("cohere_embed", {"texts": TEXTS, "input_type": "search_query"}, lambda d: d["embeddings"]),
    ],
)
def test_every_server_gives_the_same_rows(dialect, body, rows):
    answer = Container(dialect, dimensions=16).ask(body)
    assert rows(answer.json) == [pytest.approx(vectors.embed(text, 16)) for text in TEXTS]


@each(
    ("dialect", "path", "field", "rows"),
    [
        ("tei", "/embed", "inputs", lambda d: d),
        ("tei", "/v1/embeddings", "input", lambda d: [item["embedding"] for item in d["data"]]),
        ("vllm_pooling", "/v1/embeddings", "input", lambda d: [item["embedding"] for item in d["data"]]),
    ],
)
def test_token_numbers(dialect, path, field, rows):
    server = Container(dialect, dimensions=16)
    answer = server.ask({field: [[7, 8, 9], [10]]}, path)
    one = server.ask({field: [7, 8, 9]}, path)
    assert rows(answer.json)[0] == rows(one.json)[0] != rows(answer.json)[1]
    assert len(rows(one.json)) == 1
    if path != "/embed":
        assert answer.json["usage"]["prompt_tokens"] == 4
    for wrong in ([1, "a"], [[1], []], [-1], [[["a"]]], [True]):
        assert 400 <= server.ask({field: wrong}, path).status < 500


def test_one_text_is_answered_in_different_shapes():
    one = vectors.embed("hi", 8)
    assert Container("tei", dimensions=8).ask({"inputs": "hi"}).json == [one]
    assert Container("lmi_embedding", dimensions=8).ask({"inputs": "hi"}).json == one
    assert Container("lmi_vllm_embedding", dimensions=8).ask({"inputs": "hi"}).json == [one]
    raw = Container("jumpstart_embedding", dimensions=8).ask(b"hi", content_type="application/x-text")
    assert raw.json == {"embedding": one}


@pytest.mark.parametrize(("dialect", "path"), [("tei", "/v1/embeddings"), ("vllm_pooling", "/invocations")])
def test_base64_is_little_endian_floats(dialect, path):
    body = {"input": "hi", "encoding_format": "base64", "dimensions": 4}
    data = base64.b64decode(Container(dialect).ask(body, path).json["data"][0]["embedding"])
    assert list(struct.unpack("<4f", data)) == pytest.approx(vectors.embed("hi", 4), abs=1e-6)


def test_cohere_types():
    body = {"texts": ["hi"], "input_type": "classification", "embedding_types": ["float", "int8", "ubinary"]}
    typed = Container("cohere_embed", dimensions=16).ask(body).json["embeddings"]
    assert typed.keys() == {"float", "int8", "ubinary"}
    assert all(-128 <= value <= 127 for value in typed["int8"][0])
    assert len(typed["ubinary"][0]) == 2


@pytest.mark.parametrize(
    ("dialect", "body", "status", "words"),
    [
        ("tei", {"inputs": ["x"] * 33}, 422, "batch size 33 > maximum allowed batch size 32"),
        ("tei", {"inputs": []}, 400, "cannot be empty"),
        ("tei", {"inputs": "x" * 2_000_001}, 413, "length limit exceeded"),
        ("tei_rerank", {"query": "x", "texts": []}, 400, "cannot be empty"),
        ("tei_rerank", {"query": "x", "documents": ["x"]}, 422, "missing field `texts`"),
        ("vllm_pooling", {"input": "x", "normalize": True}, 400, "normalize is no longer supported"),
        ("vllm_pooling", {"messages": "x"}, 400, "Cannot find suitable handler"),
        ("vllm_rerank", {"input": "x"}, 400, "Cannot find suitable handler"),
        ("cohere_embed", {"texts": ["x"]}, 400, "valid input_type must be provided"),
        ("cohere_embed", {"texts": ["x"] * 97, "input_type": "image"}, 400, "at most 96"),
        ("cohere_rerank", {"query": "x", "documents": []}, 400, "must not be empty"),
        ("lmi_embedding", {"input": "x"}, 400, "Missing"),
    ],
)
def test_refusals(dialect, body, status, words):
    answer = Container(dialect).ask(body)
    assert answer.status == status
    assert words in answer.body.decode()


SIZES = {
    "tei": ({"inputs": TEXTS}, "dimensions", 422),
    "vllm_pooling": ({"input": TEXTS}, "dimensions", 400),
    "openai_embeddings": ({"input": TEXTS}, "dimensions", 400),
    "cohere_embed": ({"texts": TEXTS, "input_type": "search_query"}, "output_dimension", 400),
    "vllm_rerank": ({"query": "a", "documents": TEXTS}, "top_n", 400),
    "cohere_rerank": ({"query": "a", "documents": TEXTS}, "top_n", 400),
}


@each(
    ("dialect", "value"),
    [*itertools.product(SIZES, (-5, 2.5, "x", True, [3])), *itertools.product(list(SIZES)[:4], (0, 10**7, 2**70))],
)
def test_lengths_that_cannot_be_are_refused(dialect, value):
    body, name, status = SIZES[dialect]
    answer = Container(dialect).ask(body | {name: value})
    # JSON's numbers end at 64 bits for some servers.
    assert answer.status in (status, 400)
    assert name in answer.body.decode() or value == 2**70


def test_rerankers_name_things_differently():
    query, best = "How much did revenue grow?", 2
    tei = Container("tei_rerank").ask({"query": query, "texts": TEXTS, "return_text": True}).json
    assert tei[0]["index"] == best
    assert [item["score"] for item in tei] == sorted((item["score"] for item in tei), reverse=True)
    assert tei[0]["text"] == TEXTS[best]
    vllm = Container("vllm_rerank").ask({"query": query, "documents": TEXTS, "top_n": 1}).json
    assert [(item["index"], item["document"]["text"]) for item in vllm["results"]] == [(best, TEXTS[best])]
    cohere = (
        Container("cohere_rerank").ask({"query": query, "documents": [{"text": t} for t in TEXTS], "top_n": 2}).json
    )
    assert cohere["results"][0]["index"] == best
    assert "document" not in cohere["results"][0]
    lmi = Container("lmi_rerank").ask({"inputs": [f"{query}</s></s>{text}" for text in TEXTS]}).json
    assert max(range(3), key=lmi.__getitem__) == best


def test_tei_serves_one_kind_of_model():
    assert Container("tei").ask({"query": "x", "texts": ["y"]}, "/rerank").status == 424
    assert Container("tei_classify").ask({"inputs": "good"}).json[0]["label"] == "POSITIVE"
    assert Container("tei").ask(b"", "/info", "GET").json["model_type"] == {"embedding": {"pooling": "cls"}}
    similar = Container("tei", environment={"TASK": "sentence-similarity"})
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    first, second = similar.ask(body).json
    assert first > second
    assert len(Container("tei", dimensions=3).ask({"inputs": "a b"}, "/embed_all").json[0]) == 4
