"""Sampling settings that wires switch on and off in their own ways."""

from __future__ import annotations

from typing import Any

__all__ = ["GENERATE_SETTINGS", "drop_greedy_leftovers", "is_zero", "set_do_sample", "write_no_top_k"]

# Settings of Hugging Face's `generate` that servers of OpenAI's shape leave unread (vLLM protocol.py allows any field,
# text-generation-inference router/src/lib.rs ignores those that ChatRequest lacks).
GENERATE_SETTINGS = {
    "do_sample": "Give temperature=0 for the most likely tokens, and another temperature to sample.",
    "return_full_text": "Put the prompt before the answer yourself.",
    "watermark": "Leave it out.",
    "truncate": 'Shorten the prompt; vLLM takes extra={"truncate_prompt_tokens": ...}.',
    "details": "Leave it out; ask for logprobs.",
    "decoder_input_details": "Leave it out; ask for logprobs.",
    "top_n_tokens": "Ask for top_logprobs.",
}

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
    """Switch sampling on if a sampling setting is given and the switch itself is not."""
    if "do_sample" not in settings and any(settings.get(name) is not None for name in _SAMPLING):
        settings["do_sample"] = True


def write_no_top_k(settings: dict[str, Any], off: int | None, name: str = "top_k") -> None:
    """Write "sample from all tokens", which users write as 0 or as -1, in the wire's way.

    Args:
        settings: The settings, which are changed.
        off: The number for it; `None` if the setting has to be left out.
        name: The wire's name of the setting.
    """
    value = settings.get(name)
    if not isinstance(value, int) or value > 0:
        return
    del settings[name]
    if off is not None:
        settings[name] = off
