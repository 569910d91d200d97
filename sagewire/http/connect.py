"""Opening connections with urllib3: names, TLS, proxies and tunnels."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from http.client import HTTPException
from typing import Any

from sagewire._forks import reset_in_child
from sagewire.errors import EndpointError
from sagewire.http.abandonable import call_within
from sagewire.http.deadlines import Deadlines
from sagewire.http.errors import UNRESOLVED, connection_error, proxy_refusal, tls_error
from sagewire.http.origin import Origin, host_header, keepalive_options, tls_context

__all__ = ["Connector"]


# How many addresses of a name may use up the whole limit for connecting.
_ADDRESSES = 3
# The standard library's words for a proxy that opens no tunnel.
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3}) ?(.{0,200}).*", re.DOTALL)


class Connector:
    """Opens connections to one origin.

    Attributes:
        host_header: The `Host` header of requests.
        target_prefix: The text before the path in a request line: nothing, or the whole address for a proxy that
            forwards.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._contexts: tuple[ssl.SSLContext | None, ssl.SSLContext | None] | None = None
        self.host_header = host_header(origin.url)
        self._forwards = origin.proxy is not None and not origin.secure
        self.target_prefix = f"http://{self.host_header}" if self._forwards else ""
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the lock; another thread of the parent may have held it."""
        self._lock = threading.Lock()

    @property
    def extra_headers(self) -> dict[str, str]:
        """Headers for a proxy that forwards."""
        return self._origin.proxy_headers if self._forwards else {}

    def connect(self, deadlines: Deadlines) -> Any:
        """Return a connected `urllib3.connection.HTTPConnection`; raise `EndpointError` if it cannot be made."""
        connection = self._new(deadlines.wait("connect"))
        try:
            # The connection's own limit is for each address, each line of a proxy and each step of TLS by itself.
            call_within(_overall(deadlines), connection.connect, discard=lambda _: connection.close())
        except BaseException as error:
            connection.close()
            translated = _translated(error, deadlines, self._origin)
            if translated is None:
                raise
            raise translated from error
        return connection

    def _new(self, timeout: float | None) -> Any:
        from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
        from urllib3.util import parse_url

        origin = self._origin
        options: dict[str, Any] = {"timeout": timeout}
        if origin.tcp_keepalive:
            options["socket_options"] = [*HTTPConnection.default_socket_options, *keepalive_options()]
        context, proxy_context = self._tls()
        if origin.proxy is None:
            if not origin.secure:
                return HTTPConnection(origin.host, origin.port, **options)
            return HTTPSConnection(origin.host, origin.port, ssl_context=context, **options)
        proxy = parse_url(origin.proxy)
        secure_proxy = proxy.scheme == "https"
        address = (proxy.host or "", proxy.port or (443 if secure_proxy else 80))
        if not origin.secure:
            if secure_proxy:
                return HTTPSConnection(*address, ssl_context=proxy_context, **options)
            return HTTPConnection(*address, **options)
        options["proxy_config"] = ProxyConfig(proxy_context, False, None, None)
        connection = HTTPSConnection(*address, proxy=proxy, ssl_context=context, **options)
        connection.set_tunnel(
            origin.host, origin.port, headers=origin.proxy_headers, scheme="https" if secure_proxy else "http"
        )
        return connection

    def _tls(self) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
        # Reading the CA certificates takes some 20 ms, so it is done once and only where TLS is spoken.
        if self._contexts is None:
            origin = self._origin
            secure_proxy = origin.proxy is not None and origin.proxy.startswith("https:")
            with self._lock:
                self._contexts = (
                    tls_context(origin.ca_bundle, origin.client_cert) if origin.secure else None,
                    tls_context(origin.proxy_ca_bundle or origin.ca_bundle, origin.proxy_client_cert)
                    if secure_proxy
                    else None,
                )
        return self._contexts


def _overall(deadlines: Deadlines) -> float | None:
    """Return how long opening a connection may take in all: addresses that do not answer leave time for the others."""
    left, each = deadlines.left(), deadlines.timeouts.connect
    if each is None:
        return left
    return _ADDRESSES * each if left is None else min(left, _ADDRESSES * each)


def _translated(error: BaseException, deadlines: Deadlines, origin: Origin) -> EndpointError | None:
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

    # urllib3 derives its error for a refused connection from the one for a connect timeout.
    if isinstance(error, ConnectTimeoutError | TimeoutError) and not isinstance(error, NewConnectionError):
        return deadlines.expired("connect")
    cause = error.__cause__ if isinstance(error, HTTPError) and error.__cause__ is not None else error
    if isinstance(cause, ssl.SSLError | ssl.CertificateError):
        return tls_error(cause, deadlines.where)
    if isinstance(error, NameResolutionError) or isinstance(cause, socket.gaierror):
        return connection_error(f"{origin.host!r} cannot be found: {UNRESOLVED}", origin.route(deadlines.where))
    refused = _TUNNEL.fullmatch(str(error)) if isinstance(error, OSError) else None
    if refused is not None:
        return proxy_refusal(int(refused[1]), refused[2], origin.route(deadlines.where))
    if isinstance(error, HTTPException) and not isinstance(error, OSError):
        # Only a proxy is called before there is a connection.
        reason = f"the proxy did not answer in HTTP ({type(error).__name__})"
        return connection_error(reason, origin.route(deadlines.where))
    if isinstance(error, HTTPError | OSError):
        return connection_error(cause, origin.route(deadlines.where))
    return None
