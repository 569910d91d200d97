"""`python -m sagewire`, and the `sagewire` command."""

from __future__ import annotations

import signal
import sys

from sagewire._extras import require
from sagewire.errors import MissingExtra

__all__ = ["main"]


def main() -> None:
    """Run the command line; without typer and rich, say in one sentence what to install."""
    if sys.argv[1:2] == ["gateway"] and sys.platform != "win32":
        # Held back until the gateway can reload: it may come right after the start, and would end the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        require("typer", "cli")
        require("rich", "cli")
    except MissingExtra as error:
        sys.exit(f"sagewire: {error}")
    from sagewire.cli import app

    app(prog_name="sagewire")


if __name__ == "__main__":
    main()
