"""A deployment at work: its clients, what is under way on it, and how healthy it is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any, Literal

from sagewire.aws.session import Session, assume_role_session, static_session, web_identity_session
from sagewire.client import AsyncClient
from sagewire.content_handlers import TgiHandler
from sagewire.errors import EndpointError, EndpointTimeout, NotReady, SagewireError, Throttled
from sagewire.gateway.config import DeploymentConfig
from sagewire.gateway.errors import UndetectedContainer, is_callers_fault
from sagewire.gateway.quota import Quota
from sagewire.gateway.routing.breaker import Breaker
from sagewire.gateway.routing.latency_tracker import LatencyTracker
from sagewire.gateway.routing.sticky_sessions import Sessions
from sagewire.http.deadlines import Timeouts
from sagewire.prompt_formats.drop_in.litellm import LITELLM_BUILDERS
from sagewire.types import make_options

__all__ = ["Deployment", "Lease"]

_log = logging.getLogger("sagewire.gateway")
# The event loop itself would forget them.
_closing: set[asyncio.Task[None]] = set()


class Deployment:
    """One place where a model runs.

    Args:
        config: Where and how.
        name: What its requests and tokens are counted under, among all deployments; else its label.
        series: What it is called in metrics; else its label.

    Attributes:
        in_flight: Calls under way.
        latency: How long its answers have taken lately.
        quota: How many requests and tokens it may use in a minute.
        sessions: Open sticky sessions.
        answered: Whether it has ever answered.
        last_error: What went wrong last, for the status page; never holds a body or a secret.
    """

    def __init__(self, config: DeploymentConfig, name: str = "", series: str = "") -> None:
        self.config = config
        self.label = config.label
        self.series = series or config.label
        self.latency = LatencyTracker()
        self.quota = Quota(f"deployment {name or config.label}", config.requests_per_minute, config.tokens_per_minute)
        self.breaker = Breaker(config.breaker_failures, config.breaker_seconds)
        self.in_flight = 0
        self.last_error = ""
        self.answered = False
        self._retired = False
        self.sessions = Sessions(lambda: self.chat, config.session_idle_seconds)
        self._clients: dict[str, AsyncClient] = {}
        self._session: Session | None = None

    def __repr__(self) -> str:
        return f"Deployment({self.label!r})"

    @property
    def has_room(self) -> bool:
        """Whether its concurrency limit allows one more call."""
        limit = self.config.max_concurrency
        return limit is None or self.in_flight < limit

    @property
    def chat(self) -> AsyncClient:
        """The client for chats and completions."""
        return self._client("chat", self.config.handler)

    @property
    def embedding(self) -> AsyncClient:
        """The client for embeddings."""
        return self._client("embed", self.config.embedding_handler)

    @property
    def reranking(self) -> AsyncClient:
        """The client for reranking."""
        return self._client("rerank", self.config.rerank_handler)

    async def detected(self, task: Literal["embedding", "reranking"]) -> AsyncClient:
        """Return the client for a task, once it is known what the container speaks.

        Raises:
            UndetectedContainer: The control plane does not say. Other tasks of the container still work.
        """
        handler = self.config.embedding_handler if task == "embedding" else self.config.rerank_handler
        client = self.embedding if task == "embedding" else self.reranking
        if handler is not None:
            return client
        try:
            await asyncio.to_thread(client.profile)
        except NotReady:
            raise
        except EndpointError as error:
            _log.warning("%s: %s: %s", self.label, type(error).__name__, error)
            raise UndetectedContainer(self.label) from error
        return client

    def endpoint_kwargs(self, request_id: str, prefix_id: str | None) -> dict[str, str]:
        """Return what goes along with a call: ids that tie it to the gateway's log, and to a replica."""
        kwargs = {"InferenceId": request_id}
        if prefix_id is not None and self.config.prefix_aware:
            kwargs["PrefixAwareId"] = prefix_id
        return kwargs

    def retire(self) -> None:
        """Close it when nothing is under way on it; what comes later, because it was on its way, is served first."""
        self._retired = True
        self.left()

    def left(self) -> None:
        """A call has ended, or there was none."""
        if self._retired and not self.in_flight:
            closing = asyncio.create_task(self.close())
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)

    async def close(self) -> None:
        """Close the sessions and give back the connections."""
        await self.sessions.close()
        for client in self._clients.values():
            with contextlib.suppress(SagewireError, OSError):
                await client.close()

    def _client(self, task: str, handler: str | None) -> AsyncClient:
        client = self._clients.get(task)
        if client is None:
            client = self._clients[task] = self._make(handler)
        return client

    def _make(self, handler: str | None) -> AsyncClient:
        config = self.config
        chosen: Any = handler
        if handler == "tgi":
            chosen = TgiHandler(allow_zero_temperature=config.allow_zero_temperature)
        options = make_options(**config.options)
        if config.served_model:
            options = make_options(options, model=config.served_model)
        limits = config.timeouts
        return AsyncClient(
            config.endpoint,
            url=config.url,
            token=_plain(config.token),
            handler=chosen,
            format=LITELLM_BUILDERS.get(config.format, config.format)
            if isinstance(config.format, str)
            else config.format,
            options=options,
            region_name=config.region,
            endpoint_url=config.endpoint_url,
            inference_component_name=config.inference_component,
            timeout=Timeouts(limits.connect, limits.first_byte, limits.idle, limits.total),
            # Retries are the router's: it may have a better place to try.
            retries=1,
            **self._credentials(),
        )

    def _credentials(self) -> dict[str, Any]:
        config = self.config
        if config.endpoint is None:
            return {}
        if config.role_arn is not None:
            self._session = self._session or self._assumed(config.role_arn)
            return {"session": self._session}
        return {
            "profile_name": config.profile,
            "aws_access_key_id": _plain(config.aws_access_key_id),
            "aws_secret_access_key": _plain(config.aws_secret_access_key),
            "aws_session_token": _plain(config.aws_session_token),
        }

    def _assumed(self, role_arn: str) -> Session:
        config = self.config
        if config.web_identity_token_file:
            return web_identity_session(
                role_arn,
                token_file=config.web_identity_token_file,
                region_name=config.region,
                session_name=config.role_session_name,
                sts_endpoint=config.sts_endpoint,
            )
        source: Any = config.profile
        key, secret = _plain(config.aws_access_key_id), _plain(config.aws_secret_access_key)
        if key and secret:
            source = static_session(key, secret, _plain(config.aws_session_token), region_name=config.region)
        return assume_role_session(
            role_arn,
            region_name=config.region,
            external_id=_plain(config.external_id),
            session_name=config.role_session_name,
            tags=config.session_tags or None,
            source=source,
            sts_endpoint=config.sts_endpoint,
        )


