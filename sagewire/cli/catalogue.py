"""`sagewire formats`, `handlers` and `render`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer
from rich.table import Column, Table
from rich.text import Text

from sagewire.cli._app import console, friendly, show_table
from sagewire.cli._options import AsJson, format_names
from sagewire.content_handlers import HANDLERS, get_handler
from sagewire.errors import UsageError
from sagewire.prompt_formats import FORMATS, get_format
from sagewire.types import Message


@friendly
def handlers(as_json: AsJson = False) -> None:
    """List the wire formats of serving containers."""
    rows: list[dict[str, Any]] = []
    for name in sorted(HANDLERS):
        handler = get_handler(name)
        abilities = [
            ability for ability in ("streaming", "tools", "images", "usage", "n") if getattr(handler.can, ability)
        ]
        rows.append({"name": name, "speaks": handler.speaks, "can": abilities, "about": _first_line(handler)})
    if as_json:
        console.out(orjson.dumps(rows).decode())
        return
    table = Table("handler", "takes", "can", Column("about", overflow="fold"), box=None, header_style="bold")
    for row in rows:
        table.add_row(row["name"], row["speaks"], ", ".join(row["can"]), row["about"])
    show_table(table)


@friendly
def formats(as_json: AsJson = False) -> None:
    """List the prompt formats of model families."""
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
        str, typer.Argument(metavar="FORMAT", help="A format, see `sagewire formats`.", autocompletion=format_names)
    ],
    user: Annotated[list[str], typer.Argument(help="User turns; between them stands a sample answer.")],
    system: Annotated[str | None, typer.Option(help="System text.")] = None,
) -> None:
    """Show the exact prompt a format writes, its special tokens highlighted."""
    prompt_format = get_format(name)
    if not user:
        raise UsageError("give at least one user turn")
    messages = [Message("system", system)] if system else []
    for number, turn in enumerate(user):
        if number:
            messages.append(Message("assistant", "(answer)"))
        messages.append(Message("user", turn))
    shown = Text(prompt_format.render(messages))
    shown.highlight_words(prompt_format.special_tokens, style="bold cyan")
    console.print(shown, soft_wrap=True, end="" if not console.is_terminal else "\n")


def _first_line(handler: object) -> str:
    return (type(handler).__doc__ or "").strip().partition("\n")[0]
