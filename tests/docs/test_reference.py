"""The reference has every public name, and names nothing that does not exist."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sagewire
from sagewire.errors import MissingExtra

ROOT = Path(__file__).parents[2]
DIRECTIVE = re.compile(r"(?m)^::: (\S+)\n(?:    options: (.*)\n)?")
# Packages without names of their own: their public modules.
MODULES = {
    "sagewire.aws.session",
    "sagewire.client",
    "sagewire.errors",
    "sagewire.prompt_formats.chat_template",
    "sagewire.transports.async_inference",
    "sagewire.transports.base",
    "sagewire.transports.sagemaker.boto3_client",
    "sagewire.transports.http",
    "sagewire.transports.sagemaker",
    "sagewire.telemetry",
}
# The command line has a page of its own, made from the program.
LEFT_OUT = {("sagewire", "__version__"), ("sagewire.cli", "app")}
# What sagewire itself calls, and nobody else needs.
LEFT_OUT |= {("sagewire.telemetry", "Outcome"), ("sagewire.telemetry", "watch")}
LEFT_OUT |= {("sagewire.bulk.engines", "Engine"), ("sagewire.bulk.engines", "check_engine")}
LEFT_OUT |= {("sagewire.gateway.routing", "Router")}
# The gateway's page has a table of each, made from the models.
SETTINGS = ("GatewayConfig", "ModelConfig", "DeploymentConfig", "TimeLimits", "KeyConfig", "ServerConfig")
LEFT_OUT |= {("sagewire.gateway", "GatewayConfig"), *(("sagewire.gateway.config", name) for name in SETTINGS)}
pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the pages are not beside these tests")


def load(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except (MissingExtra, ModuleNotFoundError):
        return None


def all_modules() -> dict[str, ModuleType]:
    names = [found.name for found in pkgutil.walk_packages(sagewire.__path__, "sagewire.", lambda name: None)]
    names = ["sagewire", *(name for name in names if name != "sagewire.__main__")]
    return {name: module for name in names if (module := load(name)) is not None}


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    return all_modules()


def directives() -> dict[str, list[str] | None]:
    """Return what the pages describe: for a module its members, `None` for all that it has."""
    found: dict[str, list[str] | None] = {}
    for path in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for target, options in DIRECTIVE.findall(path.read_text("utf-8")):
            listed = re.search(r"members: (?:\[(.*?)\]|false)", options or "")
            found[target] = None if listed is None else [name.strip() for name in (listed[1] or "").split(",")]
    return found


def shown(name: str, value: Any, modules: dict[str, ModuleType], targets: dict[str, list[str] | None]) -> bool:
    """Return whether a name is described, under any of the places that export the same thing."""
    for place, module in modules.items():
        # A module without a list of names gives those that it makes itself.
        made_here = not (inspect.isclass(value) or inspect.isfunction(value)) or value.__module__ == place
        own = getattr(module, "__all__", None) or ([name] if made_here else [])
        if name in own and getattr(module, name, None) is value:
            if f"{place}.{name}" in targets:
                return True
            if place in targets and (targets[place] is None or name in (targets[place] or ())):
                return True
    return False


def test_every_public_name_is_described(modules: dict[str, ModuleType]) -> None:
    targets = directives()
    missing = []
    for place, module in modules.items():
        if "._" in place or not (hasattr(module, "__path__") or place in MODULES):
            continue
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if (place, name) in LEFT_OUT:
                continue
            described = value.__name__ in targets if isinstance(value, ModuleType) else None
            if described is None:
                described = shown(name, value, modules, targets)
            if not described:
                missing.append(f"{place}.{name}")
    assert not missing, "\n".join(missing)


def test_what_is_described_exists(modules: dict[str, ModuleType]) -> None:
    for target, members in directives().items():
        place, _, name = target.rpartition(".")
        if target in modules:
            assert all(hasattr(modules[target], member) for member in members or () if member), target
        else:
            assert hasattr(modules[place], name), target


def test_the_walk_sees_the_package(modules: dict[str, ModuleType]) -> None:
    assert set(modules) >= MODULES
    assert len(directives()) > 100
