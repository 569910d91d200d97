"""Run tests beside the oldest and newest frameworks, and install each extra alone: newest and oldest dependencies.

    python tests/versions/run.py dist/sagewire-*.whl [NAME ...]

Every environment is a fresh one, made with uv; the wheel is what is tested. As many are made at once as there are
processors: installing mostly waits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from audit import audit

ROOT = Path(__file__).parents[2]
AUDIT = "audit"
RUNNER = ["pytest>=9,<10", "pytest-asyncio>=1.3,<2", "hypothesis>=6.140,<7", "boto3>=1.36,<2", "numpy>=1.26,<3"]
LANGCHAIN = ["langchain", "langchain-classic", "langchain-tests>=1.1.9,<2", "jsonschema>=4.21,<5"]
# LlamaIndex 0.13 warns while it is imported: about a pydantic field, and about code it deprecated itself.
OLD_LLAMA_INDEX = ["-W", "ignore::UserWarning", "-W", "ignore::DeprecationWarning"]
# It sends raw bodies through OpenAI's client, which 2.0 had no argument for.
NOT_ON_THE_OLDEST = ["--deselect=tests/integrations/openai/test_openai.py::test_garbage_is_a_bad_request"]

# What each extra is there for.
MODULES = {
    "bulk": "sagewire.bulk",
    "cli": "sagewire.cli",
    "demo": "sagewire.demo, boto3",
    "docs": "mkdocs, mkdocstrings, sagewire.gateway",
    "gateway": "sagewire.gateway.server.run",
    "gateway-cluster": "sagewire.gateway.server.run, redis, psycopg",
    "huggingface": "sagewire.prompt_formats.chat_template",
    "langchain": "sagewire.integrations.langchain",
    "llama-index": "sagewire.integrations.llama_index",
    "migrate": "sagewire.migrate",
    "notebooks": "sagewire.integrations.langchain, langchain_openai, nbclient, nbformat, matplotlib, numpy",
    "openai": "sagewire.integrations.openai",
    "ray": "sagewire.bulk, ray.data",
    "telemetry": "sagewire.telemetry, opentelemetry.trace",
    "all": "sagewire.bulk, sagewire.cli, sagewire.gateway.server.run, sagewire.integrations.langchain,"
    " sagewire.integrations.llama_index, sagewire.integrations.openai, sagewire.prompt_formats.chat_template",
    "test": "sagewire.testing, moto, langchain_tests",
}


@dataclass(frozen=True)
class Environment:
    """What is installed with the wheel, what is then replaced without its dependencies, and what is run.

    Args:
        extra: The extra that is installed.
        requirements: What is installed beside it.
        replaced: What is installed afterwards, without its dependencies.
        tests: What is run.
        imports: What must be importable.
        pytest_arguments: How the tests are run.
        oldest: Take the oldest versions of the direct dependencies that `pyproject.toml` allows.
        upcoming: Packages that are then upgraded to their newest pre-releases, whatever `pyproject.toml` allows.
        may_fail: A failure is printed and does not count.
    """

    extra: str
    requirements: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    imports: str = "sagewire"
    pytest_arguments: tuple[str, ...] = ()
    oldest: bool = False
    upcoming: tuple[str, ...] = ()
    may_fail: bool = False


def _alone(extra: str, oldest: bool) -> Environment:
    return Environment(extra, imports=MODULES[extra], oldest=oldest)


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
    "nothing": Environment("", imports="sagewire.client, sagewire.emulator, sagewire.integrations.easyllm"),
    "nothing-oldest": Environment("", imports="sagewire.client, sagewire.emulator", oldest=True),
    "oldest": Environment(
        "test",
        imports=MODULES["all"],
        tests=(
            "tests/aws/test_session.py",
            "tests/bulk",
            "tests/cli",
            "tests/gateway",
            "tests/integrations/openai",
            "tests/prompt_formats/chat_template/test_template_format.py",
            "tests/client/test_client.py",
            "tests/discovery/test_discovery.py",
            "tests/test_telemetry.py",
        ),
        pytest_arguments=("-n", "auto", "--dist", "worksteal", *NOT_ON_THE_OLDEST),
        oldest=True,
    ),
    # What is on its way to users: an early word for maintainers, not a reason to stop a release.
    "upcoming": Environment(
        "test",
        upcoming=("langchain-core", "llama-index-core", "openai", "pydantic"),
        tests=("tests/client/test_client.py", "tests/integrations/langchain/test_chat.py", "tests/integrations/openai"),
        may_fail=True,
    ),
    **{f"only-{extra}": _alone(extra, False) for extra in MODULES if extra != "test"},
    **{f"only-{extra}-oldest": _alone(extra, True) for extra in MODULES if extra != "test"},
}


def run(name: str, environment: Environment, wheel: Path) -> bool:
    """Make an environment, run what it is for, print what that printed, and say whether it went well."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sagewire-") as folder, tempfile.TemporaryFile("w+") as printed:
        passed = all(step() == 0 for step in _steps(environment, wheel, folder, printed))
        printed.seek(0)
        text = printed.read()
    seconds = time.monotonic() - began
    outcome = "passed" if passed else "failed, as it may" if environment.may_fail else "FAILED"
    print(f"{text}{outcome}  {name} ({seconds:.0f} s)", flush=True)  # noqa: T201
    return passed or environment.may_fail


