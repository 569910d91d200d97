"""Embeddings as OpenAI's `/v1/embeddings` has them, rankings as Cohere's `/v1/rerank`, which vLLM took over."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson

from sagewire.openai_shapes.answers import new_id
from sagewire.openai_shapes.arguments import texts, token_lists
from sagewire.openai_shapes.fields import BadRequest, Fields
from sagewire.types import Embeddings, Ranking

__all__ = ["embedding_arguments", "embedding_list", "embedding_pieces", "rerank_arguments", "rerank_list"]

JSON = dict[str, Any]
# Cohere's `input_type` words, the neutral ones, and NVIDIA's for documents.
_INPUT_TYPES = {
    "search_query": "query",
    "search_document": "document",
    "classification": "classification",
    "clustering": "clustering",
    "query": "query",
    "document": "document",
    "passage": "document",
}
# What Cohere's and NVIDIA's clients say for it.
_TRUNCATE = {"END": True, "NONE": False}


def embedding_arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of `Client.embed` for a body of `/v1/embeddings`; `model` is left to the caller.

    Raises:
        BadRequest: A field has the wrong type.

    Example:
        >>> embedding_arguments({"model": "m", "input": "Hi", "encoding_format": "base64"})
        {'texts': ['Hi']}
        >>> embedding_arguments({"model": "m", "input": [1, 2, 3]})
        {'texts': [[1, 2, 3]]}
    """
    fields = Fields(body)
    for name in ("model", "user"):
        fields.take(name)
    encoding_format(body)
    fields.take("encoding_format")
    input_type = fields.text("input_type")
    if input_type is not None and input_type not in _INPUT_TYPES:
        raise BadRequest(f"'input_type' must be one of {', '.join(_INPUT_TYPES)}", "input_type")
    arguments = {
        "texts": _inputs(fields.take("input")),
        "dimensions": fields.count("dimensions", 1),
        "input_type": _INPUT_TYPES[input_type] if input_type else None,
        "truncate": _truncate(fields),
        "normalize": fields.flag("normalize"),
        "extra": fields.rest() or None,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _inputs(given: Any) -> list[str] | list[list[int]]:
    tokens = token_lists(given, "input")
    return texts(given, "input") if tokens is None else tokens


def _truncate(fields: Fields) -> bool | None:
    wanted = fields.take("truncate")
    if wanted is None or isinstance(wanted, bool):
        return wanted
    if isinstance(wanted, str) and wanted.upper() in _TRUNCATE:
        return _TRUNCATE[wanted.upper()]
    raise BadRequest('\'truncate\' must be true (or "END"), or false ("NONE")', "truncate")


def encoding_format(body: Mapping[str, Any]) -> Literal["float", "base64"]:
    """Return the encoding of the vectors; OpenAI's client asks for `base64` if numpy is installed."""
    wanted = Fields(body).text("encoding_format") or "float"
    if wanted == "float":
        return "float"
    if wanted == "base64":
        return "base64"
    raise BadRequest('\'encoding_format\' must be "float" or "base64"', "encoding_format")


def embedding_list(
    embeddings: Embeddings, *, model: str, encoding_format: Literal["float", "base64"] = "float"
) -> JSON:
    """Return embeddings as OpenAI's list object.

    Args:
        embeddings: The vectors.
        model: The name under which they were asked for.
        encoding_format: `base64` writes each vector as little-endian float32 values.
    """
    write = _base64 if encoding_format == "base64" else list
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": number, "embedding": write(row)}
            for number, row in enumerate(embeddings.rows)
        ],
        "model": model,
        "usage": _usage(embeddings),
    }


def embedding_pieces(
    embeddings: Embeddings, *, model: str, encoding_format: Literal["float", "base64"] = "float"
) -> Iterator[bytes]:
    """Yield the JSON of `embedding_list`, one vector at a time.

    Args:
        embeddings: The vectors.
        model: The name under which they were asked for.
        encoding_format: As for `embedding_list`.

    Example:
        >>> b"".join(embedding_pieces(Embeddings([[0.5], [1.0]]), model="m"))[:70]
        b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":['
    """
    write = _base64 if encoding_format == "base64" else _floats
    before = b'{"object":"list","data":['
    for number, row in enumerate(embeddings.rows):
        yield b'%b{"object":"embedding","index":%d,"embedding":%b}' % (before, number, orjson.dumps(write(row)))
        before = b","
    rest = orjson.dumps({"model": model, "usage": _usage(embeddings)})
    yield (b"" if len(embeddings) else before) + b"]," + rest[1:]


def _floats(row: Sequence[float]) -> Sequence[float]:
    return row.tolist() if isinstance(row, array) else row


def _usage(embeddings: Embeddings) -> JSON:
    tokens = (embeddings.usage.prompt_tokens if embeddings.usage else None) or 0
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def rerank_arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of `Client.rerank` for a body of `/v1/rerank`; `model` is left to the caller.

    Raises:
        BadRequest: A field has the wrong type.

    Example:
        >>> rerank_arguments({"model": "m", "query": "Who?", "documents": ["a", {"text": "b"}], "top_n": 1})
        {'query': 'Who?', 'documents': ['a', 'b'], 'top_n': 1}
    """
    fields = Fields(body)
    for name in ("model", "user"):
        fields.take(name)
    fields.flag("return_documents")
    if fields.take("texts") is not None:
        raise BadRequest("'texts' is TEI's name: send them as 'documents'", "texts")
    documents = fields.items("documents")
    if documents is None:
        raise BadRequest("'documents' must be an array of texts", "documents")
    query = fields.text("query")
    if not query:
        raise BadRequest("'query' must be a string that is not empty", "query")
    arguments = {
        "query": query,
        "documents": list(map(_document, documents)),
        "top_n": fields.count("top_n", 1),
        "extra": fields.rest() or None,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def rerank_list(ranking: Ranking, *, model: str, documents: Sequence[str] = (), id: str | None = None) -> JSON:
    """Return a ranking as Cohere, Jina and vLLM write it.

    Args:
        ranking: The documents by relevance.
        model: The name under which it was asked for.
        documents: The documents, where they should be repeated.
        id: The object's id; else a fresh one.
    """
    results = []
    for one in ranking.results:
        result: JSON = {"index": one.index, "relevance_score": one.score}
        if documents:
            result["document"] = {"text": documents[one.index]}
        results.append(result)
    tokens = (ranking.usage.prompt_tokens if ranking.usage else None) or 0
    return {"id": id or new_id("rerank"), "model": model, "results": results, "usage": {"total_tokens": tokens}}


def _document(value: Any) -> str:
    text = value.get("text") if isinstance(value, Mapping) else value
    if not isinstance(text, str):
        raise BadRequest("'documents' must hold strings, or objects with a 'text'", "documents")
    return text


def _base64(row: Sequence[float]) -> str:
    values = array("f", row) if sys.byteorder == "big" or not isinstance(row, array) or row.typecode != "f" else row
    if sys.byteorder == "big":
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode("ascii")
