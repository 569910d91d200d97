"""A deployment at work: the calls in flight on it, the requests that wait for it, and its health."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from sagewire.client import AsyncClient
from sagewire.errors import EndpointError, EndpointTimeout, NotReady, SagewireError, Throttled
from sagewire.gateway.config import DeploymentConfig
from sagewire.gateway.errors import UndetectedContainer, is_about_request, is_missing_route
from sagewire.gateway.quota import Quota
from sagewire.gateway.rate_limits import Reservation
from sagewire.gateway.redaction import Redaction
from sagewire.gateway.routing.breaker import SEVERAL, Breaker
from sagewire.gateway.routing.deployment_clients import DeploymentClients
from sagewire.gateway.routing.latency_tracker import LatencyTracker
from sagewire.gateway.routing.sticky_sessions import Sessions
from sagewire.gateway.threads import in_thread

__all__ = ["Deployment", "Lease", "Task", "Waiter"]

_log = logging.getLogger("sagewire.gateway")
# The event loop itself would forget them.
_closing: set[asyncio.Task[None]] = set()
Task = Literal["chat", "complete", "embed", "rerank"]
# Seconds for which a server is not asked again for a route that it does not have.
MISSING = 60.0


class Deployment:
    """A deployment of a model.

    Args:
        config: Its configuration.
        label: Its name in logs, unique among the deployments of a model; default: the endpoint or URL.
        model: The model, whose name and the label are what requests and tokens are counted under.
        series: Its name in metrics; default: the label.
        health: Called with whether the circuit breaker is closed, now and whenever that changes.

    Attributes:
        in_flight: Calls in flight.
        latency: How long its answers have taken lately.
        prices: The price of its answers, if known.
        quota: How many requests and tokens it may use in a minute.
        sessions: Open sticky sessions.
        last_error: The last failure, for the status page; never holds a body or a secret.
        last_error_at: When that was.
        redaction: Removes the deployment's secrets from texts.
    """

    def __init__(
        self,
        config: DeploymentConfig,
        label: str = "",
        model: str = "",
        series: str = "",
        health: Callable[[bool], None] = lambda closed: None,
    ) -> None:
        self.config = config
        self.label = label or config.label
        self.model = model
        self.series = series or self.label
        self.latency = LatencyTracker()
        self.prices = config.prices
        self.quota = Quota(f"deployment {model}/{self.label}", config.requests_per_minute, config.tokens_per_minute)
        self.breaker = Breaker(config.breaker_failures, config.breaker_seconds, changed=health)
        self.in_flight = 0
        self.last_error = ""
        self.last_error_at: datetime | None = None
        # How the last call ended that says something about the deployment; None before the first.
        self.last_ok: bool | None = None
        self.redaction = Redaction.of(config)
        self._retired = False
        self.sessions = Sessions(lambda: self.chat, config.session_idle_seconds)
        self._clients = DeploymentClients(config)
        self._waiting: deque[Waiter] = deque()
        self._answered: set[Task] = set()
        # By task: the callers that were told so, and until when that holds.
        self._missing: dict[Task, dict[str, float]] = {}
        self._discoveries: dict[Task, asyncio.Task[None]] = {}
        self._health = health
        health(True)

    def __repr__(self) -> str:
        return f"Deployment({self.label!r})"

    @property
    def answered(self) -> bool:
        """Whether it has answered before."""
        return bool(self._answered)

    @property
    def main_task(self) -> Task:
        """The task it is for, as far as is known: from answers, else from its handlers, else from its name."""
        tasks: tuple[Task, ...] = ("chat", "embed", "rerank")
        for task in tasks:
            if task in self._answered:
                return task
        config = self.config
        if config.handler is None and config.format is None:
            if config.rerank_handler is not None:
                return "rerank"
            if config.embedding_handler is not None:
                return "embed"
        name = f"{self.model} {config.endpoint or ''} {config.served_model or ''}".lower()
        # Handlers for all routes, as those of a LiteLLM file, say nothing.
        if "rerank" in name:
            return "rerank"
        return "embed" if re.search(r"embed|\bbge\b|\bgte\b|\be5\b|minilm", name) else "chat"

    def offers(self, task: Task, caller: str = "") -> bool:
        """Return whether its server has the route of a task, as far as a caller or `SEVERAL` others have found out.

        A single caller may have asked for something else that does not exist, or got an answer that nobody can read.
        """
        if task not in self._missing:
            return True
        now = time.monotonic()
        told = [one for one, until in self._missing[task].items() if until > now]
        return caller not in told and len(told) < SEVERAL

    def has_room(self, places: int = 1) -> bool:
        """Return whether a call may begin now: within the concurrency limit, and behind those that wait for it."""
        if self.config.max_concurrency is None:
            return True
        while self._waiting and self._waiting[0].done:
            self._waiting.popleft()
        return not self._waiting and self._fits(places)

    def fitting(self, places: int) -> int:
        """Return how many of the places of a request it has at most; the request's calls take turns in them."""
        return min(places, self.config.max_concurrency or places)

    def _fits(self, places: int) -> bool:
        limit = self.config.max_concurrency
        return limit is None or self.in_flight + min(places, limit) <= limit

    def wait(self, waiter: Waiter) -> None:
        """Put a request into the queue for the next free places."""
        self._waiting.append(waiter)

    def release(self, places: int) -> None:
        """Give places back, and hand them to the requests that have waited longest."""
        self.in_flight -= places
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.done:
                if not self.breaker.allows(waiter.caller):
                    waiter.wake(None)
                elif self._fits(waiter.places):
                    waiter.wake(Lease(self, waiter.task, waiter.caller, self.fitting(waiter.places)))
                else:
                    break
            self._waiting.popleft()
        self.left()

    @property
    def chat(self) -> AsyncClient:
        """The client for chats."""
        return self._clients.get("chat", "handler")

    async def client(self, task: Task) -> AsyncClient:
        """Return the client for a task, once the container is detected.

        Raises:
            UndetectedContainer: The control plane does not tell the request format of an embedding or reranking
                container. Other tasks of the container still work.
            SagewireError: The endpoint or server cannot be asked.
        """
        client = self._client_of(task)
        if client.discovers and not client.known:
            await self._discovered(task, client)
        return client

    def _client_of(self, task: Task) -> AsyncClient:
        if task == "embed":
            return self._clients.get(task, "embedding_handler")
        if task == "rerank":
            return self._clients.get(task, "rerank_handler")
        if task == "complete" and (self.config.completion_handler is not None or self._has_completions):
            return self._clients.get(task, "completion_handler")
        return self.chat

    @property
    def _has_completions(self) -> bool:
        # Servers of OpenAI's API have both routes; a SageMaker endpoint has one, and its container decides.
        handler = self.config.handler
        name = handler.get("name") if isinstance(handler, dict) else handler
        return self.config.url is not None and name == "openai_chat"

    async def _discovered(self, task: Task, client: AsyncClient) -> None:
        """Ask once for all requests that wait for the answer, in a thread that nothing else needs."""

        async def ask() -> None:
            await in_thread(client.profile)

        asking = self._discoveries.get(task)
        if asking is None or asking.done():
            asking = self._discoveries[task] = asyncio.create_task(ask())
            # Looked at, also when every request for it has gone.
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.shield(asking)
        except NotReady:
            raise
        except EndpointError as error:
            if task in ("chat", "complete"):
                raise
            _log.warning("%s: %s: %s", self.label, type(error).__name__, error)
            raise UndetectedContainer(self.label) from error

    def endpoint_kwargs(self, request_id: str, prefix_id: str | None) -> dict[str, str]:
        """Return what goes along with a call: ids that tie it to the gateway's log, and to a replica."""
        kwargs = {"InferenceId": request_id}
        if prefix_id is not None and self.config.prefix_aware:
            kwargs["PrefixAwareId"] = prefix_id
        return kwargs

    def retire(self) -> None:
        """Close it when no call is in flight on it; requests that are on their way are served first."""
        self._retired = True
        # What happens here from now on is nobody's health: one of the same name may have taken its place, or none has.
        self._health(True)
        self.breaker.detach()
        self.left()

    def left(self) -> None:
        """Close it if it is retired and no call is in flight."""
        if self._retired and not self.in_flight:
            closing = asyncio.create_task(self.close())
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)

    async def close(self) -> None:
        """Close the sessions and give back the connections."""
        await self.sessions.close()
        await self._clients.close()

    @property
    def health(self) -> Literal["not_asked", "healthy", "failing", "probing", "circuit_open"]:
        """The state shown to operators: the result of the last call, unless the circuit breaker says more."""
        if self.breaker.state != "closed":
            return "circuit_open" if self.breaker.state == "open" else "probing"
        if self.last_ok is None:
            # A server that has only ever throttled has been asked.
            return "failing" if self.last_error else "not_asked"
        return "healthy" if self.last_ok else "failing"

    def note_answer(self, task: Task) -> None:
        """Remember that it has answered a task."""
        self._answered.add(task)
        self._missing.pop(task, None)

    def note_error(self, error: SagewireError, *, failing: bool = True) -> None:
        """Remember for operators that it did not answer.

        Args:
            error: The reason.
            failing: It would not have answered other requests either.
        """
        if failing:
            self.last_ok = False
        self.last_error_at = datetime.now(UTC)
        self.last_error = " ".join(self.redaction.text(f"{type(error).__name__}: {error}").split())[:300]

    def lacks(self, task: Task, error: SagewireError, caller: str = "") -> bool:
        """Return whether an error shows that the server does not have the route of a task, and remember it."""
        main = task == self.main_task or (task == "complete" and self.main_task == "chat")
        of_service = self.config.endpoint is not None
        if task in self._answered or not is_missing_route(error, of_service=of_service, main=main):
            return False
        self._missing.setdefault(task, {})[caller] = time.monotonic() + MISSING
        return True