class Lease:
    """The right to make one call on a deployment; give it back exactly once.

    Attributes:
        seconds: Until the answer, or the first piece of a stream, was there; `None` before.
    """

    def __init__(self, deployment: Deployment, released: asyncio.Event) -> None:
        self.deployment = deployment
        self._released = released
        self._open = True
        self._began = time.perf_counter()
        self.seconds: float | None = None
        deployment.in_flight += 1
        deployment.breaker.entered()

    def answered(self) -> None:
        """The answer, or the first piece of a stream, is there."""
        self.deployment.answered = True
        self.seconds = time.perf_counter() - self._began

    def ended(self, tokens: int, completion_tokens: int | None, *, stream: bool) -> None:
        """Remember what the answer took.

        Args:
            tokens: Of prompt and answer.
            completion_tokens: Of the answer.
            stream: Whether it was streamed.
        """
        latency = self.deployment.latency
        latency.used(tokens)
        if self.seconds is not None:
            latency.took(self.seconds if stream else self.seconds / max(1, completion_tokens or 0), stream=stream)

    def succeeded(self) -> None:
        """The call went well."""
        if self._give_back():
            self.deployment.breaker.succeeded()

    def failed(self, error: BaseException) -> None:
        """The call failed; whose fault it was decides what that says about the deployment."""
        if not self._give_back():
            return
        breaker = self.deployment.breaker
        if isinstance(error, EndpointTimeout):
            for stream in (True, False):
                self.deployment.latency.took(time.perf_counter() - self._began, stream=stream)
        if (
            not isinstance(error, SagewireError)
            or isinstance(error, Throttled | UndetectedContainer)
            or is_callers_fault(error)
        ):
            # A throttled deployment works, only not harder; one that is not detected was not even called.
            breaker.left()
            return
        self.deployment.last_error = f"{type(error).__name__}: {error}"[:300]
        breaker.failed()

    def given_up(self) -> None:
        """Nobody wanted the answer any more."""
        if self._give_back():
            self.deployment.breaker.left()

    def _give_back(self) -> bool:
        if not self._open:
            return False
        self._open = False
        self.deployment.in_flight -= 1
        self.deployment.left()
        self._released.set()
        return True


def _plain(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()
