"""Vectors of many batches, kept at four or eight bytes a number until all are there."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf, isinf
from typing import Any

from sagewire.client.async_client import AsyncClient
from sagewire.client.batch_run import MAX_CONCURRENCY
from sagewire.client.batching import Batch, Embedding, as_inputs
from sagewire.client.finding import Finding
from sagewire.errors import WireError
from sagewire.transports.base import Body
from sagewire.types import Embeddings, EmbedOptions

__all__ = ["embed_packed"]

# In batches on their way; but so many batches in any case.
TEXTS_IN_FLIGHT, FEWEST = 1024, 4
# As float32 values; to look for their bytes takes a fraction of looking at each number.
_INFINITIES = (array("f", [inf]).tobytes(), array("f", [-inf]).tobytes())


class _PackedEmbedding(Embedding):
    """An embedding job whose vectors are arrays if there are several batches; one is read as usual."""

    __slots__ = ()

    def read(self, batch: Batch, body: Body) -> Embeddings:
        found = Embedding.read(self, batch, body)
        if len(batch[1]) == len(self.texts):
            return found
        return replace(found, rows=list(map(_as_doubles, found.rows)))


class _SinglePrecision(_PackedEmbedding):
    __slots__ = ()

    def read(self, batch: Batch, body: Body) -> Embeddings:
        found = Embedding.read(self, batch, body)
        rows = [array("f", row) for row in found.rows]
        for number, row in enumerate(rows):
            # As they came, all were finite.
            raw = row.tobytes()
            if any(one in raw for one in _INFINITIES) and any(map(isinf, row)):
                raise WireError(
                    f"embedding handler '{self.handler.name}' got a number beyond 3.4e38 for text {batch[0] + number}, "
                    "which base64 (float32) cannot hold"
                )
        return replace(found, rows=rows)


def _as_doubles(row: Sequence[float]) -> Sequence[float]:
    # Models that answer with whole numbers keep them: as doubles they would get a point and a zero.
    return array("d", row) if isinstance(row, list) and isinstance(row[0], float) else row


async def embed_packed(
    client: AsyncClient,
    texts: Iterable[str | Sequence[int]],
    *,
    endpoint_kwargs: Mapping[str, Any] | None = None,
    single_precision: bool = False,
    **options: Any,
) -> Embeddings:
    """Return what `client.embed` returns, in a fraction of the memory.

    A Python float and its place in a list take 32 bytes. No digit is lost: doubles are what floats are.

    Args:
        client: The client.
        texts: As of `AsyncClient.embed`.
        endpoint_kwargs: InvokeEndpoint parameters of the call.
        single_precision: No more digits are wanted than float32 values have.
        options: The fields of `EmbedOptions`.
    """
    inputs = as_inputs(texts)
    if not inputs:
        return Embeddings()
    settings = EmbedOptions(**options)

    kind = _SinglePrecision if single_precision else _PackedEmbedding

    def job(finding: Finding) -> Embedding:
        return client._embedding(inputs, settings, endpoint_kwargs, finding, kind)

    return await client._work(job, endpoint_kwargs, _at_once(client, endpoint_kwargs))


def _at_once(client: AsyncClient, endpoint_kwargs: Mapping[str, Any] | None) -> int:
    """Return how many batches may be in flight: large answers, which arrive together, are not packed yet."""
    if not client._resolver.known(endpoint_kwargs):
        return MAX_CONCURRENCY
    most = client._resolver.finding(endpoint_kwargs).embedding_handler().max_texts
    return max(FEWEST, min(MAX_CONCURRENCY, TEXTS_IN_FLIGHT // most))
