"""Embedding handlers: requests, answers in every shape, and the checks no answer gets past."""

import base64
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sagewire.content_handlers.embeddings import (
    EMBEDDING_HANDLERS,
    AdaptedEmbeddingHandler,
    HfFeatureExtractionHandler,
    OpenAiEmbeddingsHandler,
    TeiHandler,
    VllmPoolingHandler,
    get_embedding_handler,
    join_embeddings,
)
from sagewire.errors import ModelError, UnsupportedFeature, UsageError, WireError
from sagewire.types import Embeddings, EmbedOptions, Usage
from tests.cases import each

ROOT = Path(__file__).parents[1] / "vectors" / "containers"
CASES = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.glob("*/*.json"))
    if path.parent.name in EMBEDDING_HANDLERS
}
TEXTS = ["a", "b"]
TAKE_TOKENS = ("openai_embeddings", "tei", "vllm_pooling")


def make_handler(name, case):
    return EMBEDDING_HANDLERS[name.split("/")[0]](**case.get("arguments", {}))


def test_every_handler_has_vectors():
    assert {name.split("/")[0] for name in CASES} == set(EMBEDDING_HANDLERS)


@pytest.mark.parametrize("name", CASES)
def test_sample_bytes(name):
    case = CASES[name]
    handler, request = make_handler(name, case), case["request"]
    options = EmbedOptions(**request.get("options", {}))
    assert json.loads(handler.transform_input(request["texts"], options)) == case["body"]
    embeddings = handler.transform_output(case["whole"].encode(), len(request["texts"]))
    assert embeddings.vectors == case["reply"]["vectors"]
    assert embeddings.as_numpy().tolist() == case["reply"]["vectors"]
    assert (embeddings.usage.prompt_tokens if embeddings.usage else None) == case["reply"].get("tokens")


@each(
    ("name", "field"),
    [
        ("openai_embeddings", "input"),
        ("vllm_pooling", "input"),
        ("tei", "inputs"),
        *((name, None) for name in sorted(EMBEDDING_HANDLERS) if name not in TAKE_TOKENS),
    ],
)
def test_token_numbers(name, field):
    handler = EMBEDDING_HANDLERS[name]()
    assert handler.takes_tokens is (name in TAKE_TOKENS)
    if field is None:
        for use in (lambda: list(handler.batches([[1, 2]])), lambda: handler.transform_input([[1]], EmbedOptions())):
            with pytest.raises(UnsupportedFeature, match=rf"{name}.*token numbers.*check_embedding_ctx_length=False"):
                use()
        return
    handler.max_texts = 2
    batches = list(handler.batches([[1, 2], [3], [4, 5, 6]]))
    assert batches == [[[1, 2], [3]], [[4, 5, 6]]]
    assert json.loads(handler.transform_input(batches[0], EmbedOptions()))[field] == [[1, 2], [3]]
    handler.max_texts, handler.max_bytes = 100, 15
    assert [len(batch) for batch in handler.batches([[1, 2, 3], [4, 5], [600000, 700000]])] == [2, 1]


@pytest.mark.parametrize("texts", [["a", [1]], [1, 2], [None], [{"text": "a"}]])
def test_what_is_neither_text_nor_token_numbers(texts):
    for handler in (OpenAiEmbeddingsHandler(), get_embedding_handler("cohere_embed")):
        with pytest.raises(UsageError, match="list of strings"):
            list(handler.batches(texts))


def test_raw_values_equal_written_ones():
    rows = [[0.5, -1.25, 3.0], [1e-20, 2.5, -0.0]]
    written = json.dumps({"data": [{"index": i, "embedding": row} for i, row in enumerate(rows)]}).encode()
    raw = [base64.b64encode(struct.pack("<3f", *row)).decode() for row in rows]
    coded = json.dumps({"data": [{"index": i, "embedding": row} for i, row in enumerate(raw)]}).encode()
    one, other = (VllmPoolingHandler().transform_output(body, 2) for body in (written, coded))
    assert (one.as_numpy() == other.as_numpy()).all()
    assert other.vectors[0] == rows[0]
    assert (other.dimensions, len(other), other.as_numpy().dtype) == (3, 2, "float32")


