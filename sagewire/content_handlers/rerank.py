"""Rerankers: a query and documents in, their relevance out; one small class per wire.

`RERANK_HANDLERS` is the whole list; a handler object of your own is accepted wherever a name is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from sagewire.content_handlers.base import not_understood, parse_json
from sagewire.content_handlers.error_bodies import ErrorBody, find_fault
from sagewire.content_handlers.openai.chat import route_parameters
from sagewire.content_handlers.outcome import vector_usage
from sagewire.content_handlers.registry import pick, register
from sagewire.errors import SagewireError, UnsupportedFeature, UsageError, WireError
from sagewire.types import RankedDocument, Ranking, Usage

__all__ = [
    "RERANK_HANDLERS",
    "CohereRerankHandler",
    "JsonRerankHandler",
    "LmiRerankHandler",
    "RerankHandler",
    "TeiRerankHandler",
    "VllmRerankHandler",
    "get_rerank_handler",
    "join_rankings",
]


class RerankHandler(ABC):
    """One container's wire format for reranking.

    Attributes:
        name: The handler's key in `RERANK_HANDLERS`.
        content_type: The media type of request bodies.
        accept: The media type of the `Accept` header.
        path: The path of this wire on a plain HTTP server.
        takes_extra: Settings in `extra` are passed to the server under their own names.
        max_documents: The most documents in one call.
    """

    name: str = "custom"
    content_type: str = "application/json"
    accept: str = "application/json"
    path: str = ""
    takes_extra: bool = False
    max_documents: int = 1000

    @abstractmethod
    def transform_input(
        self,
        query: str,
        documents: Sequence[str],
        /,
        *,
        top_n: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the request body.

        Args:
            query: The text that documents are compared with.
            documents: The texts to rank.
            top_n: How many of the best are wanted, `None` for all.
            extra: Anything else, passed to the server under the name given.
        """

    @abstractmethod
    def transform_output(self, body: bytes, /, count: int, top_n: int | None = None) -> Ranking:
        """Return the ranking in a response body, the best first.

        Args:
            body: The body.
            count: How many documents were sent.
            top_n: How many of the best are wanted, `None` for all of them.

        Raises:
            WireError: The body is not such an answer, documents are missing, come twice or never existed, or a score
                is not finite.
            ModelError: The body is an error object.
        """

    def read_error(self, payload: Any, /) -> ErrorBody | None:
        """Return the container's error if `payload` is an error body; see `ContentHandler.read_error`."""
        return find_fault(payload)

    def parameters(self) -> Mapping[str, str]:
        """Return InvokeEndpoint parameters this wire needs; empty by default."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class JsonRerankHandler(RerankHandler):
    """A handler whose container takes a JSON object and answers with JSON.

    `read` may index into its argument as if it were well formed; see `JsonHandler` for malformed answers.
    """

    @abstractmethod
    def payload(
        self, query: str, documents: Sequence[str], top_n: int | None, extra: Mapping[str, Any], /
    ) -> Mapping[str, Any]:
        """Return the request as a JSON object; see `transform_input`."""

    @abstractmethod
    def read(self, payload: Any, /) -> Sequence[tuple[int, float]]:
        """Return index and score of each document in the answer, in any order; they are verified afterwards."""

    def transform_input(
        self,
        query: str,
        documents: Sequence[str],
        /,
        *,
        top_n: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return `payload` as JSON.

        Raises:
            UsageError: The query or a document is not a string, or `top_n` is less than 1.
            UnsupportedFeature: It holds a value that JSON cannot express.
        """
        if not isinstance(query, str):
            raise UsageError(f"query must be a string, not {type(query).__name__}")
        if isinstance(documents, str) or not all(isinstance(document, str) for document in documents):
            raise UsageError("documents must be a list of strings")
        if top_n is not None and top_n < 1:
            raise UsageError(f"top_n={top_n} must be at least 1, or None for all documents")
        try:
            return orjson.dumps(self.payload(query, documents, top_n, extra or {}))
        except orjson.JSONEncodeError as error:
            raise UnsupportedFeature(f"this request as JSON ({error})", f"rerank handler '{self.name}'") from None

    def transform_output(self, body: bytes, /, count: int, top_n: int | None = None) -> Ranking:
        """Return the verified ranking in a response body, the best first."""
        payload = parse_json(body, self.name)
        error_body = self.read_error(payload)
        if error_body is not None:
            raise error_body.as_model_error()
        try:
            results = self._verified(self.read(payload), count, top_n)
            usage = payload.get("usage") if isinstance(payload, dict) else None
            model = payload.get("model") if isinstance(payload, dict) else None
            return Ranking(results, vector_usage(usage) if usage else None, model or None)
        except SagewireError:
            raise
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise not_understood(body, self.name) from error

    def _verified(
        self, pairs: Sequence[tuple[int, float]], count: int, top_n: int | None
    ) -> tuple[RankedDocument, ...]:
        wanted = count if top_n is None else min(count, top_n)
        seen: set[int] = set()
        for index, score in pairs:
            if not isinstance(index, int) or not 0 <= index < count or index in seen:
                raise WireError(f"rerank handler '{self.name}' got document {index} of {count}, or got it twice")
            if not math.isfinite(score):
                raise WireError(f"rerank handler '{self.name}' got the score {score} for document {index}")
            seen.add(index)
        if len(pairs) < wanted:
            raise WireError(f"rerank handler '{self.name}' expected {wanted} documents and got {len(pairs)}")
        ranked = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:wanted]
        return tuple(RankedDocument(index, float(score)) for index, score in ranked)


