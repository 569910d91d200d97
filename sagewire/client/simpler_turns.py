"""Conversations in the simpler forms that families know, which say the same.

One call in a message, no text beside it, one message of a role in a row, and short ids of calls.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sagewire.client.system_messages import folded, joined
from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.types import Message, Tool

if TYPE_CHECKING:
    from sagewire.prompt_formats.base import PromptFormat

__all__ = ["forms", "rendered", "simpler"]

_log = logging.getLogger("sagewire")
_SAID_OTHERWISE = (
    "%s does not allow the conversation's turns as they are: a system message opens the next user turn, calls stand "
    "each before its result or as the model said them, a text before its call, texts of one role are one message, or "
    "calls have shorter ids"
)

_TOOLS_CURE = (
    "Choose a format of a family with tools, the model's own chat template (format='template'), or a handler that "
    "takes messages."
)


def rendered(prompt_format: PromptFormat, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """Return the prompt.

    What the family does not allow is said in another way: system messages open the next user turn, several calls in
    one message follow one another, each with its result, text beside a call stands before it, texts of one role in a
    row are one message, ids of calls become short, and calls that the family's template drops are written as the model
    said them.

    Raises:
        UnsupportedFeature: The format cannot express the conversation in any form.
        UsageError: The family's template refuses all forms.
    """
    try:
        return prompt_format.render(messages, tools or None)
    except (UnsupportedFeature, UsageError):
        known = [(prompt_format, form) for form in forms(messages)]
        if keeping := prompt_format.keeping_calls():
            known += [(keeping, form) for form in (tuple(messages), *(form for _, form in known))]
        for writer, form in known:
            with suppress(UnsupportedFeature, UsageError):
                prompt = writer.render(form, tools or None)
                _log.info(_SAID_OTHERWISE, prompt_format.name)
                return prompt
        if not getattr(prompt_format, "supports_tools", True) and any(
            turn.tool_calls or turn.role == "tool" for turn in messages
        ):
            # Whatever the template says first, such as that roles have to alternate.
            raise UnsupportedFeature(
                "tool calls in the conversation", f"prompt format {prompt_format.name!r}", _TOOLS_CURE
            ) from None
        raise


def forms(messages: Sequence[Message]) -> Iterator[tuple[Message, ...]]:
    """Yield the conversation in other forms, those that are most like it first."""
    seen = [tuple(messages)]
    for identified in (tuple(messages), _short_ids(messages)):
        for turns in (identified, *folded(identified)):
            for single in (turns, _one_in_a_row(turns)):
                for form in (single, *simpler(single)):
                    if form not in seen:
                        seen.append(form)
                        yield form


def _one_in_a_row(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the conversation with texts of one role in a row as one message."""
    found: list[Message] = []
    for message in messages:
        last = found[-1] if found else None
        if (
            last is not None
            and last.role == message.role
            and message.role in ("user", "assistant")
            and not (last.tool_calls or message.tool_calls or last.thinking or message.thinking)
        ):
            found[-1] = joined(last, message)
        else:
            found.append(message)
    return tuple(found)


def _short_ids(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the conversation with ids of nine letters and digits, which Mistral's families demand."""
    return tuple(
        replace(
            message,
            tool_calls=tuple(replace(call, id=_short(call.id)) for call in message.tool_calls),
            tool_call_id=_short(message.tool_call_id or "") if message.role == "tool" else message.tool_call_id,
        )
        if message.tool_calls or message.role == "tool"
        else message
        for message in messages
    )


def _short(call_id: str) -> str:
    fits = len(call_id) == 9 and call_id.isascii() and call_id.isalnum()
    return call_id if fits else hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:9]


def simpler(messages: Sequence[Message]) -> Iterator[tuple[Message, ...]]:
    """Yield the conversation in forms that say the same: one call in each message, then its text before it as well.

    Example:
        >>> from sagewire.types import ToolCall
        >>> called = Message("assistant", "Let me see.", tool_calls=(ToolCall("a", "f", "{}"),))
        >>> [[turn.text for turn in turns] for turns in simpler([called])]
        [['Let me see.', '']]
    """
    known = tuple(messages)
    for form in (_one_call_each(known), _text_before_calls(_one_call_each(known))):
        if form != known:
            yield form
            known = form


def _one_call_each(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the conversation with every call followed by its own result; calls without one stay together."""
    found: list[Message] = []
    place = 0
    while place < len(messages):
        message = messages[place]
        end = place = place + 1
        if len(message.tool_calls) > 1:
            while end < len(messages) and messages[end].role == "tool":
                end += 1
        results = messages[place:end]
        found += _split(message, results) or (message, *results)
        place = end
    return tuple(found)


def _split(message: Message, results: Sequence[Message]) -> list[Message] | None:
    ids = [call.id for call in message.tool_calls]
    if not results or len(results) != len(ids):
        return None
    by_id = {result.tool_call_id: result for result in results}
    if len(by_id) == len(ids) and by_id.keys() == {*ids}:
        results = [by_id[call_id] for call_id in ids]
    elif any(result.tool_call_id not in (None, "", *ids) for result in results):
        return None
    found: list[Message] = []
    for number, (call, result) in enumerate(zip(message.tool_calls, results, strict=True)):
        # What was said and thought came before all of the calls.
        said = message if number == 0 else replace(message, content="", thinking=None)
        found += [replace(said, tool_calls=(call,)), result]
    return found


def _text_before_calls(messages: Sequence[Message]) -> tuple[Message, ...]:
    found: list[Message] = []
    for message in messages:
        if message.tool_calls and message.text.strip():
            found += [
                replace(message, tool_calls=(), thinking=None),
                replace(message, content=""),
            ]
        else:
            found.append(message)
    return tuple(found)
