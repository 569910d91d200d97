"""Real serving software, each with a tiny model of random numbers, on loopback and without a hub.

The servers live in an environment of their own, `.real-venv` (or what SAGEWIRE_REAL_SERVERS names): `make test-real`.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VENV = Path(os.environ.get("SAGEWIRE_REAL_SERVERS", HERE.parents[1] / ".real-venv"))
PYTHON = VENV / "bin" / "python"
SERVE = VENV / "serve"  # transformers 5, which has `transformers serve`
PATIENCE = 180.0  # Java and PyTorch start slowly on a busy machine


def _environment(**more: str) -> dict[str, str]:
    keep = {name: os.environ[name] for name in ("HOME", "JAVA_HOME", "LANG") if name in os.environ}
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**keep, "PATH": path, "HF_HUB_OFFLINE": "1", "NO_PROXY": "*", "OMP_NUM_THREADS": "1", **more}


def _free_port() -> int:
    # multi-model-server refuses ports above 32767, where the system's own choice mostly is.
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@contextmanager
def _running(command: list[str], log: Path, ready: Callable[[], bool], **environment: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(**environment),
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield
    finally:
        # Its own group, with the workers it started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session", autouse=True)
def ended_politely() -> Iterator[None]:
    """Whoever ends the tests, as `timeout` does, ends the servers with them: fixtures are torn down as by Ctrl-C."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, previous)


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    if not PYTHON.exists():
        pytest.skip("the real servers are not installed: make test-real")
    models = tmp_path_factory.mktemp("models")

    def make(what: str, source: Path | None = None) -> Path:
        target = models / what / "model"
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            command = [str(PYTHON), str(HERE / "tiny_models.py"), what, str(target)]
            command += [str(source)] if source else []
            made = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr[-3000:]
        return target

    return make


@pytest.fixture(scope="session")
def generator(make_model: Callable[..., Path]) -> Path:
    return make_model("text-generation")


@pytest.fixture(scope="session")
def transformers_server(generator: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("serve"), _free_port()
    (folder / "hub").mkdir()
    command = [str(PYTHON), "-m", "transformers.cli.transformers", "serve", str(generator)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    url = f"http://127.0.0.1:{port}"
    environment = {"PYTHONPATH": str(SERVE), "HF_HOME": str(folder)}
    with _running(command, folder / "log", lambda: _answers(f"{url}/health"), **environment):
        yield url


@contextmanager
def _llama_server(model: Path, folder: Path) -> Iterator[str]:
    port = _free_port()
    command = [str(PYTHON), str(HERE / "llama_server.py"), str(model), str(port)]
    url = f"http://127.0.0.1:{port}"
    with _running(command, folder / "log", lambda: _answers(f"{url}/health")):
        yield url


@pytest.fixture(scope="session")
def llama_server(
    generator: Path, make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with _llama_server(make_model("gguf-tiny", generator), tmp_path_factory.mktemp("llama")) as url:
        yield url


@pytest.fixture
def llama_of(generator: Path, make_model: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Start llama.cpp with one of `tiny_models.FAMILIES`, and return the URL."""
    with ExitStack() as stack:
        yield lambda family: stack.enter_context(_llama_server(make_model(f"gguf-{family}", generator), tmp_path))


@pytest.fixture(scope="session")
def toolkit(
    make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Start Hugging Face's inference toolkit behind multi-model-server, as its images do, and return the URL."""
    if shutil.which("java") is None:
        pytest.skip("multi-model-server runs on Java, which is not installed")
    urls: dict[str, str] = {}
    with ExitStack() as stack:

        def start(task: str) -> str:
            if task not in urls:
                urls[task] = stack.enter_context(_toolkit(task, make_model(task), tmp_path_factory.mktemp("toolkit")))
            return urls[task]

        yield start


@contextmanager
def _toolkit(task: str, model: Path, folder: Path) -> Iterator[str]:
    url, log = f"http://127.0.0.1:{_free_port()}", folder / "log"
    # The settings of sagemaker_inference/etc/default-mms.properties, but for the addresses.
    settings = {
        "inference_address": url,
        "management_address": f"http://127.0.0.1:{_free_port()}",
        "default_service_handler": "sagemaker_huggingface_inference_toolkit.handler_service",
        "default_workers_per_model": "1",
        "decode_input_request": "false",
    }
    config = folder / "mms.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    command = ["multi-model-server", "--start", "--foreground", "--mms-config", str(config)]
    command += ["--model-store", str(model.parent), "--models", "model=model"]
    places = {"TEMP": str(folder), "TMPDIR": str(folder), "SAGEMAKER_BASE_DIR": str(folder), "HF_HOME": str(folder)}

    def ready() -> bool:
        return b"WORKER_MODEL_LOADED" in log.read_bytes() and _answers(f"{url}/ping")

    with _running([str(VENV / "bin" / command[0]), *command[1:]], log, ready, HF_TASK=task, **places):
        yield f"{url}/invocations"
