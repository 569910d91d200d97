"""The `do_sample` switch of Hugging Face style wires."""

from __future__ import annotations

from typing import Any

__all__ = ["drop_greedy_leftovers", "is_zero", "set_do_sample"]

_SAMPLING = ("temperature", "top_p", "top_k", "typical_p", "min_p")


def is_zero(value: Any) -> bool:
    """Return whether a temperature asks for greedy decoding."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def drop_greedy_leftovers(settings: dict[str, Any]) -> None:
    """Make the settings greedy: `do_sample` off, and nothing left that only has a meaning when sampling."""
    settings["do_sample"] = False
    for name in _SAMPLING:
        settings.pop(name, None)


def set_do_sample(settings: dict[str, Any]) -> None:
    """Switch sampling on where a sampling setting was given and the switch itself was not."""
    if "do_sample" not in settings and any(settings.get(name) is not None for name in _SAMPLING):
        settings["do_sample"] = True
