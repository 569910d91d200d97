"""What tells one live object from another: for the keys of LangChain's caches."""

from __future__ import annotations

import hashlib
import re
import uuid
import weakref
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Any

__all__ = ["identity_of"]

# Objects inside objects: a format with a parser with options is as deep as it gets.
_DEPTH = 5
# id of an object -> the object (weakly, if possible), and the name it was given.
_NAMED: dict[int, tuple[Any, str]] = {}


def identity_of(value: Any) -> str | None:
    """Return a name for a handler, a format, a session or a client; two that may answer differently have two names.

    The same settings give the same name in every process, as far as they are plain values and functions of modules.
    Anything else (a lambda, an open connection) is told apart by itself: its name is of this process only. Names are
    digests, so nothing secret can be read from them.

    Example:
        >>> identity_of("tgi"), identity_of(lambda text: "a") == identity_of(lambda text: "b")
        ('tgi', False)
    """
    if value is None or isinstance(value, str):
        return value
    digest = hashlib.sha256(_described(value, _DEPTH).encode("utf-8", "replace")).hexdigest()[:16]
    own = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    return f"{own.__module__}.{own.__qualname__}#{digest}"


def _described(value: Any, depth: int) -> str:
    if value is None or isinstance(value, str | bytes | int | float | bool):
        return repr(value)
    if isinstance(value, re.Pattern):
        return f"re {value.pattern!r} {value.flags}"
    if depth == 0:
        return _named(value)
    if isinstance(value, Mapping):
        pairs = sorted(f"{_described(key, depth - 1)}:{_described(item, depth - 1)}" for key, item in value.items())
        return f"({','.join(pairs)})"
    if isinstance(value, list | tuple):
        return f"[{','.join(_described(item, depth - 1) for item in value)}]"
    if isinstance(value, set | frozenset):
        return f"<{','.join(sorted(_described(item, depth - 1) for item in value))}>"
    if isinstance(value, MethodType):
        return f"{value.__func__.__qualname__} of {_described(value.__self__, depth - 1)}"
    if isinstance(value, type | FunctionType):
        name = f"{value.__module__}.{value.__qualname__}"
        return name if "<" not in name and value.__module__ != "__main__" else _named(value)
    state = _state(value)
    if state is None:
        return _named(value)
    return f"{type(value).__module__}.{type(value).__qualname__}{_described(state, depth - 1)}"


def _state(value: Any) -> dict[str, Any] | None:
    """Return an object's attributes; `None` for objects of C and those of AWS, whose state changes as they are used."""
    if type(value).__module__.partition(".")[0] in ("boto3", "botocore", "builtins"):
        return None
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    state = {name: getattr(value, name) for name in slots if isinstance(name, str) and hasattr(value, name)}
    state |= getattr(value, "__dict__", {})
    return {name: found for name, found in state.items() if name not in ("__weakref__", "__dict__")}


def _named(value: Any) -> str:
    known = _NAMED.get(id(value))
    if known is not None:
        holder, name = known
        if (holder() if isinstance(holder, weakref.ref) else holder) is value:
            return name
    name = uuid.uuid4().hex
    key = id(value)
    try:
        holder = weakref.ref(value, lambda _: _NAMED.pop(key, None))
    except TypeError:
        holder = value
    _NAMED[key] = (holder, name)
    return name
