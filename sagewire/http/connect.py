"""Opening connections with urllib3: names, TLS, proxies and tunnels."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any

from sagewire._forks import reset_in_child
from sagewire.errors import EndpointError
from sagewire.http.deadlines import Limits
from sagewire.http.errors import connection_error, tls_error
from sagewire.http.origin import Place, host_header, proxy_login, tls_context

__all__ = ["Connector"]


class Connector:
    """Opens connections to one place.

    Attributes:
        host_header: The `Host` header of requests.
        target_prefix: What stands before the path in a request line: nothing, or the whole address for a proxy that
            forwards.
        extra_headers: Headers for such a proxy.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._contexts: tuple[ssl.SSLContext | None, ssl.SSLContext | None] | None = None
        self.host_header = host_header(place.url)
        forwards = place.proxy is not None and not place.secure
        self.target_prefix = f"http://{self.host_header}" if forwards else ""
        self.extra_headers = tuple(proxy_login(place.proxy or "").items()) if forwards else ()
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the lock; another thread of the parent may have held it."""
        self._lock = threading.Lock()

    def connect(self, limits: Limits) -> Any:
        """Return a connected `urllib3.connection.HTTPConnection`; raise `EndpointError` where there is none."""
        connection = self._new(limits.wait("connect"))
        try:
            connection.connect()
        except BaseException as error:
            connection.close()
            translated = _translated(error, limits, self._place)
            if translated is None:
                raise
            raise translated from error
        return connection

    def _new(self, timeout: float | None) -> Any:
        from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
        from urllib3.util import parse_url

        place = self._place
        options: dict[str, Any] = {"timeout": timeout}
        if place.tcp_keepalive:
            keepalive = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            options["socket_options"] = [*HTTPConnection.default_socket_options, keepalive]
        context, proxy_context = self._tls()
        if place.proxy is None:
            if not place.secure:
                return HTTPConnection(place.host, place.port, **options)
            return HTTPSConnection(place.host, place.port, ssl_context=context, **options)
        proxy = parse_url(place.proxy)
        secure_proxy = proxy.scheme == "https"
        address = (proxy.host or "", proxy.port or (443 if secure_proxy else 80))
        if not place.secure:
            if secure_proxy:
                return HTTPSConnection(*address, ssl_context=proxy_context, **options)
            return HTTPConnection(*address, **options)
        options["proxy_config"] = ProxyConfig(proxy_context, False, None, None)
        connection = HTTPSConnection(*address, proxy=proxy, ssl_context=context, **options)
        connection.set_tunnel(
            place.host, place.port, headers=proxy_login(place.proxy), scheme="https" if secure_proxy else "http"
        )
        return connection

    def _tls(self) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
        # Reading the CA certificates takes some 20 ms, so it is done once and only where TLS is spoken.
        if self._contexts is None:
            place = self._place
            secure_proxy = place.proxy is not None and place.proxy.startswith("https:")
            with self._lock:
                self._contexts = (
                    tls_context(place.ca_bundle, place.client_cert) if place.secure else None,
                    tls_context(place.proxy_ca_bundle or place.ca_bundle, place.proxy_client_cert)
                    if secure_proxy
                    else None,
                )
        return self._contexts


def _translated(error: BaseException, limits: Limits, place: Place) -> EndpointError | None:
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

    # urllib3 derives its error for a refused connection from the one for a connect timeout.
    if isinstance(error, ConnectTimeoutError | TimeoutError) and not isinstance(error, NewConnectionError):
        return limits.expired("connect")
    cause = error.__cause__ if isinstance(error, HTTPError) and error.__cause__ is not None else error
    if isinstance(cause, ssl.SSLError | ssl.CertificateError):
        return tls_error(cause, limits.where)
    if isinstance(error, HTTPError | OSError):
        return connection_error(cause, place.route(limits.where))
    return None
