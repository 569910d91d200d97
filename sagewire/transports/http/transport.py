"""Any HTTP server: Hugging Face Inference Endpoints and router, TGI, vLLM, TEI, llama.cpp, Ollama, sync and async."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping

from sagewire.aws.credentials import Credentials
from sagewire.errors import EndpointError, UsageError
from sagewire.http.deadlines import Timeouts
from sagewire.http.origin import Origin, encoded_path, proxy_for, split_url
from sagewire.http.request import Request
from sagewire.http.sync_engine import SyncEngine
from sagewire.transports.async_transport import AsyncTransport
from sagewire.transports.base import Retries
from sagewire.transports.http.http_errors import http_error, request_id_of
from sagewire.transports.http.hugging_face import check_host, find_token, is_hugging_face, may_sleep
from sagewire.transports.sync_transport import SyncTransport
from sagewire.types import Invocation, ResponseInfo, Timings
from sagewire.types.secret import Secret, hide

__all__ = ["AsyncHttpTransport", "HttpTarget", "HttpTransport", "join_path"]

_FRAMING = frozenset({"connection", "content-length", "transfer-encoding", "upgrade", "expect", "trailer", "te"})

_VERSIONED = re.compile(r"(^|/)v\d+((alpha|beta)\d*)?(/openai)?$")
Token = str | Callable[[], str] | None


class HttpTarget:
    """An HTTP server as a `Target`.

    Args:
        url: The base URL. A path in it is kept; a call's path is put behind it, without repeating what both have.
        token: Sent as `Authorization: Bearer ...`, to this host only; a callable is asked for each request. Without
            one (`None`), the user's Hugging Face token is sent to Hugging Face's own hosts, over TLS.
        headers: Further headers of each request.
    """

    def __init__(self, url: str, token: Token = None, headers: Mapping[str, str] | None = None) -> None:
        parts = split_url(url, "url")
        if parts.username is not None:
            raise UsageError("a URL with a user name or password ends up in logs; use token= or headers=")
        self._host = parts.hostname or ""
        check_host(self._host)
        if token is None and parts.scheme == "https" and is_hugging_face(self._host):
            token = find_token()
        self._token = hide(token or None)
        self._base = parts.path
        self._query = Secret(encoded_path(f"?{parts.query}")) if parts.query else None
        # The few paths of the calls' formats, as they are sent.
        self._paths: dict[str, str] = {}
        self._shown = f"{parts.scheme}://{parts.netloc}"
        self._headers = {
            "User-Agent": f"sagewire Python/{platform.python_version()}",
            "Accept-Encoding": "identity",
        }
        given = dict(headers or {})
        self._given = Secret(given) if given else None
        self._names_host = _check_headers(given)

    @property
    def name(self) -> str:
        """The server's address."""
        return self._shown

    def check(self, call: Invocation, *, stream: bool) -> None:
        """Raise `UsageError` for what only SageMaker has; `InferenceId`, your own id of a call, travels as a header."""
        foreign = [name for name in call.parameters if name != "InferenceId"]
        if foreign:
            raise UsageError(
                f"{', '.join(foreign)}: InvokeEndpoint parameters mean nothing to {self._shown}; "
                "leave endpoint_kwargs out"
            )

    def request(self, call: Invocation, credentials: Credentials | None, *, stream: bool) -> Request:
        """Return the request."""
        headers = {"Content-Type": call.content_type, "Accept": call.accept, **self._headers}
        if "InferenceId" in call.parameters:
            headers["X-Request-Id"] = call.parameters["InferenceId"]
        if self._token is not None:
            token = self._token.reveal()
            headers["Authorization"] = f"Bearer {token if isinstance(token, str) else token()}"
        if self._given is not None:
            headers = _merged(headers, self._given.reveal())
        path = self._paths.get(call.path)
        if path is None:
            path = self._paths[call.path] = encoded_path(join_path(self._base, call.path))
        if self._query is not None:
            path += self._query.reveal()
        return Request(path, headers, call.body, call.method, self._names_host)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
        """Return the error for an answer whose status is not 2xx."""
        return http_error(status, headers, body, url=self._shown, may_sleep=may_sleep(self._host))

    def set_clock(self, ahead: float) -> bool:
        """Do nothing: no clock is needed here."""
        return False

    def info(self, headers: Mapping[str, str], timings: Timings, *, stream: bool) -> ResponseInfo:
        """Return what the headers of an answer say, and how long it took to come."""
        content_type = headers.get("content-type", "")
        return ResponseInfo(content_type=content_type, request_id=request_id_of(headers), timings=timings)


