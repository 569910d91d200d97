"""A server's address, and everything needed to open a connection to it: TLS, client certificate, proxy."""

from __future__ import annotations

import base64
import importlib.util
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from sagewire.errors import UsageError
from sagewire.types.secret import Secret, hide

__all__ = [
    "Origin",
    "encoded_path",
    "host_header",
    "keepalive_options",
    "login_header",
    "proxy_for",
    "split_url",
    "tls_context",
    "wire_host",
    "without_login",
]

_PORTS = {"http": 80, "https": 443}
_KEEPALIVE_SECONDS = 60
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTHORITY = re.compile(r"[^/?#]*")
# What the system takes for an IPv4 address besides four numbers.
_NUMBERS = re.compile(r"(?:0x[0-9a-f]+|\d+)(?:\.(?:0x[0-9a-f]+|\d+)){0,3}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests go.

    Args:
        url: The base URL: scheme, host, and optionally a port and a path.
        ca_bundle: A file or directory of CA certificates; `True` for the default ones, `False` for no check at all.
        client_cert: A file with certificate and key, or a pair of files.
        proxy: The proxy's URL; `None` for a direct connection. A user name and password in it are kept apart.
        proxy_ca_bundle: CA certificates for the proxy itself, if it is reached over TLS.
        proxy_client_cert: The client certificate for the proxy itself.
        pool_size: Idle connections to keep; `None` for 64 of a sync engine, and as many as were in use of an async one.
        tcp_keepalive: Send TCP keep-alive probes.
    """

    url: str
    ca_bundle: bool | str = True
    client_cert: str | tuple[str, str] | None = None
    proxy: str | None = field(default=None, repr=False)
    login: Secret | None = field(default=None, init=False, repr=False)
    proxy_ca_bundle: str | None = None
    proxy_client_cert: str | tuple[str, str] | None = None
    pool_size: int | None = None
    tcp_keepalive: bool = False

    def __post_init__(self) -> None:
        split_url(self.url)
        if self.proxy is not None:
            scheme, known, _ = self.proxy.partition("://")
            if not known or scheme not in _PORTS or _fault(self.proxy) is not None:
                # Such a URL may hold a password, and is not shown.
                raise UsageError(
                    f"a proxy's URL ({scheme[:20] if known else ''}://...) must start with http:// or https:// and "
                    "name a host (SOCKS proxies are not supported); it comes from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY "
                    "or Config(proxies=...). NO_PROXY names the hosts that are reached directly"
                )
            object.__setattr__(self, "login", hide(login_header(self.proxy)))
            object.__setattr__(self, "proxy", without_login(self.proxy))

    @property
    def proxy_headers(self) -> dict[str, str]:
        """The headers that tell the proxy who asks; empty if nothing needs to be told."""
        return {} if self.login is None else {"Proxy-Authorization": self.login.reveal()}

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
        """The host's name or address as it is looked up, without brackets."""
        return wire_host(self.parts.hostname or "")

    @property
    def base(self) -> str:
        """The URL without its path, with the host as it is looked up."""
        parts = self.parts
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{parts.scheme}://{host}" if parts.port is None else f"{parts.scheme}://{host}:{parts.port}"

    @property
    def port(self) -> int:
        """The port."""
        return self.parts.port or _PORTS[self.parts.scheme]

    def route(self, where: str) -> str:
        """Return the server's and the proxy's address, for messages about a failed connection."""
        return f"{where} through the proxy {self.proxy}" if self.proxy is not None else where


def split_url(url: str, name: str = "") -> SplitResult:
    """Return a server's URL taken apart.

    Args:
        url: The URL.
        name: The argument it was given as, for the message.

    Raises:
        UsageError: It is not an HTTP URL, or its host or port cannot exist.
    """
    if not isinstance(url, str):
        raise UsageError(f"{name or 'a URL'} must be a string like https://host:8443/path, not {type(url).__name__}")
    return _split(url, name)


@lru_cache(maxsize=256)
def _split(url: str, name: str) -> SplitResult:
    fault = _fault(url)
    if fault is not None:
        shown = f"{name}={without_login(url)!r}" if name else repr(without_login(url))
        raise UsageError(f"{shown} is not a URL: {fault}; it looks like https://host:8443/path")
    return urlsplit(url)


def _fault(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in _PORTS or not host:
        return "it must start with http:// or https:// and name a host"
    if any(character in url.strip() for character in "\t\r\n"):
        # The standard library leaves them out, and what is left may be another host.
        return "it holds line breaks or tabs"
    if any(character.isspace() or not character.isprintable() for character in parts.netloc):
        return "its host holds spaces or control characters"
    try:
        if ":" not in host:
            host.encode("idna")
    except UnicodeError:
        return "a part of its host's name is empty or longer than 63 characters"
    return None


@lru_cache(maxsize=256)
def wire_host(host: str) -> str:
    """Return a host as it is looked up: a name in ASCII, an IPv6 zone as the system writes it, IPv4 in four numbers.

    Example:
        >>> wire_host("127.1"), wire_host("fe80::1%25eth0")
        ('127.0.0.1', 'fe80::1%eth0')
    """
    if ":" in host:
        return host.replace("%25", "%", 1)
    if not host.isascii():
        host = _ascii(host)
    if _NUMBERS.fullmatch(host):
        with suppress(OSError):
            return socket.inet_ntoa(socket.inet_aton(host))
    return host


def _ascii(host: str) -> str:
    from yarl import URL

    try:
        # As browsers and curl do it; the codec of the standard library is of 2003.
        return URL.build(scheme="http", host=host).raw_host or host
    except ValueError:
        return host.encode("idna").decode()


@lru_cache(maxsize=1024)
def encoded_path(path: str) -> str:
    """Return a path or query with all characters percent-encoded that HTTP cannot carry; encoded ones stay as they are.

    Example:
        >>> encoded_path("/my model/%C3%A9")
        '/my%20model/%C3%A9'
    """
    # A percent sign that encodes nothing is one.
    return quote(_BARE_PERCENT.sub("%25", path), safe="/?%:@!$&'()*+,;=-._~[]")


def keepalive_options() -> list[tuple[int, int, int]]:
    """Return socket options that keep an idle connection known to NAT gateways, which forget it after 350 s."""
    # Each system knows some of these.
    names = [name for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL") if hasattr(socket, name)]
    timing = [(socket.IPPROTO_TCP, getattr(socket, name), _KEEPALIVE_SECONDS) for name in names]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *timing]


def host_header(url: str) -> str:
    """Return the `Host` header an HTTP client sends for a URL: lower case, and without the scheme's default port."""
    parts = split_url(url)
    host = wire_host(parts.hostname or "")
    if ":" in host:
        # A zone means something to this machine alone (RFC 6874).
        host = f"[{host.partition('%')[0]}]"
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def proxy_for(url: str, proxies: Mapping[str, str] | None = None, *, all_proxy: bool = False) -> str | None:
    """Return the proxy to use for a URL, `None` for a direct connection.

    Args:
        url: The URL to fetch.
        proxies: Proxies by scheme, as botocore's `Config(proxies=...)` takes them; these are used without regard to
            `NO_PROXY`. Without them the environment decides: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`.
        all_proxy: `ALL_PROXY` counts, too, as for curl and requests; boto3 does not know it.
    """
    parts = split_url(url)
    if proxies is None:
        proxies = getproxies()
        if not proxies or _bypasses(proxies.get("no", ""), parts) or proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
    proxy = (proxies.get(parts.scheme) or (proxies.get("all") if all_proxy else None) or "").strip()
    if not proxy:
        return None
    # botocore accepts "proxy:3128" and "//proxy:3128" as well.
    return proxy if "://" in proxy else f"http://{proxy.lstrip('/')}"


def _bypasses(listed: str, parts: SplitResult) -> bool:
    """Return whether `NO_PROXY` names a host: by address, network (CIDR), name or domain, each with a port or without.

    The standard library knows names and suffixes only.
    """
    host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS[parts.scheme]
    return any(_names(entry, host, port) for entry in re.split(r"[,\s]+", listed.lower()) if entry)


def _names(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    host = wire_host(host)
    if _is_in(host, entry):
        return True
    name, colon, wanted = entry.rpartition(":")
    # Without brackets, what follows the last colon of an IPv6 address is part of it.
    if colon and wanted.isdecimal() and (":" not in name or name.endswith("]")):
        if wanted != str(port):
            return False
        entry = name
        if _is_in(host, entry):
            return True
    domain = entry.removeprefix("*").strip(".")
    if not domain.isascii():
        with suppress(ValueError):
            domain = _ascii(domain)
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _is_in(host: str, entry: str) -> bool:
    """Return whether a host is an address, and one of a network."""
    try:
        return ip_address(host.partition("%")[0]) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False


def login_header(url: str) -> str | None:
    """Return the header value for the user name and password in a URL, `None` if it has none."""
    parts = urlsplit(url)
    if parts.username is None:
        return None
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def without_login(url: str) -> str:
    """Return a URL without the user name and password in it."""
    scheme, separator, rest = url.partition("://")
    authority = _AUTHORITY.match(rest)
    assert authority is not None, "it matches an empty text, too"
    login = authority[0].rpartition("@")
    return f"{scheme}{separator}{rest[len(login[0] + login[1]) :]}" if separator else url


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
    # The certificates botocore uses: certifi if it is installed, else the bundle it ships. Neither needs importing.
    for package, name in (("certifi", "cacert.pem"), ("botocore", "cacert.pem")):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin:
            bundle = Path(spec.origin).with_name(name)
            if bundle.exists():
                return str(bundle)
    return ssl.get_default_verify_paths().cafile or ""
