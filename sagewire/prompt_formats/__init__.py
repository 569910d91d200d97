"""How model families write a conversation, and how their answers are read back.

`FORMATS` is a plain dict: look into it, add your own format to it.

>>> from sagewire.prompt_formats import get_format
>>> get_format("llama2").render([{"role": "user", "content": "Hello"}])
'<s>[INST] Hello [/INST]'
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats import chatml, llama
from sagewire.prompt_formats.base import PromptFormat
from sagewire.prompt_formats.guard import Policy
from sagewire.prompt_formats.turns import Block, TurnFormat

__all__ = ["FORMATS", "Block", "PromptFormat", "TurnFormat", "get_format"]

FORMATS: dict[str, PromptFormat] = {
    "chatml": chatml.CHATML,
    "llama2": llama.LLAMA2,
}


def get_format(
    name: Any = None,
    *,
    model_id: str | None = None,
    special_tokens: Policy = "neutralise",
    strict: bool = True,
) -> PromptFormat:
    """Return a prompt format.

    Args:
        name: A key of `FORMATS`, or a `PromptFormat`, which is returned as it is.
        model_id: A model's id on the Hugging Face Hub or in JumpStart, where the name is not known.
        special_tokens: What happens to control strings in foreign text: `neutralise`, `allow` or `error`.
        strict: Refuse content that the family's own template would silently drop or misplace.

    Raises:
        UsageError: There is no such format; the message lists close names.
    """
    if isinstance(name, PromptFormat):
        return name
    found = FORMATS.get(name)
    if found is None:
        close = difflib.get_close_matches(str(name), FORMATS, n=5, cutoff=0.5)
        raise UsageError(f"There is no prompt format {name!r}. Close names: {', '.join(close) or 'none'}.")
    if isinstance(found, TurnFormat):
        return replace(found, policy=special_tokens, strict=strict)
    return found
