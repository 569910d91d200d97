"""`python -m sagewire`, and the `sagewire` command."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys

from sagewire._extras import require
from sagewire.errors import MissingExtra

__all__ = ["main"]

_OUTPUT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE}


def main() -> None:
    """Run the command line; without typer and rich, say in one sentence what to install."""
    if sys.argv[1:2] == ["gateway"] and sys.platform != "win32":
        # Held back until the gateway can reload: it may come right after the start, and would end the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        require("typer", "cli")
        require("rich", "cli")
        _run()
    except MissingExtra as error:
        sys.exit(f"sagewire: {error}")
    except KeyboardInterrupt:
        # While a command runs it says so itself; this is before it began.
        sys.stderr.write("interrupted\n")
        sys.exit(130)


def _run() -> None:
    from sagewire.cli import app

    for stream in (sys.stdout, sys.stderr):
        # Where a terminal's or pipe's encoding lacks a character, its code is shown.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name="sagewire")
        finally:
            # At the end of the program Python would do it, and could only print that it failed.
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        # Errors of files have a name; writing to standard output has none.
        if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
            raise
        _drop_output()
        # A reader that closes the pipe early, as `head` does, has seen enough.
        sys.exit(1 if error.errno == errno.EPIPE else f"sagewire: the output cannot be written: {error.strerror}")


def _drop_output() -> None:
    """Send what is left of standard output nowhere, or Python tries again at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
