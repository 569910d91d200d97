"""The clients of integrations: made once for each way to reach a server, and used again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from sagewire.client import AsyncClient, Client
from sagewire.http.deadlines import Timeouts
from sagewire.transports.base import Retries
from sagewire.types.secret import Secret

__all__ = ["ClientPair", "ClientPool", "current_pair"]

# Whoever changes one of these between two calls means the next call.
_ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SAGEMAKER",
    "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACE_TOKEN",
)


@dataclass(frozen=True, slots=True)
class ClientPair:
    """A client and its twin for asyncio; the endpoint is detected once for both.

    Args:
        client: The client.
        twin: The same for asyncio.
        parts: The arguments it was made with. An object among them is known by its identity, so it must live as long.
        fields: The fields of the host framework's object that the arguments follow from, as they were. Both hold keys.
    """

    client: Client
    twin: AsyncClient
    parts: Secret
    fields: Secret = field(default_factory=lambda: Secret({}))


def current_pair(
    pair: ClientPair | None,
    fields: Mapping[str, Any],
    arguments: Mapping[str, Any],
    make: Callable[[Mapping[str, Any]], Client] = lambda arguments: Client(**arguments),
) -> ClientPair:
    """Return the clients of an object whose fields may be assigned to: the same as before while the arguments are.

    Callers compare `pair.fields` with the fields first, which is ten times as fast as putting the arguments together.

    Args:
        pair: The clients so far.
        fields: The object's fields.
        arguments: The arguments of `Client` that follow from them.
        make: Makes a client.
    """
    # Later changes inside a dictionary have no effect here.
    snapshot = Secret({name: dict(value) if isinstance(value, dict) else value for name, value in fields.items()})
    if pair is not None and pair.parts.reveal() == arguments:
        return replace(pair, fields=snapshot)
    client = make(arguments)
    return ClientPair(client, client.to_async(), Secret(arguments), snapshot)


class ClientPool:
    """Clients by what they were made with. Secrets are kept in the clients only; the keys hold a hash of them.

    Args:
        size: The most clients to keep. The oldest one is forgotten then, and its connections with it.
    """

    def __init__(self, size: int = 128) -> None:
        self._size = size
        self._entries: dict[bytes, ClientPair] = {}

    def __repr__(self) -> str:
        return f"ClientPool({len(self._entries)} clients)"

    def get(self, parts: Mapping[str, Any], make: Callable[[], Client] | None = None) -> ClientPair:
        """Return the client for `parts`.

        Args:
            parts: What makes one client different from another; the arguments of `Client` where `make` is not given.
            make: Makes the client.
        """
        key = _key(parts)
        entry = self._entries.get(key)
        if entry is None:
            client = make() if make is not None else Client(**parts)
            # Of two threads that come here at once, one wins; nothing has been connected yet.
            entry = self._entries.setdefault(key, ClientPair(client, client.to_async(), Secret(parts)))
            for oldest in list(self._entries)[: -self._size]:
                self._entries.pop(oldest, None)
        return entry


def _key(parts: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in parts.items() if value is not None}
    surroundings = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    text = orjson.dumps([given, surroundings], default=_identity, option=orjson.OPT_SORT_KEYS | _AS_THEY_ARE)
    return hashlib.blake2b(text, digest_size=32, key=_SALT).digest()


_AS_THEY_ARE = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_NON_STR_KEYS
# So that a key that shows up in a core dump or debugger says nothing about a secret that can be guessed.
_SALT = os.urandom(32)


def _identity(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Timeouts | Retries):
        return repr(value)
    return f"{type(value).__qualname__} at {id(value)}"
