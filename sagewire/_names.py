"""Errors for names that do not exist, in a module or an object: the message says what was meant, or where it is."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from opcode import opmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

__all__ = [
    "NamesHelp",
    "explains_arguments",
    "missing",
    "missing_name",
    "named_elsewhere",
    "no_items",
    "refuse",
    "usage_error",
    "wrong_arguments",
]

C = TypeVar("C", bound=Callable[..., Any])

_ROOT = Path(__file__).parent
# Where public names are looked for, the likely places first.
_PACKAGES = (
    "",
    "integrations.openai",
    "integrations.langchain",
    "integrations.llama_index",
    "integrations.litellm",
    "integrations.easyllm",
    "testing",
    "emulator",
    "bulk",
    "gateway",
    "prompt_formats",
    "content_handlers",
    "types",
    "telemetry",
)
_IMPORT_FROM = opmap["IMPORT_FROM"]


def missing(module: str, known: Iterable[str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module: it raises an error that names what was meant.

    Define it under `if not TYPE_CHECKING:`, or type checkers take every name for one of the module's.

    Args:
        module: The module's `__name__`.
        known: Its public names.
    """

    def __getattr__(name: str) -> Any:
        raise missing_name(module, name, known)

    return __getattr__


def missing_name(module: str, name: str, known: Iterable[str]) -> Exception:
    """Return the error for a name that a module does not have; to be called by the module's `__getattr__` itself.

    Args:
        module: The module.
        name: The name.
        known: The module's public names.
    """
    hint = "" if name.startswith("_") else _hint(module, name, known)
    if _is_import():
        return ImportError(f"cannot import name {name!r} from {module!r}{hint}", name=module)
    # With `obj` and without `name` Python does not add a suggestion of its own.
    return AttributeError(f"module {module!r} has no attribute {name!r}{hint}", obj=sys.modules.get(module))


def _is_import() -> bool:
    """Return whether the code that asks is `from module import name`, which hides an `AttributeError`'s message."""
    try:
        # Below it are `missing_name` and the module's `__getattr__`.
        frame = sys._getframe(3)
        return frame.f_code.co_code[frame.f_lasti] == _IMPORT_FROM
    except (AttributeError, IndexError, ValueError):
        # Not CPython, or compiled code.
        return False


def _hint(module: str, name: str, known: Iterable[str]) -> str:
    folder = _ROOT.joinpath(*module.split(".")[1:], name)
    if folder.with_suffix(".py").is_file() or (folder / "__init__.py").is_file():
        return f": it is a module of its own; write `import {module}.{name}`"
    known = list(known)
    if same := [each for each in known if each.lower() == name.lower()]:
        return f"; did you mean {same[0]!r}?"
    if place := named_elsewhere(name, besides=module):
        return f"; it is in {place}: `from {place} import {name}`"
    if close := _close(name, known):
        return f"; did you mean {close!r}?"
    for package in _PACKAGES:
        if found := _close(name, _public(package)):
            place = _full(package)
            return f"; did you mean {found!r} of {place}? `from {place} import {found}`"
    return f"; it has {', '.join(known)}" if 0 < len(known) <= 12 else ""


def named_elsewhere(name: str, besides: str = "") -> str:
    """Return the package of sagewire that has a public name, an empty string if none has.

    Args:
        name: The name.
        besides: The package that is not meant.
    """
    return next((_full(each) for each in _PACKAGES if _full(each) != besides and name in _public(each)), "")


def _full(package: str) -> str:
    return f"sagewire.{package}" if package else "sagewire"


@cache
def _public(package: str) -> tuple[str, ...]:
    """Return `__all__` of a package without importing it, which may need an extra."""
    import ast

    path = _ROOT.joinpath(*package.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    try:
        statements = ast.parse(path.read_text("utf-8")).body
    except (OSError, SyntaxError):
        return ()
    for each in statements:
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__all__":
            names = getattr(each.value, "elts", ())
            return tuple(str(name.value) for name in names if isinstance(name, ast.Constant))
    return ()


def _close(name: str, known: Iterable[str]) -> str:
    """Return the known name nearest to a misspelt one, whatever the case; an empty string if none is near."""
    lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.75)
    return lower[close[0]] if close else ""


