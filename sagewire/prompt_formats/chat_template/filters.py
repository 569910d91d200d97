"""Jinja's filters under the budget, and those that Hugging Face's engine and others have besides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

from jinja2 import Environment, Undefined, nodes, pass_environment
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context

from sagewire.prompt_formats.chat_template.budget import BUDGET, ELEMENT, MAX_NESTING, Budget, TemplateLimit

__all__ = ["MAX_NUMBER", "check_name", "formatted_size", "make_filters", "product", "replaced_size"]

# Jinja's own filters, each under the budget; `attr` and `tojson` are our own.
FILTER_NAMES = (
    "abs", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
    "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "items", "join", "last",
    "length", "list", "lower", "map", "max", "min", "pprint", "random", "reject", "rejectattr", "replace", "reverse",
    "round", "safe", "select", "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "trim", "truncate",
    "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr",
)  # fmt: skip
ANY_NUMBER = frozenset(("d", "default", "int", "float", "abs", "min", "max", "string", "format", "filesizeformat"))
MAX_NUMBER = 10_000
# Numbers of JSON that do not fit into the 64 bits to which a template's own are limited.
MAX_LARGE_NUMBERS = 1_000
PERCENT_WIDTH = re.compile(r"%[^a-zA-Z%]*(?:\d{4}|\*)")
# Every part of the pattern ends where the next begins, so it takes linear time.
BRACE_WIDTH = re.compile(r"\{[^{}:]*:[^{}]*?(?:\d{4}|\{)")
NUMBER = re.compile(r"\d{1,3}")
# A float with the digits behind its point, or a date.
LONGEST_FIELD = 400


def make_filters() -> dict[str, Callable[..., Any]]:
    """Return the filters that templates may use, by name."""
    return {
        **{name: _charged_filter(name, FILTERS[name]) for name in FILTER_NAMES},
        "attr": _charged_filter("attr", _attribute),
        "tojson": _tojson,
        "fromjson": _fromjson,
        "from_json": _fromjson,
    }


def check_name(name: object) -> None:
    """Refuse a name with an underscore, through which templates have broken out of the sandbox."""
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"the chat template uses the attribute {name!r}, which begins with an underscore")


def formatted_size(budget: Budget, sign: str, format: str, values: object) -> int:
    """Return how long a format may get when it is filled in; refuse one that pads to a large width.

    Args:
        budget: The rest of this rendering's budget.
        sign: The character that begins a field: `%` or `{`.
        format: The text with fields.
        values: The values to fill in.
    """
    if (PERCENT_WIDTH if sign == "%" else BRACE_WIDTH).search(format) is not None:
        raise TemplateLimit("the chat template formats with too large a width")
    fields = format.count(sign)
    # Fields with names or numbers can all take the same value.
    once = sign == "%" and not isinstance(values, Mapping)
    filled = budget.weigh(values) * (1 if once else fields)
    padding = sum(map(int, NUMBER.findall(format))) if fields else 0
    return len(format) + LONGEST_FIELD * fields + filled + padding


def product(budget: Budget, text: str, other: object) -> None:
    """Charge an operation that may compare every character of two texts."""
    if isinstance(other, str):
        budget.spend(len(text) * min(len(other), len(text)))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    if isinstance(value, Undefined):
        raise TypeError("an undefined value is not JSON")
    budget = BUDGET.get()
    weight = budget.weigh(value)
    budget.allow(weight)
    if indent is not None or separators is not None:
        width = 0 if indent is None else indent if isinstance(indent, int) else len(indent)
        budget.allow(weight + _elements(value) * (budget.weigh(separators or ()) + MAX_NESTING * max(0, width)))
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return str(budget.check(text))


def _elements(value: Any) -> int:
    if isinstance(value, Mapping):
        return len(value) + sum(map(_elements, value.values()))
    return len(value) + sum(map(_elements, value)) if isinstance(value, list | tuple) else 0


@pass_environment
def _attribute(environment: Environment, value: Any, name: str) -> Any:
    check_name(name)
    return FILTERS["attr"](environment, value, name)


def _fromjson(text: Any) -> Any:
    """What the engines of llama.cpp and others have besides, for arguments that may be text."""
    large = 0

    def number(digits: str) -> int:
        nonlocal large
        large += len(digits) > 18
        if large > MAX_LARGE_NUMBERS:
            raise TemplateLimit("the chat template reads too many large numbers")
        return int(digits)

    text, budget = str(text), BUDGET.get()
    # An empty object takes 64 bytes, with the comma behind it three characters.
    budget.spend(ELEMENT * len(text))
    try:
        return budget.check(json.loads(text, parse_int=number))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _charged_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    growth = GROWTH.get(name)

    @wraps(function)  # keeps the mark that says whether the filter wants the context
    def charged(*args: Any, **kwargs: Any) -> Any:
        budget = BUDGET.get()
        budget.spend()
        given = tuple(list(budget.each(arg)) if isinstance(arg, Iterator | range) else arg for arg in args)
        values = [value for value in given if not isinstance(value, Context | Environment | nodes.EvalContext)]
        for value in (*values, *kwargs.values()):
            budget.allow(budget.weigh(value))
        for value in (*values[1:], *kwargs.values()):
            if isinstance(value, int) and abs(value) > MAX_NUMBER and name not in ANY_NUMBER:
                raise TemplateLimit(f"the chat template gives the filter {name!r} too large a number")
        if growth is not None:
            budget.allow(growth(budget, *values, **kwargs))
        return budget.check(function(*given, **kwargs))

    return charged


def replaced_size(budget: Budget, text: object, old: object = "", new: object = "", count: object = None) -> int:
    """Return how long a text with something replaced is."""
    text = str(text)
    return len(text) + text.count(str(old)) * len(str(new))


def _joined(budget: Budget, items: Any = (), d: object = "", attribute: object = None) -> int:
    return budget.weigh(items) + (len(items) * len(str(d)) if isinstance(items, list | tuple | Mapping | str) else 0)


def _indented(budget: Budget, text: object, width: Any = 4, first: bool = False, blank: bool = False) -> int:
    text = str(text)
    return len(text) + (text.count("\n") + 1) * (width if isinstance(width, int) else len(str(width)))


def _formatted(budget: Budget, text: object, *values: object, **named: object) -> int:
    return formatted_size(budget, "%", str(text), named or values)


def _summed(budget: Budget, items: object, attribute: object = None, start: object = 0) -> int:
    if not isinstance(start, int | float):
        # Adding up lists takes time that grows with the square of their number.
        raise TemplateLimit("the chat template adds up values that are not numbers")
    return 0


def _trimmed(budget: Budget, text: object, chars: object = None) -> int:
    product(budget, str(text), chars)
    return 0


def _slow(budget: Budget, value: object, *_: Any, **__: Any) -> int:
    # A millisecond for a thousand characters: fine for messages, not for what a template can make of them.
    return 50 * budget.weigh(value)


def _wrapped(
    budget: Budget, text: object, width: int = 79, break_long_words: bool = True, wrapstring: object = None, *_: Any
) -> int:
    lines = 2 * len(str(text)) // max(1, width) + str(text).count("\n") + 1
    return max(_slow(budget, text), len(str(text)) + lines * len(str(wrapstring or "\n")))


def _escaped(budget: Budget, text: object, *_: Any) -> int:
    return 9 * budget.weigh(text)


# The size of what a filter makes, where that is not the size of what it is given.
GROWTH: Mapping[str, Callable[..., int]] = {
    "e": _escaped,
    "escape": _escaped,
    "forceescape": _escaped,
    "format": _formatted,
    "indent": _indented,
    "join": _joined,
    "pprint": _slow,
    "replace": replaced_size,
    "sum": _summed,
    "trim": _trimmed,
    "urlencode": _escaped,
    "urlize": _slow,
    "wordwrap": _wrapped,
    "xmlattr": _escaped,
}
