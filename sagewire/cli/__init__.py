"""The `sagewire` command: one file per group of commands, put together here."""

from __future__ import annotations

from sagewire.cli._app import app
from sagewire.cli.bulk import bulk
from sagewire.cli.catalogue import formats, handlers, render
from sagewire.cli.conversation import ask, chat
from sagewire.cli.endpoints import doctor, inspect
from sagewire.cli.gateway import gateway, keys
from sagewire.cli.migrate import migrate
from sagewire.cli.servers import demo, emulator
from sagewire.cli.vectors import embed, rerank

__all__ = ["app"]

for command in (ask, chat, demo, doctor, embed, emulator, formats, gateway, handlers, inspect, migrate, render, rerank):
    app.command()(command)
app.add_typer(bulk, name="bulk")
app.add_typer(keys, name="keys")
