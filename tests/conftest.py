"""One emulator for all tests that need no settings of their own, and an environment that points at it only."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from sagewire.emulator import Emulator, EndpointSpec

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

# A commit passes or fails the same way wherever it is tested, however slow that is; `make fuzz` looks for what nobody
# has seen yet.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", print_blob=True, deadline=None)
settings.load_profile("repeatable")

# What a developer's machine may have set, and what must not leak into a test.
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
FOREIGN = ("AWS_", "HF_", "HUGGING", "SAGEWIRE_ENDPOINT", *_PROXIES, *map(str.lower, _PROXIES))

ENDPOINTS = {
    "tgi": "tgi:extractive",
    "tgi-echo": "tgi:echo",
    "lmi": "lmi:echo",
    "lmi-async": "lmi_async:echo",
    "vllm": "openai_chat:echo",
    "other-account": EndpointSpec("tgi", engine="extractive", account="444455556666"),
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    # A test now and then waits for a server or a process; one more worker uses that time.
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    # Thousands of collected tests stay for the whole run: the garbage collector need not visit them each time.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Wait for what another thread or process does; `until(condition)` returns the first true value."""

    def wait(condition: Callable[[], Any], seconds: float = 60.0, *, pause: float = 0.01) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
            time.sleep(pause)
        return value

    return wait


@pytest.fixture(scope="session")
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make an environment for packages that do not go with ours, the newest ones; return its interpreter."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*requirements: str) -> Path:
        if requirements not in made:
            uv = shutil.which("uv") or shutil.which("uv", path=os.path.dirname(sys.executable))
            if uv is None:
                pytest.skip("uv is not installed")
            home = tmp_path_factory.mktemp("environment")
            python = home / "bin" / "python"
            subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, home], check=True)
            install = [uv, "pip", "install", "-q", "--python", python, *requirements]
            _install(requirements, install, UV_LINK_MODE="hardlink")
            made[requirements] = python
        return made[requirements]

    return make


@pytest.fixture(scope="session")
def node_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Install npm packages, the newest ones; return the folder from which scripts can import them."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*packages: str) -> Path:
        if packages not in made:
            if shutil.which("node") is None or shutil.which("npm") is None:
                pytest.skip("node and npm are not installed")
            home = tmp_path_factory.mktemp("node")
            _install(packages, ["npm", "install", "--prefix", home, "--no-audit", "--no-fund", "--silent", *packages])
            made[packages] = home
        return made[packages]

    return make


def _install(packages: tuple[str, ...], command: list[str | Path], **variables: str) -> None:
    env = {**os.environ, **variables}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        pytest.skip(f"{', '.join(packages)} cannot be installed here: {done.stderr[-300:]}")


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[Emulator]:
    with Emulator(ENDPOINTS) as emulator:
        yield emulator


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    nowhere = tmp_path_factory.getbasetemp() / "no-such-file"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def emulator(shared_emulator: Emulator, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    for name, value in shared_emulator.environ().items():
        monkeypatch.setenv(name, value)
    shared_emulator.clear()
    return shared_emulator


@pytest.fixture(scope="session")
def _collected() -> tuple[InMemorySpanExporter, InMemoryMetricReader]:
    # Imported here: `make test-versions` runs tests where OpenTelemetry is not installed.
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    # OpenTelemetry takes one provider in the life of a process.
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    return spans, reader


@pytest.fixture
def telemetry(
    _collected: tuple[InMemorySpanExporter, InMemoryMetricReader],
) -> tuple[InMemorySpanExporter, InMemoryMetricReader]:
    """The spans and metrics that are collected from here on."""
    _collected[0].clear()
    return _collected
