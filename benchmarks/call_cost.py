"""Counts the Python calls of one warm call, and the different functions and files of sagewire they are in.

Counts do not depend on how busy a machine is, so versions can be compared: `python benchmarks/call_cost.py`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import sagewire
from sagewire import AsyncClient, Client
from sagewire.emulator import Emulator

PACKAGE = str(Path(sagewire.__file__).parent)
CALLS_BEFORE = 3


@dataclass
class Cost:
    """The cost of a call."""

    calls: int = 0
    functions: set[CodeType] = field(default_factory=set)

    @property
    def files(self) -> set[str]:
        """The files these functions are in."""
        return {code.co_filename for code in self.functions}


@contextmanager
def counting() -> Iterator[Cost]:
    """Count what runs inside of sagewire in this thread."""
    cost = Cost()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            cost.calls += 1
            cost.functions.add(frame.f_code)

    sys.setprofile(count)
    try:
        yield cost
    finally:
        sys.setprofile(None)


def measure(call: Callable[[], Any]) -> Cost:
    """Return the cost of a call that was made some times before."""
    for _ in range(CALLS_BEFORE):
        call()
    with counting() as cost:
        call()
    return cost


def measure_async(call: Callable[[], Any]) -> Cost:
    """Return the cost of an awaited call that was made some times before."""

    async def measured() -> Cost:
        for _ in range(CALLS_BEFORE):
            await call()
        with counting() as cost:
            await call()
        return cost

    return asyncio.run(measured())


def costs() -> Iterator[tuple[str, Cost]]:
    """Yield what is measured, with its cost; the environment must lead to an emulator with the endpoint `chat`."""
    client = Client("chat", handler="openai_chat")
    yield "Client.chat", measure(lambda: client.chat("Hi", max_tokens=5))
    yield "Client.stream", measure(lambda: list(client.stream("Hi", max_tokens=5)))
    later = AsyncClient("chat", handler="openai_chat")
    yield "AsyncClient.chat", measure_async(lambda: later.chat("Hi", max_tokens=5))
    prompt = Client("tgi", handler="tgi", format="llama3_1")
    yield "Client.chat, with a prompt format", measure(lambda: prompt.chat("Hi", max_tokens=5))
    from sagewire.integrations.langchain import ChatSagemakerEndpoint

    model = ChatSagemakerEndpoint(endpoint_name="chat", content_handler="openai_chat", model_kwargs={"max_tokens": 5})
    yield "LangChain invoke", measure(lambda: model.invoke("Hi"))
    yield "LangChain stream", measure(lambda: list(model.stream("Hi")))


def main() -> None:
    """Print the table."""
    with Emulator({"chat": "openai_chat:echo", "tgi": "tgi:echo"}) as emulator:
        os.environ.update(emulator.environ())
        print("| | Python calls | functions | files |\n|---|---|---|---|")
        for name, cost in costs():
            print(f"| {name} | {cost.calls} | {len(cost.functions)} | {len(cost.files)} |")


if __name__ == "__main__":
    main()
