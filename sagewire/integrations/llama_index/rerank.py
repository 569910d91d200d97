"""`SageMakerRerank`: a reranker on a SageMaker endpoint, as a node postprocessor of LlamaIndex."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported unmarked
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from sagewire.content_handlers import get_rerank_handler
from sagewire.errors import UsageError
from sagewire.integrations.llama_index._connection import Connection, SageMakerConnection
from sagewire.types import Ranking

__all__ = ["EndpointRerank", "SageMakerRerank"]

dispatcher = get_dispatcher(__name__)


class EndpointRerank(Connection, BaseNodePostprocessor):
    """The behaviour shared by every reranker class here; see `SageMakerRerank`."""

    top_n: int | None = Field(default=None, description="How many of the best nodes to keep; None keeps all.", gt=0)
    model_kwargs: dict[str, Any] = Field(default_factory=dict, description="Settings sent with every call.")
    keep_retrieval_score: bool = Field(
        default=False, description="Keep the retriever's score in the node's metadata, as `retrieval_score`."
    )

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)
        if self.content_handler is not None:
            get_rerank_handler(self.content_handler)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        with self._observed(nodes, query) as kept:
            kept += self._best(nodes, self._client.rerank(query, _texts(nodes), **self._options()))
        return kept

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        with self._observed(nodes, query) as kept:
            kept += self._best(nodes, await self._async_client.rerank(query, _texts(nodes), **self._options()))
        return kept

    def _options(self) -> dict[str, Any]:
        return {"top_n": self.top_n, "extra": dict(self.model_kwargs)}

    def _best(self, nodes: Sequence[NodeWithScore], ranking: Ranking) -> list[NodeWithScore]:
        return [self._scored(nodes[found.index], found.score) for found in ranking.results]

    def _scored(self, found: NodeWithScore, score: float) -> NodeWithScore:
        """Return a node with its new score; the retriever's own nodes stay as they are."""
        node = found.node
        if self.keep_retrieval_score:
            node = node.model_copy(update={"metadata": {**node.metadata, "retrieval_score": found.score}})
        return NodeWithScore(node=node, score=score)

    @contextmanager
    def _observed(self, nodes: list[NodeWithScore], query: str) -> Iterator[list[NodeWithScore]]:
        """Report a ranking to callbacks and traces; the items put into the list are its outcome."""
        kept: list[NodeWithScore] = []
        top_n, name = self.top_n or len(nodes), self._model_name()
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=name))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield kept
            event.on_end(payload={EventPayload.NODES: kept})
        dispatcher.event(ReRankEndEvent(nodes=kept))

    def _model_name(self) -> str:
        # Not an abstract method: LlamaIndex makes a span of each call of those.
        raise NotImplementedError


class SageMakerRerank(SageMakerConnection, EndpointRerank):
    """A reranker on a SageMaker endpoint: puts retrieved nodes in order of their relevance to the query.

    Args:
        endpoint_name: The endpoint's name; the other connection arguments are those of `SageMakerLLM`.
        content_handler: The request format: a name in `sagewire.content_handlers.RERANK_HANDLERS` or a handler
            object. The endpoint is asked if it is left out.
        top_n: How many of the best nodes to keep; all if left out.
        keep_retrieval_score: Keep the retriever's score in the node's metadata, as `retrieval_score`.
        model_kwargs: Settings sent with every call.

    Raises:
        UsageError: An argument is unknown or contradicts another.

    Example:
        >>> reranker = SageMakerRerank("my-ranker", content_handler="tei_rerank", aws_region_name="eu-west-1")
        >>> engine = index.as_query_engine(node_postprocessors=[reranker])  # doctest: +SKIP
    """

    # Without it, type checkers derive the arguments from the fields, and refuse a name in first place and its aliases.
    def __init__(self, endpoint_name: Any = "", **data: Any) -> None:
        super().__init__(endpoint_name, **data)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which serialised rerankers are known."""
        return "SageMakerRerank"

    def _model_name(self) -> str:
        return self.endpoint_name


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [found.node.get_content(metadata_mode=MetadataMode.EMBED) for found in nodes]


def _query(query_bundle: QueryBundle | None) -> str:
    if query_bundle is None:
        raise UsageError("reranking needs a query: postprocess_nodes(nodes, query_str='...')")
    return query_bundle.query_str
