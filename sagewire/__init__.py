"""Name the endpoint, and it is a first-class model in every framework.

    >>> from sagewire import Client
    >>> client = Client("my-llama", handler="tgi", format="llama3_1")  # doctest: +SKIP
    >>> client.chat("Why is the sky blue?", max_tokens=200).text  # doctest: +SKIP
    'Because air scatters blue light more than red.'

Importing this package imports neither boto3 nor a framework; names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the module it lives in.
_HOMES = {
    "AsyncClient": "sagewire.client",
    "Client": "sagewire.client",
    "EndpointError": "sagewire.errors",
    "Hooks": "sagewire.telemetry",
    "ImagePart": "sagewire.types",
    "Message": "sagewire.types",
    "Options": "sagewire.types",
    "Reply": "sagewire.types",
    "Retries": "sagewire.transports.base",
    "SagewireError": "sagewire.errors",
    "StreamTruncated": "sagewire.errors",
    "TextPart": "sagewire.types",
    "Timeouts": "sagewire.http.deadlines",
    "Tool": "sagewire.types",
    "ToolCall": "sagewire.types",
    "UnsupportedFeature": "sagewire.errors",
    "Usage": "sagewire.types",
    "UsageError": "sagewire.errors",
    "WireError": "sagewire.errors",
    "assume_role_session": "sagewire.aws.session",
    "get_format": "sagewire.prompt_formats",
    "get_handler": "sagewire.content_handlers",
}

if TYPE_CHECKING:
    from sagewire.aws.session import assume_role_session
    from sagewire.client import AsyncClient, Client
    from sagewire.content_handlers import get_handler
    from sagewire.errors import (
        EndpointError,
        SagewireError,
        StreamTruncated,
        UnsupportedFeature,
        UsageError,
        WireError,
    )
    from sagewire.http.deadlines import Timeouts
    from sagewire.prompt_formats import get_format
    from sagewire.telemetry import Hooks
    from sagewire.transports.base import Retries
    from sagewire.types import ImagePart, Message, Options, Reply, TextPart, Tool, ToolCall, Usage

__all__ = [
    "AsyncClient",
    "Client",
    "EndpointError",
    "Hooks",
    "ImagePart",
    "Message",
    "Options",
    "Reply",
    "Retries",
    "SagewireError",
    "StreamTruncated",
    "TextPart",
    "Timeouts",
    "Tool",
    "ToolCall",
    "UnsupportedFeature",
    "Usage",
    "UsageError",
    "WireError",
    "__version__",
    "assume_role_session",
    "get_format",
    "get_handler",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'sagewire' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