def join_rankings(parts: Iterable[tuple[int, Ranking]], top_n: int | None = None) -> Ranking:
    """Return the rankings of several calls about parts of the same documents as one.

    Args:
        parts: With each ranking, the number of its first document.
        top_n: How many of the best are wanted, `None` for all of them.

    Example:
        >>> first, second = Ranking((RankedDocument(0, 0.2),)), Ranking((RankedDocument(0, 0.9),))
        >>> join_rankings([(0, first), (1, second)]).results[0]
        RankedDocument(index=1, score=0.9)
    """
    parts = list(parts)
    results = [RankedDocument(start + one.index, one.score) for start, ranking in parts for one in ranking.results]
    results.sort(key=lambda one: (-one.score, one.index))
    counts = [ranking.usage.prompt_tokens if ranking.usage else None for _, ranking in parts]
    known = [count for count in counts if count is not None]
    usage = Usage(prompt_tokens=sum(known)) if parts and len(known) == len(counts) else None
    return Ranking(tuple(results[:top_n]), usage, parts[-1][1].model if parts else None)


class TeiRerankHandler(JsonRerankHandler):
    """TEI: `texts` in, an array of `index` and `score` out (text-embeddings-inference router/src/http/types.rs)."""

    name = "tei_rerank"
    takes_extra = True
    path = "/rerank"
    max_documents = 32

    def payload(
        self, query: str, documents: Sequence[str], top_n: int | None, extra: Mapping[str, Any], /
    ) -> Mapping[str, Any]:
        """Return the request as a JSON object; the server has no `top_n`, so the answer is cut here."""
        return {"query": query, "texts": list(documents), **extra}

    def read(self, payload: Any, /) -> Sequence[tuple[int, float]]:
        """Return index and score of each document."""
        return [(result["index"], result["score"]) for result in payload]


class VllmRerankHandler(JsonRerankHandler):
    """vLLM's `/rerank`, the shape Jina and Cohere made common.

    Args:
        route: For containers that take `route=/v1/...` as a custom attribute (vLLM images): the route.
        path: The path on servers behind a URL; default: `/v1/rerank`.
    """

    name = "vllm_rerank"
    takes_extra = True
    path = "/v1/rerank"

    def __init__(self, *, route: str | None = None, path: str | None = None) -> None:
        self.route = route
        if path is not None:
            self.path = path

    def payload(
        self, query: str, documents: Sequence[str], top_n: int | None, extra: Mapping[str, Any], /
    ) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        payload: dict[str, Any] = {"query": query, "documents": list(documents)}
        if top_n is not None:
            payload["top_n"] = top_n
        return {**payload, **extra}

    def parameters(self) -> Mapping[str, str]:
        """Return the `route=` custom attribute if a route is set."""
        return route_parameters(self.route)

    def read(self, payload: Any, /) -> Sequence[tuple[int, float]]:
        """Return index and score of each document."""
        return [(result["index"], result["relevance_score"]) for result in payload["results"]]


class CohereRerankHandler(VllmRerankHandler):
    """Cohere's rerankers from AWS Marketplace.

    Args:
        api_version: Cohere's API version, which its SageMaker client sends along (cohere-python aws_client.py).
    """

    name = "cohere_rerank"
    path = "/v1/rerank"

    def __init__(self, *, api_version: int = 2) -> None:
        super().__init__()
        self.api_version = api_version

    def payload(
        self, query: str, documents: Sequence[str], top_n: int | None, extra: Mapping[str, Any], /
    ) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        base = super().payload(query, documents, top_n, {})
        return {**base, "return_documents": False, "api_version": self.api_version, **extra}


class LmiRerankHandler(JsonRerankHandler):
    """LMI's ONNX rerankers: each document joined to the query, an array of scores out.

    Args:
        separator: The text between query and document; it belongs to the model's tokenizer.
    """

    name = "lmi_rerank"
    takes_extra = True
    path = "/invocations"

    def __init__(self, *, separator: str = "</s></s>") -> None:
        self.separator = separator

    def payload(
        self, query: str, documents: Sequence[str], top_n: int | None, extra: Mapping[str, Any], /
    ) -> Mapping[str, Any]:
        """Return the request as a JSON object; the server has no `top_n`, so the answer is cut here."""
        return {"inputs": [f"{query}{self.separator}{document}" for document in documents], **extra}

    def read(self, payload: Any, /) -> Sequence[tuple[int, float]]:
        """Return index and score of each document."""
        if not isinstance(payload, list):
            raise TypeError("expected an array of scores")
        # One score per document, or an array of the only class.
        return list(enumerate(score[0] if isinstance(score, list) else score for score in payload))


RERANK_HANDLERS: dict[str, Callable[[], RerankHandler]] = register(
    RerankHandler,
    {
        "cohere_rerank": CohereRerankHandler,
        "lmi_rerank": LmiRerankHandler,
        "tei_rerank": TeiRerankHandler,
        "vllm_rerank": VllmRerankHandler,
    },
)


def get_rerank_handler(handler: Any) -> RerankHandler:
    """Return the rerank handler that is meant.

    Args:
        handler: A name in `RERANK_HANDLERS` or of a plug-in, `package.module:Name`, or a `RerankHandler` or a class of
            it.

    Raises:
        UsageError: The name is unknown, or the object is not a handler.

    Example:
        >>> get_rerank_handler("tei_rerank")
        TeiRerankHandler()
    """
    return pick(handler, RerankHandler, RERANK_HANDLERS, {}, "rerank handler")
