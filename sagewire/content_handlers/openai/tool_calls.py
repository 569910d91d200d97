"""Tool calls on the OpenAI wire, made regular: one index, one id and one name per call, arguments as text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import orjson

from sagewire.errors import WireError
from sagewire.types import ToolCallDelta

__all__ = ["ToolCallNormaliser"]

# TGI gives every call the id "0"; some servers send an empty one.
_NO_IDS = (None, "", "0", 0)


class ToolCallNormaliser:
    """Reads the `tool_calls` of one choice, in pieces or whole.

    What it evens out: ids that are missing, empty, TGI's `"0"`, or used twice; arguments sent as an object (TGI before
    3.2); one object instead of an array (TGI 2 streams); a missing index; several calls under one index (Ollama);
    names that come late or are null in later pieces.

    Args:
        choice: The choice's number.
        created: The server's timestamp of the answer, which keeps made-up ids of different answers apart.
    """

    def __init__(self, choice: int, created: Any) -> None:
        self.any = False
        self._choice = choice
        self._created = created
        self._current: dict[int, _Call] = {}
        self._ids: set[str] = set()
        self._count = 0

    def read(self, calls: Any) -> Iterator[ToolCallDelta]:
        """Return the deltas in a `tool_calls` value."""
        for position, call in enumerate([calls] if isinstance(calls, dict) else calls):
            yield from self._read_call(call, position)

    def close(self) -> Iterator[ToolCallDelta]:
        """Return calls whose name never came; TGI 2 streams write the name into the arguments.

        Raises:
            WireError: A call has no name anywhere.
        """
        for call in self._current.values():
            if call.name is None:
                yield from self._rescue(call)

    def _read_call(self, fields: Any, position: int) -> Iterator[ToolCallDelta]:
        function = fields.get("function") or {}
        name, raw_id = function.get("name") or None, fields.get("id")
        arguments = _as_text(function.get("arguments"))
        key = fields.get("index")
        call = self._current.get(position if key is None else key)
        is_other = (
            call is not None
            and name
            and call.name is not None
            # Names are never sent in pieces, so another one is another call, whatever id and index say.
            and (name != call.name or raw_id not in (None, "", call.raw_id))
        )
        if call is None or is_other:
            call = _Call(self._count, raw_id)
            self._current[position if key is None else key] = call
            self._count += 1
            self.any = True
        if call.name is not None:
            if arguments:
                yield ToolCallDelta(call.index, arguments=arguments, choice=self._choice)
            return
        call.held.append(arguments)
        if name:
            call.name = name
            yield ToolCallDelta(call.index, self._id(call), name, "".join(call.held), self._choice)

    def _id(self, call: _Call) -> str:
        if call.raw_id not in _NO_IDS and call.raw_id not in self._ids:
            new = str(call.raw_id)
        else:
            # Nine alphanumerics, because Mistral's chat templates refuse anything else when the call is sent back.
            # Derived, not random: the same bytes must give the same reply.
            seed = f"{self._created}:{self._choice}:{call.index}:{call.name}"
            new = hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:9]
        self._ids.add(new)
        return new

    def _rescue(self, call: _Call) -> Iterator[ToolCallDelta]:
        text = "".join(call.held)
        try:
            function = orjson.loads(text)["function"]
            call.name = str(function.pop("_name"))
        except (KeyError, TypeError, AttributeError, ValueError):
            raise WireError(f"a tool call came without a name; its arguments begin {text[:100]!r}") from None
        yield ToolCallDelta(call.index, self._id(call), call.name, _as_text(function), self._choice)


class _Call:
    __slots__ = ("held", "index", "name", "raw_id")

    def __init__(self, index: int, raw_id: Any) -> None:
        self.index = index
        self.raw_id = raw_id
        self.name: str | None = None
        self.held: list[str] = []


def _as_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else orjson.dumps(arguments).decode()
