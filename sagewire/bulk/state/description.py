"""The stored description of a job: everything it was given except credentials, and what of it must not change."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sagewire.bulk.files.storage import absolute
from sagewire.bulk.job import Bounds, Job
from sagewire.bulk.rows import dump_json, load_json
from sagewire.errors import UsageError
from sagewire.http.secret_urls import shown_url
from sagewire.types.secret import Secret

__all__ = ["described", "difference", "recalled"]

# Never stored: secrets, and objects that may hold one.
_CREDENTIALS = (
    *("token", "headers", "session", "client", "config"),
    *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
)
# Stored, but may change: credentials and time limits, which do not change an answer.
_FREE_ARGUMENTS = ("profile_name", "timeout", "retries", "hooks", "upload_to")
_FREE = ("output", "dedup", "bounds", "engine", "engine_options")
_OBJECT = "object"


def described(job: Job, bounds: Bounds, engine: str, engine_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that a job was given as JSON values, credentials left out."""
    given = {one.name: getattr(job, one.name) for one in fields(job)}
    arguments = {name: _named(value) for name, value in job.client_arguments.items() if name not in _CREDENTIALS}
    found = {
        **given,
        # A client has no name that would survive the process, and a key in a URL must not.
        "model": job.model if isinstance(job.model, str) else {_OBJECT: _name_of(job.model)},
        "source": absolute(job.source),
        "output": absolute(job.output),
        "client_arguments": {name: value for name, value in arguments.items() if value not in (None, {}, [])},
        "bounds": asdict(bounds),
        "engine": engine,
        "engine_options": dict(engine_options),
    }
    return load_json(dump_json(found))  # type: ignore[no-any-return]


def difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first setting that decides what the output holds and has changed: its name, old and new value.

    Example:
        >>> difference({"task": "chat", "client_arguments": {}}, {"task": "embed", "client_arguments": {}})
        ('task', 'chat', 'embed')
    """
    names = [name for name in now if name not in (*_FREE, "client_arguments")]
    pairs = [(name, then.get(name), now[name]) for name in names]
    old, new = then["client_arguments"], now["client_arguments"]
    arguments = [name for name in dict.fromkeys([*old, *new]) if name not in _FREE_ARGUMENTS]
    pairs += [(name, old.get(name), new.get(name)) for name in arguments]
    return next((pair for pair in pairs if pair[1] != pair[2]), None)


def recalled(description: Mapping[str, Any], without: str | None = None) -> tuple[str, str, str, dict[str, Any]]:
    """Return source, model, output and settings of a stored description.

    Args:
        description: The description.
        without: A bound to leave out, because it has stopped the job.

    Raises:
        UsageError: An object was given that only Python can give again.
    """
    settings = dict(description)
    source, model, output = (settings.pop(name) for name in ("source", "model", "output"))
    objects = {"model": model, **settings["client_arguments"]}
    for name, value in objects.items():
        if isinstance(value, Mapping) and value.keys() == {_OBJECT}:
            raise UsageError(f"the {name} of this job was an object, {value[_OBJECT]}; resume it from Python")
    bounds = {name: value for name, value in settings.pop("bounds").items() if value is not None and name != without}
    return source, model, output, {**settings, **bounds}


def _name_of(model: Any) -> str:
    return shown_url(model) if isinstance(model, Secret) else repr(model)


def _named(value: Any) -> Any:
    """Return a JSON value as it is, and for an object its name."""
    if value is None or isinstance(value, str | int | float | bool | Mapping | list | tuple):
        return value
    named = value if inspect.isclass(value) or inspect.isroutine(value) else type(value)
    return {_OBJECT: f"{named.__module__}.{named.__qualname__}"}
