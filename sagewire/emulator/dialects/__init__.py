"""The serving containers the emulator can be, and the visible table of their names."""

from __future__ import annotations

from sagewire.emulator.dialects.base import Container, Dialect
from sagewire.emulator.dialects.lmi import Lmi, LmiAsync, LmiSse
from sagewire.emulator.dialects.tgi import Tgi, Tgi1, TgiChat
from sagewire.emulator.dialects.vllm import OpenAiChat, OpenAiCompletions
from sagewire.errors import UsageError, unknown_name

__all__ = ["DIALECTS", "Container", "Dialect", "get_dialect"]

DIALECTS: dict[str, type[Dialect]] = {
    "lmi": Lmi,
    "lmi_async": LmiAsync,
    "lmi_tgi_compat": LmiSse,
    "openai_chat": OpenAiChat,
    "openai_completions": OpenAiCompletions,
    "tgi": Tgi,
    "tgi_1": Tgi1,
    "tgi_chat": TgiChat,
}


def get_dialect(dialect: str | Dialect) -> Dialect:
    """Return the dialect of a name; objects pass through.

    Raises:
        UsageError: The name is unknown.
    """
    if not isinstance(dialect, str):
        return dialect
    if dialect not in DIALECTS:
        raise UsageError(unknown_name(dialect, DIALECTS, "dialect"))
    return DIALECTS[dialect]()
