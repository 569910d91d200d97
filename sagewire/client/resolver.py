"""Detection of an endpoint's container: once per client and lifetime, and again when its answers stop fitting.

Discovery serves the call, never the other way round: while the control plane cannot be asked, the last finding holds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from sagewire._forks import reset_in_child
from sagewire.aws.lookup_errors import credential_errors
from sagewire.client.config import ClientConfig
from sagewire.client.finding import Finding, Task, Templates
from sagewire.client.other_container import lacks_route, may_be_another
from sagewire.client.ready_wait import ReadyWait
from sagewire.client.transport_choices import AsyncInference
from sagewire.discovery.container_rules import ContainerProfile, detect
from sagewire.discovery.describe import UNREACHABLE, Description, describe
from sagewire.discovery.http_server import UNKNOWN, detect_server, detect_url
from sagewire.discovery.probe import probe
from sagewire.errors import (
    AccessDenied,
    EndpointError,
    SagewireError,
    UsageError,
    concise,
)
from sagewire.http.abandonable import SharedCalls, call_within
from sagewire.http.deadlines import Timeouts
from sagewire.http.errors import timeout_error
from sagewire.transports.base import Retries
from sagewire.types import Invocation

__all__ = ["EndpointResolver", "Task"]

# Endpoints are redeployed with other containers, but not every minute.
LIFETIME = 900.0
# How long an old finding holds while detection fails, and how long no other attempt is made after a failed one.
GRACE = 60.0
# The same after an answer that does not fit, if the control plane could not be asked whether the container changed.
_DOUBT = 5.0
# Parameters that choose a target within the endpoint: each may be another container.
_CHOICES = ("InferenceComponentName", "TargetVariant", "TargetContainerHostname")
_MAX_FINDINGS = 64
# Callers wait for a server to be detected: seconds, not the minutes of a generation.
_ASKING = Timeouts(connect=5.0, first_byte=10.0, idle=10.0, total=20.0)

_log = logging.getLogger("sagewire.discovery")

_Key = tuple[str | None, ...]


class EndpointResolver:
    """The detection of one client's endpoint, safe to share between threads.

    Args:
        settings: The client's arguments.
        lifetime: Seconds after which the endpoint is asked again.

    Attributes:
        discovers: Handlers are detected from the endpoint or server rather than named by the caller.
    """

    def __init__(self, settings: ClientConfig, lifetime: float = LIFETIME) -> None:
        self._settings = settings
        self._lifetime = lifetime
        self.discovers = settings.handler is None and not settings.own_transport
        self._templates = Templates(settings)
        # A named handler holds for good, unlike a detected one.
        self._named = Finding(settings, self._templates, None, 0.0)
        self._findings: dict[_Key, Finding] = {}
        self._failures: dict[_Key, _Failure] = {}
        self._settled_until = 0.0
        if settings.format is not None:
            # Better here than inside an event loop.
            import sagewire.prompt_formats  # noqa: F401
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the locks and the look-ups under way; threads of the parent may have held them."""
        # One for each target: a variant that takes long holds up no other.
        self._locks: dict[_Key, threading.Lock] = {}
        self._shared = SharedCalls()

    def known(self, endpoint_kwargs: Mapping[str, Any] | None = None) -> bool:
        """Return whether a finding and all of its parts are available without waiting."""
        if self._templates.needed:
            return False
        if not self.discovers:
            return True
        found = self._findings.get(self._key(endpoint_kwargs))
        return found is not None and time.monotonic() < found.until

    def forget(self) -> None:
        """Detect again at the next call. Until then, and if that fails, the last finding still holds."""
        for finding in list(self._findings.values()):
            finding.until = 0.0
        self._failures.clear()

    def profile(self) -> ContainerProfile:
        """Return the container's profile; may wait for the control plane.

        Raises:
            UsageError: The container is not known, or one of several must be chosen.
            NotReady: The endpoint is not in service.
            AccessDenied: A describe permission is missing; the message names it and the way around.
        """
        try:
            profile = self._found({}).profile
        except SagewireError as error:
            concise(error)
            raise
        assert profile is not None
        return profile

    async def look_up(self, endpoint_kwargs: Mapping[str, Any] | None = None) -> None:
        """Wait until `finding` has what it needs, together with all other tasks that wait for the same.

        Raises:
            SagewireError: As `finding`.
        """
        await self._shared.run(self._key(endpoint_kwargs), self._prepare, endpoint_kwargs)

    def _prepare(self, endpoint_kwargs: Mapping[str, Any] | None) -> None:
        found = self.finding(endpoint_kwargs)
        if self._templates.needed:
            # An error of the format is one of those calls that need it.
            with suppress(SagewireError):
                found.format(found.handler("chat"))

    def finding(self, endpoint_kwargs: Mapping[str, Any] | None = None) -> Finding:
        """Return the finding for calls with these parameters; may wait.

        Raises:
            SagewireError: As `profile`, if nothing was ever found.
        """
        if not self.discovers:
            return self._named
        try:
            return self._found_in_time(endpoint_kwargs)
        except SagewireError as error:
            # One that is remembered is raised again and again, and its traceback would grow.
            concise(error)
            raise

    def _found_in_time(self, endpoint_kwargs: Mapping[str, Any] | None) -> Finding:
        timeouts = self._settings.timeouts
        if timeouts is None or timeouts.total is None or self.known(endpoint_kwargs):
            return self._found(endpoint_kwargs)
        try:
            return call_within(timeouts.total, partial(self._found, endpoint_kwargs))
        except TimeoutError as error:
            if isinstance(error, SagewireError):
                raise
            # The look-up goes on, and the next call finds its result.
            where = f"{self._settings.target!r} (looking up its container)"
            raise timeout_error("total", timeouts.total, where) from None

    def suspects(self, error: SagewireError) -> bool:
        """Return whether an error is a reason to detect the endpoint again."""
        return self.discovers and may_be_another(error) and time.monotonic() >= self._settled_until

    def found_other(self, error: SagewireError, endpoint_kwargs: Mapping[str, Any] | None, before: Finding) -> bool:
        """Return whether the endpoint turns out to have changed, after an error that looks like it; may wait."""
        if not self.suspects(error):
            return False
        if lacks_route(error) and before.profile is not None and before.profile.container == UNKNOWN:
            return self._try_out(self._key(endpoint_kwargs), before)
        if self._findings.get(self._key(endpoint_kwargs)) is before:
            self.forget()
        found = self._found(endpoint_kwargs)
        changed = found.profile != before.profile
        if not changed:
            # Nothing changed. Not every bad answer is worth another detection.
            self._settled_until = time.monotonic() + (_DOUBT if found.held else GRACE)
        return changed

    async def found_other_async(
        self, error: SagewireError, endpoint_kwargs: Mapping[str, Any] | None, before: Finding
    ) -> bool:
        """`found_other`, for tasks: those that met the same at the same time ask once."""
        asked = (self._key(endpoint_kwargs), id(before), lacks_route(error))
        return await self._shared.run(asked, self.found_other, error, endpoint_kwargs, before)

    def description(self) -> Description:
        """Return a fresh description of the endpoint from the control plane."""
        try:
            return self._describe(self._key({}))
        except SagewireError as error:
            concise(error)
            raise

    def _describe(self, key: _Key) -> Description:
        if self._settings.endpoint is None:
            raise UsageError(
                "only SageMaker endpoints can be described; this client was made with a URL or a transport"
            )
        with credential_errors("looking up the endpoint's container"):
            control = self._settings.control_client()
        return describe(control, self._settings.endpoint, key[0], variant=key[1])

    def wait_until_serving(self, budget: float, on_progress: Callable[[Description], None] | None) -> Description:
        """Ask until the endpoint can answer; see `Client.wait_for_ready`."""
        wait = ReadyWait(budget)
        while True:
            try:
                found = call_within(wait.left, self.description)
            except TimeoutError as error:
                raise wait.failed(error) from None
            delay = wait.delay_after(found, on_progress)
            if delay is None:
                return found
            time.sleep(delay)

    def _key(self, endpoint_kwargs: Mapping[str, Any] | None) -> _Key:
        given = {**self._settings.endpoint_kwargs, **(endpoint_kwargs or {})}
        if self._settings.inference_component_name:
            given.setdefault("InferenceComponentName", self._settings.inference_component_name)
        return tuple(given.get(name) for name in _CHOICES)

    def _found(self, endpoint_kwargs: Mapping[str, Any] | None) -> Finding:
        key = self._key(endpoint_kwargs)
        found = self._findings.get(key)
        if found is not None and time.monotonic() < found.until:
            return found
        failed_before = self._failures.get(key)
        with self._lock(key):
            found = self._findings.get(key)
            if found is not None and time.monotonic() < found.until:
                return found
            failure = self._failures.get(key)
            if failure is not None and (failure is not failed_before or time.monotonic() < failure.until):
                # Callers that waited for a failed detection would only fail the same way, one after the other.
                raise failure.error
            return self._look(key, found)

    def _lock(self, key: _Key) -> threading.Lock:
        if len(self._locks) > _MAX_FINDINGS:
            self._locks.clear()
        return self._locks.setdefault(key, threading.Lock())

    def _try_out(self, key: _Key, before: Finding) -> bool:
        """Probe a server without self-description that lacks the route of the call; return whether that helped.

        Such are Hugging Face Inference Endpoints with the toolkit or a `handler.py`, and TGI behind some proxies.
        """
        with self._lock(key):
            if self._findings.get(key) is not before:
                return True
            profile = self._tried_out()
            if profile is None:
                return False
            until = time.monotonic() + self._lifetime
            self._findings[key] = Finding(self._settings, self._templates, profile, until)
            return True

    def _look(self, key: _Key, old: Finding | None) -> Finding:
        try:
            profile, told = self._detect(key)
        except SagewireError as error:
            if old is None:
                remembered = GRACE if isinstance(error, EndpointError) and error.code == UNREACHABLE else 0.0
                self._failures[key] = _Failure(error, time.monotonic() + remembered)
                raise
            return self._hold(old, error)
        self._failures.pop(key, None)
        missing = told.incomplete if told is not None else ()
        if old is not None and missing and not old.incomplete and _same_image(old.profile, profile):
            # The part that is missing may be what tells the handler.
            return self._hold(old, missing[0])
        _log.info("%s: %s", self._settings.target, profile.container)
        passing = told is not None and told.passing
        until = time.monotonic() + (min(GRACE, self._lifetime) if passing else self._lifetime)
        if old is not None and old.profile == profile:
            old.until, old.held, old.incomplete = until, False, bool(missing)
            return old
        if len(self._findings) >= _MAX_FINDINGS:
            self._findings.clear()
        found = Finding(self._settings, self._templates, profile, until, incomplete=bool(missing))
        self._findings[key] = found
        return found

    def _hold(self, old: Finding, reason: object) -> Finding:
        _log.warning("%s: the last detected profile still holds, because: %s", self._settings.target, reason)
        old.until, old.held = time.monotonic() + GRACE, True
        return old

    def _detect(self, key: _Key) -> tuple[ContainerProfile, Description | None]:
        """Return the profile and, if it follows from one, the description."""
        if self._settings.url is not None:
            return detect_url(self._settings.url) or self._detect_server(), None
        if self._settings.probe and not isinstance(self._settings.transport, AsyncInference):
            try:
                return self._described(key)
            except (UsageError, EndpointError) as error:
                may_not_ask = isinstance(error, AccessDenied | UsageError) or error.code == UNREACHABLE
                if not may_not_ask:
                    raise
                _log.info("%s: probing its request format, because: %s", self._settings.target, error)
                return probe(self._try, self._settings.target), None
        return self._described(key)

    def _detect_server(self) -> ContainerProfile:
        found = detect_server(self._ask_server)
        if found.container != UNKNOWN:
            return found
        if self._settings.probe:
            try:
                return probe(self._try, self._settings.target)
            except UsageError:
                return found
        # A format needs a text route, so that a conversation would be refused before the server could say anything.
        tried = self._tried_out() if self._settings.format is not None else None
        return tried if tried is not None and tried.complete is not None else found

    def _tried_out(self) -> ContainerProfile | None:
        """Return the profile that trying finds for a server without self-description, `None` if it finds nothing."""
        try:
            profile = probe(self._try, self._settings.target)
        except (EndpointError, UsageError):
            return None
        _log.warning(
            "%s does not describe itself and lacks OpenAI's routes; probing found %s (chat: %s, "
            "embeddings: %s). Name the handler to skip probing.",
            self._settings.target, profile.container, profile.chat or profile.complete, profile.embed,
        )  # fmt: skip
        return profile

    def _described(self, key: _Key) -> tuple[ContainerProfile, Description]:
        found = self._describe(key)
        retries = self._settings.retries
        # Auto scaling starts from zero copies only when a call is refused, so a client that waits has to call.
        if not (found.copies == 0 and retries and retries.wait_for_ready):
            found.require_serving()
        return detect(found, key[2]), found

    def _ask_server(self, path: str, body: bytes = b"") -> bytes:
        retries, timeouts = self._settings.retries, self._settings.timeouts
        settings = replace(
            self._settings,
            timeouts=_ASKING if timeouts is None else _sooner(timeouts, _ASKING),
            retries=Retries(attempts=2) if retries is None else retries,
        )
        if retries is not None and retries.wait_for_ready > 0:
            settings = replace(settings, timeouts=replace(settings.timeouts or _ASKING, total=None))
        return self._send(settings, Invocation(body, method="POST" if body else "GET", path=path, generates=False))

    def _try(self, body: bytes) -> bytes:
        return self._send(self._settings, Invocation(body))

    def _send(self, settings: ClientConfig, call: Invocation) -> bytes:
        transport = settings.open_transport()
        try:
            return transport.invoke(call).data
        finally:
            transport.close()


def _same_image(before: ContainerProfile | None, now: ContainerProfile) -> bool:
    return before is not None and before.reasons[:1] == now.reasons[:1]


def _sooner(one: Timeouts, other: Timeouts) -> Timeouts:
    """Return the shorter of two time limits, each by itself."""
    limits = {name: (getattr(one, name), getattr(other, name)) for name in ("connect", "first_byte", "idle", "total")}
    return Timeouts(**{name: min((v for v in pair if v is not None), default=None) for name, pair in limits.items()})


class _Failure:
    """A failed detection, and how long no other attempt is made."""

    def __init__(self, error: SagewireError, until: float) -> None:
        self.error = error
        self.until = until
