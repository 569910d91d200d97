"""The page for people who move here says nothing that does not run."""

import re
from pathlib import Path

import pytest

from sagewire.integrations import _fallback_profile as _fallback_profile
from sagewire.integrations import litellm
from sagewire.integrations.easyllm import sagemaker

PAGE = Path(__file__).parents[2] / "docs" / "migrating.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
HUGGING_FACE = "https://abc.us-east-1.aws.endpoints.huggingface.cloud"


def programs():
    """Yield the programs that are not headed "Before:", by the section they are in."""
    for section in re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.M)[1:]:
        name = section.partition("\n")[0]
        for number, block in enumerate(BLOCK.finditer(section)):
            before = section[: block.start()].rstrip().endswith("Before:")
            if not before:
                yield pytest.param(block[1], id=f"{name} {number}")


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    monkeypatch.setattr(sagemaker, "prompt_builder", None)
    monkeypatch.setattr(_fallback_profile, "_said", set())
    yield
    litellm.custom_prompt_dict.clear()


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not beside these tests")
@pytest.mark.parametrize("program", list(programs()) if PAGE.exists() else [])
def test_after(program, emulator, capsys):
    emulator.add("my-llama", "tgi:echo")
    emulator.add("my-embedder", "tei")
    program = program.replace(HUGGING_FACE, emulator.container_url("my-llama"))
    exec(compile(program, "migrating.md", "exec"), {"__name__": "__main__"})
    out = capsys.readouterr().out
    assert "sky" in out or "sky is blue because" in program or "\n3\n" in out


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not beside these tests")
def test_there_is_a_program_for_each_library():
    text = PAGE.read_text("utf-8")
    for name in re.findall(r"^- \[(.+?)\]", text, re.M):
        assert f"\n## {name}\n" in text
    assert len(list(programs())) >= 10
