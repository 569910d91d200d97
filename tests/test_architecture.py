"""What may import what, and how large things may grow: the promises that keep the package readable."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sagewire

PACKAGE = Path(sagewire.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each folder or module -> what of sagewire it may import. `types` and `errors` are open to all.
OPEN = {"types", "errors"}
ALLOWED = {
    "types": set(),
    "errors": set(),
    "streaming": set(),
    "http": {"_forks"},
    "openai_shapes": set(),
    "aws": {"http", "_extras", "_forks", ""},  # "" is sagewire.__version__, for the user agent
    "prompt_formats": {"streaming", "_extras"},
    "content_handlers": {"streaming", "_extras"},
    "transports": {"aws", "http", "_extras", "_forks"},
    "discovery": {"aws"},
    "emulator": {"streaming"},
    "_extras": set(),
}
PUBLIC = {
    "aws",
    "client",
    "content_handlers",
    "discovery",
    "http",
    "openai_shapes",
    "prompt_formats",
    "transports",
    "_extras",
    "",
}
FRAMEWORKS = {"langchain_core", "langchain", "langchain_classic", "llama_index", "openai", "boto3", "starlette", "ray"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def own_rooms(path: Path) -> set[str]:
    return {
        [*name.split("."), ""][1] for name in imports_of(path) if name == "sagewire" or name.startswith("sagewire.")
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_map(path: Path) -> None:
    room = room_of(path)
    if room in ALLOWED:
        assert own_rooms(path) <= ALLOWED[room] | OPEN | {room}
    elif room == "integrations":
        assert own_rooms(path) <= PUBLIC | OPEN | {room}
    if room != "integrations" and room not in {"cli", "demo", "gateway", "bulk", "testing"}:
        assert not {name.partition(".")[0] for name in imports_of(path)} & FRAMEWORKS


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_over_400_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400


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
