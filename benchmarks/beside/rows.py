"""The rows of the table: a piece of work, who does it, and by how much sagewire should be ahead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from beside.candidates import (
    QUESTION,
    Boto3,
    Ours,
    langchain_aws,
    litellm_call,
    llama_index_models,
    raw_first_token,
)
from beside.floors import BareCall, langchain_floor, llama_index_floor
from beside.measures import Measure, cpu_of, rate_of, seconds_of
from beside.server import SHORT, TOKENS, VECTORS, WORDS

__all__ = ["Row", "work_rows"]


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        work: What is done.
        unit: What is measured.
        target: A bound on what `kind` says.
        better: Whether the smaller or the larger value wins.
        measures: Who -> measure; the first is sagewire, the second the one it is compared with, the rest are shown.
        kind: The bound is one on sagewire's value divided by the other's, on sagewire's value, or on their difference.
    """

    work: str
    unit: str
    target: float
    better: Literal["less", "more"]
    measures: dict[str, Measure]
    kind: Literal["ratio", "value", "difference"] = "ratio"


# Seconds.
SETTLING = 0.2


class Loop:
    """One event loop for all awaited work, and calls that keep a number of them in flight."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def together(
        self,
        call: Callable[[], Awaitable[object]],
        flight: int,
        times: int,
        clock: Callable[[], float] = time.process_time,
    ) -> Measure:
        async def worker(left: Iterator[int]) -> None:
            for _ in left:
                await call()

        async def run() -> int:
            left = iter(range(times))
            await asyncio.gather(*[worker(left) for _ in range(flight)])
            if clock is time.process_time:
                # What calls leave behind, as LiteLLM's logging, is their own work and not the next one's.
                await asyncio.sleep(SETTLING)
            return times

        return rate_of(lambda: int(self.run(run())), clock)

    def cost(self, call: Callable[[], Awaitable[object]], flight: int, times: int) -> Measure:
        """Return what measures the CPU microseconds of a call while so many are in flight."""

        async def run() -> None:
            left = iter(range(times))

            async def worker() -> None:
                for _ in left:
                    await call()

            await asyncio.gather(*[worker() for _ in range(flight)])

        milliseconds = cpu_of(lambda: self.run(run()), 1)
        return lambda: milliseconds() / times * 1e3

    def streams(self, stream: Callable[[], AsyncIterator[str]], flight: int) -> Measure:
        async def read() -> int:
            return len([text async for text in stream() if text])

        async def run() -> int:
            counts = await asyncio.gather(*[read() for _ in range(flight)])
            assert set(counts) == {SHORT}, counts
            return sum(counts)

        return rate_of(lambda: int(self.run(run())))


def counted(stream: Callable[[], Iterator[str]]) -> Measure:
    """Return what measures the tokens a second of a long stream, and that none is missing."""

    def read() -> int:
        count = sum(1 for text in stream() if text)
        assert count == TOKENS, count
        return count

    return rate_of(read)


def first_of(stream: Callable[[], Iterator[str]]) -> Callable[[], float]:
    def first() -> float:
        start = time.perf_counter()
        texts = stream()
        next(texts)
        seconds = time.perf_counter() - start
        for _ in texts:
            pass
        return seconds

    return first


def work_rows(url: str) -> list[Row]:
    """Return the rows that need the server."""
    boto3, ours, loop = Boto3(url), Ours(url), Loop()
    return [
        *_client_rows(url, boto3, ours),
        *_framework_rows(url, ours),
        *_awaited_rows(url, ours, loop),
        *_floor_rows(url, ours, loop),
    ]


def _client_rows(url: str, boto3: Boto3, ours: Ours) -> list[Row]:
    client, large, paced = ours.client(), ours.client("large"), ours.client("paced")
    embedder = ours.client("embed", "openai_embeddings")
    texts = ["text"] * VECTORS
    assert client.chat(QUESTION).text == boto3.chat() == WORDS
    assert len(embedder.embed(texts).vectors) == VECTORS

    def boto3_embed() -> object:
        return [entry["embedding"] for entry in boto3.post("embed", {"input": texts})["data"]]

    chat = {"sagewire": cpu_of(lambda: client.chat(QUESTION), 100), "boto3": cpu_of(boto3.chat, 100)}
    stream = {"sagewire": counted(lambda: client.stream(QUESTION).text), "boto3": counted(boto3.stream)}
    first = {
        "sagewire": seconds_of(first_of(lambda: paced.stream(QUESTION).text), 8),
        "boto3": seconds_of(first_of(lambda: boto3.stream("paced")), 8),
    }
    floor = {"sagewire": first["sagewire"], "raw socket": seconds_of(raw_first_token(url), 8)}
    megabyte = {
        "sagewire": cpu_of(lambda: large.chat(QUESTION), 20),
        "boto3": cpu_of(lambda: boto3.chat("large"), 20),
    }
    embed = {"sagewire": cpu_of(lambda: embedder.embed(texts), 5), "boto3 + json": cpu_of(boto3_embed, 5)}
    return [
        Row("Client.chat, 1 kB", "ms CPU", 0.45, "less", chat),
        Row("Client.stream of 2000 tokens", "tokens/s CPU", 2.3, "more", stream),
        Row("first token of a paced stream", "ms", 0.5, "less", first),
        Row("first token of a paced stream", "ms", 1.0, "less", floor, "difference"),
        Row("1 MB answer", "ms CPU", 0.6, "less", megabyte),
        Row("embed 32 x 1024", "ms CPU", 0.32, "less", embed),
    ]


def _framework_rows(url: str, ours: Ours) -> list[Row]:
    from llama_index.core.llms import ChatMessage

    chat, text = ours.langchain(), ours.langchain_text()
    their_chat, their_text = langchain_aws(url)
    index, their_index = llama_index_models(url)
    messages = [ChatMessage(QUESTION)]
    assert chat.invoke(QUESTION).text == their_chat.invoke(QUESTION).text == text.invoke(QUESTION) == WORDS
    assert index.chat(messages).message.content == their_index.chat(messages).message.content == WORDS

    def pieces(model: Any) -> Callable[[], Iterator[str]]:
        return lambda: (chunk.text for chunk in model.stream(QUESTION))

    def deltas(model: Any) -> Callable[[], Iterator[str]]:
        return lambda: (response.delta for response in model.stream_chat(messages))

    def both(name: str, mine: Measure, other: Measure) -> dict[str, Measure]:
        return {"sagewire": mine, name: other}

    aws, published = "langchain-aws", "llama-index-llms-sagemaker-endpoint"
    return [
        Row(
            "LangChain chat invoke",
            "ms CPU",
            0.58,
            "less",
            both(aws, cpu_of(lambda: chat.invoke(QUESTION), 50), cpu_of(lambda: their_chat.invoke(QUESTION), 50)),
        ),
        Row(
            "LangChain SagemakerEndpoint.invoke",
            "ms CPU",
            0.58,
            "less",
            both(aws, cpu_of(lambda: text.invoke(QUESTION), 50), cpu_of(lambda: their_text.invoke(QUESTION), 50)),
        ),
        Row(
            "LangChain chat stream of 2000",
            "tokens/s CPU",
            2.0,
            "more",
            both(aws, counted(pieces(chat)), counted(pieces(their_chat))),
        ),
        Row(
            "LlamaIndex chat",
            "ms CPU",
            0.45,
            "less",
            both(published, cpu_of(lambda: index.chat(messages), 50), cpu_of(lambda: their_index.chat(messages), 50)),
        ),
        Row(
            "LlamaIndex stream of 2000",
            "tokens/s CPU",
            2.0,
            "more",
            both(published, counted(deltas(index)), counted(deltas(their_index))),
        ),
    ]


def _awaited_rows(url: str, ours: Ours, loop: Loop) -> list[Row]:
    client, slow, short = ours.awaited(), ours.awaited("slow"), ours.awaited("short")
    model, stream_model = ours.langchain(), ours.langchain("short")
    theirs, their_stream = langchain_aws(url)[0], langchain_aws(url, "short")[0]
    their_slow = langchain_aws(url, "slow")[0]
    lite = litellm_call(url)
    assert loop.run(lite()) == WORDS
    at_64 = loop.together(lambda: client.chat(QUESTION), 64, 1000)
    aws = loop.together(lambda: theirs.ainvoke(QUESTION), 64, 200)
    ideal = {
        "sagewire": loop.together(lambda: slow.chat(QUESTION), 64, 640, time.perf_counter),
        "langchain-aws": loop.together(lambda: their_slow.ainvoke(QUESTION), 64, 64, time.perf_counter),
    }

    def texts(chat: Any) -> Callable[[], AsyncIterator[str]]:
        return lambda: (chunk.text async for chunk in chat.astream(QUESTION))

    their_streams = loop.streams(texts(their_stream), 64)
    return [
        Row("64 AsyncClient.chat in flight", "calls/s CPU", 5.0, "more", {"sagewire": at_64, "langchain-aws": aws}),
        Row(
            "64 AsyncClient.chat in flight",
            "calls/s CPU",
            12.0,
            "more",
            {"sagewire": at_64, "LiteLLM": loop.together(lite, 64, 64)},
        ),
        Row(
            "256 in flight, beside 64",
            "calls/s CPU",
            0.7,
            "more",
            {"sagewire": loop.together(lambda: client.chat(QUESTION), 256, 1000), "sagewire at 64": at_64},
        ),
        Row(
            "LangChain ainvoke, 64 in flight",
            "calls/s CPU",
            2.8,
            "more",
            {"sagewire": loop.together(lambda: model.ainvoke(QUESTION), 64, 400), "langchain-aws": aws},
        ),
        Row("64 in flight, the model takes 100 ms", "calls/s", 480, "more", ideal, "value"),
        Row(
            "64 async streams, AsyncClient",
            "tokens/s CPU",
            8.0,
            "more",
            {"sagewire": loop.streams(lambda: short.stream(QUESTION).text, 64), "langchain-aws": their_streams},
        ),
        Row(
            "64 async streams, LangChain astream",
            "tokens/s CPU",
            2.5,
            "more",
            {"sagewire": loop.streams(texts(stream_model), 64), "langchain-aws": their_streams},
        ),
    ]


def _floor_rows(url: str, ours: Ours, loop: Loop) -> list[Row]:
    """Return what awaited calls cost beside the least that they can cost."""
    from llama_index.core.llms import ChatMessage

    bare, client, chain, index = BareCall(url), ours.awaited(), ours.langchain(), ours.llama_index()
    small_chain, small_index = langchain_floor(bare), llama_index_floor(bare)
    messages = [ChatMessage(QUESTION)]
    assert loop.run(bare.chat()) == loop.run(client.chat(QUESTION)).text == WORDS
    assert loop.run(small_chain.ainvoke(QUESTION)).text == loop.run(chain.ainvoke(QUESTION)).text == WORDS
    for model in (small_index, index):
        assert loop.run(model.achat(messages)).message.content == WORDS

    def cost(call: Callable[[], Awaitable[object]]) -> Measure:
        return loop.cost(call, 64, 1000)

    unit, floor = "us CPU", "aiohttp and the signer"
    calls = {"sagewire": cost(lambda: client.chat(QUESTION)), floor: cost(bare.chat)}
    chains = {
        "sagewire": cost(lambda: chain.ainvoke(QUESTION)),
        f"the smallest class on {floor}": cost(lambda: small_chain.ainvoke(QUESTION)),
    }
    indexes = {
        "sagewire": cost(lambda: index.achat(messages)),
        f"the smallest class on {floor}": cost(lambda: small_index.achat(messages)),
    }
    return [
        Row("AsyncClient.chat, 64 in flight, floor", unit, 150 / 96, "less", calls),
        Row("LangChain ainvoke, 64 in flight, floor", unit, 1.25, "less", chains),
        Row("LlamaIndex achat, 64 in flight, floor", unit, 1.25, "less", indexes),
    ]
