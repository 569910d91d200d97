"""The engine: a prompt format as a value, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats.base import PromptFormat
from sagewire.prompt_formats.engine.conversation import (
    SAME_ROLES,
    THINK_OPENING,
    Conversation,
    Guard,
    MessageReading,
    Turn,
    read_turns,
)
from sagewire.prompt_formats.engine.guard import Policy, make_guard
from sagewire.prompt_formats.engine.said_calls import CALLS_AS_SAID
from sagewire.prompt_formats.engine.tools import read_tools
from sagewire.streaming.base import Decoder
from sagewire.types import Delta, Message, Tool

__all__ = ["ALTERNATE", "Block", "FoldedFormat", "OpenedFormat", "PromptBuilder", "TurnFormat"]

ALTERNATE = "Conversation roles must alternate user/assistant/user/assistant/..."
ROLE_NAME = re.compile(r"[\w][\w .:-]*")


@dataclass(frozen=True, slots=True)
class Block:
    """How one role is written.

    Args:
        before: The text that opens the turn; `{role}` stands for the role's name, `{Role}` for the same capitalised.
        after: The text that closes it.
        trim: Blanks around the text are removed first.
        last: The text that closes it instead if it is the last message.
        skip_empty: Nothing at all is written for an empty text.
    """

    before: str
    after: str
    trim: bool = False
    last: str | None = None
    skip_empty: bool = False

    def wrap(self, text: str) -> str:
        """Return the text with what opens and closes it."""
        return self.before + (text.strip() if self.trim else text) + self.after


class PromptBuilder:
    """The prompt under the pen: pieces of text, and where the last turn's own text ends."""

    __slots__ = ("_guard", "_said", "cut", "pieces", "prefill")

    def __init__(self, guard: Guard) -> None:
        self.pieces: list[str] = []
        self._guard = guard
        self._said = -1
        self.cut: int | None = None
        self.prefill: Turn | None = None

    def add(self, *pieces: str) -> None:
        """Write text of the format."""
        self.pieces += pieces

    def say(self, turn: Turn, text: str) -> None:
        """Write the text of a turn, the place where the prompt ends if this turn is to be continued."""
        pieces, said = self.pieces, self._said
        if said >= 0 and not any(pieces[said + 1 :]):
            # Nothing of the format between two texts: a control string may be split over them.
            text = self._guard(pieces[said] + text)
            pieces[said] = ""
        self._said = len(pieces)
        pieces.append(text)
        if turn.final:
            self.cut, self.prefill = len(pieces), turn

    def text(self, continuing: bool) -> str:
        """Return the prompt."""
        if not continuing:
            return "".join(self.pieces)
        if self.cut is None or self.prefill is None:
            raise UsageError("The last message cannot be continued: this format does not write its text.")
        text, rest = "".join(self.pieces[: self.cut]), "".join(self.pieces[self.cut :])
        # A trimmed text keeps the blanks the caller left at its end where the format itself goes on with a blank.
        said = self.prefill.text
        blanks = said[len(said.rstrip()) :]
        if blanks and rest.startswith(" ") and not text.endswith(blanks):
            text += blanks
        return text


