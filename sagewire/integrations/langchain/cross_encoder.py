"""Cross encoders: `SagemakerEndpointCrossEncoder`, for `CrossEncoderReranker` and the like."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.cross_encoders import BaseCrossEncoder

from sagewire.content_handlers.readable_bytes import WholeBody
from sagewire.content_handlers.rerank import RerankHandler, get_rerank_handler
from sagewire.errors import UsageError
from sagewire.integrations.langchain._endpoint import SagemakerFields
from sagewire.integrations.langchain._errors import model_errors
from sagewire.types import RankedDocument, Ranking

__all__ = ["CrossEncoderContentHandler", "SagemakerEndpointCrossEncoder"]


class CrossEncoderContentHandler:
    """A content handler for `SagemakerEndpointCrossEncoder`: pairs of texts in, a score for each out.

    As it is, it sends and reads what langchain-community's class of that name does.
    """

    content_type = "application/json"
    accepts = "application/json"

    def transform_input(self, text_pairs: list[tuple[str, str]]) -> bytes:
        """Return the request body."""
        return json.dumps({"text_pairs": text_pairs}).encode()

    def transform_output(self, output: Any) -> list[float]:
        """Return the scores in a response body, in the order of the pairs; `output` is bytes that can be `.read()`."""
        scores: list[float] = json.loads(output.read().decode())["scores"]
        return scores


class SagemakerEndpointCrossEncoder(SagemakerFields, BaseCrossEncoder):
    """A cross encoder on a SageMaker endpoint, with the arguments of langchain-community's class of that name.

    The arguments are those of `SagemakerFields` (which endpoint, with whose credentials) and `EndpointFields`.
    `content_handler` is a name out of `RERANK_HANDLERS`, or a `CrossEncoderContentHandler` of your own; without one the
    container is detected.

    Args:
        model_kwargs: More settings, sent as they are.

    Example:
        >>> encoder = SagemakerEndpointCrossEncoder(endpoint_name="my-reranker")  # doctest: +SKIP
        >>> encoder.score([("Why is the sky blue?", "Air scatters blue light.")])  # doctest: +SKIP
        [0.98]
    """

    model_kwargs: dict[str, Any] | None = None

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Return how well the two texts of each pair fit, in the order of the pairs.

        Pairs with the same first text are sent together.
        """
        groups: dict[str, list[int]] = {}
        for position, (query, _) in enumerate(text_pairs):
            groups.setdefault(query, []).append(position)
        scores = [0.0] * len(text_pairs)
        with model_errors():
            for query, positions in groups.items():
                documents = [text_pairs[position][1] for position in positions]
                for found in self._clients.client.rerank(query, documents, extra=self.model_kwargs).results:
                    scores[positions[found.index]] = found.score
        return scores

    def _client_arguments(self) -> dict[str, Any]:
        arguments = super()._client_arguments()
        handler = arguments["handler"]
        own = hasattr(handler, "transform_input") and not isinstance(handler, RerankHandler | type)
        return {**arguments, "handler": _PairHandler(handler)} if own else arguments

    def _check_handler(self) -> None:
        get_rerank_handler(self._client_arguments()["handler"])


class _PairHandler(RerankHandler):
    """A user's own `CrossEncoderContentHandler` as a rerank handler."""

    name = "cross_encoder"

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.content_type = getattr(handler, "content_type", None) or self.content_type
        self.accept = getattr(handler, "accepts", None) or self.accept

    def __eq__(self, other: object) -> bool:
        # Clients are made anew when their arguments change.
        return isinstance(other, _PairHandler) and other.handler is self.handler

    def __hash__(self) -> int:
        return hash(id(self.handler))

    def transform_input(
        self,
        query: str,
        documents: Sequence[str],
        /,
        *,
        top_n: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return what the user's handler makes of the pairs."""
        body: bytes = self.handler.transform_input([(query, document) for document in documents])
        return body

    def transform_output(self, body: bytes, /, count: int, top_n: int | None = None) -> Ranking:
        """Return the user's scores as a ranking."""
        scores = list(self.handler.transform_output(WholeBody(body)))
        if len(scores) != count:
            raise UsageError(f"{type(self.handler).__name__} returned {len(scores)} scores for {count} pairs")
        ranked = sorted(enumerate(scores), key=lambda pair: -pair[1])
        return Ranking(tuple(RankedDocument(index, float(score)) for index, score in ranked))
