"""How a name, an import path, a class or an object becomes a handler, the same for all kinds of handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from sagewire import _plugins
from sagewire.errors import UsageError, unknown_name

__all__ = ["known_names", "load_named", "pick", "register"]

H = TypeVar("H")

# All kinds of handlers share one group of entry points, so no name may come twice in all of these.
_TABLES: list[Mapping[str, Any]] = []
# Names of servers, whose request formats have names of their own.
_SERVERS = {
    "openai": ("openai_chat", "openai_completions"),
    "vllm": ("openai_chat", "openai_completions"),
    "vLLM": ("openai_chat", "openai_completions"),
    "djl": ("lmi_chat", "lmi"),
    "huggingface": ("tgi", "tgi_chat", "hf_pipeline"),
    "hf": ("tgi", "tgi_chat", "hf_pipeline"),
    "llama.cpp": ("llamacpp",),
    "ollama": ("openai_chat",),
    "jumpstart": ("jumpstart_textgeneration", "jumpstart_llama2"),
    "text-generation-inference": ("tgi", "tgi_chat"),
    "text-embeddings-inference": ("tei", "tei_rerank"),
}
# A handler of one kind has the methods that tell a foreign handler of another.
_KINDS: list[type[Any]] = []


def register(kind: type[Any], table: dict[str, Callable[[], H]]) -> dict[str, Callable[[], H]]:
    """Return a table of handlers of a kind, whose names no other package may take."""
    _TABLES.append(table)
    _KINDS.append(kind)
    return table


def pick(
    handler: Any,
    kind: type[Any],
    named: Mapping[str, Callable[[], H]],
    styles: Mapping[tuple[str, ...], Callable[[Any], H]],
    what: str,
) -> H:
    """Return the handler that is meant.

    Args:
        handler: A name, `package.module:Name`, an object of `kind`, an object with the methods of one of `styles`, or a
            class of either.
        kind: The native base class.
        named: The visible dict of handlers.
        styles: Method names that tell a foreign handler, to the adaptor for it.
        what: The kind of handler, for error messages.

    Raises:
        UsageError: The name is unknown (the message lists the known ones) or comes from two sources, or the object is
            not a handler.
    """
    given = handler
    if isinstance(handler, str):
        handler = load_named(handler, named, what)
    if isinstance(handler, type):
        try:
            handler = handler()
        except TypeError as error:
            raise UsageError(f"{handler.__name__} cannot be made without arguments, pass an object: {error}") from None
    if isinstance(handler, kind):
        return cast(H, handler)
    for methods, adapt in styles.items():
        if isinstance(handler, tuple(_KINDS)):
            break
        if all(callable(getattr(handler, method, None)) for method in methods):
            return adapt(handler)
    pairs = " or ".join(" and ".join(methods) for methods in styles)
    shown = type(handler).__name__ if given is handler or isinstance(given, type) else f"{given!r}"
    raise UsageError(
        f"{shown} is not a valid {what}: pass {f'an object with {pairs}, ' if pairs else ''}"
        f"an object of {kind.__name__}, or a name: {', '.join(sorted(named))}"
    )


def check_any(handler: Any, styles: Iterable[tuple[str, ...]]) -> None:
    """Raise `UsageError` if a handler is neither a known name nor an object or class of some kind of handler.

    A plug-in's handler is not loaded, since only some programs can; `package.module:Name` is.

    Args:
        handler: The value that was given.
        styles: Method names that tell a handler of another library, besides those of other kinds.
    """
    if isinstance(handler, str):
        if _plugins.is_import_path(handler):
            _plugins.load_import_path(handler)
        elif handler not in known_names():
            _plugins.refresh()
            if handler not in known_names():
                if handler in _SERVERS:
                    meant = " or ".join(map(repr, _SERVERS[handler]))
                    raise UsageError(f"unknown handler {handler!r}; did you mean {meant}?")
                raise UsageError(unknown_name(handler, known_names(), "handler"))
        return
    kind = handler if isinstance(handler, type) else type(handler)
    if not issubclass(kind, tuple(_KINDS)) and not any(all(hasattr(handler, each) for each in pair) for pair in styles):
        raise UsageError(
            f"handler={handler!r:.60} is not a handler: give a name, as `sagewire handlers` lists them, an object with "
            "transform_input and transform_output, or 'package.module:Name'"
        )


def known_names() -> list[str]:
    """Return the names of all handlers of all kinds, sorted."""
    return sorted({name for table in _TABLES for name in table} | {*_plugins.plugin_names(_plugins.CONTENT_HANDLERS)})


def load_named(name: str, named: Mapping[str, Callable[[], Any]], what: str) -> Any:
    """Return the object behind a name of a table or of a plug-in, or `package.module:Name`.

    Raises:
        UsageError: The name is unknown or comes from two sources, or the object cannot be loaded.
    """
    if _plugins.is_import_path(name):
        return _plugins.load_import_path(name)
    built_in = name in named or any(name in table for table in _TABLES)
    added = _plugins.find(name, _plugins.CONTENT_HANDLERS, built_in=built_in)
    if added is not None:
        return added
    if name not in named:
        known = [*named, *_plugins.plugin_names(_plugins.CONTENT_HANDLERS)]
        if name in known_names():
            raise UsageError(f"{name!r} is not a {what}, but for another task. Known: {', '.join(sorted(known))}")
        raise UsageError(unknown_name(name, known, what))
    return named[name]()
