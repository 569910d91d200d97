"""The engine of SageMaker Batch Transform: instances of its own, requests in, answers out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sagewire.bulk.journal import Done
from sagewire.bulk.preparing import Prepared
from sagewire.errors import UnsupportedFeature

__all__ = ["run_transform"]


def run_transform(prepared: Prepared, folder: Path, done: Done, **options: Any) -> str | None:
    """Do what is not done of pass 0 in a transform job."""
    raise UnsupportedFeature("batch-transform", "bulk")
