"""How a name, a class or an object becomes a handler, the same for all kinds of handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from sagewire.errors import UsageError, unknown_name

__all__ = ["pick"]

H = TypeVar("H")


def pick(
    handler: Any,
    kind: type[Any],
    named: Mapping[str, Callable[[], H]],
    styles: Mapping[tuple[str, ...], Callable[[Any], H]],
    what: str,
) -> H:
    """Return the handler that is meant.

    Args:
        handler: A name, an object of `kind`, an object with the methods of one of `styles`, or a class of either.
        kind: The native base class.
        named: The visible dict of handlers.
        styles: Method names that tell a foreign handler, to the adaptor for it.
        what: What is being picked, for error messages.

    Raises:
        UsageError: The name is unknown (the message lists the known ones), or the object is no handler.
    """
    if isinstance(handler, str):
        if handler not in named:
            raise UsageError(unknown_name(handler, sorted(named), what))
        return named[handler]()
    if isinstance(handler, type):
        try:
            handler = handler()
        except TypeError as error:
            raise UsageError(f"{handler.__name__} cannot be made without arguments, pass an object: {error}") from None
    if isinstance(handler, kind):
        return cast(H, handler)
    for methods, adapt in styles.items():
        if all(callable(getattr(handler, method, None)) for method in methods):
            return adapt(handler)
    pairs = " or ".join(" and ".join(methods) for methods in styles)
    raise UsageError(
        f"{type(handler).__name__} is no {what}: pass {f'an object with {pairs}, ' if pairs else ''}"
        f"an object of {kind.__name__}, or a name: {', '.join(sorted(named))}"
    )
