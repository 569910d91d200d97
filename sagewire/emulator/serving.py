"""Running the emulator as a program: endpoints from a file, and a server that lives until Ctrl-C."""

from __future__ import annotations

import dataclasses
import signal
import threading
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sagewire.emulator.emulator import Emulator
from sagewire.emulator.endpoints import EndpointSpec
from sagewire.errors import UsageError, unknown_name, why_unreadable

__all__ = ["load_endpoints", "parse_endpoint", "serve"]

DEFAULT_PORT = 8321
_FIELDS = {field.name for field in dataclasses.fields(EndpointSpec)}


def load_endpoints(path: str | Path) -> dict[str, EndpointSpec]:
    """Return the endpoints of a TOML file: one table below `[endpoints]` for each, keys as in `EndpointSpec`.

    Raises:
        UsageError: The file cannot be read, is not valid TOML, or has an unknown key.

    Example:
        A file may read:

            [endpoints]
            short = "tgi:extractive"

            [endpoints.my-chat]
            dialect = "openai_chat"
            engine = "upstream=http://127.0.0.1:11434/v1"
            faults = ["throttle:1"]

            [endpoints.many.components]
            base = "lmi:echo"
            adapter = { base = "base" }
    """
    try:
        document = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {why_unreadable(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    endpoints = document.get("endpoints")
    if not isinstance(endpoints, dict) or not endpoints:
        raise UsageError(f"{path} describes no endpoints; it needs tables like [endpoints.my-endpoint]")
    return {name: _spec(f"{path}: endpoint {name!r}", value) for name, value in endpoints.items()}


def _spec(where: str, value: Any) -> EndpointSpec:
    if isinstance(value, str):
        dialect, _, engine = value.partition(":")
        return EndpointSpec(dialect, engine or "echo")
    if not isinstance(value, dict):
        raise UsageError(f"{where}: write a table, or 'DIALECT:ENGINE'")
    for key in value:
        if key not in _FIELDS:
            raise UsageError(f"{where}: {unknown_name(key, _FIELDS, 'key')}")
        _check_kind(where, key, value[key])
    fields = dict(value)
    if "components" in fields:
        parts = fields["components"]
        fields["components"] = {name: _spec(f"{where}, component {name!r}", part) for name, part in parts.items()}
    return EndpointSpec(**fields)


_OF_DEFAULTS: Mapping[type, tuple[str, type | tuple[type, ...]]] = {
    bool: ("true or false", bool),
    float: ("a number", (int, float)),
    int: ("a whole number", int),
}
# TOML's names of the types of keys; all others are strings.
_KINDS: Mapping[str, tuple[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(("adapters", "faults", "models"), ("an array of strings", list)),
    **dict.fromkeys(("components", "environment", "tags"), ("a table", dict)),
    **{
        field.name: _OF_DEFAULTS[type(field.default)]
        for field in dataclasses.fields(EndpointSpec)
        if type(field.default) in _OF_DEFAULTS
    },
}
_STRING = ("a string", str)


def _check_kind(where: str, key: str, value: Any) -> None:
    words, kind = _KINDS.get(key, _STRING)
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    parts = value.values() if fits and key in ("environment", "tags") else value if kind is list and fits else ()
    if not fits or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{where}: {key} must be {words}{' of strings' if kind is dict and fits else ''}")


def parse_endpoint(text: str) -> tuple[str, EndpointSpec]:
    """Return the name and the specification written as `NAME=DIALECT[:ENGINE]`.

    Raises:
        UsageError: The name is missing.

    Example:
        >>> parse_endpoint("chat=openai_chat:schema")[0]
        'chat'
    """
    name, mark, spec = text.partition("=")
    if not mark or not name or not spec:
        raise UsageError(f"endpoint {text!r}: write NAME=DIALECT[:ENGINE], for example chat=openai_chat:schema")
    return name, _spec(name, spec)


def serve(
    endpoints: Mapping[str, str | EndpointSpec] | None = None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    region: str = "us-east-1",
    ready: Callable[[Emulator], None] | None = None,
) -> bool:
    """Run an emulator until Ctrl-C or a termination signal; both end it cleanly.

    Returns:
        Whether Ctrl-C ended it.

    Args:
        endpoints: As for `Emulator`.
        host: The address to bind.
        port: The port to bind.
        region: The region it pretends to be.
        ready: Called once it answers, to print the URL.

    Raises:
        OSError: The address is taken.
    """
    stopping = threading.Event()
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        received.append(number)
        stopping.set()

    with Emulator(endpoints, host=host, port=port, region=region) as emulator:
        previous = _on_signals(stop)
        try:
            if ready is not None:
                ready(emulator)
            # Waiting without a limit would not let the main thread see a signal on every platform.
            while not stopping.wait(3600.0):
                pass
        except KeyboardInterrupt:
            received.append(signal.SIGINT)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    return signal.SIGINT in received


def _on_signals(stop: Callable[[int, object], None]) -> dict[signal.Signals, Any]:
    """Let signals call `stop`; outside the main thread Python allows no handlers, so do nothing."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = (signal.SIGINT, signal.SIGTERM)
    return {number: signal.signal(number, stop) for number in numbers}
