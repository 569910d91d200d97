"""`/key/list`: the keys that a query asks for, in its order, by pages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sagewire.gateway.keys import Key
from sagewire.openai_shapes.fields import BadRequest, Fields

__all__ = ["flag", "page_of", "status_of"]

JSON = dict[str, Any]
_EXACT = {"key_alias": "key_alias", "key_hash": "token", "user_id": "user_id", "team_id": "team_id"}
# Owners of keys that there are in LiteLLM and not here: their keys are none.
_NOBODY = ("organization_id", "project_id", "agent_id", "access_group_id")
_CHOICES = {
    "status": ("active", "expired", "revoked", "deleted"),
    "expires": ("active", "expired"),
    "sort_order": ("asc", "desc"),
    "sort_by": (
        "created_at", "expires", "key_alias", "max_budget", "rpm_limit", "spend", "team_id", "token", "tpm_limit",
        "user_id",
    ),
}  # fmt: skip
_FLAGS = ("return_full_object", "substring_matching", "include_team_keys", "include_created_by_keys")
# A list with owners would be the same: there are no users and teams.
_IDLE = ("expand", "page", "size", "search")
_KNOWN = frozenset({*_EXACT, *_NOBODY, *_CHOICES, *_FLAGS, *_IDLE})


def page_of(keys: list[JSON], query: Mapping[str, str]) -> JSON:
    """Return a page of keys, as LiteLLM's clients read it.

    Args:
        keys: All keys, described.
        query: The parameters of the URL.

    Raises:
        BadRequest: A parameter is unknown, or has a wrong value: a script may delete what it gets.
    """
    unknown = sorted(query.keys() - _KNOWN)
    if unknown:
        raise BadRequest(
            f"there is no filter {unknown[0][:100]!r}; known: {', '.join(sorted(_KNOWN))}", unknown[0][:100]
        )
    for name, choices in _CHOICES.items():
        if query.get(name, choices[0]) not in choices:
            raise BadRequest(f"{name!r} must be one of {', '.join(choices)}", name)
    pages = Fields({name: _whole(query[name]) for name in ("page", "size") if name in query})
    page, size = pages.count("page", 1) or 1, pages.count("size", 1)
    now, parts = datetime.now(UTC), flag(query, "substring_matching")
    found = [key for key in keys if _is_asked_for(key, query, now, parts)]
    if "sort_by" in query:
        field, down = query["sort_by"], query.get("sort_order", "desc") == "desc"
        has = sorted((key for key in found if key[field] is not None), key=lambda key: key[field], reverse=down)
        found = has + [key for key in found if key[field] is None]
    size = size or max(1, len(found))
    shown = found[(page - 1) * size : page * size]
    return {
        "keys": shown,
        "total_count": len(found),
        "current_page": page,
        "total_pages": max(1, math.ceil(len(found) / size)),
    }


def flag(query: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Return a parameter that is true or false."""
    given = query.get(name, str(default)).lower()
    if given not in ("true", "false", "1", "0"):
        raise BadRequest(f"{name!r} must be true or false", name)
    return given in ("true", "1")


def _is_asked_for(key: JSON, query: Mapping[str, str], now: datetime, parts: bool) -> bool:
    """Return whether a query asks for a key."""
    if any(query.get(name) for name in _NOBODY):
        return False
    for name, field in _EXACT.items():
        wanted, has = query.get(name), key[field] or ""
        if not wanted:
            continue
        in_it = parts and name in ("key_alias", "user_id") and wanted.casefold() in has.casefold()
        if wanted != has and not in_it:
            return False
    search = query.get("search")
    if search and search != key["token"] and search.casefold() not in key["key_alias"].casefold():
        return False
    expired = key["expires"] is not None and datetime.fromisoformat(key["expires"]) <= now
    if "expires" in query and (query["expires"] == "expired") != expired:
        return False
    return "status" not in query or bool(query["status"] == key["status"])


def status_of(key: Key) -> str:
    """Return LiteLLM's word for whether a key can be used."""
    return "revoked" if key.blocked else "expired" if key.expired() else "active"


def _whole(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
