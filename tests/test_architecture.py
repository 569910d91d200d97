"""What may import what: the promises that keep the package readable."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sagewire

PACKAGE = Path(sagewire.__file__).parent

# Every package and module below `sagewire` -> the others it may import; `types` and `errors` are open to all.
OPEN = {"types", "errors", "_names", "_short_repr"}
# "" is `sagewire.__version__`, for the user agent.
ALLOWED = {
    "types": set(),
    "errors": set(),
    "_extras": set(),
    "_forks": set(),
    "_names": set(),
    "_short_repr": set(),
    "_plugins": set(),
    "telemetry": set(),
    "streaming": set(),
    "http": {"_forks"},
    "openai_shapes": set(),
    "aws": {"http", "_forks", ""},
    "prompt_formats": {"aws", "streaming", "_extras", "_plugins"},
    "content_handlers": {"streaming", "_plugins"},
    "transports": {"aws", "http", "_forks"},
    "discovery": {"aws"},
    "client": {
        "content_handlers",
        "prompt_formats",
        "transports",
        "discovery",
        "streaming",
        "http",
        "aws",
        "telemetry",
        "_extras",
        "_forks",
    },
    "testing": {"client", "content_handlers", "streaming", "transports", "_extras"},
    "emulator": {"streaming"},
    "": {"client", "content_handlers", "prompt_formats", "transports", "http", "aws", "telemetry"},
}
BELOW_APPLICATIONS = {
    *("client", "content_handlers", "prompt_formats", "transports", "discovery", "streaming"),
    *("http", "aws", "openai_shapes", "telemetry", "_extras", "_forks", ""),
}
ALLOWED |= dict.fromkeys(("integrations", "gateway", "bulk"), BELOW_APPLICATIONS)
ALLOWED |= {
    "demo": {"integrations", "aws", "emulator", "_extras"},
    "migrate": {"_extras"},
    "cli": {*BELOW_APPLICATIONS, "bulk", "demo", "emulator", "gateway", "integrations", "migrate"},
    "__main__": {"cli", "_extras"},
}
# Modules in the root that begin with an underscore and are open to those who are allowed them above.
ROOT_MODULES = {"_extras", "_forks", "_names", "_plugins", "_short_repr"}
FRAMEWORKS = {"langchain_core", "langchain", "langchain_classic", "llama_index", "openai", "boto3", "starlette", "ray"}
MAY_IMPORT_FRAMEWORKS = {"integrations", "cli", "demo", "gateway", "bulk", "testing"}


def module_name(path: Path) -> str:
    return ".".join(("sagewire", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


PATHS = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_text("utf-8")) for name, path in PATHS.items()}


def room_of(module: str) -> str:
    return [*module.split("."), ""][1]


def imports_of(node: ast.AST, *, lazy: bool = True) -> Iterator[str]:
    """Yield the modules that are imported, for type checking too; `lazy` includes imports in functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield from (home_of(child.module, alias.name) for alias in child.names)
        elif lazy or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports_of(child, lazy=lazy)


def home_of(module: str, name: str) -> str:
    """Return the module that `from module import name` reads, behind the lazy names of sagewire itself too."""
    if f"{module}.{name}" in PATHS:
        return f"{module}.{name}"
    return sagewire._HOMES.get(name, module) if module == "sagewire" else module


def own(names: Iterator[str]) -> set[str]:
    return {name for name in names if name == "sagewire" or name.startswith("sagewire.")}


def test_imports_follow_the_map(modules: dict[str, ast.Module]) -> None:
    wrong = []
    for module, tree in modules.items():
        room = room_of(module)
        allowed = ALLOWED.get(room, set()) | OPEN | {room}
        wrong += [f"{module} imports {name}" for name in own(imports_of(tree)) if room_of(name) not in allowed]
    assert not wrong, "\n".join(sorted(wrong))
    assert {room_of(module) for module in PATHS} <= ALLOWED.keys(), "a package is missing in the map"


def test_frameworks_are_imported_in_few_places(modules: dict[str, ast.Module]) -> None:
    wrong = [
        f"{module} imports {name}"
        for module, tree in modules.items()
        if room_of(module) not in MAY_IMPORT_FRAMEWORKS
        for name in imports_of(tree)
        if name.partition(".")[0] in FRAMEWORKS
    ]
    assert not wrong, "\n".join(wrong)


def test_private_names_stay_in_their_package(modules: dict[str, ast.Module]) -> None:
    wrong = []
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sagewire")):
                continue
            names = [*node.module.split(".")[1:], *(alias.name for alias in node.names)]
            private = [name for name in names if name.startswith("_") and not name.startswith("__")]
            if room_of(f"{node.module}.{node.names[0].name}") != room_of(module):
                wrong += [f"{module} imports {node.module}: {name}" for name in private if name not in ROOT_MODULES]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle(modules: dict[str, ast.Module]) -> None:
    graph = {module: own(imports_of(tree, lazy=False)) & PATHS.keys() for module, tree in modules.items()}
    # Take away what imports nothing that is left, again and again: only circles, and what leads to them, remain.
    while leaves := {module for module, imported in graph.items() if not imported - {module}}:
        graph = {module: imported - leaves for module, imported in graph.items() if module not in leaves}
    assert not graph, "\n".join(f"{module} imports {', '.join(sorted(names))}" for module, names in graph.items())


def test_import_is_light() -> None:
    heavy = {"aiohttp", "boto3", "botocore", "jinja2", "langchain_core", "llama_index", "numpy", "rich", "urllib3"}
    code = f"import sys, sagewire, sagewire.client;sys.exit(', '.join(sorted({heavy!r} & set(sys.modules))) or 0)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_public_names_are_sorted_and_importable() -> None:
    assert sagewire.__all__ == sorted(sagewire.__all__)
    for name in sagewire.__all__:
        assert getattr(sagewire, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Clinet'"):
        sagewire.Clinet  # noqa: B018


@pytest.mark.skipif("SAGEWIRE_TEST_INSTALLED" not in os.environ, reason="only `make test` installs the built wheel")
def test_the_installed_wheel_is_what_is_tested() -> None:
    assert "site-packages" in str(PACKAGE)
    assert (PACKAGE / "py.typed").exists()
