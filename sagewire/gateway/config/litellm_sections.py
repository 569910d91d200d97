"""Checks of the settings in LiteLLM's files: which keys have an effect, their types, and what is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sagewire.gateway.config import litellm_keys as keys
from sagewire.gateway.config.document import Document, Path, as_number, nearest
from sagewire.gateway.config.yaml_files import INCLUDE

__all__ = ["LOGGERS", "SECTIONS", "check_sections", "without_effect"]

# The keys of each section that are read, and those without effect.
SECTIONS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "litellm_settings": (keys.SETTINGS_TAKEN, keys.SETTINGS_NO_EFFECT),
    "router_settings": (keys.ROUTER_TAKEN, keys.ROUTER_NO_EFFECT),
    "general_settings": (keys.GENERAL_TAKEN, keys.GENERAL_NO_EFFECT),
}
_CALLBACKS = ("callbacks", "input_callback", "success_callback")
LOGGERS = frozenset({*_CALLBACKS, "failure_callback", "service_callback", "audit_log_callbacks"})
# LiteLLM makes any key of the first a variable of its module, there are hundreds, and passes over those that its
# router does not know: an unknown key is a mistake only if it looks like one that does something.
_OPEN_SECTIONS = (("litellm_settings",), ("router_settings",))
# Keys that the newest LiteLLM lists, and does not read.
_IDLE_THERE = tuple(("general_settings", name) for name in ("global_max_parallel_requests", "max_parallel_requests"))
# The types of the settings that are read.
_TYPES: Mapping[str, type] = {
    **dict.fromkeys(
        ("allowed_fails", "cooldown_time", "default_max_parallel_requests", "max_request_size_mb", "num_retries"), float
    ),
    **dict.fromkeys(("redis_db", "redis_port", "request_timeout", "stream_timeout", "timeout"), float),
    **dict.fromkeys(("default_litellm_params", "model_group_alias", "routing_strategy_args"), dict),
    **dict.fromkeys(("default_fallbacks", "optional_pre_call_checks"), list),
}
# Keys that some files have in a section that does not read them, with the one that does.
_MISPLACED = {
    **dict.fromkeys(("database_url", "master_key"), "general_settings"),
    **dict.fromkeys(("model_group_alias", "routing_strategy", "default_litellm_params"), "router_settings"),
    **dict.fromkeys(("callbacks", "drop_params", "success_callback"), "litellm_settings"),
}


def check_sections(
    sections: Mapping[str, Mapping[str, Any]], extra: Mapping[str, Any], known: Collection[str], document: Document
) -> list[Path]:
    """Check the keys and types of a file's settings; return the places of those without effect.

    Args:
        sections: The sections of `SECTIONS`.
        extra: The parts of the file that are not read.
        known: The names of the parts that are read.
        document: The file, for the lines of errors.

    Raises:
        UsageError: A key is unknown or in a section that does not read it, has a value of another type, or restricts
            access in a way that sagewire does not.
    """
    top = {*known, *keys.TOP_NO_EFFECT, INCLUDE}
    idle = _without_effect(document, (), extra, known, keys.TOP_NO_EFFECT, hints=top)
    for section, (taken, without_effect) in SECTIONS.items():
        idle += _without_effect(document, (section,), sections[section], taken, without_effect)
    for section, given in sections.items():
        _check_guards(document, section, given)
    for section, given in sections.items():
        _check_types(document, section, given)
    return idle


def _without_effect(
    document: Document,
    path: Path,
    given: Mapping[str, Any],
    taken: Collection[str],
    idle: Collection[str],
    hints: Collection[str] = (),
) -> list[Path]:
    found: list[Path] = []
    for name, value in given.items():
        if name in keys.REFUSED and value not in (None, False, [], {}):
            raise document.error(
                (*path, name),
                "sagewire has nothing like it, and without it the gateway would be open to more; " + keys.cure_of(name),
            )
        if name in taken or name in keys.REFUSED:
            continue
        if name not in idle:
            if name in _MISPLACED and path != (_MISPLACED[name],):
                raise document.error((*path, name), f"belongs in {_MISPLACED[name]}; it has no effect here")
            if path[:1] not in _OPEN_SECTIONS:
                raise document.error((*path, name), f"unknown key{nearest(name, hints or {*taken, *idle})}")
            hint = nearest(name, {*taken, *keys.REFUSED}, cutoff=0.8)
            if hint:
                raise document.error((*path, name), f"unknown key{hint}")
        found.append((*path, name))
    return found


def without_effect(place: Path, section: Any) -> str:
    """Return the words for a key without effect; callbacks are named.

    Args:
        place: The key's place.
        section: The section it is in.
    """
    name = place[-1]
    given = section.get(name) if name in LOGGERS and isinstance(section, Mapping) else None
    callbacks = [str(one) for one in (given if isinstance(given, list) else [given]) if one]
    if place in _IDLE_THERE:
        return (
            "has no effect in sagewire, nor in LiteLLM 1.110 with its usual limiter: `max_parallel_requests` in the "
            "litellm_params of a deployment has"
        )
    if not callbacks:
        return "has no effect in sagewire"
    says = f"{', '.join(callbacks)[:200]}: no callback has an effect in sagewire"
    own = [one for one in callbacks if "." in one]
    if own:
        says += f"; {', '.join(own)[:200]}, code of your own, is not run: what it would change or refuse passes"
    return says


def _check_guards(document: Document, section: str, given: Mapping[str, Any]) -> None:
    """Refuse callbacks that keep something out; without them the gateway would be open to it."""
    for name in _CALLBACKS:
        values = given.get(name) or []
        for value in values if isinstance(values, list) else [values]:
            if str(value) in keys.GUARDS:
                raise document.error(
                    (section, name),
                    f"{value!r} keeps something out, and sagewire has nothing like it; {keys.cure_of(name)}",
                )


def _check_types(document: Document, section: str, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        wanted = _TYPES.get(name)
        if value is None or wanted is None:
            continue
        fits = as_number(value) is not None if wanted is float else isinstance(value, wanted)
        if not fits:
            words = {float: "a number", list: "a list", dict: "a mapping"}[wanted]
            raise document.error((section, name), f"should be {words}, not {type(value).__name__}")