def _steps(environment: Environment, wheel: Path, folder: str, printed: IO[str]) -> Iterator[Callable[[], int]]:
    python = f"{folder}/bin/python"
    variables = {**os.environ, "SAGEWIRE_TEST_INSTALLED": "1"}
    if environment.tests:
        # Linked files are refused by nltk, which LlamaIndex splits sentences with.
        variables["UV_LINK_MODE"] = "copy"

    def call(*command: str) -> int:
        done = subprocess.run(command, cwd=ROOT, env=variables, stdout=printed, stderr=printed, check=False)
        return done.returncode

    def install(*requirements: str) -> int:
        return call("uv", "pip", "install", "--quiet", "--python", python, *requirements)

    yield lambda: call("uv", "venv", "--quiet", "--python", sys.executable, folder, "--clear")
    if environment.oldest:
        pinned = f"{folder}/pinned.txt"
        # Of a wheel's dependencies uv takes the newest in any case; those of a project count as direct.
        more = Path(folder, "more.in")
        more.write_text("\n".join(environment.requirements), "utf-8")
        extra = ("--extra", environment.extra) if environment.extra else ()
        resolving = ("--quiet", "--python", python, "--resolution", "lowest-direct", *extra, "--output-file", pinned)
        yield lambda: call("uv", "pip", "compile", *resolving, "pyproject.toml", str(more))
        yield lambda: install("--requirements", pinned)
        yield lambda: install("--no-deps", str(wheel.resolve()))
    else:
        what = f"sagewire[{environment.extra}] @ {wheel.resolve().as_uri()}"
        yield lambda: install(what, *environment.requirements)
    if environment.upcoming:
        yield lambda: install("--upgrade", "--prerelease", "allow", *environment.upcoming)
        yield lambda: call("uv", "pip", "freeze", "--quiet", "--python", python)
    elif environment.replaced:
        yield lambda: install("--no-deps", *environment.replaced)
    else:
        yield lambda: call("uv", "pip", "check", "--quiet", "--python", python)
    yield lambda: call(python, "-I", "-c", f"import {environment.imports}")
    if environment.tests:
        arguments = ("-q", "-m", "not slow", "-p", "no:cacheprovider", *environment.pytest_arguments)
        yield lambda: call(f"{folder}/bin/pytest", *arguments, *environment.tests)


def _passed(name: str, wheel: Path) -> bool:
    return audit() if name == AUDIT else run(name, ENVIRONMENTS[name], wheel)


def main(wheel: str, *names: str) -> int:
    """Run the named environments, or all; return how many failed."""
    chosen = names or (AUDIT, *ENVIRONMENTS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda name: _passed(name, Path(wheel)), chosen)).count(False)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
