"""Programs that break out of an async stream and end: nothing is left to complain about."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from sagewire import AsyncClient
from sagewire.client.transport_choices import Http
from sagewire.emulator import Emulator, EndpointSpec

QUESTION = "one two three four five six seven eight nine ten " * 20

CLIENT = """
from sagewire import AsyncClient

async def main():
    async for delta in AsyncClient("words").stream(QUESTION):
        break
"""

CLIENT_CLOSED = """
from sagewire import AsyncClient

async def main():
    async with AsyncClient("words") as client:
        async for text in client.stream(QUESTION).text:
            break
"""

LANGCHAIN = """
from langchain_core.output_parsers import StrOutputParser
from sagewire.integrations.langchain import ChatSagemakerEndpoint

async def main():
    chain = ChatSagemakerEndpoint(endpoint_name="words") | StrOutputParser()
    async for text in chain.astream(QUESTION):
        break
"""

LLAMA_INDEX = """
from llama_index.core.llms import ChatMessage
from sagewire.integrations.llama_index import SageMakerLLM

async def main():
    async for response in await SageMakerLLM("words").astream_chat([ChatMessage(QUESTION)]):
        break
"""

OPENAI = """
from sagewire.integrations.openai import async_openai_client

async def main():
    client = async_openai_client("words", route="in_process")
    messages = [{"role": "user", "content": QUESTION}]
    async for chunk in await client.chat.completions.create(model="words", messages=messages, stream=True):
        break
"""

# Over SageMaker's own route, in each of the ways in which a stream is left.
OPENAI_NATIVE = """
from sagewire.integrations.openai import async_openai_client

async def started():
    client = async_openai_client("vllm-words", route="sagemaker")
    messages = [{"role": "user", "content": QUESTION}]
    return await client.chat.completions.create(model="", messages=messages, stream=True)

async def left():
    async for chunk in await started():
        break

async def dropped():
    await anext(await started())

async def closed():
    async with await started() as stream:
        await anext(stream)

async def unread():
    await started()

async def failed():
    async for chunk in await started():
        raise KeyError

async def cancelled():
    stream = await started()
    task = asyncio.ensure_future(stream.response.aread())
    await asyncio.sleep(0)
    task.cancel()

async def main():
    for leave in left, dropped, closed, unread, failed, cancelled:
        try:
            await leave()
        except KeyError:
            pass

for leave in left, dropped, closed, unread, cancelled:
    asyncio.run(leave())
"""

PROGRAMS = (CLIENT, CLIENT_CLOSED, LANGCHAIN, LLAMA_INDEX, OPENAI, OPENAI_NATIVE)


def test_breaking_out_of_a_stream_and_ending_prints_nothing(shared_emulator: Emulator):
    shared_emulator.add("words", EndpointSpec("tgi", "echo"))
    shared_emulator.add("vllm-words", EndpointSpec("openai_chat", "echo"))
    # Each has a loop of its own, which ends while the stream is open.
    programs = "\n".join(f"{program}\nasyncio.run(main())" for program in PROGRAMS)
    code = f"import asyncio\nQUESTION = {QUESTION!r}\n{programs}"
    # Warnings of what is collected late are printed, and end no program.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **shared_emulator.environ(), "LANGSMITH_TRACING": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def dropping(url: str) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """Return programs that let go of a client at different moments before their event loop ends."""

    def client() -> AsyncClient:
        return AsyncClient(transport=Http(url), handler="tgi")

    async def at_the_end() -> None:
        asked = client()
        await asked.complete("Hi")

    async def after_several() -> None:
        asked = client()
        await asyncio.gather(*(asked.complete("Hi") for _ in range(3)))

    async def by_hand() -> None:
        asked = client()
        await asked.complete("Hi")
        del asked

    async def by_the_collector() -> None:
        asked = client()
        await asked.complete("Hi")
        circle: list[Any] = [asked]
        circle.append(circle)
        del asked, circle
        gc.collect()

    async def a_while_before() -> None:
        asked = client()
        await asked.complete("Hi")
        del asked
        await asyncio.sleep(0)

    async def within_a_stream() -> None:
        async for _ in client().stream_complete("Hi there"):
            break

    return [at_the_end, after_several, by_hand, by_the_collector, a_while_before, within_a_stream]


def test_a_loop_that_ends_leaves_no_task_of_a_dropped_client(shared_emulator: Emulator, caplog):
    shared_emulator.add("words", EndpointSpec("tgi", "echo"))
    for program in dropping(shared_emulator.container_url("words")):
        asyncio.run(program())
        # A task that is destroyed says so when it is collected.
        gc.collect()
        assert not caplog.records, program.__name__
