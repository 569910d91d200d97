"""The programs of README and pages, and calls whose types depend on an argument, pass `mypy --strict`."""

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent

import pytest

ROOT = Path(__file__).parents[2]
FENCE = r"(?ms)^```python\n(.*?)^```"
# The blocks of the one are programs by themselves; those of the other need eleven frameworks.
APART = ("migrating.md", "frameworks.md")
ANSWERS = """
from typing import assert_type

from sagewire import get_format
from sagewire.integrations import litellm
from sagewire.integrations._answers import AsyncChunks, Chunks
from sagewire.integrations._objects import OpenAiObject
from sagewire.integrations.easyllm import sagemaker
from sagewire.integrations.llama_index import HuggingFaceEndpointLLM, SageMakerLLM

question = [{"role": "user", "content": "Hello"}]
assert_type(litellm.completion("sagemaker/e", question, temperature=0.2), OpenAiObject)
assert_type(litellm.completion("sagemaker/e", question, stream=True), Chunks)
assert_type(litellm.text_completion("Hello", model="sagemaker/e"), OpenAiObject)
assert_type(sagemaker.ChatCompletion.create(question, model="e", n=2), OpenAiObject)
assert_type(sagemaker.ChatCompletion.create(question, stream=True), Chunks)
assert_type(sagemaker.Completion.create("Hello", echo=True), OpenAiObject)
assert_type(get_format("chatml").render(question), str)
SageMakerLLM("my-endpoint", region_name="us-east-1")
HuggingFaceEndpointLLM("http://localhost:8000", content_handler="tgi")


async def main(stream: bool) -> None:
    assert_type(await litellm.acompletion("sagemaker/e", question), OpenAiObject)
    assert_type(await litellm.acompletion("sagemaker/e", question, stream=True), AsyncChunks)
    assert_type(await sagemaker.Completion.acreate("Hello", stream=True), AsyncChunks)
    assert_type(await litellm.acompletion("sagemaker/e", question, stream=stream), OpenAiObject | AsyncChunks)
"""


def programs_of_readme() -> dict[str, str]:
    """Return what users copy first, and the calls above: each block by a name for its file."""
    return {"answers": ANSWERS, **_blocks(ROOT / "README.md")}


def programs_of_pages() -> dict[str, str]:
    """Return each page as one program; on the page for movers each block is one."""
    found = _blocks(ROOT / "docs" / "migrating.md")
    for path in sorted((ROOT / "docs").rglob("*.md")):
        page = "\n".join(re.findall(FENCE, path.read_text("utf-8")))
        if page and path.name not in APART:
            found["_".join(path.relative_to(ROOT).with_suffix("").parts)] = page
    assert len(found) > 30
    return found


def _blocks(path: Path) -> dict[str, str]:
    text = path.read_text("utf-8")
    return {
        f"{path.stem}_line_{text.count(chr(10), 0, match.start()) + 2}": match[1]
        for match in re.finditer(FENCE, text)
        if not text[: match.start()].rstrip().endswith("Before:")
    }


@pytest.mark.skipif(find_spec("mypy") is None, reason="needs mypy")
@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="the README is not beside these tests")
@pytest.mark.slow
@pytest.mark.parametrize("programs", [programs_of_readme, programs_of_pages])
def test_programs_pass_strict_type_checks(programs: Callable[[], dict[str, str]], tmp_path: Path) -> None:
    for name, program in programs().items():
        # Blocks of pages await as notebooks do.
        awaits = re.search(r"(?m)^(?:await|async with|async for) ", program)
        text = f"async def page() -> None:\n{indent(program, '    ')}" if awaits else program
        # The SageMaker SDK is not installed.
        (tmp_path / f"{name}.py").write_text(f'# mypy: disable-error-code="import-not-found"\n{text}', "utf-8")
    # The options of the lint: other ones would not share its cache, and read all frameworks again.
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache'}"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
