"""The gateway as the npm `openai` package sees it: chat, streams, tools, embeddings, responses, errors, aborts."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("npm_client.mjs")


@pytest.fixture(scope="module")
def package() -> Path:
    """A folder with the package installed; kept between runs, below the user's cache."""
    if shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sagewire-tests" / "npm"
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "node_modules" / "openai").exists():
        command = ["npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund", "--silent", "openai@^7"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            pytest.skip(f"npm cannot install openai: {done.stderr[-300:]}")
    return cache


def test_npm_openai(everything, upstream, until, package: Path) -> None:
    script = package / SCRIPT.name
    shutil.copyfile(SCRIPT, script)
    done = subprocess.run(
        ["node", str(script), f"{everything.url}/v1"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert set(results) == {
        "chat", "stream", "tools", "streamedTools", "embeddings", "responses", "streamedResponses", "notFound",
        "badRequest", "abort", "models",
    }  # fmt: skip
    assert {name: value for name, value in results.items() if value != "ok"} == {}
    aborted = [one for name in ("slow", "never") for one in everything.gateway.router.models[name].deployments]
    # An abort reaches the endpoint, too.
    until(lambda: not any(one.in_flight for one in aborted))
