"""Rerank handlers: requests, answers in every shape, and the checks no answer gets past."""

import json
from pathlib import Path

import pytest

from sagewire.content_handlers.rerank import RERANK_HANDLERS, TeiRerankHandler, get_rerank_handler, join_rankings
from sagewire.errors import ModelError, UsageError, WireError
from sagewire.types import RankedDocument, Ranking, Usage

ROOT = Path(__file__).parents[1] / "vectors" / "containers"
CASES = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.glob("*/*.json"))
    if path.parent.name in RERANK_HANDLERS
}


def test_every_handler_has_vectors():
    assert {name.split("/")[0] for name in CASES} == set(RERANK_HANDLERS)


@pytest.mark.parametrize("name", CASES)
def test_sample_bytes(name):
    case = CASES[name]
    handler, request = RERANK_HANDLERS[name.split("/")[0]](**case.get("arguments", {})), case["request"]
    top_n, documents = request.get("top_n"), request["documents"]
    body = handler.transform_input(request["query"], documents, top_n=top_n, extra=request.get("extra"))
    assert json.loads(body) == case["body"]
    assert handler.parameters() == case.get("parameters", {})
    ranking = handler.transform_output(case["whole"].encode(), len(documents), top_n)
    assert [[one.index, one.score] for one in ranking] == case["reply"]["ranking"]
    assert (ranking.usage.prompt_tokens if ranking.usage else None) == case["reply"].get("tokens")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'[{"index":0,"score":0.5}]', "expected 2 documents and got 1"),
        (b'[{"index":0,"score":0.5},{"index":2,"score":0.5}]', "document 2 of 2"),
        (b'[{"index":0,"score":0.5},{"index":-1,"score":0.5}]', "document -1 of 2"),
        (b'[{"index":0,"score":0.5},{"index":0,"score":0.5}]', "twice"),
        (b'[{"index":"0","score":0.5},{"index":1,"score":0.5}]', "document 0 of 2"),
        (b'[{"index":0,"score":null},{"index":1,"score":0.5}]', "does not understand"),
        (b'[{"score":0.5}]', "does not understand"),
        (b'{"results":[]}', "does not understand"),
        (b"", "an empty body"),
        (b"<html>", "invalid JSON"),
    ],
)
def test_answers_that_are_none(body, message):
    with pytest.raises(WireError, match=message):
        TeiRerankHandler().transform_output(body, 2)


def test_an_error_object():
    with pytest.raises(ModelError, match="overloaded"):
        TeiRerankHandler().transform_output(b'{"error":"Model is overloaded","error_type":"Overloaded"}', 2)


def test_arguments_that_make_no_sense():
    with pytest.raises(UsageError, match="list of strings"):
        TeiRerankHandler().transform_input("q", "abc")
    with pytest.raises(UsageError, match="top_n=0"):
        TeiRerankHandler().transform_input("q", ["a"], top_n=0)
    with pytest.raises(UsageError, match="tei_rerank"):
        get_rerank_handler("tei-rerank")


def test_joining_calls_about_parts_of_the_documents():
    first = Ranking((RankedDocument(1, 0.9), RankedDocument(0, 0.1)), Usage(5))
    second = Ranking((RankedDocument(0, 0.5),), Usage(6), "m")
    joined = join_rankings([(0, first), (2, second)], top_n=2)
    assert joined == Ranking((RankedDocument(1, 0.9), RankedDocument(2, 0.5)), Usage(11), "m")
    assert join_rankings([]) == Ranking()
