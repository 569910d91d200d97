"""Cohere Command R and R+ (`Action:` and fenced JSON), R7B and A (`<|START_ACTION|>`).

Facts: the families' chat templates; vLLM's Cohere parsers; Cohere's prompt format documents.
"""

from __future__ import annotations

from sagewire.prompt_formats.output_parsers.engine.json_calls import CallKeys, read_bare_list, read_calls
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import THINK, OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["COMMAND_R"]

# "directly-answer" is how Command R says that it wants no tool.
KEYS = CallKeys(
    name=("tool_name", "name"),
    arguments=("parameters", "arguments"),
    id=("tool_call_id", "id"),
    ignored=("directly-answer", "directly_answer"),
)


def _read_action(source: Source, calls: Calls) -> Wait[None]:
    yield from source.skip_space()
    yield from source.expect("```")
    yield from source.accept("json")
    if (yield from source.skip_space()) not in ("[", "{"):
        raise NotACall
    yield from read_calls(source, calls, KEYS)
    if (yield from source.skip_space()) == "`":
        yield from source.accept("```")


def _read_token(source: Source, calls: Calls) -> Wait[None]:
    yield from read_calls(source, calls, KEYS)


def _read_start(source: Source, calls: Calls, prompt: str) -> Wait[None]:
    """Read the list of offered tools at the very beginning, where a server has dropped the token before it."""
    if not calls.offered.known:
        raise NotACall
    yield from read_bare_list(source, calls, KEYS)


COMMAND_R = OutputSyntax(
    name="command_r",
    blocks={"Action:": _read_action, "<|START_ACTION|>": _read_token},
    closers=("<|END_ACTION|>",),
    silent=("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"),
    thinking=(ThinkingTags("<|START_THINKING|>", "<|END_THINKING|>"), *THINK),
    start=_read_start,
)
