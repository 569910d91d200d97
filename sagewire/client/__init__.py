"""One endpoint as a Python object: `Client`, and `AsyncClient` with the same names awaited."""

from sagewire.client.async_client import AsyncClient
from sagewire.client.sync_client import Client

__all__ = ["AsyncClient", "Client"]
