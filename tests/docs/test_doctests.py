"""Every example in a docstring is run."""

import doctest
import importlib
import pkgutil

import pytest

import sagewire
from sagewire.errors import MissingExtra

# Two modules start the program when they are imported or run.
LEFT_OUT = {"sagewire.__main__"}
MODULES = sorted(
    {"sagewire"} | {found.name for found in pkgutil.walk_packages(sagewire.__path__, "sagewire.", lambda name: None)}
)


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("name", [name for name in MODULES if name not in LEFT_OUT])
def test_examples(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except MissingExtra as error:
        pytest.skip(str(error))
    except ModuleNotFoundError as error:
        # What an extra of its own brings (Ray, Arrow).
        if str(error.name).startswith("sagewire"):
            raise
        pytest.skip(f"{error.name} is not installed")
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
