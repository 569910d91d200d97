"""Leases: the right to call a deployment, and the requests that wait for one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal

from sagewire.errors import EndpointTimeout, SagewireError
from sagewire.gateway.errors import is_about_request

if TYPE_CHECKING:
    from sagewire.gateway.routing.deployments import Deployment

__all__ = ["Lease", "Task", "Waiter"]

Task = Literal["chat", "complete", "embed", "rerank"]


class Waiter:
    """A request that waits for places on any of several deployments.

    Args:
        task: What it asks for.
        caller: Whose it is.
        places: How many calls it makes at once.
    """

    def __init__(self, task: Task, caller: str, places: int) -> None:
        self.task = task
        self.caller = caller
        self.places = places
        self._result: asyncio.Future[Lease | None] = asyncio.get_running_loop().create_future()

    @property
    def done(self) -> bool:
        """Whether it waits no more."""
        return self._result.done()

    def wake(self, lease: Lease | None) -> None:
        """Hand over a lease, or nothing, so that it looks again."""
        if not self._result.done():
            self._result.set_result(lease)

    async def lease(self, seconds: float) -> Lease | None:
        """Wait for a lease; return `None` when it is time to look again."""
        timer = asyncio.get_running_loop().call_later(seconds, self.wake, None)
        try:
            return await self._result
        except BaseException:
            if self._result.done() and not self._result.cancelled() and (lease := self._result.result()):
                lease.given_up()
            raise
        finally:
            timer.cancel()


class Lease:
    """The right to call a deployment; give it back exactly once.

    Args:
        deployment: The deployment.
        task: What it is called for.
        caller: Whose request it is.
        places: How many calls are made at once.
        again: The same request has failed there before; another failure counts no more.

    Attributes:
        seconds: Until the answer, or the first piece of a stream, arrived; `None` before.
    """

    def __init__(
        self, deployment: Deployment, task: Task = "chat", caller: str = "", places: int = 1, *, again: bool = False
    ) -> None:
        self.deployment = deployment
        self.again = again
        self.seconds: float | None = None
        self._task = task
        self._caller = caller
        self._places = places
        self._open = True
        self._began = time.perf_counter()
        self._passage = deployment.breaker.entered()
        deployment.in_flight += places

    def answered(self) -> None:
        """Note that the answer, or the first piece of a stream, is there."""
        self.deployment.note_answer(self._task)
        self.seconds = time.perf_counter() - self._began

    def ended(self, tokens: int, completion_tokens: int | None, *, stream: bool) -> None:
        """Remember how long the answer took.

        Args:
            tokens: Tokens of prompt and answer.
            completion_tokens: Tokens of the answer, estimated if the server does not count.
            stream: Whether it was streamed.
        """
        latency = self.deployment.latency
        latency.used(tokens)
        if self.seconds is not None and (stream or completion_tokens):
            latency.took(self.seconds if stream else self.seconds / (completion_tokens or 1), stream=stream)

    def succeeded(self) -> None:
        """Note that the call went well."""
        if self._open:
            self.deployment.breaker.succeeded(self._passage)
            self._give_back()

    def failed(self, error: BaseException) -> None:
        """Note that the call failed; whose fault it was decides what that says about the deployment."""
        if not self._open:
            return
        deployment, breaker = self.deployment, self.deployment.breaker
        if isinstance(error, EndpointTimeout):
            for stream in (True, False):
                deployment.latency.took(time.perf_counter() - self._began, stream=stream)
        if not isinstance(error, SagewireError) or deployment.lacks(self._task, error) or is_about_request(error):
            breaker.left(self._passage)
        else:
            deployment.last_error = deployment.redaction.text(f"{type(error).__name__}: {error}")[:300]
            if self.again:
                breaker.left(self._passage)
            else:
                breaker.failed(self._passage, caller=self._caller)
        self._give_back()

    def given_up(self) -> None:
        """Note that the answer is no longer wanted."""
        if self._open:
            self.deployment.breaker.left(self._passage)
            self._give_back()

    def _give_back(self) -> None:
        self._open = False
        self.deployment.release(self._places)
