"""The newest clients of other makers, each in an environment of its own: two turns with a tool, a structured answer."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPTS = Path(__file__).with_name("clients")


STORING = """
models: {schema: {endpoint: schema, handler: openai_chat}}
server: {store_responses: 1h}
"""


def check(command: list[str | Path], *urls: str) -> None:
    bases = [f"{url}/v1" for url in urls]
    done = subprocess.run([*command, *bases], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        ("vercel_ai.mjs", ["ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible", "zod"]),
        ("langchain.mjs", ["@langchain/openai", "@langchain/core", "zod"]),
    ],
)
def test_npm(everything, start, node_with: Callable[..., Path], script: str, packages: list[str]) -> None:
    # Imports are looked up beside the script.
    copied = shutil.copy(SCRIPTS / script, node_with(*packages))
    check(["node", copied], everything.url, start(STORING).url)


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        ("openai_agents.py", ["openai-agents"]),
        ("pydantic_ai_client.py", ["pydantic-ai-slim[openai]"]),
        ("instructor_client.py", ["instructor"]),
    ],
)
def test_python(everything, start, python_with: Callable[..., Path], script: str, packages: list[str]) -> None:
    check([python_with(*packages), SCRIPTS / script], everything.url, start(STORING).url)
