"""States of deployments and requests in flight: this process's own, and with several workers those of all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from sagewire.gateway.request_log import RequestLog
from sagewire.gateway.routing.router import Router

__all__ = ["WorkerStates", "forget_states"]

_log = logging.getLogger("sagewire.gateway")
# Seconds between looks at the states, which are written if they changed.
SECONDS = 1.0
# Requests in flight that a worker writes of each key, the oldest; they are counted in full.
MOST_OF_KEY = 25
# The worst first.
_ORDER = ("circuit_open", "probing", "failing", "healthy", "not_asked")
_FILE = re.compile(r"states-(\d+)\.json")
_BAD = frozenset(_ORDER[:3])


class WorkerStates:
    """The states of all workers of one supervisor.

    Each worker writes its own into a file of a shared directory, once a second and only if they changed; whoever asks
    reads the files of the others. A single process has no directory and writes nothing.

    Args:
        router: Returns the router in use.
        live: The requests in flight.
        pid: The worker's process; default: this one.
    """

    def __init__(self, router: Callable[[], Router], live: Mapping[int, RequestLog], pid: int | None = None) -> None:
        self._router = router
        self._live = live
        self._pid = pid or os.getpid()
        self._directory: Path | None = None
        self._written = b""
        self._failing = False

    def join(self, directory: Path) -> None:
        """Exchange states with other workers from now on.

        Args:
            directory: The directory that the workers share, and nobody else can read.
        """
        self._directory = directory

    async def keep_written(self) -> None:
        """Write the states whenever they have changed, until cancelled."""
        while True:
            self.write()
            await asyncio.sleep(SECONDS)

    def write(self) -> None:
        """Write the states for the other workers if they have changed."""
        if self._directory is None:
            return
        data = orjson.dumps(self._own(MOST_OF_KEY))
        if data == self._written:
            return
        path = _path(self._directory, self._pid)
        try:
            unfinished = path.with_suffix(".new")
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
            # Readers see the whole of the old or of the new.
            unfinished.replace(path)
        except OSError as error:
            if not self._failing:
                _log.warning("other workers do not see this one's states: %s", error)
            self._failing = True
        else:
            self._written, self._failing = data, False

    def all(self) -> AllStates:
        """Return the states of all workers, as far as they are known."""
        return AllStates([self._own(None), *self._others()])

    def _others(self) -> Iterable[dict[str, Any]]:
        if self._directory is None:
            return
        for path in sorted(self._directory.glob("states-*.json")):
            found = _FILE.fullmatch(path.name)
            if found is None or int(found[1]) == self._pid:
                continue
            if not _is_alive(int(found[1])):
                path.unlink(missing_ok=True)
                continue
            try:
                yield orjson.loads(path.read_bytes())
            except (OSError, ValueError):
                # It has just ended.
                continue

    def _own(self, most_of_key: int | None) -> dict[str, Any]:
        counts: dict[str, int] = {}
        requests = []
        # Oldest first. The clock of `started` is the same in all processes of a machine.
        for one in self._live.values():
            if not one.model:
                continue
            # Not the name, which may be given anew: another key may even be called as the master key is.
            owner = one.key.digest if one.key else ""
            counts[owner] = counts.get(owner, 0) + 1
            if most_of_key is None or counts[owner] <= most_of_key:
                requests.append({
                    "request_id": one.request_id,
                    "model": one.model,
                    "key": one.key.name if one.key else "",
                    "route": one.route,
                    "stream": one.stream,
                    "characters": one.characters,
                    "owner": owner,
                    "started": one.started,
                })  # fmt: skip
        router = self._router()
        models = [
            {
                "name": model.name,
                "task": model.deployments[0].main_task if model.deployments else "chat",
                "deployments": [
                    {
                        "name": one.label,
                        "state": one.health,
                        "in_flight": one.in_flight,
                        "max_concurrency": one.config.max_concurrency,
                        "last_error": one.last_error,
                        "last_error_at": one.last_error_at and one.last_error_at.isoformat(),
                    }
                    for one in model.deployments
                ],
            }
            # Behind a pattern there is no deployment, behind each name that fits it there are.
            for model in (*router.models.values(), *router.remembered)
            if model.config.part_of is None
        ]
        return {"models": models, "live": counts, "requests": requests}


class AllStates:
    """The states of several workers, put together.

    Args:
        workers: What each of them says, the one that answers first: its models are those in use.

    Attributes:
        workers: How many of them are known.
    """

    def __init__(self, workers: list[dict[str, Any]]) -> None:
        self._workers = workers
        self.workers = len(workers)

    def models(self) -> list[dict[str, Any]]:
        """Return all models with their deployments. Of a name that fits a pattern, only some workers may know."""
        found: dict[str, list[dict[str, Any]]] = {}
        for worker in self._workers:
            for model in worker["models"]:
                found.setdefault(model["name"], []).append(model)
        return [{**of[0], "deployments": _deployments(of)} for of in found.values()]

    def live(self, owner: str | None) -> int:
        """Return how many requests are in flight, of the key with a digest or of all."""
        if owner is not None:
            return sum(worker["live"].get(owner, 0) for worker in self._workers)
        return sum(sum(worker["live"].values()) for worker in self._workers)

    def requests(self, owner: str | None, most: int) -> list[dict[str, Any]]:
        """Return requests in flight, of the key with a digest or of all, the oldest first."""
        found = [one for worker in self._workers for one in worker["requests"] if owner in (None, one["owner"])]
        found.sort(key=itemgetter("started"))
        now = time.perf_counter()
        return [
            {
                **{name: value for name, value in one.items() if name not in ("owner", "started")},
                "seconds": round(max(0.0, now - one["started"]), 1),
            }
            for one in found[:most]
        ]


def _deployments(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    merged = []
    for own in models[0]["deployments"]:
        # One that another worker does not have was added or removed this very second.
        same = [one for model in models for one in model["deployments"] if one["name"] == own["name"]]
        state = min((one["state"] for one in same), key=_ORDER.index)
        newest = max(same, key=lambda one: one["last_error_at"] or "")
        limits = [one["max_concurrency"] for one in same]
        merged.append({
            "name": own["name"],
            "state": state,
            # Workers that have not called it cannot disagree with one that got an answer.
            "workers": sum(one["state"] == state for one in same) if state in _BAD else len(same),
            "in_flight": sum(one["in_flight"] for one in same),
            # Each worker has its own.
            "max_concurrency": sum(limits) if None not in limits else None,
            "last_error": newest["last_error"],
            "last_error_at": newest["last_error_at"],
        })  # fmt: skip
    return merged


def forget_states(directory: str | None, pid: int | None) -> None:
    """Remove the states of a worker that has died."""
    if directory is not None and pid is not None:
        with contextlib.suppress(OSError):
            _path(Path(directory), pid).unlink(missing_ok=True)


def _path(directory: Path, pid: int) -> Path:
    return directory / f"states-{pid}.json"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
