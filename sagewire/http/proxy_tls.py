"""One TLS context for two parties: aiohttp takes one, and a proxy behind TLS wants another than the server does."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

from sagewire.errors import UsageError
from sagewire.http.origin import Origin, tls_context

__all__ = ["client_context"]


def client_context(origin: Origin) -> ssl.SSLContext:
    """Return the TLS context for the server, the proxy, or each of them in turn.

    Raises:
        UsageError: A file cannot be used; or proxy and server want different certificates and have the same name.
    """
    if not (origin.proxy or "").startswith("https:"):
        return tls_context(origin.ca_bundle, origin.client_cert)
    of_proxy = tls_context(origin.proxy_ca_bundle or origin.ca_bundle, origin.proxy_client_cert)
    if not origin.secure:
        return of_proxy
    of_server = tls_context(origin.ca_bundle, origin.client_cert)
    proxy_host = _host(origin.proxy or "")
    if proxy_host != _host(origin.url):
        return _ByHost(proxy_host, of_proxy, of_server)
    if origin.proxy_client_cert:
        raise UsageError(
            f"the proxy and the server behind it are both called {proxy_host!r}, and only the name tells aiohttp's "
            "connections apart: give one of them under another name or by its address, or use the sync client"
        )
    if origin.proxy_ca_bundle:
        of_server.load_verify_locations(origin.proxy_ca_bundle)
    return of_server


class _ByHost(ssl.SSLContext):
    """Shakes hands with the proxy by its own context, and with the server behind it by the server's."""

    def __new__(cls, proxy_host: str, of_proxy: ssl.SSLContext, of_server: ssl.SSLContext) -> _ByHost:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context._proxy_host = proxy_host
        context._of_proxy = of_proxy
        context._of_server = of_server
        return context

    _proxy_host: str
    _of_proxy: ssl.SSLContext
    _of_server: ssl.SSLContext

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a handshake; asyncio's and uvloop's way to ask for one."""
        context = self._of_proxy if server_hostname == self._proxy_host else self._of_server
        return context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def _host(url: str) -> Any:
    from yarl import URL

    # As aiohttp names it in the handshake.
    return URL(url, encoded=True).raw_host or urlsplit(url).hostname
