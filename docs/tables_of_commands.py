"""The command line as a page: every command with its arguments and options, out of the application itself."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer
from table_rows import code, table
from typer.models import ArgumentInfo, OptionInfo

from sagewire.cli import app

__all__ = ["commands"]


@dataclass(frozen=True)
class _Given:
    """One argument or option: what the function calls it, what it takes, and what typer was told of it."""

    name: str
    kind: Any
    info: ArgumentInfo | OptionInfo
    default: Any

    @property
    def is_option(self) -> bool:
        return isinstance(self.info, OptionInfo)

    @property
    def spelt(self) -> str:
        """Return it as it is written on the command line."""
        if not self.is_option:
            return str(self.info.metavar or self.name.upper())
        written = self.name.replace("_", "-")
        plain = f"--{written}/--no-{written}" if self.kind is bool else f"--{written}"
        # In an annotation the first name stands where the default would.
        first = [self.info.default] if str(self.info.default).startswith("-") else []
        names = sorted([*first, *(self.info.param_decls or ())] or [plain], key=lambda name: name[:2] != "--")
        word = "" if self.kind is bool else f" {_takes(self.kind)}"
        return ", ".join(code(f"{name.replace('/', ', ')}{word}") for name in names)

    @property
    def placed(self) -> str:
        """Return it as it stands in a line of usage."""
        name = self.spelt + ("..." if get_origin(self.kind) is list else "")
        return name if self.default is inspect.Parameter.empty else f"[{name}]"

    @property
    def row(self) -> tuple[str, str, str]:
        """Return its row of the table."""
        if not self.info.help:
            raise ValueError(f"{self.name} does not say what it is")
        shown = "" if self.default in (None, "", False) else code(str(self.default))
        needed = self.default is inspect.Parameter.empty
        return self.spelt if self.is_option else code(self.spelt), self.info.help, "needed" if needed else shown


def commands() -> str:
    """Return a section for each command of `sagewire`, in the order of their names."""
    return "\n".join(_sections("sagewire", app))


def _sections(path: str, group: typer.Typer) -> Iterator[str]:
    found: dict[str, Callable[..., Any] | typer.Typer] = {}
    for command in group.registered_commands:
        assert command.callback is not None
        found[command.name or command.callback.__name__.replace("_", "-")] = command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        found[str(inner.name)] = inner.typer_instance
    for name in sorted(found):
        what = found[name]
        if isinstance(what, typer.Typer):
            own = what.registered_callback and what.registered_callback.callback
            yield _section(f"{path} {name}", own) if own else f"## {path} {name}\n\n{what.info.help}\n"
            yield from _sections(f"{path} {name}", what)
        else:
            yield _section(f"{path} {name}", what)


def _section(path: str, command: Callable[..., Any]) -> str:
    # Arguments stand before options, as on the command line.
    given = sorted(_given(command), key=lambda one: one.is_option)
    optional = [] if all(not one.is_option for one in given) else ["[OPTIONS]"]
    usage = " ".join([path, *(one.placed for one in given if not one.is_option), *optional])
    says = re.sub(r"\s+", " ", inspect.getdoc(command) or "")
    parts = [f"{'#' * len(path.split())} {path}", says, f"```\n{usage}\n```"]
    if given:
        parts.append(table(("Argument or option", "Description", "Default"), [one.row for one in given]).rstrip())
    return "\n\n".join(parts) + "\n"


def _given(command: Callable[..., Any]) -> Iterator[_Given]:
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if hints[name] is typer.Context:
            continue
        kind, *extras = get_args(hints[name]) if get_origin(hints[name]) is Annotated else (hints[name],)
        default = parameter.default
        if isinstance(default, ArgumentInfo | OptionInfo):
            extras, default = [default], default.default
        [info] = extras
        yield _Given(name, _plain(kind), info, default)


def _plain(kind: Any) -> Any:
    """Return a type without its `None`."""
    if get_origin(kind) in (Union, types.UnionType):
        [kind] = [one for one in get_args(kind) if one is not types.NoneType]
    return kind


def _takes(kind: Any) -> str:
    if get_origin(kind) is list:
        kind = get_args(kind)[0]
    return {int: "NUMBER", float: "NUMBER", Path: "FILE"}.get(kind, "TEXT")
