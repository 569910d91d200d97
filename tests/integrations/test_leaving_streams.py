"""Programs that break out of an async stream and end: nothing is left to complain about."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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

PROGRAMS = {
    "client": CLIENT,
    "closed client": CLIENT_CLOSED,
    "langchain": LANGCHAIN,
    "llama_index": LLAMA_INDEX,
    "openai": OPENAI,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_breaking_out_of_a_stream_and_ending_prints_nothing(shared_emulator: Emulator, program: str):
    shared_emulator.add("words", EndpointSpec("tgi", "echo"))
    code = f"import asyncio\nQUESTION = {QUESTION!r}\n{program}\nasyncio.run(main())"
    # Warnings of what is collected late are printed, and end no program.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **shared_emulator.environ(), "LANGSMITH_TRACING": "false"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
