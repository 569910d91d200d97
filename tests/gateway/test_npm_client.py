"""The gateway as the npm `openai` package sees it: chat, streams, tools, embeddings, responses, errors, aborts."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("npm_client.mjs")


def test_npm_openai(everything, upstream, until, node_with) -> None:
    script = node_with("openai@^7") / SCRIPT.name
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
