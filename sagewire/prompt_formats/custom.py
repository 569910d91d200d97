"""Formats that users bring along: `messages_to_prompt` callables, and templates in LiteLLM's way of writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats.base import PromptFormat
from sagewire.prompt_formats.engine.conversation import Conversation, Guard, MessageReading
from sagewire.prompt_formats.engine.turns import PromptBuilder, TurnFormat
from sagewire.streaming.base import Decoder
from sagewire.types import Delta, Message, Tool

__all__ = ["CallableFormat", "TemplateFormat"]

TEMPLATE_KEYS = frozenset(("roles", "initial_prompt_value", "final_prompt_value", "bos_token", "eos_token"))


class CallableFormat(PromptFormat):
    """Your own `messages_to_prompt`, and optionally `completion_to_prompt`, as a prompt format.

    Control strings in the messages are your function's business: it sees the messages as they are.

    Args:
        messages_to_prompt: Takes the list of messages and returns the prompt.
        completion_to_prompt: Takes an instruction and returns the prompt; without it, `messages_to_prompt` gets one
            user message.
        stops: Strings on which generation should stop.
        output_parser: How the model writes tool calls; see `prompt_formats.output_parsers`.

    >>> fmt = CallableFormat(lambda messages: f"Q: {messages[-1].text} A:")
    >>> fmt.render_completion("2+2?")
    'Q: 2+2? A:'
    """

    name = "callable"

    def __init__(
        self,
        messages_to_prompt: Callable[[Sequence[Any]], str],
        completion_to_prompt: Callable[..., str] | None = None,
        *,
        stops: Sequence[str] = (),
        output_parser: str = "plain",
    ) -> None:
        self._messages_to_prompt = messages_to_prompt
        self._completion_to_prompt = completion_to_prompt
        self.stops = tuple(stops)
        self.output_parser = output_parser

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
        """Return what the callable makes of the messages.

        Raises:
            UnsupportedFeature: Something was asked for that a callable of one argument cannot be told: tools, no
                generation prompt, a prefilled answer, template variables.
            UsageError: The callable returned something else than text.
        """
        asked = {
            "tools": bool(tools),
            "add_generation_prompt=False": not add_generation_prompt and not continue_final_message,
            "continue_final_message": continue_final_message,
            **dict.fromkeys(template_kwargs, True),
        }
        for feature, given in asked.items():
            if given:
                raise UnsupportedFeature(feature, "a messages_to_prompt callable", "Use a named prompt format.")
        return self._checked(self._messages_to_prompt(messages))

    def render_completion(self, prompt: str, system_prompt: str | None = None) -> str:
        """Return the prompt text of a single instruction."""
        if self._completion_to_prompt is None:
            messages = [] if system_prompt is None else [Message("system", system_prompt)]
            return self.render([*messages, Message("user", prompt)])
        if system_prompt is None:
            return self._checked(self._completion_to_prompt(prompt))
        return self._checked(self._completion_to_prompt(prompt, system_prompt))

    def make_parser(self, tools: Sequence[Tool] | None = None, *, prompt: str = "") -> Decoder[str, Delta]:
        """Return a fresh decoder from raw model text to text, thinking and tool-call deltas."""
        from sagewire.prompt_formats.output_parsers import get_output_parser

        return get_output_parser(self.output_parser, tools, stops=self.stops, prompt=prompt)

    def _checked(self, prompt: object) -> str:
        if not isinstance(prompt, str):
            raise UsageError(f"The callable must return the prompt as text, not {type(prompt).__name__}.")
        return prompt


@dataclass(frozen=True, kw_only=True, repr=False)
class TemplateFormat(TurnFormat):
    """A template in LiteLLM's way of writing: text before and after each role's messages.

    A beginning-of-sequence token stands at the start, and again before a `system` or `human` message that follows an
    answer; an end-of-sequence token stands behind each answer. A role that is not listed is written without anything
    around it. The template drops images; strict refuses them.

    Args:
        template: `roles` (a mapping of role to `pre_message` and `post_message`), `initial_prompt_value`,
            `final_prompt_value`, `bos_token`, `eos_token`; each may be missing.
    """

    name: str = "litellm_custom"
    template: Mapping[str, Any] | None = None
    variables: tuple[str, ...] = ("custom_template",)

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        template = check_template(conversation.option("custom_template", self.template))
        roles: Mapping[str, Mapping[str, str]] = template.get("roles") or {}
        bos = template.get("bos_token") or ""
        page.add(bos, template.get("initial_prompt_value") or "")
        open_ = True
        for turn in conversation.turns:
            if turn.calls:
                conversation.lost("tool calls")
            if turn.role in ("system", "human") and not open_:
                page.add(bos)
                open_ = True
            around = roles.get(turn.role) or {}
            page.add(around.get("pre_message") or "")
            page.say(turn, turn.text)
            page.add(around.get("post_message") or "")
            if turn.role == "assistant":
                page.add(template.get("eos_token") or "")
                open_ = False
        if conversation.generate:
            page.add(template.get("final_prompt_value") or "")

    def reading(self, guard: Guard, where: str) -> MessageReading:
        """Return how messages are read."""
        return replace(super().reading(guard, where), skip_images=not self.strict)

    def control_strings(self, template_kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what neutralising looks for: the tokens the template writes around messages."""
        return tuple(mark for mark in self._marks(template_kwargs) if mark.startswith(("<", "[")))

    def control_words(self, template_kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the role words neutralising looks for: what the template writes that is not a token."""
        return tuple(mark for mark in self._marks(template_kwargs) if not mark.startswith(("<", "[")))

    def _marks(self, template_kwargs: Mapping[str, Any]) -> list[str]:
        template = check_template(template_kwargs.get("custom_template", self.template))
        around = [text for role in (template.get("roles") or {}).values() for text in role.values()]
        marks = [template.get("bos_token"), template.get("eos_token"), *around]
        return [mark.strip() for mark in marks if isinstance(mark, str) and len(mark.strip()) > 1]


def check_template(template: Any) -> Mapping[str, Any]:
    """Return the template, or say what is wrong with it."""
    if template is None:
        raise UsageError("Give the template: get_format({'roles': {...}}), or render(..., custom_template={...}).")
    if not isinstance(template, Mapping):
        raise UsageError(f"A custom template is a mapping with 'roles', not {type(template).__name__}.")
    unknown = sorted(str(key) for key in template if key not in TEMPLATE_KEYS)
    if unknown:
        raise UsageError(f"A custom template knows {', '.join(sorted(TEMPLATE_KEYS))}; not {', '.join(unknown)}.")
    roles = template.get("roles") or {}
    if not isinstance(roles, Mapping) or not all(isinstance(around, Mapping) for around in roles.values()):
        raise UsageError("'roles' of a custom template maps each role to 'pre_message' and 'post_message'.")
    return template
