"""`sagewire embed` and `sagewire rerank`: texts in, JSON lines or a ranking out."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.table import Column, Table

from sagewire.cli._app import console, friendly, read_input, show_table
from sagewire.cli._options import AsJson, Endpoint, HandlerOptions
from sagewire.client import Client
from sagewire.errors import UsageError


@friendly
def embed(
    endpoint: Endpoint,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts. Default: one per line of standard input.")] = None,
    *,
    options: HandlerOptions,
) -> None:
    """Print a JSON line with the vector of each text.

    Example: sagewire embed my-embedder "one text" "another" > vectors.jsonl
    """
    chosen = texts or _lines()
    with Client(**options.client_arguments(endpoint)) as client:
        for text, vector in zip(chosen, client.embed(chosen).vectors, strict=True):
            console.out(orjson.dumps({"text": text, "embedding": vector}).decode(), highlight=False)


@friendly
def rerank(
    endpoint: Endpoint,
    query: Annotated[str, typer.Argument(help="The query.")],
    documents: Annotated[
        list[str] | None, typer.Argument(help="Documents. Default: one per line of standard input.")
    ] = None,
    top_n: Annotated[int | None, typer.Option("--top", min=1, help="Maximum number of documents to return.")] = None,
    *,
    options: HandlerOptions,
    as_json: AsJson = False,
) -> None:
    """Order documents by their relevance to a query, the best first.

    Example: sagewire rerank my-reranker "why is the sky blue" < documents.txt
    """
    chosen = documents or _lines()
    with Client(**options.client_arguments(endpoint)) as client:
        ranking = client.rerank(query, chosen, top_n=top_n)
    if as_json:
        rows = [{"index": one.index, "score": one.score, "document": chosen[one.index]} for one in ranking]
        console.out(orjson.dumps(rows).decode(), highlight=False)
        return
    table = Table("score", Column("document", overflow="fold"), box=None, header_style="bold")
    for one in ranking:
        table.add_row(f"{one.score:.4f}", escape(chosen[one.index]))
    show_table(table)


def _lines() -> list[str]:
    lines = [line for line in read_input().splitlines() if line.strip()]
    if not lines:
        raise UsageError("no text: standard input is empty; pipe one text per line in, or give texts as arguments")
    return lines
