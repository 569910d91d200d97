"""Checks of generation settings: types and ranges that hold on every server, so that none has to refuse them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sagewire.errors import UsageError, close_names

__all__ = ["check_input_type", "check_option", "json_schema_format", "number_of_text"]

_SCHEMA_WORDS = {"properties", "$schema", "$defs", "anyOf", "items", "required"}
_FORMATS = ("text", "json_object", "json_schema")
# Ways of single servers, with a further key: TGI, vLLM.
_OF_SERVERS = ("json", "regex", "grammar", "structural_tag")


def check_option(name: str, value: Any) -> Any:
    """Return a setting's value as a plain number, text or mapping.

    Args:
        name: The name of a field of `Options`.
        value: The value; not `None`.

    Raises:
        UsageError: No server takes it; the message says what is meant.
    """
    check = _CHECKS.get(name)
    return value if check is None else check(name, value)


def number_of_text(name: str, value: Any) -> Any:
    """Return a setting's value, as a number if it is one that is written as text, as environment variables are.

    Example:
        >>> number_of_text("temperature", "0.5"), number_of_text("max_tokens", "100"), number_of_text("model", "8")
        (0.5, 100, '8')
    """
    if not isinstance(value, str) or name not in _NUMBERS:
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _whole(least: int | None = None, words: str = "") -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if type(value) is int:
            number = value
        elif isinstance(value, float) and value.is_integer():
            number = int(value)
        elif isinstance(value, bool | str | float) or not hasattr(value, "__index__"):
            raise UsageError(f"{name}={value!r:.60} must be a whole number{_plain(name, value, int)}")
        else:
            number = operator.index(value)
        if least is not None and number < least:
            raise UsageError(f"{name}={value!r:.60} must be at least {least}{words}")
        return number

    return check


def _number(least: float | None = None, most: float | None = None) -> Callable[[str, Any], float]:
    limits = (
        f" between {least} and {most}" if most is not None else f" of at least {least}" if least is not None else ""
    )

    def check(name: str, value: Any) -> float:
        if type(value) is float or type(value) is int:
            number = value
        elif isinstance(value, bool | str) or not hasattr(value, "__float__"):
            raise UsageError(f"{name}={value!r:.60} must be a number{limits}{_plain(name, value, float)}")
        else:
            number = float(value)
        if not math.isfinite(number):
            raise UsageError(f"{name}={value} must be a finite number")
        if (least is not None and number < least) or (most is not None and number > most):
            raise UsageError(f"{name}={value!r:.60} must be a number{limits}")
        return number

    return check


def _plain(name: str, value: Any, kind: type[int] | type[float]) -> str:
    """Return the cure for a number that was given as text."""
    try:
        return f", not a string: {name}={kind(value)}" if isinstance(value, str) else ""
    except ValueError:
        return ""


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name}={value!r:.60} must be a string")
    return value


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        more = f"; top_logprobs={value!r} asks for alternatives" if type(value) is int and name == "logprobs" else ""
        raise UsageError(f"{name}={value!r:.60} must be True or False{more}")
    return value


def _strings(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise UsageError(f"{name}={value!r:.60} must be a string or a list of strings")
    texts = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(text, str) and text for text in texts):
        raise UsageError(f"{name}={value!r:.60} must hold non-empty strings")
    return texts


def check_input_type(value: Any, known: Sequence[str]) -> None:
    """Raise `UsageError` if the purpose of texts to be embedded is not a known one.

    Args:
        value: The purpose.
        known: Those that there are.
    """
    if value in known:
        return
    text = str(value).lower().removeprefix("search_")
    close = close_names("document" if text in _DOCUMENTS else text, known, 1)
    hint = f"; did you mean {close[0]!r}?" if close else f". Known: {', '.join(known)}"
    raise UsageError(f"input_type={value!r:.60} is not a purpose of texts{hint}")


def _extra(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} must be a mapping, not {type(value).__name__}")
    for key in value:
        if not isinstance(key, str):
            raise UsageError(f"{name}={value!r:.60}: the name of a setting is a string, not {key!r:.60}")
    return value


def json_schema_format(schema: str, name: str = "answer") -> str:
    """Return the `response_format` for a JSON schema, as code for a message."""
    return f"{{'type': 'json_schema', 'json_schema': {{'name': {name!r}, 'schema': {schema}}}}}"


def _response_format(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, type):
        own = value.__name__
        schema = f"{own}.model_json_schema()" if hasattr(value, "model_json_schema") else "{...}"
        raise UsageError(f"{name}={own} is a class; give its JSON schema: {json_schema_format(schema, own)}")
    if not isinstance(value, Mapping):
        cure = "{'type': 'json_object'}, or " + json_schema_format("{...}")
        raise UsageError(f"{name}={value!r:.60} must be a mapping: {cure}")
    kind = value.get("type")
    if kind not in _FORMATS:
        if value.keys() & _SCHEMA_WORDS or kind in ("object", "array"):
            raise UsageError(f"{name} looks like a JSON schema by itself; write {json_schema_format('{...}')}")
        close = close_names(str(kind), _FORMATS, 2)
        if isinstance(kind, str) and (len(value) > 1 if kind in _OF_SERVERS else not close):
            return value
        close = close or ["json_object", "json_schema"]
        raise UsageError(f"{name} has the type {kind!r:.60}; did you mean {' or '.join(map(repr, close))}?")
    if kind == "json_schema":
        inner = value.get("json_schema")
        # TGI's own form has the schema in `value`.
        of_tgi = isinstance(value.get("value"), Mapping)
        if not of_tgi and (not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping)):
            raise UsageError(f"{name} of type 'json_schema' has no schema; write {json_schema_format('{...}')}")
    return value


# Other libraries' words for texts that are searched.
_DOCUMENTS = ("doc", "passage", "passages", "text", "corpus")
_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "max_tokens": _whole(1, "; leave it out for the server's own limit"),
    "temperature": _number(0),
    "top_p": _number(0, 1),
    "top_k": _whole(-1, "; 0 or -1 means all tokens"),
    "min_p": _number(0, 1),
    "typical_p": _number(0, 1),
    "stop": _strings,
    "seed": _whole(),
    "frequency_penalty": _number(),
    "presence_penalty": _number(),
    "repetition_penalty": _number(0),
    "n": _whole(1),
    "logprobs": _switch,
    "top_logprobs": _whole(0),
    "response_format": _response_format,
    "reasoning_effort": _text,
    "model": _text,
    "adapter": _text,
    "extra": _extra,
    # Of embeddings and rankings.
    "dimensions": _whole(1, "; leave it out for the model's own length"),
    "truncate": _switch,
    "normalize": _switch,
    "top_n": _whole(1, "; leave it out for all documents"),
}
_TEXTS_AND_SWITCHES = ("stop", "logprobs", "response_format", "reasoning_effort", "model", "adapter", "extra")
_NUMBERS = frozenset(_CHECKS) - {*_TEXTS_AND_SWITCHES, "truncate", "normalize"}
