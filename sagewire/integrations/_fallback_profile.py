"""The profile of an endpoint; without describe permissions that of the requests the original library sent."""

from __future__ import annotations

import logging
import time
from weakref import WeakKeyDictionary

from sagewire.client import Client
from sagewire.discovery.container_rules import ContainerProfile
from sagewire.errors import AccessDenied, SagewireError, UsageError

__all__ = ["once", "profile_of"]

# Seconds until a refused question is asked again: permissions are given while programs run.
PATIENCE = 900.0
_refused: WeakKeyDictionary[Client, float] = WeakKeyDictionary()
_said: set[tuple[str, str]] = set()


def once(log: logging.Logger, message: str) -> None:
    """Log a warning the first time only."""
    if (log.name, message) not in _said and len(_said) < 10_000:
        _said.add((log.name, message))
        log.warning(message)


def profile_of(client: Client, assumed: ContainerProfile, log: logging.Logger) -> ContainerProfile:
    """Return the endpoint's profile; may wait for the control plane.

    Without describe permissions, or if the container is unknown, it is `assumed`, and logged once.

    Raises:
        SagewireError: The endpoint is not there, not ready, or one of its components must be named.
    """
    if time.monotonic() < _refused.get(client, 0.0):
        return assumed
    try:
        return client.profile()
    except (AccessDenied, UsageError) as error:
        if not (_not_allowed(error) or (isinstance(error, UsageError) and _is_one_container(client))):
            raise
        _refused[client] = time.monotonic() + PATIENCE
        once(log, f"{client!r}: {error} Going on as if it were {assumed.container}.")
        return assumed


def _not_allowed(error: SagewireError) -> bool:
    """Return whether valid credentials lack the permission; wrong or expired keys are refused everywhere."""
    return isinstance(error, AccessDenied) and any(word in (error.code or "") for word in ("AccessDenied", "Unauthor"))


def _is_one_container(client: Client) -> bool:
    """Return whether only the request format of the single container is unknown."""
    try:
        return len(client.describe().containers) == 1
    except SagewireError:
        return False
