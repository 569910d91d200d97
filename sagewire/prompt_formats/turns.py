"""The engine: a prompt format as a value, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats.base import PromptFormat
from sagewire.prompt_formats.conversation import Conversation, Turn, read_tools, read_turns
from sagewire.prompt_formats.guard import Policy, make_guard
from sagewire.streaming.base import Decoder
from sagewire.types import Delta, Message, Tool

__all__ = ["ALTERNATE", "Block", "FoldedFormat", "Page", "TurnFormat"]

ALTERNATE = "Conversation roles must alternate user/assistant/user/assistant/..."
ROLE_NAME = re.compile(r"[\w][\w .:-]*")


@dataclass(frozen=True, slots=True)
class Block:
    """How one role is written.

    Args:
        before: What opens the turn; `{role}` stands for the role's own name.
        after: What closes it.
        trim: Blanks around the text are removed first.
    """

    before: str
    after: str
    trim: bool = False


class Page:
    """The prompt under the pen: pieces of text, and where the last turn's own text ends."""

    __slots__ = ("cut", "pieces", "prefill")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.cut: int | None = None
        self.prefill: Turn | None = None

    def add(self, *pieces: str) -> None:
        """Write text of the format."""
        self.pieces += pieces

    def say(self, turn: Turn, text: str) -> None:
        """Write the text of a turn, the place where the prompt ends if this turn is to be continued."""
        self.pieces.append(text)
        if turn.final:
            self.cut, self.prefill = len(self.pieces), turn

    def text(self, continuing: bool) -> str:
        """Return the prompt."""
        if not continuing:
            return "".join(self.pieces)
        if self.cut is None or self.prefill is None:
            raise UsageError("The last message cannot be continued: this format does not write its text.")
        text, rest = "".join(self.pieces[: self.cut]), "".join(self.pieces[self.cut :])
        # A trimmed text keeps the blanks the caller left at its end if the format itself goes on with the same ones.
        said = self.prefill.text
        blanks = said[len(said.rstrip()) :]
        if blanks and not text.endswith(blanks) and rest.startswith(blanks):
            text += blanks
        return text


