"""The `sagewire` command: one file per group of commands, put together here."""

from __future__ import annotations

import typer

from sagewire.cli._app import app
from sagewire.cli.bulk import bulk
from sagewire.cli.catalogue import formats, handlers, render
from sagewire.cli.conversation import ask, chat
from sagewire.cli.endpoints import doctor, inspect
from sagewire.cli.gateway import check_litellm, gateway
from sagewire.cli.keys import keys
from sagewire.cli.migrate import migrate
from sagewire.cli.servers import demo, emulator
from sagewire.cli.vectors import embed, rerank

__all__ = ["app"]

for command in (ask, chat, demo, doctor, embed, emulator, formats, handlers, inspect, migrate, render, rerank):
    app.command()(command)
# `sagewire gateway` serves; what stands behind it does something else.
serving = typer.Typer(invoke_without_command=True)
serving.callback()(gateway)
serving.command("check")(check_litellm)
app.add_typer(serving, name="gateway")
app.add_typer(bulk, name="bulk")
app.add_typer(keys, name="keys")
