"""`/v1/embeddings` and `/v1/rerank`."""

from __future__ import annotations

from starlette.types import Send

from sagewire.gateway.gateway import Turn
from sagewire.gateway.generation import Generation
from sagewire.gateway.routes.base import ModelRoute
from sagewire.gateway.routing.deployments import Deployment
from sagewire.gateway.server.http_exchange import respond_json
from sagewire.openai_shapes import embedding_arguments, embedding_list, rerank_arguments, rerank_list
from sagewire.openai_shapes.vectors import encoding_format
from sagewire.types import Embeddings, Ranking

__all__ = ["EmbeddingsRoute", "Rerank"]


class EmbeddingsRoute(ModelRoute):
    """Texts as vectors."""

    name = "embeddings"

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer with one vector per text."""
        arguments = embedding_arguments(turn.body)
        wanted = encoding_format(turn.body)

        async def call(deployment: Deployment, endpoint_kwargs: dict[str, str]) -> Embeddings:
            client = await deployment.detected("embedding")
            return await client.embed(**arguments, endpoint_kwargs=endpoint_kwargs)

        embeddings = await generation.whole(call)
        turn.log.usage = embeddings.usage
        await respond_json(send, 200, embedding_list(embeddings, model=turn.name, encoding_format=wanted))


class Rerank(ModelRoute):
    """Documents by relevance."""

    name = "rerank"

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer with the documents' numbers and scores, the best first."""
        arguments = rerank_arguments(turn.body)

        async def call(deployment: Deployment, endpoint_kwargs: dict[str, str]) -> Ranking:
            client = await deployment.detected("reranking")
            return await client.rerank(**arguments, endpoint_kwargs=endpoint_kwargs)

        ranking = await generation.whole(call)
        turn.log.usage = ranking.usage
        documents = arguments["documents"] if turn.body.get("return_documents") else ()
        id = f"rerank-{turn.log.request_id}"
        await respond_json(send, 200, rerank_list(ranking, model=turn.name, documents=documents, id=id))
