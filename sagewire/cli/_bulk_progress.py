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

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show how far the job is."""
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
