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

from sagewire.prompt_formats.chat_template.budget import BUDGET, Budget, TemplateLimit

__all__ = ["MAX_NUMBER", "PERCENT_WIDTH", "check_name", "check_widths", "make_filters", "replaced_size"]

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
PERCENT_WIDTH = re.compile(r"%[^a-zA-Z%]*(?:\d{4}|\*)")


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


def check_widths(pattern: re.Pattern[str], format: str) -> None:
    """Refuse a format that pads to a large width."""
    if pattern.search(format) is not None:
        raise TemplateLimit("the chat template formats with too large a width")


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
    if indent is not None:
        width = indent if isinstance(indent, int) else len(indent)
        budget.allow(weight * (1 + max(0, width) * 4))
    budget.allow(weight)
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return str(budget.check(text))


@pass_environment
def _attribute(environment: Environment, value: Any, name: str) -> Any:
    check_name(name)
    return FILTERS["attr"](environment, value, name)


def _fromjson(text: Any) -> Any:
    """What the engines of llama.cpp and others have besides, for arguments that may be text."""
    try:
        return BUDGET.get().check(json.loads(str(text)))
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
    check_widths(PERCENT_WIDTH, str(text))
    # Every place can take every value.
    return len(str(text)) * (1 + budget.weigh(values) + budget.weigh(named))


def _slow(budget: Budget, value: object, *_: Any, **__: Any) -> int:
    # A millisecond for a thousand characters: fine for messages, not for what a template can make of them.
    return 50 * budget.weigh(value)


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
    "urlencode": _escaped,
    "urlize": _slow,
    "wordwrap": _slow,
    "xmlattr": _escaped,
}