class NamesHelp:
    """A base class whose objects say what was meant if an attribute or an operation does not exist.

    A subclass may list in `_instead` the names that other libraries have, and the way to say it here.
    """

    __slots__ = ()
    _instead: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            kind = type(self)
            if hasattr(kind, name):
                # A property failed with an `AttributeError` of its own: that is the one to see.
                return object.__getattribute__(self, name)
            raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}{_meant(kind, name)}", obj=self)


def _meant(kind: type[NamesHelp], name: str) -> str:
    if name.startswith("_"):
        return ""
    if name in kind._instead:
        return f": {kind._instead[name].replace('{name}', name)}"
    close = _close(name, [each for each in dir(kind) if not each.startswith("_")])
    return f"; did you mean {close!r}?" if close else ""


def explains_arguments(**meant: str) -> Callable[[C], C]:
    """Return a decorator for a class or function: `UsageError` says what was meant by arguments it does not take.

    It costs a Python call, so it is not for what each call of an endpoint makes.

    Args:
        **meant: Names that other libraries use, with what to write instead.
    """

    def decorate(made: C) -> C:
        plain: Callable[..., Any] = made.__init__ if isinstance(made, type) else made  # type: ignore[misc]
        skipped = 1 if isinstance(made, type) else 0

        @wraps(plain)
        def run(*args: Any, **named: Any) -> Any:
            try:
                return plain(*args, **named)
            except TypeError:
                problem = wrong_arguments(made.__name__, plain, args, named, meant, skipped)
                if not problem:
                    raise
            raise usage_error(problem)

        if not isinstance(made, type):
            return cast(C, run)
        made.__init__ = run  # type: ignore[misc]
        return made

    return decorate


def usage_error(problem: str) -> Exception:
    """Return the error for a wrong call, with a short traceback."""
    from sagewire.errors import UsageError, concise

    return concise(UsageError(problem))


def wrong_arguments(
    name: str,
    function: Callable[..., Any],
    args: Sequence[object],
    named: Mapping[str, object],
    meant: Mapping[str, str],
    skipped: int = 0,
) -> str:
    """Return what is wrong with the arguments of a call, an empty string if the function takes them.

    Args:
        name: The name that the caller wrote.
        function: The function.
        args: The arguments by position.
        named: The arguments by name.
        meant: Names that other libraries use, with what to write instead.
        skipped: How many of `args` the caller did not write: 1 for `self`.
    """
    # The errors' types name that of replies, which are made with this module.
    from sagewire.errors import unknown_name

    parameters = list(inspect.signature(function).parameters.values())
    known = [each.name for each in parameters[skipped:] if each.kind is not each.VAR_KEYWORD]
    for given in named:
        if given in meant:
            return f"{name}() has no argument {given!r}: {meant[given]}"
        if given not in known:
            return unknown_name(given, known, f"argument of {name}()")
    by_place = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    if len(args) > len(by_place):
        most = len(by_place) - skipped
        count = f"{most} argument{'s' * (most != 1)}"
        return f"{name}() takes at most {count} without a name. Known: {', '.join(known)}"
    if twice := [each for each in by_place[: len(args)] if each in named]:
        return f"{name}() got {twice[0]!r} twice, once without its name"
    optional = [each.name for each in parameters if each.default is not each.empty]
    missing = [each for each in known if each not in {*by_place[: len(args)], *named, *optional}]
    return f"{name}() needs {' and '.join(map(repr, missing))}" if missing else ""


def refuse(cure: str) -> Callable[..., Any]:
    """Return a method for operators that an object does not have: its `TypeError` says what to use.

    Args:
        cure: The sentence.
    """

    def refuse(self: object, *_: object) -> Any:
        raise TypeError(f"{type(self).__name__}: {cure}")

    return refuse


def no_items(cure: str) -> tuple[Callable[..., Any], ...]:
    """Return `__bool__`, `__getitem__` and `__len__` for an object without items, which is still true."""
    return (lambda self: True), refuse(cure), refuse(cure)
