"""What is published: the same bytes wherever it is built, complete metadata, and all that belongs to it."""

import ast
import email.message
import email.parser
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
INCLUDED = [path.strip("/") for path in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]]
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "site")


def copy_to(folder: Path, seconds: int) -> Path:
    """Copy what the build reads, every file with a time of its own."""
    for name in [*INCLUDED, ".gitignore"]:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
        elif (ROOT / name).exists():
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for number, path in enumerate(sorted(folder.rglob("*"))):
        os.utime(path, (seconds + number, seconds + number))
    return folder


def build(folder: Path, mask: int) -> dict[str, Path]:
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    command = [sys.executable, "-m", "hatchling", "build"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, umask=mask)
    return {"sdist": next((folder / "dist").glob("*.tar.gz")), "wheel": next((folder / "dist").glob("*.whl"))}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(copy_to(tmp_path_factory.mktemp("here") / "sagewire", 1_700_000_000), 0o022)


@pytest.fixture(scope="module")
def shipped(built: dict[str, Path]) -> set[str]:
    with tarfile.open(built["sdist"]) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.fixture(scope="module")
def metadata(built: dict[str, Path]) -> email.message.Message:
    with zipfile.ZipFile(built["wheel"]) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.parser.Parser().parsestr(archive.read(name).decode())


def test_it_is_built_alike_elsewhere_and_later(built: dict[str, Path], tmp_path: Path) -> None:
    again = build(copy_to(tmp_path / "another-place", 1_790_000_000), 0o077)
    for kind, path in built.items():
        assert path.name == again[kind].name
        assert digest(path) == digest(again[kind]), kind


def test_the_package_index_would_take_it(built: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *map(str, built.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_metadata_are_complete(metadata: email.message.Message) -> None:
    single = ("Summary", "License-Expression", "Requires-Python", "Description-Content-Type", "Keywords", "Author")
    assert [name for name in single if not metadata[name]] == []
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert set(metadata.get_all("Provides-Extra") or ()) == {
        name.replace("_", "-") for name in PROJECT["project"]["optional-dependencies"]
    }
    classifiers = metadata.get_all("Classifier") or []
    assert len(classifiers) == len(set(classifiers))
    assert all(f"Programming Language :: Python :: 3.{minor}" in classifiers for minor in (11, 12, 13))
    assert "# sagewire" in str(metadata.get_payload())


def test_the_wheel_is_the_package_alone(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if not name.startswith("sagewire-")}
    assert inside == {f"sagewire/{path}" for path in files(ROOT / "sagewire")}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_distribution_is_whole(shipped: set[str]) -> None:
    """Whoever has it can run the tests, build the site, and open the notebooks."""
    wanted = {f"{name}/{path}" for name in INCLUDED if (ROOT / name).is_dir() for path in files(ROOT / name)}
    wanted |= {name for name in INCLUDED if (ROOT / name).is_file()}
    assert wanted <= shipped
    # Hatchling adds the file with the patterns of what to leave out.
    assert shipped - wanted <= {"PKG-INFO", ".gitignore"}


def test_nothing_that_git_knows_is_forgotten(shipped: set[str]) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("git cannot be asked")
    known = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    # How this repository is checked and hosted means nothing elsewhere.
    here_only = (".ci/", ".github/", ".pre-commit-config.yaml", ".dockerignore")
    assert {name for name in known - shipped if not name.startswith(here_only)} == set()


def test_every_file_of_the_package_can_be_read_by_the_oldest_python(shipped: set[str]) -> None:
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=3.")
    for name in sorted(shipped):
        if name.startswith("sagewire/") and name.endswith(".py"):
            ast.parse((ROOT / name).read_text("utf-8"), name, feature_version=(3, int(oldest)))


def files(folder: Path) -> Iterable[str]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") or part in {"__pycache__", "site"} for part in inside.parts)
        if path.is_file() and not hidden and path.suffix != ".pyc":
            yield inside.as_posix()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
