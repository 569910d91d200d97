"""How one family writes its answers, as a value: what its markers are, and who reads the blocks behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.source import Source, Wait

__all__ = ["THINK", "BlockReader", "OutputSyntax", "ThinkingTags"]

BlockReader: TypeAlias = Callable[[Source, Calls], Wait[None]]


@dataclass(frozen=True, slots=True)
class ThinkingTags:
    """What opens and closes reasoning.

    Args:
        open: The opening tag.
        close: The closing tag.
        prose: The tags are ordinary words: they count only at the very beginning, and only as a pair.
        paired: The closing tag ends other things as well: it counts only behind the opening one.
        label: A word behind the opening tag that is not part of the reasoning.
        prefilled: The prompt begins the reasoning itself, behind the opening tag, which models never write: what
            stands there is part of the reasoning, and the closing tag alone makes what comes before it reasoning.
    """

    open: str
    close: str
    prose: bool = False
    paired: bool = False
    label: str = ""
    prefilled: bool = False


THINK = (ThinkingTags("<think>", "</think>"), ThinkingTags("<thinking>", "</thinking>"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSyntax:
    """One way of writing tool calls and thinking.

    Args:
        name: The style's key in `OUTPUT_PARSERS`.
        blocks: Marker -> the generator function that reads what follows it; see `Source` for how those are written.
            The marker itself has been read. A block that is none raises `NotACall`.
        closers: Markers that may follow a block that was read; elsewhere they are text.
        silent: Markers that only frame text, and are never part of it.
        frames: Opening -> closing tag around the answer text of models that reason.
        thinking: The tags of reasoning; the first are meant where only the closing tag shows.
        thinking_ends: Markers that end reasoning as its closing tag does, and are then read as what they are.
        start: Reads a block that may stand at the very beginning without a marker. It is given the prompt's end.
        unmarked: The markers are ordinary characters: one inside reasoning says nothing.
        often_opened: The family's prompts often open the reasoning. Where it is not known whether one did, text is
            held back until the closing tag or the end decides what it is.
        for_prompt: Returns the syntax for a prompt that is known, if what it holds tells how the model writes.
    """

    name: str
    blocks: Mapping[str, BlockReader] = field(default_factory=dict)
    closers: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    frames: Mapping[str, str] = field(default_factory=dict)
    thinking: tuple[ThinkingTags, ...] = THINK
    thinking_ends: tuple[str, ...] = ()
    start: Callable[[Source, Calls, str], Wait[None]] | None = None
    unmarked: bool = False
    often_opened: bool = False
    for_prompt: Callable[[OutputSyntax, str], OutputSyntax] | None = None