def test_rows_come_in_the_order_of_their_index():
    body = json.dumps({"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]}).encode()
    assert OpenAiEmbeddingsHandler().transform_output(body, 2).vectors == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[[1.0, 2.0]]", "sent 2 texts and got 1"),
        (b"[[1.0], [2.0], [3.0]]", "sent 2 texts and got 3"),
        (b"[[1.0, 2.0], [3.0]]", "different lengths"),
        (b"[[], []]", "different lengths"),
        (b"[[1.0], [null]]", "does not understand"),
        (b'[[1.0], ["a"]]', "does not understand"),
        (b'[[1.0], "a"]', "does not understand"),
        (b'{"vectors": []}', "does not understand"),
        (b"[[1.0], [NaN]]", "NaN or infinity"),
        (b"", "an empty body"),
        (b"<html>", "invalid JSON"),
        (b"[" * 3000, "invalid JSON"),
    ],
)
def test_answers_that_are_none(body, message):
    with pytest.raises(WireError, match=message):
        TeiHandler().transform_output(body, 2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite(bad):
    coded = base64.b64encode(struct.pack("<2f", 1.0, bad)).decode()
    body = json.dumps({"data": [{"index": 0, "embedding": coded}]}).encode()
    with pytest.raises(WireError, match="NaN or infinity for text 0"):
        VllmPoolingHandler().transform_output(body, 1)


def test_a_number_beyond_every_float_is_not_understood():
    with pytest.raises(WireError, match="does not understand"):
        TeiHandler().transform_output(b"[[0.5, 1" + b"0" * 400 + b", NaN]]", 1)


def test_huge_finite_values_pass():
    assert len(TeiHandler().transform_output(b"[[1e308, 1e308, 1e308]]", 1)) == 1


@pytest.mark.parametrize(
    "data",
    [
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}],
        [{"index": -1, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": "!!!!"}, {"index": 1, "embedding": "AACAPw=="}],
        [{"index": 0, "embedding": "AACA"}, {"index": 1, "embedding": "AACAPw=="}],
        [{}, {}],
    ],
)
def test_openai_answers_that_are_none(data):
    with pytest.raises(WireError):
        OpenAiEmbeddingsHandler().transform_output(json.dumps({"data": data}).encode(), 2)


def test_an_error_object():
    with pytest.raises(ModelError, match="batch size 33") as error:
        TeiHandler().transform_output(
            b'{"error":"batch size 33 > maximum allowed batch size 32","error_type":"Validation"}', 33
        )
    assert error.value.code == "Validation"


def test_a_hint_is_left_out_of_a_wire_without_a_place_for_it():
    assert b"input_type" not in TeiHandler().transform_input(TEXTS, EmbedOptions(input_type="query"))


def test_one_string_is_not_a_list_of_letters():
    with pytest.raises(UsageError, match="list of strings"):
        TeiHandler().transform_input("abc", EmbedOptions())
    with pytest.raises(UsageError, match="list of strings"):
        list(TeiHandler().batches("abc"))


def test_batches_keep_both_limits_and_the_order():
    handler = TeiHandler()
    texts = [str(number) for number in range(70)]
    assert [len(batch) for batch in handler.batches(texts)] == [32, 32, 6]
    assert [text for batch in handler.batches(texts) for text in batch] == texts
    handler.max_bytes = 20
    assert list(handler.batches(["aaaa", "bbbb", "cccc", "d" * 50, "e"])) == [
        ["aaaa", "bbbb"],
        ["cccc"],
        ["d" * 50],
        ["e"],
    ]
    assert list(handler.batches([])) == []
    assert [len(batch) for batch in HfFeatureExtractionHandler().batches(texts[:3])] == [1, 1, 1]
    assert HfFeatureExtractionHandler().one_text_per_call


def test_joining_calls():
    joined = join_embeddings([Embeddings([[1.0]], Usage(3)), Embeddings([[2.0]], Usage(4), "m")], "tei")
    assert (joined.vectors, joined.usage, joined.model) == ([[1.0], [2.0]], Usage(7), "m")
    assert join_embeddings([Embeddings([[1.0]], Usage(3)), Embeddings([[2.0]])], "tei").usage is None
    assert join_embeddings([], "tei").vectors == []
    with pytest.raises(WireError, match="from call to call"):
        join_embeddings([Embeddings([[1.0]]), Embeddings([[1.0, 2.0]])], "tei")


@pytest.mark.parametrize(
    ("arguments", "vector"),
    [
        ({}, [2.0, 3.0]),
        ({"pooling": "cls"}, [0.0, 0.0]),
        ({"pooling": "last"}, [3.0, 4.0]),
        ({"pooling": "last", "normalize": True}, [0.6, 0.8]),
    ],
)
def test_pooling(arguments, vector):
    body = b"[[[0.0, 0.0], [3.0, 5.0], [3.0, 4.0]]]"
    assert HfFeatureExtractionHandler(**arguments).transform_output(body, 1).vectors == [vector]


def test_pooling_refuses_damage():
    handler = HfFeatureExtractionHandler()
    for body in (b"[[[0.0, 0.0], [3.0]]]", b"[[[1.0]], [[2.0]]]", b"[]", b"[[]]", b"[[[]]]"):
        with pytest.raises(WireError):
            handler.transform_output(body, 1)
    assert handler.transform_output(b"[1.0, 2.0]", 1).vectors == [[1.0, 2.0]]


def test_handlers_written_for_langchain_and_llama_index():
    class ContentHandler:
        content_type = "application/json"
        accepts = "application/json"

        def transform_input(self, inputs, model_kwargs):
            return json.dumps({"text_inputs": inputs, **model_kwargs}).encode()

        def transform_output(self, output):
            return json.loads(output.read().decode("utf-8"))["embedding"]

    class IOHandler:
        def serialize_input(self, request, model_kwargs):
            return json.dumps({"inputs": request, **model_kwargs}).encode()

        def deserialize_output(self, response):
            return json.loads(response.read())["embedding"]

    for own in (ContentHandler(), IOHandler()):
        handler = get_embedding_handler(own)
        assert isinstance(handler, AdaptedEmbeddingHandler)
        assert json.loads(handler.transform_input(TEXTS, EmbedOptions(extra={"k": 1})))["k"] == 1
        assert handler.transform_output(b'{"embedding": [[1, 2], [3, 4]]}', 2).vectors == [[1.0, 2.0], [3.0, 4.0]]
        with pytest.raises(WireError, match="KeyError"):
            handler.transform_output(b"{}", 2)
        with pytest.raises(WireError, match="got 1 vectors"):
            handler.transform_output(b'{"embedding": [[1, 2]]}', 2)


def test_which_handler_is_meant():
    own = TeiHandler()
    assert get_embedding_handler(own) is own
    assert isinstance(get_embedding_handler(TeiHandler), TeiHandler)
    with pytest.raises(UsageError, match="did you mean 'tei'"):
        get_embedding_handler("te")
    with pytest.raises(UsageError, match="embedding handler"):
        get_embedding_handler(3)


def test_without_numpy_vectors_are_lists_and_arrays_are_refused():
    program = """
import sys
sys.modules["numpy"] = None
from sagewire.content_handlers.embeddings import VllmPoolingHandler
from sagewire.errors import MissingExtra
body = b'{"data": [{"index": 0, "embedding": "AACAPwAAAEA="}]}'
embeddings = VllmPoolingHandler().transform_output(body, 1)
assert embeddings.vectors == [[1.0, 2.0]]
try:
    embeddings.as_numpy()
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install numpy" in done.stdout


@pytest.mark.parametrize("wrap", [lambda data: {"data": data}, lambda data: data])
def test_a_vector_in_an_array_of_its_own_is_read(wrap):
    data = [{"index": n, "embedding": [[float(n), 1.0]]} for n in range(2)]
    found = get_embedding_handler("openai_embeddings").transform_output(json.dumps(wrap(data)).encode(), 2)
    assert [list(vector) for vector in found.vectors] == [[0.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("body", "count", "rows"),
    [
        (b"[[[1.0,2.0]]]", 1, [[1.0, 2.0]]),
        (b"[[[1.0,2.0],[3.0,4.0]]]", 2, [[1.0, 2.0], [3.0, 4.0]]),
        (b"[[[1.0,2.0]],[[3.0,4.0]]]", 2, [[1.0, 2.0], [3.0, 4.0]]),
        (b"[1.0,2.0]", 1, [[1.0, 2.0]]),
    ],
)
def test_nested_vectors_of_teis_kind(body, count, rows):
    assert get_embedding_handler("tei").transform_output(body, count).rows == rows


def test_vectors_of_tokens_are_refused_with_the_way():
    with pytest.raises(WireError, match="hf_feature_extraction"):
        get_embedding_handler("tei").transform_output(b"[[[1.0,2.0],[3.0,4.0]]]", 1)
