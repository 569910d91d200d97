"""One endpoint as a Python object: `Client`, and `AsyncClient` with the same names awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagewire._names import missing_name
from sagewire.client.streams import AsyncReplyStream, ReplyStream
from sagewire.client.sync_client import Client
from sagewire.client.transport_choices import AsyncInference, Boto3, Http

if TYPE_CHECKING:
    from sagewire.client.async_client import AsyncClient

__all__ = ["AsyncClient", "AsyncInference", "AsyncReplyStream", "Boto3", "Client", "Http", "ReplyStream"]


if not TYPE_CHECKING:
    # Type checkers would take every name for one of this package's.
    def __getattr__(name: str) -> Any:
        # asyncio and what belongs to it are a tenth of a cold start.
        if name == "AsyncClient":
            from sagewire.client.async_client import AsyncClient

            return AsyncClient
        raise missing_name(__name__, name, __all__)
