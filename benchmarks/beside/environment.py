"""The peers' own environment: nothing here touches the one sagewire is developed in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["ROOT", "install_in", "run_inside", "uv"]

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".bench-venv"
# hypothesis: sagewire's own suites are run there, too, and their `conftest.py` needs it.
PEERS = (
    *("boto3", "hypothesis", "langchain-aws", "langchain-huggingface", "langchain-tests", "litellm", "matplotlib"),
    "uv",
)
# Its dependencies include llama-cpp-python, a C++ build, for two functions that write Llama 2 prompts.
WITHOUT_DEPENDENCIES = "llama-index-llms-sagemaker-endpoint"
STAND_IN = '''\
"""Stands in for llama-index-llms-llama-cpp: the two prompt functions the SageMaker class imports, and no C++ build."""


def messages_to_prompt(messages, system_prompt=None):
    return "".join(f"<s> [INST] {message.content} [/INST]" for message in messages)


def completion_to_prompt(completion, system_prompt=None):
    return f"<s> [INST] {completion} [/INST]"
'''


def uv() -> str:
    """Return the path of uv.

    Raises:
        SystemExit: There is none.
    """
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise SystemExit("uv is needed to install the peers: pip install uv")
    return found


def install_in(python: Path, *arguments: str) -> None:
    subprocess.run([uv(), "pip", "install", "--quiet", "--python", str(python), *arguments], check=True)


def _make() -> Path:
    python = PLACE / "bin" / "python"
    # The newest releases of a day: an environment of last month would measure last month's peers.
    ready, wanted = PLACE / "peers-are-installed", repr((time.strftime("%Y-%m-%d"), PEERS, STAND_IN))
    if ready.exists() and ready.read_text() == wanted:
        return python
    print(f"installing the newest peers into {PLACE.name}, once a day", flush=True)
    if not python.exists():
        subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, str(PLACE)], check=True)
    install_in(python, "--upgrade", "--editable", f"{ROOT}[langchain,llama-index,cli]", *PEERS)
    install_in(python, "--upgrade", "--no-deps", WITHOUT_DEPENDENCIES)
    packages = next((PLACE / "lib").glob("python3*")) / "site-packages"
    stand_in = packages / "llama_index" / "llms" / "llama_cpp"
    stand_in.mkdir(parents=True, exist_ok=True)
    (stand_in / "__init__.py").write_text("")
    (stand_in / "llama_utils.py").write_text(STAND_IN)
    ready.write_text(wanted)
    return python


def run_inside(script: str) -> None:
    """Run `script` again with the peers' interpreter, unless it is running in it already."""
    if Path(sys.prefix).resolve() == PLACE.resolve():
        return
    python = _make()
    os.execv(python, [str(python), script, *sys.argv[1:]])
