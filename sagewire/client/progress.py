"""Progress bars for long jobs, in a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sagewire._extras import require
from sagewire.client.batch_run import Progress

__all__ = ["shown"]


@contextmanager
def shown(progress: bool | Progress, doing: str) -> Iterator[Progress | None]:
    """Return the function to call with progress: the caller's own, that of a bar, or `None`.

    Args:
        progress: `True` for a bar, which needs the extra `cli`; or a function.
        doing: The label of the bar.
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
