"""The examples of `docs/frameworks.md`, each with the newest version of its framework, on text and chat endpoints."""

import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import sagewire

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"
PROGRAM = Path(__file__).with_name("program.py")
BLOCK = re.compile(r"(?ms)^```python\n(.*?)^```")
OURS = ("aiohttp", "botocore", "openai", "orjson", "tenacity", "urllib3")
# Frameworks that call home do not here.
QUIET = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TESTING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "HAYSTACK_TELEMETRY_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
}
TEXT = 'handler="tgi", format="qwen2_5"'
ENDPOINTS = {
    "vllm": ("my-endpoint", "", ""),
    "tgi": ("my-llama", f", {TEXT}", ', content_handler="tgi", prompt_format="qwen2_5"'),
    "other account": ("their-endpoint", ", session=session", ", session=session"),
}
# Classes that use the responses route by default, for those that the page names.
RESPONSES = {
    "OpenAIChatModel": "OpenAIResponsesModel",
    "OpenAIChatCompletionsModel": "OpenAIResponsesModel",
    "OpenAIChatCompletionClient": "OpenAIChatClient",
    "Agent(client": 'Agent(client, default_options={"store": False}',
}
RESPONSES_TOO = ("Pydantic AI", "OpenAI Agents SDK", "Microsoft Agent Framework")


@dataclass(frozen=True)
class Section:
    """A framework's section of the page."""

    requirements: tuple[str, ...]
    code: str


def sections() -> dict[str, Section]:
    head, *parts = re.split(r"(?m)^## ", PAGE.read_text("utf-8"))
    shared = BLOCK.search(head)[1]
    found = {}
    for part in parts:
        name, _, text = part.partition("\n")
        install = re.search(r"(?m)^`pip install (.*)`$", text)
        if install:
            found[name] = Section(tuple(shlex.split(install[1])), shared + "\n" + "\n".join(BLOCK.findall(text)))
    return found


SECTIONS = sections() if PAGE.exists() else {}
pytestmark = pytest.mark.skipif(not SECTIONS, reason="the page is not here")


def on(endpoint: str, code: str) -> str:
    """Return an example as the page says it is written for another endpoint."""
    name, client, model = ENDPOINTS[endpoint]
    code = code.replace('client("my-endpoint")', f'client("{name}"{client})')
    code = code.replace('endpoint_name="my-endpoint"', f'endpoint_name="{name}"{model}')
    return code.replace('"my-endpoint"', f'"{name}"')


def with_responses_route(code: str) -> str:
    for chat, responses in RESPONSES.items():
        code = code.replace(chat, responses)
    return code


@pytest.fixture
def run(python_with, clean_environment, tmp_path):
    def run(section: Section, programs: dict[str, str]):
        # Ours comes from this tree; of its extras only what the framework itself may bring is installed.
        theirs = [name for name in section.requirements if not name.startswith("sagewire")]
        python = python_with(*theirs, *OURS, *(["langchain-core"] if theirs != list(section.requirements) else []))
        for name, code in programs.items():
            (tmp_path / f"{name}.py").write_text(code, "utf-8")
        env = {**os.environ, **QUIET, "HOME": str(tmp_path), "PYTHONPATH": str(Path(sagewire.__file__).parents[1])}
        command = [python, PROGRAM, "results.json", *(f"{name}.py" for name in programs)]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        results = json.loads((tmp_path / "results.json").read_text("utf-8"))
        return {name: results[f"{name}.py"] for name in programs}

    return run


def check(name: str, printed: str) -> None:
    # Instructor has no conversations, only answers of a given shape.
    if name != "Instructor":
        assert "Paris is the capital of France." in printed
    if name not in ("DSPy", "Instructor", "smolagents"):
        assert "It rains in Bergen." in printed
    answer = printed.strip().splitlines()[-1]
    assert answer in ("city='Bergen'", "Bergen")


@pytest.mark.slow
@pytest.mark.parametrize("name", SECTIONS)
def test_example_runs_on_every_kind_of_endpoint(name, run):
    section = SECTIONS[name]
    programs = {endpoint: on(endpoint, section.code) for endpoint in ENDPOINTS}
    if name in RESPONSES_TOO:
        programs["responses"] = on("tgi", with_responses_route(section.code))
        assert programs["responses"] != programs["tgi"]
    results = run(section, programs)
    for endpoint, result in results.items():
        check(name, result["printed"])
        assert result["called"] == [ENDPOINTS.get(endpoint, ENDPOINTS["tgi"])[0]]


def test_page_names_every_framework_in_its_table():
    linked = re.findall(r"(?m)^\| \[([^]]+)\]\(#", PAGE.read_text("utf-8"))
    assert linked == list(SECTIONS)
