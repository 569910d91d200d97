"""Tool calls on the OpenAI wire, made regular: one index, one id and one name per call, arguments as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sagewire.errors import WireError
from sagewire.types import ToolCallDelta, parse_arguments

__all__ = ["ToolCallNormaliser"]

# TGI gives every call the id "0"; some servers send an empty one, or a null.
_NO_IDS = (None, "", "0", 0, "null", "None")
_NO_NAMES = (None, "", "null", "None")
# Placeholders that servers send before the arguments arrive: they stand only if nothing else comes.
_NO_ARGUMENTS = ("{}", "null", '"null"', "[]", '""', '"{}"')


class ToolCallNormaliser:
    """Reads the `tool_calls` of one choice, in pieces or whole.

    What it evens out: ids that are missing, empty, TGI's `"0"`, or used twice; arguments sent as an object (TGI before
    3.2); one object instead of an array (TGI 2 streams); an index that is missing, counts pieces instead of calls, or
    is the same for several calls (Ollama); names that come late, are null in later pieces, or come with each; arguments
    that are sent again as a whole at the end (vLLM).

    A piece belongs to the call of its id, else to that of its index, else to the call that was opened last. One that
    begins a JSON object behind a complete one is never glued to it: it repeats the call or begins another.

    Args:
        choice: The choice's number.
        created: The server's timestamp of the answer, which keeps made-up ids of different answers apart.
        whole: Each element of the array is its own call, regardless of its index and id.
    """

    def __init__(self, choice: int, created: Any, *, whole: bool = False) -> None:
        self._choice = choice
        self._created = created
        self._whole = whole
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}
        self._by_id: dict[Any, _Call] = {}
        self._ids: set[str] = set()
        self._has_list = False

    @property
    def any(self) -> bool:
        """Whether there was a call."""
        return bool(self._calls)

    def read(self, calls: Any) -> Iterator[ToolCallDelta]:
        """Return the deltas in a `tool_calls` value."""
        self._has_list = True
        pieces = [_Piece.of(fields) for fields in ([calls] if isinstance(calls, dict) else calls)]
        # In one array, named pieces without anything to tell them apart are different calls.
        opened: list[_Call] = []
        for position, piece in enumerate(pieces):
            call = None if self._whole else self._find(piece, position if len(pieces) > 1 else -1)
            if call is not None and self._follows(call, piece):
                # TGI names a call in a piece without arguments, which looks like the last call's name once more.
                call, piece = self._open(piece), replace(piece, name=call.name)
            elif call is None or self._is_other(call, piece) or (piece.bare_name and call in opened):
                call = self._open(piece)
            opened.append(call)
            yield from self._add(call, piece)

    def read_function_call(self, function: Any) -> Iterator[ToolCallDelta]:
        """Return the deltas in a `function_call`, OpenAI's older field for one call.

        Some servers (llama-cpp-python) send both; then `tool_calls` counts.
        """
        if not self._has_list:
            yield from self.read({"function": function, "index": 0})
            self._has_list = False

    def close(self) -> Iterator[ToolCallDelta]:
        """Return the deltas held back, and calls whose name never came; TGI 2 writes the name into the arguments.

        Raises:
            WireError: A call without a name.
        """
        for call in self._calls:
            if call.name is None:
                yield from self._rescue(call)
            elif not call.pieces:
                call.pieces.append(_as_object(call.placeholder))
                yield self._delta(call, call.pieces[0])

    def _find(self, piece: _Piece, position: int) -> _Call | None:
        by_index = self._by_index.get(piece.index) if piece.index is not None else None
        by_id = self._by_id.get(piece.id) if piece.id is not None else None
        if by_id is not None and (by_index is None or by_index.id != piece.id):
            return by_id
        if by_index is not None:
            return by_index
        if piece.name is not None and piece.id is not None:
            return None
        if piece.name is None and piece.index is None and 0 <= position < len(self._calls):
            return self._calls[position]
        return self._calls[-1] if self._calls else None

    def _follows(self, call: _Call, piece: _Piece) -> bool:
        """Return whether an unnamed piece begins another call of the same name, index and id."""
        return (
            piece.name is None
            and call.name is not None
            and piece.index is not None
            and piece.index in self._by_index
            and piece.text.startswith("{")
            # A placeholder is replaced by what follows it.
            and bool(call.pieces)
            and call.is_complete
            and not call.repeats(piece)
        )

    def _is_other(self, call: _Call, piece: _Piece) -> bool:
        """Return whether a piece begins a call although it looks as if it belonged to this one."""
        begins = piece.text.startswith("{")
        if call.name is None:
            # Its name may come late; a piece of another index may not bring it.
            return call.index_key != piece.index and piece.index is not None and piece.name is not None
        if piece.name is None:
            is_new = piece.index is None or piece.index not in self._by_index
            return is_new and begins and piece.id != call.id and call.is_complete and not call.repeats(piece)
        # Names are never sent in pieces, so another one is another call, regardless of id and index.
        if piece.name != call.name or (piece.id is not None and piece.id != call.id):
            return True
        if piece.index is not None and piece.index != call.index_key:
            # Either a call of the same name, or the index counts pieces and the name comes with each of them.
            return begins or call.is_complete or not call.arguments
        return begins and call.is_complete and not call.repeats(piece)

    def _open(self, piece: _Piece) -> _Call:
        call = _Call(len(self._calls), piece.id, piece.index)
        self._calls.append(call)
        if piece.index is not None:
            self._by_index[piece.index] = call
        if piece.id is not None:
            self._by_id[piece.id] = call
        return call

    def _add(self, call: _Call, piece: _Piece) -> Iterator[ToolCallDelta]:
        if piece.index is not None:
            self._by_index.setdefault(piece.index, call)
        if piece.id is not None and call.id is None and call.name is None:
            # An id that comes late, yet before the call was handed on.
            call.id = piece.id
            self._by_id.setdefault(piece.id, call)
        begins = call.name is None and piece.name is not None
        if begins:
            call.name = piece.name
        call.take(piece)
        if call.name is None:
            return
        arguments = call.hand_on()
        if begins or arguments:
            yield self._delta(call, arguments, first=begins)

    def _delta(self, call: _Call, arguments: str, *, first: bool = False) -> ToolCallDelta:
        if not first:
            return ToolCallDelta(call.number, arguments=arguments, choice=self._choice)
        return ToolCallDelta(call.number, self._new_id(call), call.name, arguments, self._choice)

    def _new_id(self, call: _Call) -> str:
        if call.id is not None and call.id not in self._ids:
            new = str(call.id)
        else:
            # Nine alphanumerics, because Mistral's chat templates refuse anything else when the call is sent back.
            # Derived, not random: the same bytes must give the same reply.
            seed = f"{self._created}:{self._choice}:{call.number}:{call.name}"
            new = hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:9]
        self._ids.add(new)
        return new

    def _rescue(self, call: _Call) -> Iterator[ToolCallDelta]:
        text = call.arguments
        try:
            function = json.loads(text)["function"]
            call.name = str(function.pop("_name"))
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
            raise WireError(f"a tool call came without a name; its arguments begin {text[:100]!r}") from None
        yield self._delta(call, _as_text(function), first=True)


@dataclass(frozen=True, slots=True)
class _Piece:
    """One element of a `tool_calls` array."""

    index: Any
    id: Any
    name: str | None
    arguments: str

    @classmethod
    def of(cls, fields: Any) -> _Piece:
        function = fields.get("function") or {}
        raw_id, name, index = fields.get("id"), function.get("name"), fields.get("index")
        return cls(
            index if isinstance(index, int | str) else None,
            None if raw_id in _NO_IDS else str(raw_id),
            None if name in _NO_NAMES else str(name),
            _as_text(function.get("arguments")),
        )

    @property
    def text(self) -> str:
        return self.arguments.lstrip()

    @property
    def bare_name(self) -> bool:
        return self.name is not None and self.id is None and self.index is None


class _Call:
    """A call being read.

    `pieces` are its arguments from the opening brace on, `waiting` those of them that were not handed on yet, and
    `placeholder` the text before a brace: it stands only if no object follows.
    """

    __slots__ = ("id", "index_key", "name", "number", "pieces", "placeholder", "waiting")

    def __init__(self, number: int, raw_id: Any, index: Any) -> None:
        self.number = number
        self.id = raw_id
        self.index_key = index
        self.name: str | None = None
        self.pieces: list[str] = []
        self.waiting: list[str] = []
        self.placeholder = ""

    @property
    def arguments(self) -> str:
        return "".join(self.pieces) or self.placeholder

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are a whole JSON object: nothing can follow."""
        last = self.pieces[-1] if self.pieces else self.placeholder
        return last.rstrip().endswith("}") and isinstance(_parsed(self.arguments), dict)

    def repeats(self, piece: _Piece) -> bool:
        """Whether a piece is the arguments once more, as some servers send them in their last chunk."""
        return bool(_parsed(piece.arguments) == _parsed(self.arguments))

    def take(self, piece: _Piece) -> None:
        """Keep a piece's arguments."""
        if not piece.arguments:
            return
        text = piece.arguments.strip()
        if not self.pieces and (not text.startswith("{") or text == "{}"):
            if text not in _NO_ARGUMENTS or text != self.placeholder.strip():
                self.placeholder += piece.arguments
        elif not (text.startswith("{") and self.is_complete and self.repeats(piece)):
            # A placeholder is replaced by the object, and is the beginning of anything else.
            said = piece.arguments if self.placeholder.strip() in _NO_ARGUMENTS else self.placeholder + piece.arguments
            self.placeholder = ""
            self.pieces.append(said)
            self.waiting.append(said)

    def hand_on(self) -> str:
        """Return the deltas not handed on yet."""
        text = "".join(self.waiting)
        self.waiting.clear()
        return text


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _as_object(text: str) -> str:
    """Return arguments that are not written as an object as the object they stand for, if any, else unchanged."""
    try:
        return json.dumps(parse_arguments(text), ensure_ascii=False)
    except ValueError:
        return text


def _as_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
