"""One admitted request for a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagewire.gateway.config import ServerConfig
from sagewire.gateway.keys import Key
from sagewire.gateway.quota import estimated_answer, estimated_prompt
from sagewire.gateway.request_log import RequestLog
from sagewire.gateway.request_settings import NO_SETTINGS, RequestSettings
from sagewire.gateway.routing.deployments import Task
from sagewire.gateway.routing.model import Model
from sagewire.gateway.routing.router import Router

__all__ = ["Turn"]


@dataclass(slots=True)
class Turn:
    """One admitted request for a model.

    Attributes:
        name: The model as the caller named it; answers repeat it.
        task: The kind of request.
        calls: How many calls it takes: one for each prompt.
        settings: Its settings for the router.
        earlier: How many entries of its `input` were stored before.
        storing: The settings by which its answer is stored; `None` if responses were not stored when it came.
    """

    log: RequestLog
    key: Key
    body: dict[str, Any]
    model: Model
    router: Router
    name: str
    task: Task = "chat"
    calls: int = 1
    settings: RequestSettings = NO_SETTINGS
    earlier: int = 0
    storing: ServerConfig | None = None
    _expected: tuple[int, int] | None = None

    def expected(self) -> tuple[int, int]:
        """Return the tokens that its prompt and its answer will have at most, as far as can be told."""
        if self._expected is None:
            self._expected = estimated_prompt(self.body), estimated_answer(self.body)
        return self._expected
