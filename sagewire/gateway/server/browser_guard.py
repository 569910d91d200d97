"""Keeping web pages out of a gateway without keys, which is for the programs of this machine.

A browser on the machine sends requests for any page that is open in it: across origins (CSRF), or to a name that the
page's owner points at 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping

from sagewire.gateway.errors import GatewayError

__all__ = ["check_browser", "is_loopback"]

# A name or an address, and a port: nothing that could be read as another host.
_NAME = r"([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
_HOST = re.compile(_NAME)
_ORIGIN = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://{_NAME}/?")
_CURE = "configure a key (`keys` or `server.master_key`) to serve it"


def check_browser(method: str, headers: Mapping[str, str], origins: Collection[str] = ()) -> None:
    """Check that a request comes from a program of this machine, not from a web page of another site.

    Args:
        method: The HTTP method.
        headers: The request's headers, looked up case-insensitively.
        origins: Origins that may call, as configured.

    Raises:
        GatewayError: 403 for a foreign host or origin, 415 for a body that is not declared as JSON.
    """
    host = headers.get("host", "")
    if not _is_local(_HOST, host):
        raise GatewayError(
            403,
            "foreign_host",
            f"host {host[:100]!r} is not this machine; without keys, only this machine is served: {_CURE}",
        )
    origin = headers.get("origin")
    allowed = origin is None or "*" in origins or origin in origins or _is_local(_ORIGIN, origin)
    if not allowed or (
        headers.get("sec-fetch-site") == "cross-site" and origin is None and method in ("POST", "DELETE")
    ):
        raise GatewayError(
            403,
            "foreign_origin",
            f"web pages of {(origin or 'other sites')[:100]} may not call this gateway: list the origin in "
            "`server.cors_origins`, and configure a key",
        )
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and kind != "application/json" and not kind.endswith("+json"):
        raise GatewayError(415, "json_only", "send the body with the header 'Content-Type: application/json'")


def _is_local(pattern: re.Pattern[str], given: str) -> bool:
    found = pattern.fullmatch(given)
    return found is not None and is_loopback(found[1])


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    host = host.lower().removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    # Version 6 can write all addresses of version 4.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
