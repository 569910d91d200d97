"""Showing how far long work is, in a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sagewire._extras import require
from sagewire.client.batch_run import Progress

__all__ = ["shown"]


@contextmanager
def shown(progress: bool | Progress, doing: str) -> Iterator[Progress | None]:
    """Return what is told of progress: the caller's own function, a bar, or nothing.

    Args:
        progress: `True` for a bar, which needs the extra `cli`; or a function.
        doing: What the bar says.
    """
    if progress is False:
        yield None
    elif callable(progress):
        yield progress
    else:
        bars = require("rich.progress", "cli")
        columns = (*bars.Progress.get_default_columns(), bars.MofNCompleteColumn())
        with bars.Progress(*columns) as bar:
            task = bar.add_task(doing, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
