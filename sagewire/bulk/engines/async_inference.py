"""The engine of SageMaker Asynchronous Inference: requests go into the endpoint's queue, answers come back in S3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sagewire.client import AsyncClient, AsyncInference
from sagewire.errors import UnsupportedFeature
from sagewire.http.abandonable import in_thread

__all__ = ["DEFERRED_IN_FLIGHT", "check_deferred", "defer"]

# The endpoint queues by itself, so no controller is needed; this many requests keep its queue filled.
DEFERRED_IN_FLIGHT = 128


def defer(
    client: AsyncClient,
    tickets: Path,
    *,
    upload_to: str | None = None,
    poll: float | Sequence[float] = (0.5, 15.0),
) -> AsyncClient:
    """Return a client that calls the same endpoint asynchronously.

    Args:
        client: The client.
        tickets: The job's file of the requests in flight: a job that is killed and resumed collects them.
        upload_to: An S3 folder for requests of more than 128,000 bytes.
        poll: The first and the longest wait between two looks for an answer, in seconds; one number is both.
    """
    first, *more = poll if isinstance(poll, Sequence) else (poll,)
    longest = more[0] if more else first
    return client.with_transport(
        AsyncInference(upload_to, poll=(float(first), float(longest)), tickets=str(tickets)), retries=1
    )


async def check_deferred(client: AsyncClient) -> None:
    """Find out whether an endpoint takes asynchronous calls, before each row is refused.

    Raises:
        UnsupportedFeature: It does not.
    """
    if not client.discovers:
        # Callers who name the handler may lack the permission to describe the endpoint.
        return
    found = await in_thread(client.describe)
    if not found.asynchronous:
        raise UnsupportedFeature("asynchronous inference", f"endpoint '{found.endpoint}'", "Use the local engine.")
