"""A server's address, and everything needed to open a connection to it: TLS, client certificate, proxy."""

from __future__ import annotations

import base64
import importlib.util
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from sagewire.errors import UsageError

__all__ = ["Origin", "host_header", "proxy_for", "proxy_login", "tls_context", "without_login"]

DEFAULT_POOL_SIZE = 64
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests go.

    Args:
        url: The base URL: scheme, host, and optionally a port and a path.
        ca_bundle: A file or directory of CA certificates; `True` for the default ones, `False` for no check at all.
        client_cert: A file with certificate and key, or a pair of files.
        proxy: The proxy's URL; `None` for a direct connection.
        proxy_ca_bundle: CA certificates for the proxy itself, where it is reached over TLS.
        proxy_client_cert: The client certificate for the proxy itself.
        pool_size: Idle connections to keep.
        tcp_keepalive: Send TCP keep-alive probes.
    """

    url: str
    ca_bundle: bool | str = True
    client_cert: str | tuple[str, str] | None = None
    proxy: str | None = field(default=None, repr=False)
    proxy_ca_bundle: str | None = None
    proxy_client_cert: str | tuple[str, str] | None = None
    pool_size: int = DEFAULT_POOL_SIZE
    tcp_keepalive: bool = False

    def __post_init__(self) -> None:
        if self.parts.scheme not in _PORTS or not self.parts.hostname:
            raise UsageError(f"{self.url!r} is not a URL; it must start with http:// or https:// and name a host")
        if self.proxy is not None:
            proxy = urlsplit(self.proxy)
            if proxy.scheme not in _PORTS or not proxy.hostname:
                # Such a URL may hold a password, and is not shown.
                raise UsageError(
                    f"a proxy's URL ({proxy.scheme}://...) must start with http:// or https:// and name a host; it "
                    "comes from HTTP_PROXY, HTTPS_PROXY or Config(proxies=...)"
                )

    @property
    def parts(self) -> SplitResult:
        """The URL taken apart."""
        return urlsplit(self.url)

    @property
    def secure(self) -> bool:
        """Whether the server is reached over TLS."""
        return self.parts.scheme == "https"

    @property
    def host(self) -> str:
        """The host's name or address, without brackets."""
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        """The port."""
        return self.parts.port or _PORTS[self.parts.scheme]

    def route(self, where: str) -> str:
        """Return who is called and through which proxy, for messages about a connection that could not be made."""
        return f"{where} through the proxy {without_login(self.proxy)}" if self.proxy is not None else where


def host_header(url: str) -> str:
    """Return the `Host` header an HTTP client sends for a URL: lower case, and without the scheme's default port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def proxy_for(url: str, proxies: Mapping[str, str] | None = None) -> str | None:
    """Return the proxy to use for a URL, `None` for a direct connection.

    Args:
        url: What is to be fetched.
        proxies: Proxies by scheme, as botocore's `Config(proxies=...)` takes them; these are used without regard to
            `NO_PROXY`. Without them the environment decides: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`.
    """
    parts = urlsplit(url)
    if proxies is None:
        proxies = getproxies()
        if not proxies or proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
    proxy = proxies.get(parts.scheme)
    if not proxy:
        return None
    # botocore accepts "proxy:3128" and "//proxy:3128" as well.
    return proxy if "://" in proxy else f"http://{proxy.lstrip('/')}"


def proxy_login(url: str) -> dict[str, str]:
    """Return the header for the user name and password in a proxy's URL, empty where it has none."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def without_login(url: str) -> str:
    """Return a URL without the user name and password in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def tls_context(ca_bundle: bool | str, client_cert: Any = None) -> ssl.SSLContext:
    """Return the TLS settings of a connection.

    Args:
        ca_bundle: As in `Origin`.
        client_cert: As in `Origin`.

    Raises:
        UsageError: A file does not exist or holds no certificate.
    """
    if ca_bundle is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        path = Path(_default_bundle() if ca_bundle is True else ca_bundle).expanduser()
        try:
            context = ssl.create_default_context(
                cafile=None if path.is_dir() else str(path), capath=str(path) if path.is_dir() else None
            )
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"the CA bundle {path} cannot be read ({error}); it comes from AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, "
                "CURL_CA_BUNDLE or ca_bundle in the AWS configuration"
            ) from None
    # Python 3.13 switched this on; boto3 does not, and many company CAs would fail it.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if client_cert:
        files = (client_cert,) if isinstance(client_cert, str) else tuple(client_cert)
        try:
            context.load_cert_chain(*files)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"the client certificate {files[0]} cannot be used: {error}") from None
    return context


def _default_bundle() -> str:
    # What botocore verifies with: certifi where it is installed, else the bundle it ships. Neither needs importing.
    for package, name in (("certifi", "cacert.pem"), ("botocore", "cacert.pem")):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin:
            bundle = Path(spec.origin).with_name(name)
            if bundle.exists():
                return str(bundle)
    return ssl.get_default_verify_paths().cafile or ""
