"""Run the integrations' tests beside other versions of the frameworks, and each extra alone.

    python tests/versions/run.py dist/sagewire-*.whl [NAME ...]

Every environment is a fresh one, made with uv; the wheel is what is tested.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNNER = ["pytest>=9,<10", "pytest-asyncio>=1,<2", "hypothesis", "boto3", "numpy"]
LANGCHAIN = ["langchain", "langchain-classic", "langchain-tests>=1.1.9,<2"]
# LlamaIndex 0.13 warns while it is imported: about a pydantic field, and about code it deprecated itself.
OLD_LLAMA_INDEX = ["-W", "ignore::UserWarning", "-W", "ignore::DeprecationWarning"]


@dataclass(frozen=True)
class Environment:
    """What is installed with the wheel, what is then replaced without its dependencies, and what is run."""

    extra: str
    requirements: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    imports: str = "sagewire"
    pytest_arguments: tuple[str, ...] = ()


ENVIRONMENTS = {
    "langchain-core-1.6": Environment(
        "langchain", (*RUNNER, *LANGCHAIN, "langchain-core>=1.6,<1.7"), tests=("tests/integrations/langchain",)
    ),
    "langchain-core-newest": Environment(
        # The newest wheels ask for a certifi that may not be out yet, hence without their dependencies.
        "langchain",
        (*RUNNER, *LANGCHAIN),
        ("langchain-core>=1.8,<2",),
        tests=("tests/integrations/langchain",),
    ),
    "llama-index-core-0.13": Environment(
        "llama-index",
        (*RUNNER, "llama-index-core>=0.13,<0.14"),
        tests=("tests/integrations/llama_index",),
        pytest_arguments=tuple(OLD_LLAMA_INDEX),
    ),
    "llama-index-core-newest": Environment("llama-index", tuple(RUNNER), tests=("tests/integrations/llama_index",)),
    "only-cli": Environment("cli", imports="sagewire.cli"),
    "only-langchain": Environment("langchain", imports="sagewire.integrations.langchain"),
    "only-llama-index": Environment("llama-index", imports="sagewire.integrations.llama_index"),
    "only-huggingface": Environment("huggingface", imports="sagewire.prompt_formats.hub"),
    "only-openai": Environment("openai", imports="sagewire.integrations.openai"),
    "only-gateway": Environment("gateway", imports="sagewire.gateway"),
    "only-bulk": Environment("bulk", imports="sagewire.bulk"),
    "only-telemetry": Environment("telemetry", imports="sagewire.watching"),
    "nothing": Environment("", imports="sagewire.client, sagewire.emulator, sagewire.integrations.easyllm"),
}


def run(name: str, environment: Environment, wheel: Path) -> bool:
    """Make an environment, run what it is for, and say whether that went well."""
    with tempfile.TemporaryDirectory(prefix="sagewire-") as folder:
        python = f"{folder}/bin/python"
        # Linked files are refused by nltk, which LlamaIndex splits sentences with.
        variables = {**os.environ, "UV_LINK_MODE": "copy"}

        def call(*command: str) -> int:
            return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode

        def install(*requirements: str) -> int:
            return call("uv", "pip", "install", "--quiet", "--python", python, *requirements)

        what = f"sagewire[{environment.extra}] @ {wheel.resolve().as_uri()}"
        steps = [
            lambda: call("uv", "venv", "--quiet", folder, "--clear"),
            lambda: install(what, *environment.requirements),
            lambda: install("--no-deps", *environment.replaced) if environment.replaced else 0,
            lambda: call(python, "-I", "-c", f"import {environment.imports}"),
        ]
        if environment.tests:
            arguments = ("-q", "-m", "not slow", "-p", "no:cacheprovider", *environment.pytest_arguments)
            steps.append(lambda: call(f"{folder}/bin/pytest", *arguments, *environment.tests))
        passed = all(step() == 0 for step in steps)
    print(f"{'passed' if passed else 'FAILED'}  {name}", flush=True)  # noqa: T201
    return passed


def main(wheel: str, *names: str) -> int:
    """Run the named environments, or all; return how many failed."""
    chosen = names or tuple(ENVIRONMENTS)
    return sum(not run(name, ENVIRONMENTS[name], Path(wheel)) for name in chosen)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
