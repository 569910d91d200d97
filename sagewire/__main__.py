"""`python -m sagewire`, and the `sagewire` command."""

from __future__ import annotations

import sys

from sagewire._extras import require
from sagewire.errors import MissingExtra

__all__ = ["main"]


def main() -> None:
    """Run the command line; without typer and rich, say in one sentence what to install."""
    try:
        require("typer", "cli")
        require("rich", "cli")
    except MissingExtra as error:
        sys.exit(f"sagewire: {error}")
    from sagewire.cli import app

    app(prog_name="sagewire")


if __name__ == "__main__":
    main()
