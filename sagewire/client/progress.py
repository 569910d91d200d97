"""Progress bars for long jobs, in a terminal or a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sagewire._extras import require
from sagewire.client.batch_run import Progress
from sagewire.errors import UsageError

__all__ = ["shown"]

_WIDTH = 40
# Seconds between two pictures of a notebook's bar; each is a message to the browser.
_EVERY = 0.1


@contextmanager
def shown(progress: bool | Progress, doing: str) -> Iterator[Progress | None]:
    """Return the function to call with progress: the caller's own, that of a bar, or `None`.

    Args:
        progress: `True` for a bar, which needs the extra `cli` in a terminal; or a function.
        doing: The label of the bar.
    """
    if progress is False or progress is None:
        yield None
    elif callable(progress):
        yield progress
    elif progress is not True:
        raise UsageError(f"progress={progress!r:.60} must be True, False, or a function of two numbers: done, and all")
    elif (display := _notebook_display()) is not None:
        bar = _NotebookBar(display, doing)
        try:
            yield bar.show
        finally:
            bar.end()
    else:
        bars = require("rich.progress", "cli")
        columns = (*bars.Progress.get_default_columns(), bars.MofNCompleteColumn())
        # What a program prints is not to be mixed with it.
        console = require("rich.console", "cli").Console(stderr=True)
        with bars.Progress(*columns, console=console) as bar:
            task = bar.add_task(doing, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def _notebook_display() -> Any:
    """Return IPython's function that displays something in a notebook, `None` outside of one."""
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python is not None else None
    # In a terminal IPython has another kind of shell.
    if shell is None or not hasattr(shell, "kernel"):
        return None
    return import_module("IPython.display").display


class _NotebookBar:
    """A bar of text, which needs nothing but IPython: Rich's own is empty where ipywidgets are not installed."""

    def __init__(self, display: Any, doing: str) -> None:
        self._doing = doing
        self._began = self._shown = time.monotonic()
        self._last = (0, 0)
        self._handle = display(self._picture(), raw=True, display_id=True)

    def show(self, done: int, total: int) -> None:
        self._last = (done, total)
        now = time.monotonic()
        if now - self._shown >= _EVERY or done >= total:
            self._shown = now
            self._handle.update(self._picture(), raw=True)

    def end(self) -> None:
        self._handle.update(self._picture(), raw=True)

    def _picture(self) -> dict[str, str]:
        done, total = self._last
        seconds = time.monotonic() - self._began
        part = done / total if total else 0.0
        filled = round(part * _WIDTH)
        left = f", {_clock(seconds / part - seconds)} left" if 0 < part < 1 else ""
        bar = "█" * filled + "░" * (_WIDTH - filled)
        return {"text/plain": f"{self._doing} {bar} {part:.0%} {done:,}/{total:,} {_clock(seconds)}{left}"}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
