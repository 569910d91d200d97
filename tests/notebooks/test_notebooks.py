"""The notebooks: how they are stored, and that they run from top to bottom as a reader would run them."""

import ast
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cases import each

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# A cell takes well under a second or two; importing a framework on a busy machine may take longer.
CELL_SECONDS = 90
# What would send a notebook to an endpoint of the reader's own, or past the emulator.
FOREIGN = ("AWS_", "HF_", "HUGGING", "SAGEWIRE_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="the notebooks are not part of the source distribution")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def code(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_all_tutorials_are_there() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{number:02}" for number in range(1, 13)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path: Path) -> None:
    notebook = read(path)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert cell["metadata"] == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_opens_with_prose_and_an_endpoint(path: Path) -> None:
    notebook = read(path)
    first = notebook["cells"][0]
    assert first["cell_type"] == "markdown"
    assert "".join(first["source"]).startswith("# ")
    # The tenth needs no server at all.
    if not path.stem.startswith("10_"):
        own, install, start = code(notebook)[:3]
        assert re.search(r"^(?:endpoint|url) = None  # your ", own, re.MULTILINE)
        assert "%pip install" in install
        assert "Emulator(" in start
    prose = sum(len("".join(cell["source"])) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    assert prose > 1200


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_mentions_only_notebooks_that_exist(path: Path) -> None:
    names = {other.stem for other in NOTEBOOKS}
    text = "\n".join("".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    assert set(re.findall(r"`(\d\d_\w+)`", text)) <= names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_own_endpoints_are_named_by_documented_variables(path: Path) -> None:
    notebook = read(path)
    prose = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    asked = set(re.findall(r'environ\.get\(\s*"(SAGEWIRE_\w+)"', "\n".join(code(notebook))))
    optional = {"SAGEWIRE_EXTERNAL_ID", "SAGEWIRE_EMBEDDINGS"}
    assert asked - optional <= set(re.findall(r"`(SAGEWIRE_\w+)`", prose))


@each(
    ("number", "name"),
    [
        *(("03", name) for name in ("endpoint", "role_arn")),
        *(("05", name) for name in ("endpoint", "embedder", "reranker")),
        ("07", "token"),
        *((number, "embedder") for number in ("09", "11")),
    ],
)
def test_half_of_what_belongs_together_is_refused(number: str, name: str) -> None:
    path = next(path for path in NOTEBOOKS if path.name.startswith(number))
    first, _, start, *_ = code(read(path))
    given = first.replace(f"{name} = None", f"{name} = 'mine'", 1)
    assert given != first
    with pytest.raises(ValueError, match=r"name (the|both|all)"):
        exec(f"{given}\n{start}", {})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_only_what_an_extra_brings(path: Path) -> None:
    known = {"boto3", "langchain", "langchain_classic", "langchain_core", "langchain_openai", "llama_index"}
    known |= {"matplotlib", "numpy", "openai", "pydantic", "sagewire", "yaml"} | sys.stdlib_module_names
    for cell in code(read(path)):
        tree = compile(cell, path.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= known
            elif isinstance(node, ast.ImportFrom):
                assert str(node.module).split(".")[0] in known


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own packages
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_runs_from_top_to_bottom(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    # Keys and usage of a gateway, caches of a plot library: nothing of it may stay behind.
    for name in ("HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", f"a reader would see:\n{output['text']}"
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert len(shown) >= 4


EMBEDS = """
from sagewire import Client
from sagewire.emulator import Emulator
with Emulator({"e": "tei"}) as emulator:
    client = Client(url=emulator.container_url("e"), handler="tei")
    client.embed(["a"] * 200, progress=True)
    await client.to_async().embed(["a"] * 200, progress=True)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own packages
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_embedding_a_corpus_shows_a_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(EMBEDS)])
    nbclient.NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3").execute()
    shown = [output["data"]["text/plain"] for output in notebook.cells[0].outputs]
    assert len(shown) == 2
    assert all("100% 200/200" in text for text in shown)
