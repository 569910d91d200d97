"""What may do the work of a job, and what each engine wants to know.

`local`: nothing.

`ray`: `address` of the cluster, `workers` (actors), `segment_rows` (rows of a task). The work folder has to be on a
file system that all machines share.

`async-inference`: `upload_to`, an S3 folder for requests of more than 128,000 bytes; `poll`, the first and the longest
wait between two looks for an answer, in seconds.

`batch-transform`: `s3_folder` for requests and answers; `instance_type`, `instance_count`, `model_name` (that of the
endpoint if not said), `max_concurrent_transforms`, `poll` (seconds), `shard_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from sagewire.bulk.cluster import check_cluster
from sagewire.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from sagewire.bulk.preparing import Prepared

__all__ = ["Engine", "check_engine"]

Engine = Literal["local", "ray", "async-inference", "batch-transform"]

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "local": (),
    "ray": ("address", "workers", "segment_rows"),
    "async-inference": ("upload_to", "poll"),
    "batch-transform": (
        "s3_folder",
        "instance_type",
        "instance_count",
        "model_name",
        "max_concurrent_transforms",
        "poll",
        "shard_rows",
    ),
}
_NEEDED = {"batch-transform": ("s3_folder", "instance_type")}


def check_engine(engine: str, options: Mapping[str, Any], prepared: Prepared) -> None:
    """Raise `UsageError` where an engine, or an option of it, is not known, or cannot do the job."""
    if engine not in _OPTIONS:
        raise UsageError(unknown_name(engine, get_args(Engine), "engine"))
    for name in options:
        if name not in _OPTIONS[engine]:
            raise UsageError(unknown_name(name, _OPTIONS[engine] or ("(none)",), f"option of engine {engine!r}"))
    for name in _NEEDED.get(engine, ()):
        if not options.get(name):
            raise UsageError(f"engine={engine!r} needs engine_options {name!r}")
    job = prepared.job
    if engine == "ray":
        check_cluster(job, prepared.bounds)
    elif engine != "local" and not (isinstance(job.model, str) and job.model.startswith("sagemaker/")):
        raise UsageError(f"engine={engine!r} is SageMaker's; the model must be 'sagemaker/NAME'")
