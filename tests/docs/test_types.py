"""The README's programs, and calls whose types depend on an argument, pass `mypy --strict`."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = r"(?ms)^```python\n(.*?)^```"
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


@pytest.mark.skipif(find_spec("mypy") is None, reason="needs mypy")
@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="the README is not beside these tests")
def test_programs_pass_strict_type_checks(tmp_path: Path) -> None:
    programs = [*re.findall(FENCE, (ROOT / "README.md").read_text("utf-8")), ANSWERS]
    assert len(programs) > 5
    files = [tmp_path / f"program_{number}.py" for number in range(len(programs))]
    for file, program in zip(files, programs, strict=True):
        file.write_text(program, "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache'}"]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
