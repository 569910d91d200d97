"""`sagewire embed` and `sagewire rerank`: texts in, JSON lines or a ranking out."""

from __future__ import annotations

import sys
from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from sagewire.cli._app import (
    AsJson,
    Endpoint,
    HandlerName,
    Profile,
    Region,
    RoleArn,
    client_arguments,
    console,
    friendly,
)
from sagewire.client import Client
from sagewire.errors import UsageError


@friendly
def embed(
    endpoint: Endpoint,
    texts: Annotated[list[str] | None, typer.Argument(help="The texts; without any, one per line of input.")] = None,
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    handler: HandlerName = None,
) -> None:
    """Print a JSON line with the vector of each text."""
    chosen = texts or _lines()
    with Client(**client_arguments(endpoint, region, profile, role_arn, handler, None)) as client:
        for text, vector in zip(chosen, client.embed(chosen).vectors, strict=True):
            console.out(orjson.dumps({"text": text, "embedding": vector}).decode(), highlight=False)


@friendly
def rerank(
    endpoint: Endpoint,
    query: Annotated[str, typer.Argument(help="What the documents should be relevant to.")],
    documents: Annotated[list[str] | None, typer.Argument(help="The documents; else one per line of input.")] = None,
    top_n: Annotated[int | None, typer.Option("--top", min=1, help="Only the best so many.")] = None,
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    handler: HandlerName = None,
    as_json: AsJson = False,
) -> None:
    """Order documents by their relevance to a query, the best first."""
    chosen = documents or _lines()
    with Client(**client_arguments(endpoint, region, profile, role_arn, handler, None)) as client:
        ranking = client.rerank(query, chosen, top_n=top_n)
    if as_json:
        rows = [{"index": one.index, "score": one.score, "document": chosen[one.index]} for one in ranking]
        console.out(orjson.dumps(rows).decode(), highlight=False)
        return
    table = Table("score", "document", box=None, header_style="bold")
    for one in ranking:
        table.add_row(f"{one.score:.4f}", escape(chosen[one.index]))
    console.print(table)


def _lines() -> list[str]:
    if sys.stdin.isatty():
        raise UsageError("no texts: give them as arguments, or pipe them in, one per line")
    return [line for line in sys.stdin.read().splitlines() if line.strip()]
