"""`sagewire formats`, `handlers` and `render`: the built-in handlers and formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Column, Table
from rich.text import Text

from sagewire.cli._app import console, friendly, read_input, show_table
from sagewire.cli._options import AsJson, format_names
from sagewire.content_handlers import EmbeddingHandler, RerankHandler, find_handler, handler_names
from sagewire.errors import UsageError
from sagewire.prompt_formats import get_format, known_formats
from sagewire.prompt_formats.catalogue import FAMILIES, MODELS, family_of
from sagewire.types import Message, Tool, as_tools

_ABILITIES = ("streaming", "tools", "images", "usage", "n")
_TASKS = ("generate", "embed", "rerank", "")


@friendly
def handlers(as_json: AsJson = False) -> None:
    """List the content handlers: the request formats of serving containers, by task, with those of plug-ins.

    Example: sagewire handlers --json
    """
    rows = sorted(map(_handler_row, handler_names()), key=lambda row: _TASKS.index(row["task"]))
    if as_json:
        console.out(orjson.dumps(rows).decode())
        return
    table = Table(
        "task", "handler", "takes", "supports", Column("about", overflow="fold"), box=None, header_style="bold"
    )
    for row in rows:
        table.add_row(row["task"], row["name"], row["takes"], ", ".join(row["supports"]), row["about"])
    show_table(table)


@friendly
def formats(as_json: AsJson = False) -> None:
    """List the prompt formats by model family, with examples of their models, and those of plug-ins.

    Example: sagewire formats --json
    """
    order = [*FAMILIES, ""]
    rows = sorted(map(_format_row, known_formats()), key=lambda row: order.index(row["family"]))
    if as_json:
        console.out(orjson.dumps(rows).decode())
        return
    table = Table(
        Column("family", overflow="fold"),
        Column("format", no_wrap=True),
        "tools",
        Column("models, among others", overflow="fold"),
        box=None,
        header_style="bold",
    )
    before = None
    for row in rows:
        shown = "" if row["family"] == before else row["family"]
        table.add_row(shown, row["name"], "yes" if row["tools"] else "", Text("\n".join(row["models"])))
        before = row["family"]
    show_table(table)


@friendly
def render(
    name: Annotated[
        str,
        typer.Argument(metavar="FORMAT", help="Prompt format; see `sagewire formats`.", autocompletion=format_names),
    ],
    user: Annotated[list[str], typer.Argument(help="User turns. A sample answer stands between them.")],
    system: Annotated[str | None, typer.Option(help="System text.")] = None,
    tools: Annotated[
        Path | None, typer.Option(help="JSON file with a list of tools, in OpenAI's shape. Use - for standard input.")
    ] = None,
) -> None:
    """Show the exact prompt a format writes, its special tokens highlighted.

    Example: sagewire render qwen2_5 "Is it raining in Bergen?" --tools tools.json
    """
    prompt_format = get_format(name)
    if not user:
        raise UsageError("give at least one user turn")
    messages = [Message("system", system)] if system else []
    for number, turn in enumerate(user):
        if number:
            messages.append(Message("assistant", "(answer)"))
        messages.append(Message("user", turn))
    shown = Text(prompt_format.render(messages, _tools(tools)))
    shown.highlight_words(prompt_format.special_tokens, style="bold cyan")
    console.print(shown, soft_wrap=True, end="" if not console.is_terminal else "\n")


def _tools(path: Path | None) -> list[Tool] | None:
    if path is None:
        return None
    try:
        given = orjson.loads(read_input() if str(path) == "-" else path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path} is not valid JSON: {error}") from None
    return list(as_tools(given if isinstance(given, list) else [given]))


def _handler_row(name: str) -> dict[str, Any]:
    try:
        handler = find_handler(name)
    except UsageError as error:
        # A plug-in that cannot be used must not hide the others.
        return {"task": "", "name": name, "takes": "", "supports": [], "about": str(error)}
    row = {"name": name, "supports": [], "about": _first_line(handler)}
    if isinstance(handler, EmbeddingHandler):
        return {"task": "embed", "takes": "texts", **row}
    if isinstance(handler, RerankHandler):
        return {"task": "rerank", "takes": "query, documents", **row}
    supports = [ability for ability in _ABILITIES if getattr(handler.can, ability)]
    return {"task": "generate", "takes": handler.speaks, **row, "supports": supports}


def _format_row(name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"family": family_of(name), "name": name, "models": list(MODELS.get(name, ()))}
    try:
        found = get_format(name)
    except UsageError as error:
        return {**row, "tools": False, "stops": [], "about": str(error)}
    return {**row, "tools": getattr(found, "supports_tools", False), "stops": list(found.stops)}


def _first_line(handler: object) -> str:
    return (type(handler).__doc__ or "").strip().partition("\n")[0]
