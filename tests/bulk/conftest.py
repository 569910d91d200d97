"""Inputs on disk and an emulator of models that answer rows."""

import json
import os
from collections.abc import Iterator

import pytest

from sagewire.emulator import Emulator, EndpointSpec

pytest.importorskip("pyarrow")


@pytest.fixture(scope="session")
def shared_models() -> Iterator[Emulator]:
    endpoints = {
        "chat": "openai_chat:echo",
        "tgi": "tgi_1:echo",
        "tei": "tei",
        "rerank": "tei_rerank",
        "label": 'openai_chat:scripted={"label": "spam"}',
        "babble": "openai_chat:scripted=no json at all",
        "slow": EndpointSpec("openai_chat", engine="echo", latency=0.05),
        "deferred": EndpointSpec("openai_chat", engine="echo", asynchronous="s3://answers/out"),
    }
    with Emulator(endpoints) as emulator:
        yield emulator


@pytest.fixture
def models(shared_models: Emulator, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    for name, value in shared_models.environ().items():
        monkeypatch.setenv(name, value)
    shared_models.clear()
    return shared_models


@pytest.fixture
def write(tmp_path):
    """Write rows as JSON lines; a `str` is written as it is."""

    def write(rows, name="in.jsonl"):
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + os.linesep for row in rows))
        return str(path)

    return write


@pytest.fixture
def read():
    """Read JSON lines."""

    def read(path):
        with open(path) as file:
            return [json.loads(line) for line in file]

    return read
