"""The progress bar of a bulk job: rows, rate, time left, tokens and errors."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from sagewire.bulk.stopping import INTERRUPTED, STOP_PATIENCE

if TYPE_CHECKING:
    from sagewire.bulk import Progress

__all__ = ["ProgressBar"]

# Without a terminal, a line now and then suits a log.
_LOG_SECONDS = 30.0


class ProgressBar:
    """A progress bar; a context manager.

    Args:
        console: The output.
        budget: The token budget, to be shown beside the tokens.
    """

    def __init__(self, console: Console, budget: int | None = None) -> None:
        self._console = console
        self._budget = f"/{budget:,}" if budget else ""
        self._bar = RichProgress(
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[rate]:,.0f} rows/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[tokens]} tokens"),
            TextColumn("{task.fields[failed]:,} failed"),
            TextColumn("{task.fields[concurrency]} in flight"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("rows", total=None, rate=0.0, tokens="0", failed=0, concurrency=0)
        self._logged = time.monotonic()
        self._said = False

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show how far the job is, and once that it is being stopped."""
        if progress.stopping is not None and not self._said:
            self._said = True
            self._console.print(_stopping(progress), markup=False, soft_wrap=True)
        rate = (progress.rows - progress.done_before) / max(progress.seconds, 1e-3)
        tokens = f"{progress.tokens:,}{self._budget}"
        if self._console.is_terminal:
            self._bar.update(
                self._task,
                completed=progress.rows,
                total=progress.total,
                rate=rate,
                tokens=tokens,
                failed=progress.failed,
                concurrency=progress.concurrency,
            )
        elif time.monotonic() - self._logged >= _LOG_SECONDS:
            self._logged = time.monotonic()
            of = f" of {progress.total:,}" if progress.total else ""
            self._console.print(
                f"{progress.rows:,}{of} rows, {rate:,.0f}/s, {tokens} tokens, {progress.failed:,} failed", markup=False
            )


def _stopping(progress: Progress) -> str:
    calls = f"{progress.in_flight:,} call{'' if progress.in_flight == 1 else 's'}"
    again = "; press Ctrl-C again to stop now" if str(progress.stopping).startswith(INTERRUPTED) else ""
    return f"{progress.stopping}: finishing {calls} in flight, at most {STOP_PATIENCE:.0f} s{again}"
