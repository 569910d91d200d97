"""What the sync and the async transport share: everything about a call that only computes."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from sagewire.aws.credential_cache import CredentialSource
from sagewire.errors import AccessDenied, EndpointError, SagewireError
from sagewire.http.deadlines import Deadlines, Timeouts
from sagewire.http.limits import checked_limit
from sagewire.http.request import Request
from sagewire.transports.base import Retries
from sagewire.transports.retrying import RetryPolicy
from sagewire.transports.secrets import Redactor, secrets_of
from sagewire.transports.sent_secrets import SentSecrets
from sagewire.transports.target import Target
from sagewire.types import Invocation, ResponseInfo, Timings

__all__ = ["Carrier", "name_clock"]

_log = logging.getLogger("sagewire.transports")

# AWS refuses signatures that are five minutes off.
_CLOCK_TOLERANCE = 240.0
_CURE = "set this machine's clock, for example with NTP"


class Carrier(ABC):
    """A target with its limits and retries.

    Args:
        target: How the server is asked and read.
        timeouts: The deadlines of each call.
        retries: How often to try.
        source: Where credentials come from, for targets that sign.
        max_response_bytes: The longest answer that is read; `None` for the default of 256 MB.
    """

    def __init__(
        self,
        target: Target,
        timeouts: Timeouts,
        retries: Retries,
        source: CredentialSource | None,
        max_response_bytes: int | None,
    ) -> None:
        self._target = target
        self._timeouts = timeouts
        self._policy = RetryPolicy(retries)
        self._source = source
        self._limit = checked_limit(max_response_bytes)
        self._sent = SentSecrets(self._proxy_headers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._target.name})"

    def _deadlines(self, call: Invocation) -> Deadlines:
        return Deadlines(self._timeouts, self._target.name, call.spent)

    def _may_resend(self, call: Invocation) -> bool:
        return call.idempotent and (self._policy.retries.resend or not call.generates)

    def _failure(self, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
        """Return the error for an answer whose status is not 2xx, without the secrets of the request."""
        redactor = self._redactor(request)
        error = self._target.error(status, headers, redactor.value(body))
        redactor.error(error)
        if isinstance(error, AccessDenied):
            _note_clock(error, request.headers.get("X-Amz-Date"), headers.get("date"))
        return error

    def redact(self, error: SagewireError) -> None:
        """Mask in an error what the latest requests carried as secrets; answers may repeat it, however they begin."""
        self._sent.redactor().error(error)

    def _info(self, headers: Mapping[str, str], timings: Timings, *, stream: bool) -> ResponseInfo:
        return self._sent.masked(self._target.info(headers, timings, stream=stream))

    @abstractmethod
    def _proxy_headers(self) -> Mapping[str, str]:
        """Return the headers that tell a proxy who asks."""

    def _redactor(self, request: Request) -> Redactor:
        return Redactor(secrets_of({**request.headers, **self._proxy_headers()}, request.path))

    def _set_clock(self, error: AccessDenied) -> bool:
        """Follow the server's clock if ours is why a call was refused; return whether another attempt makes sense."""
        if error.clock_skew is None or not self._target.set_clock(error.clock_skew):
            return False
        _log.warning("%s refused a signature; trying once more with the server's time", self._target.name)
        return True

    def _note(self, request: Request, status: int, headers: Mapping[str, str], deadlines: Deadlines) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            request_id = headers.get("x-amzn-requestid") or headers.get("x-request-id")
            request_id = self._redactor(request).value(request_id)
            _log.debug("%s: %d after %.3f s, request id %s", deadlines.where, status, deadlines.elapsed(), request_id)

    def _note_renewal(self) -> None:
        _log.info("%s: the credentials had expired; trying once more with new ones", self._target.name)


def _note_clock(error: AccessDenied, signed: str | None, date: str | None) -> None:
    """Name the clock in an error of which it may be the cause."""
    if not signed or not date:
        return
    try:
        ours = datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        theirs = parsedate_to_datetime(date)
        skew = (theirs - ours).total_seconds()
        ahead = (theirs - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return
    if abs(skew) >= _CLOCK_TOLERANCE:
        error.clock_skew = ahead
        _add(error, f"the request was signed {_minutes(skew)} the server's clock: {_CURE}")


def name_clock(error: AccessDenied, skew: float | None) -> None:
    """Name the clock in the error of a call that was refused with the server's time, too."""
    if skew is not None and error.clock_skew is None:
        _add(error, f"this machine's clock is {_minutes(skew)} the server's, whose time did not help either: {_CURE}")


def _minutes(skew: float) -> str:
    return f"{abs(skew) / 60:.0f} minutes {'behind' if skew > 0 else 'ahead of'}"


def _add(error: AccessDenied, words: str) -> None:
    error.message = f"{error.message} ({words})"
    error.args = (error.message,)