@dataclass(frozen=True, kw_only=True, repr=False)
class TurnFormat(PromptFormat):
    """A family described by how each role opens and closes; families that need more override a `write` method.

    Args:
        name: The format's key in `FORMATS`.
        bos: The text that a prompt begins with.
        roles: How `system`, `user`, `assistant` and `tool` are written; a role that is missing is written by `other`.
        other: How a role that is not listed is written; `None`: it cannot be.
        stray: As which role the family's template writes one it does not know; refused unless `strict` is off.
        separator: The text between two turns.
        generation: The opening of the assistant's turn.
        generate_after: After which last messages the family opens the assistant's turn.
        ending: The text at the end if the opening is not wanted.
        ending_after: It does so only after a last message of this role.
        system: Where system messages may stand: `anywhere`, only `first`, or `never`.
        system_error: The family's own words when a system message is out of place; without: strict refuses it.
        role_error: The family's own words when it does not know a role; without: strict refuses it.
        default_system: The system text of a conversation that has none.
        default_unless: The default is for conversations without a system message that is `first`, or `any`.
        alternate: The family's own words when user and assistant do not take turns; empty: they need not.
        stops: Strings on which generation should stop.
        special_tokens: The family's control strings.
        words: Role words of families that write with ordinary text, neutralised like control strings.
        variables: The names in `template_kwargs` the family knows.
        keep_think: An assistant's text may open with `<think>`, which is the model's own and not neutralised.
        supports_tools: The family can be told of tools.
        output_parser: How the family writes tool calls; see `prompt_formats.output_parsers`.
        strict: Refuse what the family's own template would drop or misplace.
        says_calls: Write tool calls of earlier turns as the model said them where the family's template drops them.
        policy: What happens to control strings in foreign text.
    """

    name: str = "custom"
    bos: str = ""
    roles: Mapping[str, Block] = field(default_factory=dict)
    other: Block | None = None
    stray: str = ""
    separator: str = ""
    generation: str = ""
    generate_after: Literal["any", "user", "not_assistant"] = "any"
    ending: str = ""
    ending_after: str = ""
    system: Literal["anywhere", "first", "never"] = "anywhere"
    system_error: str = ""
    role_error: str = ""
    default_system: str | None = None
    default_unless: Literal["first", "any"] = "first"
    alternate: str = ""
    stops: tuple[str, ...] = ()
    special_tokens: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    keep_think: bool = False
    supports_tools: bool = False
    output_parser: str = "plain"
    strict: bool = True
    says_calls: bool = False
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
        where = f"prompt format {self.name!r}"
        if tools and not self.supports_tools:
            cure = (
                "Choose a format of a family with tools, the model's own chat template (format='template'), or a "
                "handler that takes messages."
            )
            raise UnsupportedFeature("tools", where, cure)
        guard = make_guard(self.control_strings(template_kwargs), self.control_words(template_kwargs), self.policy)
        turns = read_turns(messages, self.reading(guard, where))
        if not turns:
            raise UsageError("There is no message to render.")
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
        self.check_variables(conversation)
        if continue_final_message:
            if turns[-1].role != "assistant":
                raise UsageError("continue_final_message needs a conversation that ends with an assistant message.")
            turns[-1].final = True
        page = PromptBuilder(guard)
        self.write(conversation, page)
        return page.text(continue_final_message)

    def render_completion(self, prompt: str, system_prompt: str | None = None) -> str:
        """Return the prompt text of a single instruction, with the opening of the answer."""
        messages = [] if system_prompt is None else [Message("system", system_prompt)]
        return self.render([*messages, Message("user", prompt)])

    def make_parser(self, tools: Sequence[Tool] | None = None, *, prompt: str = "") -> Decoder[str, Delta]:
        """Return a fresh decoder from raw model text to text, thinking and tool-call deltas."""
        from sagewire.prompt_formats.output_parsers import get_output_parser

        return get_output_parser(self.output_parser, tools, stops=self.stops, prompt=prompt)

    def keeping_calls(self) -> TurnFormat | None:
        """Return the format that keeps the tool calls its template drops."""
        return replace(self, says_calls=True) if self.supports_tools and not self.says_calls else None

    # Methods that a family may override.

    def reading(self, guard: Guard, where: str) -> MessageReading:
        """Return how messages are read."""
        return MessageReading(guard, self.join_parts, self.split_answer, self.keep_think, where)

    def check_variables(self, conversation: Conversation) -> None:
        """Refuse a variable the family's template does not know: it would be left unheard."""
        for name in conversation.options:
            if name not in self.variables:
                known = f"It knows {', '.join(self.variables)}." if self.variables else "It knows none."
                conversation.lost(f"the template variable {name!r}", known)

    def control_strings(self, template_kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what neutralising looks for."""
        # A stop such as "###" is ordinary text in a prompt; one that is a token is not.
        return (*self.special_tokens, *(stop for stop in self.stops if stop.startswith(("<", "["))))

    def control_words(self, template_kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the role words neutralising looks for."""
        return self.words

    def join_parts(self, parts: Sequence[str]) -> str:
        """Return the text of a message that was given in parts."""
        return "".join(parts)

    def split_answer(self, text: str, last: bool) -> tuple[str | None, str]:
        """Return the thinking inside an assistant's text, `None` for none, and what of the text is written."""
        return None, text

    def has_thinking(self, text: str) -> bool:
        """Return whether an assistant's text holds its thinking; a closing tag alone is somebody's text about a tag."""
        return "</think>" in text and (self.policy == "allow" or THINK_OPENING.match(text) is not None)

    def opens_with(self, tag: str, text: str) -> bool:
        """Return whether an assistant's text begins with the tag of thinking; elsewhere it is text about the tag."""
        return self.policy == "allow" or text.lstrip().startswith(tag)

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        page.add(self.bos)
        turns = self.with_default_system(conversation.turns, conversation)
        if self.alternate:
            self.check_alternation(turns)
        last = len(turns) - 1
        for place, turn in enumerate(turns):
            if place and self.separator:
                page.add(self.separator)
            if turn.role == "system" and (self.system == "never" or (self.system == "first" and place)):
                self.misplaced_system(conversation, turn)
            else:
                self.write_turn(conversation, page, turn, place == last)
        self.write_generation(conversation, page)

    def with_default_system(self, turns: list[Turn], conversation: Conversation) -> list[Turn]:
        """Return the turns, the family's default system text before them where they have none."""
        if self.default_system is None:
            return turns
        looked_at = turns[:1] if self.default_unless == "first" else turns
        if any(turn.role == "system" for turn in looked_at):
            return turns
        return [Turn("system", self.default_system), *turns]

    def check_alternation(self, turns: Sequence[Turn]) -> None:
        """Refuse conversations in which user and assistant do not take turns; a first system message stands apart."""
        start = 1 if turns[0].role == "system" else 0
        for place, turn in enumerate(turns[start:]):
            if (turn.role == "user") != (place % 2 == 0):
                raise UsageError(f"{self.alternate} (prompt format {self.name!r})")

    def misplaced_system(self, conversation: Conversation, turn: Turn) -> None:
        """Decide about a system message where the family has no place for one."""
        if self.system_error:
            raise UsageError(self.system_error)
        conversation.lost_turn(turn)

    def write_turn(self, conversation: Conversation, page: PromptBuilder, turn: Turn, last: bool) -> None:
        """Write one message."""
        said = self.calls_as_said(conversation, turn) if turn.calls else ""
        block = self.roles.get(turn.role)
        if block is None:
            block = self.block_of_stranger(conversation, turn)
            if block is None:
                return
        if block.skip_empty and not turn.text:
            return
        before = block.before
        if "{" in before:
            before = before.replace("{role}", turn.role)
            if "{Role}" in before:
                before = before.replace("{Role}", turn.role.title())
        page.add(before, turn.lead)
        page.say(turn, turn.text.strip() if block.trim else turn.text)
        page.add(said, block.after if block.last is None or not last else block.last)

    def calls_as_said(self, conversation: Conversation, turn: Turn) -> str:
        """Return the calls of a turn as the model said them, if that is wanted: the family's template drops them."""
        write = CALLS_AS_SAID.get(self.output_parser) if self.says_calls else None
        if write is None:
            conversation.lost("tool calls")
            return ""
        return write(conversation, turn)

    def block_of_stranger(self, conversation: Conversation, turn: Turn) -> Block | None:
        """Return how a role the family does not know is written; `None` if it is left out."""
        if self.role_error:
            raise UsageError(f"{self.role_error} (prompt format {self.name!r})")
        if self.other is None:
            conversation.lost_turn(turn)
            return self.roles.get(self.stray)
        self.check_role(turn)
        return self.other

    def check_role(self, turn: Turn) -> None:
        """Refuse a role that is not a name, before it is written between marks."""
        if turn.role not in SAME_ROLES and ROLE_NAME.fullmatch(turn.role) is None:
            raise UsageError(f"{turn.role!r:.60} is not a role: use letters, digits, blanks, '.', ':', '_' and '-'.")

    def write_generation(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the opening of the assistant's turn where it is wanted."""
        role = conversation.turns[-1].role
        if not conversation.generate:
            if self.ending_after in ("", role):
                page.add(self.ending)
            return
        page.add(self.separator)
        if self.generate_after == "any" or role == "user" or (self.generate_after != "user" and role != "assistant"):
            page.add(self.generation)


@dataclass(frozen=True, kw_only=True, repr=False)
class FoldedFormat(TurnFormat):
    """A family that writes a first system message inside the turn after it.

    Args:
        lead: How the system text is wrapped there.
        trim_lead: Blanks are removed around the lead and the turn's text together.
    """

    lead: Block
    trim_lead: bool = False
    alternate: str = ALTERNATE

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        page.add(self.bos)
        turns = conversation.turns
        if self.alternate:
            self.check_alternation(turns)
        if turns[0].role == "system":
            system, turns = turns[0], turns[1:]
            if not turns:
                conversation.lost_turn(system)
            elif self.trim_lead:
                turns[0].text = self.lead.wrap(system.text) + turns[0].text
            else:
                turns[0].lead = self.lead.wrap(system.text)
        for place, turn in enumerate(turns):
            if turn.role == "system" and not self.role_error:
                self.misplaced_system(conversation, turn)
            self.write_turn(conversation, page, turn, place == len(turns) - 1)
        self.write_generation(conversation, page)


class OpenedFormat(TurnFormat):
    """A family whose user turns end with the opening of the answer, wanted or not."""

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation; strict wants each answer after a user's turn, and the other way round."""
        before = ""
        for turn in conversation.turns:
            if (turn.role == "assistant" and before != "user") or (before == "user" and turn.role != "assistant"):
                conversation.lost(f"a message of role {turn.role!r} after one of role {before or 'none'!r}")
            before = turn.role
        super().write(conversation, page)
