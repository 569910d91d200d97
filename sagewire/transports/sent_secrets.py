"""The secrets of a transport's latest requests, which an answer may repeat wherever it likes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from sagewire.http.request import Request
from sagewire.transports.secrets import Redactor, secrets_of
from sagewire.types import ResponseInfo
from sagewire.types.secret import Secret

__all__ = ["SentSecrets", "is_own_id", "masked_info"]

# Calls with other credentials than the latest ones may still be in flight: tokens are renewed.
_REMEMBERED = 32
# Shorter values are no secrets.
_SHORTEST = 6
# The ids that servers make by themselves: UUIDs and the like, and the names of SageMaker's variants.
_OWN_ID = re.compile(r"[0-9A-Za-z-]{1,36}|Root=[0-9A-Fa-f-]{1,40}")
_OWN_NAME = re.compile(r"[A-Za-z0-9-]{1,63}")


class SentSecrets:
    """The headers and paths of the latest requests that differ in their credentials.

    Args:
        proxy_headers: Returns what a proxy is told.
    """

    def __init__(self, proxy_headers: Callable[[], Mapping[str, str]]) -> None:
        self._proxy_headers = proxy_headers
        self._recent = Secret(deque[tuple[str | None, Mapping[str, str], str]](maxlen=_REMEMBERED))

    def note(self, request: Request) -> None:
        """Remember what a request carries."""
        headers = request.headers
        key = headers.get("Authorization")
        if key is not None and key.startswith("AWS4-"):
            # Each has a signature of its own, by which nobody else can be let in.
            key = headers.get("X-Amz-Security-Token")
        recent = self._recent.reveal()
        entry = (key, headers, request.path)
        if recent and recent[-1][0] == key:
            recent[-1] = entry
        else:
            recent.append(entry)

    def redactor(self) -> Redactor:
        """Return what masks the secrets of all of them."""
        found = {one for _, headers, path in list(self._recent.reveal()) for one in secrets_of(headers, path)}
        found |= set(secrets_of(self._proxy_headers()))
        return Redactor(sorted(found, key=len, reverse=True))

    def masked(self, info: ResponseInfo) -> ResponseInfo:
        """Return what an answer's headers say without the secrets of the requests."""
        repeated = info.request_id is not None and self._repeats(info.request_id)
        return _masked(info, self.redactor()) if repeated else masked_info(info, self.redactor)

    def _repeats(self, own: str) -> bool:
        """Return whether an id that looks like one may be a secret all the same."""
        recent = self._recent.reveal()
        if not recent or len(own) < _SHORTEST:
            return False
        key, headers, _ = recent[-1]
        if key and key.rpartition(" ")[2] in own:
            return True
        # Each answer with an id comes here, and a generator takes twice as long.
        for name, value in headers.items():
            if name != "X-Request-Id" and (own in value or (len(value) >= _SHORTEST and value in own)):
                return True
        return False


def is_own_id(text: str) -> bool:
    """Return whether an id looks like one that a server makes by itself."""
    return _OWN_ID.fullmatch(text) is not None


def _is_plain(info: ResponseInfo) -> bool:
    return (
        (info.request_id is None or _OWN_ID.fullmatch(info.request_id) is not None)
        and (info.production_variant is None or _OWN_NAME.fullmatch(info.production_variant) is not None)
        and (info.custom_attributes or info.new_session_id or info.closed_session_id) is None
    )


def masked_info(info: ResponseInfo, redactor: Callable[[], Redactor]) -> ResponseInfo:
    """Return what an answer's headers say without secrets; `redactor` makes what masks them, if it is needed."""
    return info if _is_plain(info) else _masked(info, redactor())


def _masked(info: ResponseInfo, redactor: Redactor) -> ResponseInfo:
    names = ("request_id", "production_variant", "custom_attributes", "new_session_id", "closed_session_id")
    return replace(info, **{name: redactor.value(getattr(info, name)) for name in names})
