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
from sagewire.content_handlers import EMBEDDING_HANDLERS, HANDLERS, RERANK_HANDLERS, get_handler
from sagewire.errors import UsageError
from sagewire.prompt_formats import FORMATS, get_format
from sagewire.types import Message, Tool, as_tools

_ABILITIES = ("streaming", "tools", "images", "usage", "n")


@friendly
def handlers(as_json: AsJson = False) -> None:
    """List the content handlers: the request formats of serving containers, by task.

    Example: sagewire handlers --json
    """
    rows = _handler_rows()
    if as_json:
        console.out(orjson.dumps(rows).decode())
        return
    table = Table(
        "task", "handler", "takes", "supports", Column("about", overflow="fold"), box=None, header_style="bold"
    )
    for row in rows:
        table.add_row(row["task"], row["name"], row["takes"], ", ".join(row["supports"]), row["about"])
    show_table(table)


def _handler_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in sorted(HANDLERS):
        handler = get_handler(name)
        supports = [ability for ability in _ABILITIES if getattr(handler.can, ability)]
        rows.append({"task": "generate", "name": name, "takes": handler.speaks, "supports": supports, "about": handler})
    for name in sorted(EMBEDDING_HANDLERS):
        about = EMBEDDING_HANDLERS[name]()
        rows.append({"task": "embed", "name": name, "takes": "texts", "supports": [], "about": about})
    for name in sorted(RERANK_HANDLERS):
        ranker = RERANK_HANDLERS[name]()
        rows.append({"task": "rerank", "name": name, "takes": "query, documents", "supports": [], "about": ranker})
    return [{**row, "about": _first_line(row["about"])} for row in rows]


@friendly
def formats(as_json: AsJson = False) -> None:
    """List the prompt formats of model families.

    Example: sagewire formats --json
    """
    rows = []
    for name in sorted(FORMATS):
        known = get_format(name)
        rows.append({"name": name, "stops": list(known.stops)})
    if as_json:
        console.out(orjson.dumps(rows).decode())
        return
    table = Table("format", Column("stops", overflow="fold"), box=None, header_style="bold")
    for row in rows:
        table.add_row(str(row["name"]), Text(" ".join(row["stops"])))
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


def _first_line(handler: object) -> str:
    return (type(handler).__doc__ or "").strip().partition("\n")[0]
