from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sagewire.emulator import Emulator, EndpointSpec, Scripted
from sagewire.integrations.llama_index import SageMakerLLM


@pytest.fixture(scope="session")
def _running() -> Iterator[Emulator]:
    with Emulator({"chat": "openai_chat:echo"}) as emulator:
        yield emulator


@pytest.fixture
def emulator(_running: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    for name, value in _running.environ().items():
        monkeypatch.setenv(name, value)
    _running.clear()
    return _running


@pytest.fixture
def scripted(emulator: Emulator) -> Callable[..., SageMakerLLM]:
    """Make a model on a fresh endpoint that says what the test wrote."""

    def make(
        dialect: str, *replies: Any, faults: tuple[str, ...] = (), latency: float = 0, **given: Any
    ) -> SageMakerLLM:
        engine = Scripted(replies or ["fine"], loop=True)
        emulator.add("scripted", EndpointSpec(dialect, engine, faults=faults, latency=latency))
        return SageMakerLLM("scripted", **{"content_handler": dialect, **given})

    return make
