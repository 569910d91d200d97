"""What the site takes from outside `docs/`: the notebooks as tutorials, the changelog, the rules for contributors.

With `SAGEWIRE_DOCS_RUN=1` the notebooks are run, and their pages show what they print and draw.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Files of the repository that are pages of the site, too; their links to each other are changed with them.
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
# Links to files of the repository, and the pages that say the same.
LINKS = {
    "../README.md#first-call": "how_to/offline_testing.md",
    "../sagewire/errors.py": "reference/errors.md",
    "../benchmarks/results.png": "results.png",
}
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of other files."""
    for source, target in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        for other, page in PAGES.items():
            text = text.replace(f"]({other})", f"]({page})")
        files.append(File.generated(config, target, content=text))
    files.append(File.generated(config, "results.png", content=(ROOT / "benchmarks" / "results.png").read_bytes()))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = _read(path)
        pictures: list[bytes] = []
        page = "\n\n".join(_blocks(notebook, path.stem, pictures))
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=page))
        for number, picture in enumerate(pictures):
            files.append(File.generated(config, _picture(path.stem, number), content=picture))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links out of `docs/` into links to pages."""
    for link, target in LINKS.items():
        markdown = markdown.replace(f"]({link})", f"]({target})")
    return markdown


def _read(path: Path) -> Any:
    if os.environ.get("SAGEWIRE_DOCS_RUN") != "1":
        return json.loads(path.read_text("utf-8"))
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config

    # Kernels that listen on a port warn of it.
    config = Config(KernelManager={"transport": "ipc"})
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=90, kernel_name="python3", config=config).execute()
    return notebook


def _blocks(notebook: Any, stem: str, pictures: list[bytes]) -> Iterator[str]:
    for number, cell in enumerate(notebook["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            # Notebooks name each other; here the names are links.
            yield re.sub(r"`(\d\d_\w+)`", r"[\1](\1.md)", text)
        else:
            yield _fence(text, "python")
            yield from _shown(cell.get("outputs", ()), stem, pictures)
        if number == 0:
            yield f"This page is `notebooks/{stem}.ipynb` of the repository."


def _shown(outputs: Any, stem: str, pictures: list[bytes]) -> Iterator[str]:
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            place = _picture(stem, len(pictures)).removeprefix("tutorials/")
            pictures.append(base64.b64decode(data["image/png"]))
            yield f"![What the cell draws]({place})"
        elif "text/plain" in data:
            printed += data["text/plain"]
    if printed.strip():
        yield _fence(COLOURS.sub("", printed).rstrip(), "text")


def _picture(stem: str, number: int) -> str:
    return f"tutorials/{stem}-{number}.png"


def _fence(text: str, language: str) -> str:
    marks = max([3, *(len(found) + 1 for found in re.findall(r"(?m)^`{3,}", text))])
    return f"{'`' * marks}{language}\n{text}\n{'`' * marks}"
