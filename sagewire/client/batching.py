"""Embedding and reranking in batches, as pure values: the request for each batch, and the joined answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from sagewire.client.enforcement import enforce_embedding, enforce_rerank
from sagewire.content_handlers.embeddings import SEND_TEXT, EmbeddingHandler, join_embeddings
from sagewire.content_handlers.rerank import RerankHandler, join_rankings
from sagewire.errors import EndpointError, ModelError, PayloadTooLarge, UsageError
from sagewire.transports.base import Body
from sagewire.types import Embeddings, EmbedOptions, Invocation, Ranking
from sagewire.types.option_checks import check_option

__all__ = ["BatchJob", "Embedding", "Reranking", "as_inputs", "as_texts", "split_batch"]

T = TypeVar("T")
Batch = tuple[int, Sequence[Any]]
"""The number of a batch's first text, and the texts."""
# Statuses that say that a server does not take a request as it is.
_NOT_TAKEN = (400, 415, 422, 500, 501)


class BatchJob(Protocol[T]):
    """Texts to be sent in batches, whose answers are joined."""

    @property
    def handler(self) -> EmbeddingHandler | RerankHandler:
        """The handler that writes the requests and reads the answers."""
        ...

    @property
    def doing(self) -> str:
        """The label of the job on a progress bar."""
        ...

    def batches(self) -> Iterable[Batch]:
        """Return the texts in batches the container takes."""
        ...

    def invocation(self, batch: Batch) -> Invocation:
        """Return the request for a batch."""
        ...

    def read(self, batch: Batch, body: Body) -> T:
        """Return the answer to a batch."""
        ...

    def join(self, parts: Iterable[tuple[Batch, T]]) -> T:
        """Return the answer to all batches; the parts come in the order of the texts."""
        ...

    def explain(self, batch: Batch, error: EndpointError) -> None:
        """Add the cure to the refusal of a batch, if it is known."""
        ...


@dataclass(frozen=True, slots=True)
class Embedding:
    """Texts to be embedded: strings, or lists of token numbers."""

    handler: EmbeddingHandler
    texts: Sequence[Any]
    options: EmbedOptions
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def doing(self) -> str:
        """The label of the job on a progress bar."""
        return "Embedding"

    def batches(self) -> Iterable[Batch]:
        """Return the texts in batches within the handler's limits of count and bytes."""
        start = 0
        for batch in self.handler.batches(self.texts):
            yield start, batch
            start += len(batch)

    def invocation(self, batch: Batch) -> Invocation:
        """Return the request for a batch."""
        body = self.handler.transform_input(batch[1], enforce_embedding(self.options, self.handler))
        return _invocation(self.handler, body, self.parameters)

    def read(self, batch: Batch, body: Body) -> Embeddings:
        """Return the verified vectors of a batch."""
        return replace(self.handler.transform_output(body.data, count=len(batch[1])), info=body.info)

    def join(self, parts: Iterable[tuple[Batch, Embeddings]]) -> Embeddings:
        """Return the vectors of all batches."""
        return join_embeddings([part for _, part in parts], self.handler.name)

    def explain(self, batch: Batch, error: EndpointError) -> None:
        """Say that token numbers may be the reason."""
        status = error.original_status if isinstance(error, ModelError) else error.status
        if isinstance(batch[1][0], list) and status in _NOT_TAKEN:
            error.message += (
                ". The texts were sent as token numbers, which not every server takes, and which must be those of the "
                f"model's own tokenizer. {SEND_TEXT}"
            )
            error.args = (error.message,)


@dataclass(frozen=True, slots=True)
class Reranking:
    """Documents to be ranked by their relevance to a query."""

    handler: RerankHandler
    query: str
    documents: Sequence[str]
    top_n: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("top_n", "extra"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check_option(name, value))

    @property
    def doing(self) -> str:
        """The label of the job on a progress bar."""
        return "Ranking"

    def batches(self) -> Iterable[Batch]:
        """Return the documents in batches of the handler's size."""
        size = self.handler.max_documents
        for start in range(0, len(self.documents), size):
            yield start, self.documents[start : start + size]

    def invocation(self, batch: Batch) -> Invocation:
        """Return the request for a batch."""
        enforce_rerank(self.extra, self.handler)
        body = self.handler.transform_input(self.query, batch[1], top_n=self.top_n, extra=self.extra)
        return _invocation(self.handler, body, self.parameters)

    def read(self, batch: Batch, body: Body) -> Ranking:
        """Return the verified ranking of a batch."""
        return replace(self.handler.transform_output(body.data, count=len(batch[1]), top_n=self.top_n), info=body.info)

    def join(self, parts: Iterable[tuple[Batch, Ranking]]) -> Ranking:
        """Return the ranking of all documents, numbered as the caller gave them."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0][1]
        return join_rankings([(batch[0], ranking) for batch, ranking in parts], self.top_n)

    def explain(self, batch: Batch, error: EndpointError) -> None:
        """Add nothing."""


def as_texts(value: Iterable[str], what: str) -> Sequence[str]:
    """Return texts as a sequence.

    Raises:
        UsageError: It is a single string, which would be split into characters, or no collection with an order.
    """
    if isinstance(value, str | bytes):
        raise UsageError(f"{what} must be a list of strings; put a single one into a list")
    # Of a mapping only the keys would be sent, and a set has no order to which the answers could belong.
    if not isinstance(value, Iterable) or isinstance(value, Mapping | Set):
        raise UsageError(f"{what} must be a list of strings, not {type(value).__name__}")
    return value if isinstance(value, Sequence) else list(value)


def as_inputs(value: Iterable[str | Sequence[int]]) -> Sequence[Any]:
    """Return texts to be embedded as a sequence of strings, or of lists of token numbers.

    Raises:
        UsageError: As `as_texts`, or token numbers are not whole numbers from 0 on.
    """
    texts: Sequence[Any] = as_texts(value, "texts")  # type: ignore[arg-type]  # Its entries are looked at below.
    if len(texts) == 0 or isinstance(texts[0], str):
        return texts
    return list(map(_as_tokens, texts))


def _as_tokens(value: Any) -> list[int]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Set):
        # Arrays of numpy have a list of Python's own numbers.
        tokens = value if isinstance(value, list) else value.tolist() if hasattr(value, "tolist") else list(value)
        if isinstance(tokens, list) and tokens and set(map(type, tokens)) == {int} and min(tokens) >= 0:
            return tokens
    raise UsageError(
        "texts must be a list of strings, or of lists of token numbers; for one text write [text], for the numbers of "
        f"one text [[1, 2, 3]], not {value!r:.60}"
    )


def split_batch(batch: Batch, error: EndpointError) -> tuple[Batch, Batch] | None:
    """Return a batch cut in two if `error` says it was too large and it can be cut, else `None`.

    TEI answers 422 "batch size 64 > maximum allowed batch size 32" and 413 for too many bytes; SageMaker wraps both.
    """
    start, texts = batch
    if len(texts) < 2:
        return None
    status = error.original_status if isinstance(error, ModelError) else error.status
    too_many = status == 422 and "batch size" in str(error).lower()
    if not (isinstance(error, PayloadTooLarge) or status == 413 or too_many):
        return None
    middle = len(texts) // 2
    return (start, texts[:middle]), (start + middle, texts[middle:])


def _invocation(handler: EmbeddingHandler | RerankHandler, body: bytes, given: Mapping[str, str]) -> Invocation:
    return Invocation(
        body=body,
        content_type=handler.content_type,
        accept=handler.accept,
        path=handler.path,
        parameters={**handler.parameters(), **given},
        generates=False,
    )
