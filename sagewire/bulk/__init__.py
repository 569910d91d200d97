"""Run one model over a file or dataset: a million rows, on one machine or a cluster.

    >>> from sagewire import bulk
    >>> report = bulk.run("in.jsonl", "sagemaker/my-llama", "out.parquet", column="question")  # doctest: +SKIP

Nothing is lost: a row counts once it is on disk, and `resume=True` goes on after a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagewire._names import missing
from sagewire.bulk import jobs
from sagewire.bulk.engines.ray_udf import ray_udf
from sagewire.bulk.job import Bounds, Job, Report
from sagewire.bulk.planning import Plan, aplan, plan
from sagewire.bulk.progress import Progress
from sagewire.bulk.runner import arun, run

__all__ = ["Bounds", "Job", "Plan", "Progress", "Report", "aplan", "arun", "jobs", "plan", "ray_udf", "run"]

if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