class Waiter:
    """A request that waits for places on any of several deployments.

    Args:
        task: The task of the request.
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
        """Whether it has stopped waiting."""
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
        task: The task of the call.
        caller: Whose request it is.
        places: How many calls are made at once.
        again: The same request has failed there before; another failure counts no more.

    Attributes:
        seconds: Until the answer, or the first piece of a stream, arrived; `None` before.
        reservation: The tokens of the deployment's quota that are set aside for the call.
    """

    def __init__(
        self, deployment: Deployment, task: Task = "chat", caller: str = "", places: int = 1, *, again: bool = False
    ) -> None:
        self.deployment = deployment
        self.again = again
        self.reservation: Reservation | None = None
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
        self.deployment.last_ok = True
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
            self.deployment.last_ok = True
            self._give_back()

    def failed(self, error: BaseException) -> None:
        """Note that the call failed; whose fault it was decides what that says about the deployment."""
        if not self._open:
            return
        deployment, breaker = self.deployment, self.deployment.breaker
        if isinstance(error, EndpointTimeout):
            for stream in (True, False):
                deployment.latency.took(time.perf_counter() - self._began, stream=stream)
        if (
            not isinstance(error, SagewireError)
            or deployment.lacks(self._task, error, self._caller)
            or is_about_request(error)
        ):
            breaker.left(self._passage)
            if isinstance(error, Throttled | UndetectedContainer):
                deployment.note_error(error, failing=False)
        else:
            deployment.note_error(error)
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
