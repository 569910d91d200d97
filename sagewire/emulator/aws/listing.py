"""Pages of SageMaker's lists: filtered, sorted and cut as the API documents it (API_ListEndpoints and its siblings)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.emulator.faults import Refused

__all__ = ["page"]

JSON = dict[str, Any]
DEFAULT_RESULTS = 10
MAX_RESULTS = 100


def page(items: Sequence[JSON], asked: Mapping[str, Any], *, key: str, name: str, status: str | None = None) -> JSON:
    """Return one page of a list.

    Args:
        items: Every item the caller may see, with `CreationTime`, and `LastModifiedTime` if the API has it.
        asked: The request: `MaxResults`, `NextToken`, `SortBy`, `SortOrder`, `NameContains`, `StatusEquals` and times.
        key: The field of the answer that holds the items.
        name: The field of an item that holds its name.
        status: The field of an item that holds its status, if it has one.

    Raises:
        Refused: A value is outside what the API allows.
    """
    found = [item for item in items if _fits(item, asked, name, status)]
    sort_by = _one_of(asked, "SortBy", {"Name": name, "CreationTime": "CreationTime", "Status": status or name})
    # When sorted by time, the one made last counts as the newest, though the clock may not tell them apart.
    found.sort(key=lambda item: item[sort_by])
    if _one_of(asked, "SortOrder", {"Ascending": "", "Descending": "reverse"}) == "reverse":
        found.reverse()
    limit = asked.get("MaxResults", DEFAULT_RESULTS)
    if not isinstance(limit, int) or not 1 <= limit <= MAX_RESULTS:
        raise _invalid(f"Value '{limit}' at 'maxResults' failed to satisfy constraint: between 1 and {MAX_RESULTS}")
    start = _start(asked.get("NextToken"))
    answer: JSON = {key: found[start : start + limit]}
    if start + limit < len(found):
        answer["NextToken"] = base64.b64encode(f"from {start + limit}".encode()).decode()
    return answer


def _fits(item: JSON, asked: Mapping[str, Any], name: str, status: str | None) -> bool:
    if asked.get("NameContains", "").lower() not in item[name].lower():
        return False
    if status is not None and asked.get("StatusEquals") not in (None, item[status]):
        return False
    for field in ("CreationTime", "LastModifiedTime"):
        after, before = asked.get(f"{field}After"), asked.get(f"{field}Before")
        if after is not None and not item.get(field, 0) > after:
            return False
        if before is not None and not item.get(field, 0) < before:
            return False
    return True


def _one_of(asked: Mapping[str, Any], field: str, known: Mapping[str, str]) -> str:
    default = {"SortBy": "CreationTime", "SortOrder": "Descending"}[field]
    given = asked.get(field, default)
    if given not in known:
        raise _invalid(f"Value '{given}' at '{field}' failed to satisfy constraint: one of {', '.join(known)}")
    return known[given]


def _start(token: object) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(str(token), validate=True).decode().removeprefix("from "))
    except ValueError:
        raise _invalid("The NextToken is not valid") from None


def _invalid(message: str) -> Refused:
    return Refused("ValidationException", 400, f"1 validation error detected: {message}")
