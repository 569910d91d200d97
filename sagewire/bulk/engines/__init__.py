"""The engines that work on a job, and their options.

`local`: none.

`ray`: `address` of the cluster (`auto`, `HOST:6379`, or `ray://HOST:10001` from outside of it), `workers` (actors),
`segment_rows` (rows of a task). Input and work folder have to be on a file system that all machines share (the input
may be in S3), and sagewire has to be installed on all of them. `concurrency`, `max_errors`, `budget_tokens` and
`deadline` hold for all workers together.

`async-inference`: `upload_to`, an S3 folder for requests of more than 128,000 bytes; `poll`, the first and the longest
wait between two looks for an answer, in seconds.

`batch-transform`: `s3_folder` for requests and answers; `instance_type`, `instance_count`, `model_name` (that of the
endpoint by default), `max_concurrent_transforms`, `poll` (seconds), `shard_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from sagewire.bulk.engines.ray import check_cluster
from sagewire.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from sagewire.bulk.prepare import Prepared

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
_INSTEAD = {"concurrency": ", and give engine_options 'max_concurrent_transforms'"}
_NEEDED = {"batch-transform": ("s3_folder", "instance_type")}


def check_engine(engine: str, options: Mapping[str, Any], prepared: Prepared) -> None:
    """Raise `UsageError` if an engine, or an option of it, is unknown or cannot do the job."""
    if engine not in _OPTIONS:
        raise UsageError(unknown_name(engine, get_args(Engine), "engine"))
    for name in options:
        if name not in _OPTIONS[engine]:
            raise UsageError(unknown_name(name, _OPTIONS[engine] or ("(none)",), f"option of engine {engine!r}"))
    for name in _NEEDED.get(engine, ()):
        if not options.get(name):
            raise UsageError(f"engine={engine!r} needs engine_options {name!r}")
    for name, value in options.items():
        _check_option(name, value, several=engine == "async-inference")
    job = prepared.job
    if engine == "ray":
        check_cluster(job)
    elif engine != "local" and not (isinstance(job.model, str) and job.model.startswith("sagemaker/")):
        raise UsageError(f"engine={engine!r} is SageMaker's; the model must be 'sagemaker/NAME'")
    if engine == "batch-transform":
        for name in ("max_errors", "budget_tokens", "deadline", "concurrency"):
            if getattr(prepared.bounds, name) is not None:
                raise UsageError(
                    f"{name}: a transform job does its calls by itself; leave it out{_INSTEAD.get(name, '')}"
                )


_COUNTS = ("workers", "segment_rows", "instance_count", "max_concurrent_transforms", "shard_rows")


def _check_option(name: str, value: Any, several: bool) -> None:
    if name in _COUNTS:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UsageError(f"engine option {name}={value!r} must be a number from 1 on")
    elif name == "poll":
        waits = list(value) if several and isinstance(value, list | tuple) else [value]
        if not waits or not all(isinstance(one, int | float) and one > 0 for one in waits):
            pair = ", or the first and the longest wait: [1, 15]" if several else ""
            raise UsageError(f"engine option poll={value!r} must be seconds{pair}")
    elif value is not None and not isinstance(value, str):
        raise UsageError(f"engine option {name}={value!r} must be a text")