@dataclass(frozen=True, kw_only=True)
class TurnFormat(PromptFormat):
    """A family described by how each role opens and closes; families that need more override a `write` method.

    Args:
        name: The format's key in `FORMATS`.
        bos: What a prompt begins with.
        roles: How `system`, `user`, `assistant` and `tool` are written; a role that is missing is written by `other`.
        other: How a role that is not listed is written; `None`: it cannot be.
        generation: The opening of the assistant's turn.
        system: Where system messages may stand: `anywhere`, only `first`, or `never` (refused with `system_error`).
        system_error: The family's own words when a system message is out of place.
        default_system: The system text of a conversation that has none.
        alternate: The family's own words when user and assistant do not take turns; empty: they need not.
        stops: Strings on which generation should stop.
        special_tokens: The family's control strings.
        words: Role words of families that write with ordinary text, neutralised like control strings.
        supports_tools: The family can be told of tools.
        reader_style: How the family writes tool calls; see `prompt_formats.readers`.
        strict: Refuse what the family's own template would drop or misplace.
        policy: What happens to control strings in foreign text.
    """

    name: str = "custom"
    bos: str = ""
    roles: Mapping[str, Block] = field(default_factory=dict)
    other: Block | None = None
    generation: str = ""
    system: Literal["anywhere", "first", "never"] = "anywhere"
    system_error: str = ""
    default_system: str | None = None
    alternate: str = ""
    stops: tuple[str, ...] = ()
    special_tokens: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    supports_tools: bool = False
    reader_style: str = "plain"
    strict: bool = True
    policy: Policy = "neutralise"

    def render(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        tools: Sequence[Tool | Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        now: datetime | None = None,
        date_string: str | None = None,
        **template_kwargs: Any,
    ) -> str:
        r"""Return the prompt text of a conversation.

        Args:
            messages: sagewire messages or OpenAI-shaped dicts.
            tools: sagewire tools or OpenAI-shaped dicts, whose key order is kept.
            add_generation_prompt: End with the opening of the assistant's turn.
            continue_final_message: The last message is an answer to be continued: end right after its text.
            now: The current time, for families that write the date.
            date_string: The date as text, for families that take it as a variable.
            **template_kwargs: Variables of the family's template, such as `enable_thinking`.

        Raises:
            UsageError: The family refuses such a conversation, or a control string was found under
                `special_tokens="error"`.
            UnsupportedFeature: The family has no place for something: tools, images, or content that its own template
                would lose or misplace.

        >>> from sagewire.prompt_formats import get_format
        >>> get_format("chatml").render([{"role": "user", "content": "Hello"}], add_generation_prompt=False)
        '<|im_start|>user\nHello<|im_end|>\n'
        """
        guard = make_guard((*self.special_tokens, *self.stops), self.words, self.policy)
        where = f"prompt format {self.name!r}"
        turns = read_turns(messages, guard, self.join_parts, self.split_answer, where)
        if tools and not self.supports_tools:
            cure = "Choose a format of a family with tools, or a handler that speaks messages."
            raise UnsupportedFeature("tools", where, cure)
        conversation = Conversation(
            turns=turns,
            tools=read_tools(tools) if tools else [],
            generate=add_generation_prompt and not continue_final_message,
            now=now,
            date_string=date_string,
            options=template_kwargs,
            guard=guard,
            strict=self.strict,
            where=where,
        )
        if continue_final_message:
            if not turns or turns[-1].role != "assistant":
                raise UsageError("continue_final_message needs a conversation that ends with an assistant message.")
            turns[-1].final = True
        page = Page()
        self.write(conversation, page)
        return page.text(continue_final_message)

    def render_completion(self, prompt: str, system_prompt: str | None = None) -> str:
        """Return the prompt text of a single instruction, with the opening of the answer."""
        messages = [] if system_prompt is None else [Message("system", system_prompt)]
        return self.render([*messages, Message("user", prompt)])

    def reader(self, tools: Sequence[Tool] | None = None, *, prompt: str = "") -> Decoder[str, Delta]:
        """Return a fresh decoder from raw model text to text, thinking and tool-call deltas."""
        from sagewire.prompt_formats.readers import get_reader

        return get_reader(self.reader_style, tools, stops=self.stops, prompt=prompt)

    # What a family may override.

    def join_parts(self, parts: Sequence[str]) -> str:
        """Return the text of a message that was given in parts."""
        return "".join(parts)

    # The thinking inside an assistant's text and the rest of it; `None`: this family writes none there.
    split_answer: Any = None

    def write(self, conversation: Conversation, page: Page) -> None:
        """Write the whole conversation."""
        page.add(self.bos)
        turns = conversation.turns
        if self.default_system is not None and not (turns and turns[0].role == "system"):
            turns = [Turn("system", self.default_system), *turns]
        if self.alternate:
            self.check_alternation(turns)
        for place, turn in enumerate(turns):
            if turn.role == "system" and (self.system == "never" or (self.system == "first" and place)):
                self.misplaced_system(conversation, turn)
            else:
                self.write_turn(conversation, page, turn)
        if conversation.generate:
            page.add(self.generation)

    def check_alternation(self, turns: Sequence[Turn]) -> None:
        """Refuse conversations in which user and assistant do not take turns; a first system message stands apart."""
        start = 1 if turns and turns[0].role == "system" else 0
        for place, turn in enumerate(turns[start:]):
            if (turn.role == "user") != (place % 2 == 0):
                raise UsageError(self.alternate)

    def misplaced_system(self, conversation: Conversation, turn: Turn) -> None:
        """Decide about a system message where the family has no place for one."""
        if self.system_error:
            raise UsageError(self.system_error)
        conversation.lost_turn(turn)

    def write_turn(self, conversation: Conversation, page: Page, turn: Turn) -> None:
        """Write one message."""
        if turn.calls:
            conversation.lost("tool calls")
        block = self.roles.get(turn.role)
        if block is None:
            block = self.other
            if block is None:
                conversation.lost_turn(turn)
                return
            if ROLE_NAME.fullmatch(turn.role) is None:
                raise UsageError(
                    f"{turn.role!r:.60} is not a role: use letters, digits, blanks, '.', ':', '_' and '-'."
                )
        before = block.before
        if "{role}" in before:
            before = before.replace("{role}", turn.role)
        page.add(before)
        page.say(turn, turn.text.strip() if block.trim else turn.text)
        page.add(block.after)


@dataclass(frozen=True, kw_only=True)
class FoldedFormat(TurnFormat):
    """A family that writes a first system message inside the turn after it; `roles["system"]` is how it is wrapped."""

    alternate: str = ALTERNATE
    other: Block | None = None

    def write(self, conversation: Conversation, page: Page) -> None:
        """Write the whole conversation."""
        page.add(self.bos)
        turns, lead = conversation.turns, ""
        self.check_alternation(turns)
        if turns and turns[0].role == "system":
            block, system, turns = self.roles["system"], turns[0], turns[1:]
            lead = block.before + (system.text.strip() if block.trim else system.text) + block.after
            if not turns:
                conversation.lost_turn(system)
        for place, turn in enumerate(turns):
            if place == 0:
                turn.text = lead + turn.text
            self.write_turn(conversation, page, turn)
        if conversation.generate:
            page.add(self.generation)
