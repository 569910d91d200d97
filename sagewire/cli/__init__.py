"""The `sagewire` command: one file per group of commands, put together here."""

from __future__ import annotations

from sagewire.cli._app import app
from sagewire.cli.catalogue import formats, handlers, render
from sagewire.cli.conversation import ask, chat
from sagewire.cli.servers import demo, emulator

__all__ = ["app"]

for command in (ask, chat, demo, emulator, formats, handlers, render):
    app.command()(command)
