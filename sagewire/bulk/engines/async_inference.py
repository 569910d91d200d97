"""The engine of SageMaker Asynchronous Inference: requests go into the endpoint's queue, answers come back in S3."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sagewire.bulk.job import Job
from sagewire.errors import UnsupportedFeature
from sagewire.http.deadlines import Timeouts
from sagewire.transports.base import Retries

if TYPE_CHECKING:
    from sagewire.client.async_client import AsyncClient

__all__ = ["DEFERRED_IN_FLIGHT", "check_deferred", "defer"]

# The endpoint queues by itself, so there is no controller to be found; this many requests keep its queue filled.
DEFERRED_IN_FLIGHT = 128


def defer(
    client: AsyncClient, job: Job, *, upload_to: str | None = None, poll: float | Sequence[float] = (0.5, 15.0)
) -> None:
    """Let a client call its endpoint asynchronously; what the endpoint speaks is found out as ever.

    Args:
        client: The client; it must not have made a call yet.
        job: Whose client it is.
        upload_to: An S3 folder for requests of more than 128,000 bytes.
        poll: The first and the longest wait between two looks for an answer, in seconds; one number is both.
    """
    from sagewire.transports.async_inference import AsyncDeferredTransport

    settings = client._settings
    arguments: dict[str, Any] = settings._sagemaker_arguments()
    timeout = job.client_arguments.get("timeout")
    arguments["timeouts"] = None if timeout is None else Timeouts.of(timeout)
    arguments["retries"] = Retries(attempts=1)
    first, *more = poll if isinstance(poll, Sequence) else (poll,)
    longest = more[0] if more else first
    client._transport = AsyncDeferredTransport(
        settings._name, **arguments, upload_to=upload_to, poll=(float(first), float(longest))
    )


async def check_deferred(client: AsyncClient) -> None:
    """Find out whether an endpoint takes asynchronous calls, before each row is refused.

    Raises:
        UnsupportedFeature: It does not.
    """
    if not client.discovers:
        # Whoever names the handler may not be allowed to ask the control plane.
        return
    found = await asyncio.to_thread(client.describe)
    if not found.asynchronous:
        raise UnsupportedFeature("asynchronous inference", f"endpoint '{found.endpoint}'", "Use the local engine.")
