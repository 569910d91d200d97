"""Bodies that are in the container's own format already: sent as they are, and read by whoever has written them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from sagewire.client.async_client import AsyncClient
from sagewire.client.runner import refuses_usage
from sagewire.content_handlers.base import ContentHandler
from sagewire.errors import SagewireError
from sagewire.telemetry import is_watched
from sagewire.transports.base import AsyncByteStream, Body
from sagewire.types import Invocation, Options

__all__ = ["Verbatim"]


class Verbatim:
    """One call of a client's endpoint, past everything that turns values into bytes and bytes into values.

    Args:
        client: The client. Its retries, time limits, credentials and detection of the container hold here, too.
        endpoint_kwargs: InvokeEndpoint parameters of the call.
    """

    def __init__(self, client: AsyncClient, endpoint_kwargs: Mapping[str, Any]) -> None:
        self._client = client
        self._endpoint_kwargs = endpoint_kwargs
        self._finding = client._resolver.finding(endpoint_kwargs)
        self._counted = not client._usage_refused

    @staticmethod
    def fits(client: AsyncClient, endpoint_kwargs: Mapping[str, Any]) -> bool:
        """Return whether calls may be made like this: the container is known, and nothing is told about its calls."""
        settings = client._settings
        return (
            settings.format is None
            and client._resolver.known(endpoint_kwargs)
            and not client._stream_internally
            and not is_watched(settings.hooks)
        )

    @property
    def handler(self) -> ContentHandler:
        """The content handler for chats."""
        return self._finding.handler("chat")

    @property
    def options(self) -> Options:
        """The client's own options, which each body has to have."""
        return self._client._options

    @property
    def counts_usage(self) -> bool:
        """Whether the server reports token counts of streams, as far as is known."""
        return self._counted

    async def invoke(self, body: bytes) -> Body:
        """Send a body and return the whole answer; raise `EndpointError`."""
        return await self._client._connect().invoke(self._invocation(body, stream=False))

    def stream(self, body: bytes) -> AbstractAsyncContextManager[AsyncByteStream]:
        """Send a body and return the answer as it arrives."""
        return self._client._connect().stream(self._invocation(body, stream=True))

    async def is_out_of_date(self, error: SagewireError) -> bool:
        """Return whether the call failed for something that has just been learnt, and should be made anew.

        The server does not report token counts of streams, or the endpoint has another container now; see `CallRun`.
        """
        client = self._client
        if self._counted and refuses_usage(error):
            client._usage_refused = True
            return True
        if not client._resolver.suspects(error):
            return False
        return await client._resolver.found_other_async(error, self._endpoint_kwargs, self._finding)

    def _invocation(self, body: bytes, *, stream: bool) -> Invocation:
        handler = self.handler
        return Invocation(
            body,
            handler.content_type,
            handler.accept,
            (stream and handler.stream_path) or handler.path,
            {**self._finding.parameters, **self._endpoint_kwargs},
        )
