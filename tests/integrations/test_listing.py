"""What LangChain and LlamaIndex ask of a package that they list."""

import inspect
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from sagewire.integrations import langchain, llama_index

ROOT = Path(__file__).parents[2]
COMMON = ("Setup:", "Key init args", "Instantiate:", "Async:")
SECTIONS = {
    "ChatSagemakerEndpoint": (
        *("Invoke:", "Stream:", "Tool calling:", "Structured output:"),
        *("Token usage:", "Response metadata:"),
    ),
    "SagemakerEndpoint": ("Invoke:", "Stream:"),
    "SagemakerEndpointEmbeddings": ("Embed single text:", "Embed multiple texts:"),
}


@pytest.mark.parametrize("name", SECTIONS)
def test_docstrings_have_the_sections_of_langchain(name):
    model = getattr(langchain, name)
    lines = [line.strip() for line in inspect.getdoc(model).splitlines()]
    for section in (*COMMON, *SECTIONS[name]):
        assert any(line.startswith(section) for line in lines), section
    known = set(model.model_fields)
    known |= {
        alias for field in model.model_fields.values() for alias in getattr(field.validation_alias, "choices", ())
    }
    listed = [lines[place + 1] for place, line in enumerate(lines) if line.startswith("Key init args")]
    named = {argument.strip("` .") for line in listed for argument in line.split(",")}
    assert named <= known


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="the source is not beside these tests")
def test_llamahub_finds_every_class():
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["llamahub"]
    module = import_module(table["import_path"])
    assert set(table["class_authors"]) == {name for name in llama_index.__all__ if "IOHandler" not in name}
    for name in table["class_authors"]:
        assert getattr(module, name).class_name()
