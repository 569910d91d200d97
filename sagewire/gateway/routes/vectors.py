"""`/v1/embeddings` and `/v1/rerank`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from starlette.types import Send

from sagewire.client.packed_vectors import embed_packed
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.generation import Callee, Generation
from sagewire.gateway.routes.base import ModelRoute
from sagewire.gateway.server.http_exchange import respond_json
from sagewire.gateway.server.large_answers import respond_in_pieces
from sagewire.gateway.turn import Turn
from sagewire.openai_shapes import embedding_arguments, embedding_list, rerank_arguments, rerank_list
from sagewire.openai_shapes.vectors import embedding_pieces, encoding_format
from sagewire.types import Embeddings, Ranking

__all__ = ["EmbeddingsRoute", "Rerank"]

_log = logging.getLogger("sagewire.gateway")
# Numbers of an answer that is written in one piece: a batch of most servers, or a megabyte or two.
NUMBERS_AT_ONCE = 1 << 17


class EmbeddingsRoute(ModelRoute):
    """Texts as vectors."""

    name = "embeddings"
    task = "embed"

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        # The models for which that has been said.
        self._numbered: set[str] = set()

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer with one vector per text."""
        arguments = embedding_arguments(turn.body)
        if isinstance(arguments["texts"][0], list) and turn.model.entry not in self._numbered:
            self._numbered.add(turn.model.entry)
            _log.warning(
                "%s: texts come as token numbers, which must be those of the model's own tokenizer; others give "
                "vectors of other texts. LangChain's OpenAIEmbeddings sends OpenAI's numbers, and text with "
                "check_embedding_ctx_length=False",
                turn.model.entry,
            )
        wanted = encoding_format(turn.body)

        def call(callee: Callee) -> Awaitable[Embeddings]:
            configured = callee.config.vector_options(arguments.get("extra"))
            return embed_packed(
                callee.client,
                **{**arguments, **configured},
                endpoint_kwargs=callee.parameters,
                single_precision=wanted == "base64",
            )

        embeddings = await generation.whole(call)
        turn.log.usage = embeddings.usage
        if len(embeddings) * embeddings.dimensions <= NUMBERS_AT_ONCE:
            await respond_json(send, 200, embedding_list(embeddings, model=turn.name, encoding_format=wanted))
        else:
            pieces = embedding_pieces(embeddings, model=turn.name, encoding_format=wanted)
            with generation.connected():
                await respond_in_pieces(send, pieces, self.gateway.alarms)


class Rerank(ModelRoute):
    """Documents by relevance."""

    name = "rerank"
    task = "rerank"

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer with the documents' numbers and scores, the best first."""
        arguments = rerank_arguments(turn.body)

        def call(callee: Callee) -> Awaitable[Ranking]:
            configured = callee.config.vector_options(arguments.get("extra"))
            model = configured.pop("model", None)
            if model is not None and callee.config.url and callee.config.rerank_handler != "tei_rerank":
                configured["extra"] = {**configured.get("extra", {}), "model": model}
            return callee.client.rerank(**{**arguments, **configured}, endpoint_kwargs=callee.parameters)

        ranking = await generation.whole(call)
        turn.log.usage = ranking.usage
        documents = arguments["documents"] if turn.body.get("return_documents") else ()
        id = f"rerank-{turn.log.request_id}"
        await respond_json(send, 200, rerank_list(ranking, model=turn.name, documents=documents, id=id))
