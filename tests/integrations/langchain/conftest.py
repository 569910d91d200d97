"""One emulator for all of these tests; each adds the endpoints it needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sagewire.emulator import Emulator
from sagewire.emulator.endpoints import EndpointSpec

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with Emulator({"echo": "openai_chat:echo", "tgi": "tgi:echo", "lmi": "lmi:echo"}) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(emulator: Emulator, clean_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in emulator.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


@pytest.fixture
def add(emulator: Emulator) -> Callable[..., str]:
    """Start an endpoint and return its name."""

    def start(dialect: str = "openai_chat", engine: Any = "echo", **spec: Any) -> str:
        name = f"made-{next(_NUMBERS)}"
        emulator.add(name, EndpointSpec(dialect, engine, **spec))
        return name

    return start


@pytest.fixture
def last_call(emulator: Emulator) -> Callable[[str], Any]:
    """Return the JSON of the last request that reached an endpoint's container."""

    def find(endpoint: str) -> Any:
        return next(call.json for call in reversed(emulator.calls) if call.endpoint == endpoint)

    return find
