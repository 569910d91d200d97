"""Reranking: `SagemakerRerank`, a document compressor, and its base for any endpoint of your own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field

from sagewire.content_handlers.rerank import get_rerank_handler
from sagewire.integrations.langchain._endpoint import EndpointFields, SagemakerFields
from sagewire.integrations.langchain._errors import model_errors
from sagewire.types import Ranking

__all__ = ["EndpointRerank", "SagemakerRerank"]


class EndpointRerank(EndpointFields, BaseDocumentCompressor):
    """A reranker on any endpoint; subclasses add its address.

    Each document keeps its metadata and gains its `relevance_score` there; scales differ between models.

    Args:
        top_n: How many of the best documents are kept, `None` for all.
        score_threshold: Documents that score less are dropped.
        model_kwargs: More settings, sent as they are.
    """

    top_n: int | None = Field(default=None, ge=1)
    score_threshold: float | None = None
    model_kwargs: dict[str, Any] | None = None

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the documents by relevance to the query, the best first."""
        texts = [document.page_content for document in documents]
        with model_errors():
            ranking = self._clients.client.rerank(query, texts, top_n=self.top_n, extra=self.model_kwargs)
        return self._picked(documents, ranking)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the documents by relevance to the query, the best first, natively async."""
        texts = [document.page_content for document in documents]
        with model_errors():
            ranking = await self._clients.twin.rerank(query, texts, top_n=self.top_n, extra=self.model_kwargs)
        return self._picked(documents, ranking)

    def rerank(self, query: str, documents: Sequence[str], *, top_n: int | None = None) -> list[dict[str, Any]]:
        """Return `{"index": ..., "relevance_score": ...}` for each text, the best first."""
        with model_errors():
            ranking = self._clients.client.rerank(query, documents, top_n=top_n or self.top_n, extra=self.model_kwargs)
        return [{"index": found.index, "relevance_score": found.score} for found in ranking.results]

    def _check_handler(self) -> None:
        get_rerank_handler(self.content_handler)

    def _picked(self, documents: Sequence[Document], ranking: Ranking) -> list[Document]:
        picked = []
        for found in ranking.results:
            if self.score_threshold is not None and found.score < self.score_threshold:
                continue
            document = documents[found.index]
            # A copy: the caller's documents may be in another chain, too.
            metadata = {**document.metadata, "relevance_score": found.score}
            picked.append(Document(page_content=document.page_content, metadata=metadata, id=document.id))
        return picked


class SagemakerRerank(SagemakerFields, EndpointRerank):
    """A reranker on a SageMaker endpoint, for `ContextualCompressionRetriever` and the like.

    The arguments are those of `SagemakerFields` (which endpoint, with whose credentials), `EndpointFields` and
    `EndpointRerank`.

    Example:
        >>> reranker = SagemakerRerank(endpoint_name="my-reranker", top_n=3)  # doctest: +SKIP
        >>> best = reranker.compress_documents(documents, "Why is the sky blue?")  # doctest: +SKIP
    """
