"""Every example in a docstring is run."""

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

import sagewire
from sagewire.errors import MissingExtra

PACKAGE = Path(sagewire.__file__).parent
# It starts the program.
LEFT_OUT = {"sagewire.__main__"}
MODULES = {
    ".".join(("sagewire", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "migrations" not in path.parts  # run by Alembic
}


def load(name: str) -> ModuleType | None:
    """Import a module; return `None` if what it needs is an extra of its own (Ray, Arrow) that is not installed."""
    try:
        return importlib.import_module(name)
    except MissingExtra:
        return None
    except ModuleNotFoundError as error:
        if str(error.name).startswith("sagewire"):
            raise
        return None


def test_every_module_can_be_imported(clean_environment: None) -> None:
    loaded = [name for name in MODULES if name not in LEFT_OUT and load(name)]
    assert len(loaded) > 300


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if ">>> " in path.read_text("utf-8")])
def test_examples(name: str) -> None:
    module = load(name)
    if module is None:
        pytest.skip("needs an extra that is not installed")
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


def test_examples_are_there() -> None:
    finder = doctest.DocTestFinder()
    count = sum(
        len(found.examples)
        for name in ("sagewire.client", "sagewire.emulator.emulator", "sagewire.testing.recorded")
        for found in finder.find(importlib.import_module(name), name)
    )
    assert count >= 5