def _check_headers(headers: Mapping[str, str]) -> bool:
    """Return whether the caller's headers name the host; raise `UsageError` for those that frame the request."""
    names = [name.lower() for name in headers]
    for name in names:
        if name in _FRAMING:
            raise UsageError(f"headers= may not hold {name!r}: it follows from the request")
    if len(set(names)) < len(names):
        raise UsageError(f"headers= names a header twice, in different letters: {', '.join(headers)}")
    return "host" in names


def _merged(ours: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return headers of which the caller's win, however they are written."""
    theirs = {name.lower() for name in given}
    return {**{name: value for name, value in ours.items() if name.lower() not in theirs}, **given}


def join_path(base: str, path: str) -> str:
    """Return a base URL's path and a call's path as one, without repeating what both have.

    Example:
        >>> join_path("/v1", "/v1/chat/completions")
        '/v1/chat/completions'
        >>> join_path("/tenant/v1/", "/v1/embeddings")
        '/tenant/v1/embeddings'
        >>> join_path("/api/v3", "/v1/chat/completions")
        '/api/v3/chat/completions'
        >>> join_path("", "")
        '/'
    """
    left = [segment for segment in base.split("/") if segment]
    right = [segment for segment in path.split("/") if segment]
    if not right:
        return base or "/"
    if right[0] == "v1" and _VERSIONED.search("/".join(left)):
        # The base names its own version of OpenAI's API: /api/v3, /v1beta/openai.
        right = right[1:]
    for shared in range(min(len(left), len(right)), 0, -1):
        if left[-shared:] == right[:shared]:
            right = right[shared:]
            break
    tail = "/" if path.endswith("/") else ""
    return "/" + "/".join(left + right) + tail


def _origin(
    url: str, verify: bool | str | None, cert: str | tuple[str, str] | None, proxies: Mapping[str, str] | None
) -> Origin:
    if verify is None:
        verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True
    # A key in the query is the target's to keep.
    proxy = proxy_for(url, proxies, all_proxy=True)
    return Origin(url.partition("?")[0], ca_bundle=verify, client_cert=cert, proxy=proxy)


class HttpTransport(SyncTransport):
    """Carries invocations to one HTTP server; safe to share between threads, and usable after a fork.

    Args:
        url: The base URL, for example `http://localhost:8000` or `https://....endpoints.huggingface.cloud`.
        token: The bearer token, or a callable that returns a current one; sent to this host only, and never along
            with a redirect. Without one, the user's Hugging Face token is sent to Hugging Face's own hosts.
        headers: Further headers of each request.
        timeouts: The deadlines of each call.
        retries: How often to try.
        verify: A file or directory of CA certificates; `False` for no check; `None` for `REQUESTS_CA_BUNDLE`,
            `SSL_CERT_FILE`, else the usual certificates.
        cert: A client certificate: a file with certificate and key, or a pair of files.
        proxies: Proxy URLs by scheme; `None` for `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
        max_response_bytes: The longest answer that is read, whole or streamed; `None` for the default of 256 MB.

    Raises:
        UsageError: The URL is invalid, or an address that was shut down.

    Example:
        >>> transport = HttpTransport("http://localhost:8000/v1")  # doctest: +SKIP
        >>> transport.invoke(Invocation(b"{}", path="/v1/chat/completions")).info.content_type  # doctest: +SKIP
        'application/json'
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        max_response_bytes: int | None = None,
    ) -> None:
        target = HttpTarget(url, token, headers)
        engine = SyncEngine(_origin(url, verify, cert, proxies))
        super().__init__(
            target, engine, timeouts or Timeouts(), retries or Retries(), max_response_bytes=max_response_bytes
        )


class AsyncHttpTransport(AsyncTransport):
    """`HttpTransport`, awaited; works in any number of event loops. The arguments are the same."""

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        max_response_bytes: int | None = None,
    ) -> None:
        target = HttpTarget(url, token, headers)
        # Loads asyncio, which sync callers do not wait for.
        from sagewire.http.async_engine import AsyncEngine

        engine = AsyncEngine(_origin(url, verify, cert, proxies))
        super().__init__(
            target, engine, timeouts or Timeouts(), retries or Retries(), max_response_bytes=max_response_bytes
        )
