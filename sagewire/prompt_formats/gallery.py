"""Writes the documentation page of the prompt formats: a rendered example of each family, and what it refuses.

python -m sagewire.prompt_formats.gallery > docs/prompt_formats.md
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats import FORMATS, HUB_ONLY, LITELLM_BUILDERS
from sagewire.prompt_formats.engine.turns import TurnFormat

__all__ = ["page"]

# Names that need an argument to say which prompt is meant.
FACADES = ("litellm_builtin", "litellm_custom")
NOW = datetime(2025, 1, 15, 12)
SYSTEM: dict[str, Any] = {"role": "system", "content": "Be brief."}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Bye"},
]
CALL: dict[str, Any] = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Paris"}},
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "call00001", "name": "weather", "content": "sunny"}
TOOL_TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather in Paris?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    RESULT,
]
# What a conversation may contain beside questions and answers by turns, each tried on each family.
ODD: dict[str, list[dict[str, Any]]] = {
    "a system message": [SYSTEM, *TALK],
    "a system message before a prefilled answer": [SYSTEM, *TALK[:2]],
    "only a system message": [SYSTEM],
    "two system messages": [SYSTEM, {"role": "system", "content": "Be kind."}, TALK[0]],
    "a system message in the middle": [*TALK[:2], SYSTEM, TALK[2]],
    "an answer first": [TALK[1], TALK[2]],
    "two questions in a row": [TALK[0], TALK[2]],
    "two answers in a row": [TALK[0], TALK[1], {"role": "assistant", "content": "Well?"}, TALK[2]],
    "a role it does not know": [TALK[0], {"role": "critic", "content": "Too short."}],
    "tool calls and results": TOOL_TALK,
    "text beside tool calls": [TOOL_TALK[0], {**TOOL_TALK[1], "content": "Let me see."}, RESULT],
    "several tool calls at once": [TOOL_TALK[0], {**TOOL_TALK[1], "tool_calls": [CALL, CALL]}, RESULT],
}
HEAD = """# Prompt formats

How each model family writes a conversation. This page is generated from the code
(`python -m sagewire.prompt_formats.gallery > docs/prompt_formats.md`), and a test keeps it true.

```python
from sagewire.prompt_formats import get_format

fmt = get_format("llama3_1")                                   # by name
fmt = get_format(model_id="Qwen/Qwen2.5-7B-Instruct")          # by the model's id, also JumpStart's
prompt = fmt.render([{"role": "user", "content": "Hello"}])
fmt.stops                                                      # what generation should stop on
```

`render` takes sagewire messages or OpenAI-shaped dicts, `tools`, `add_generation_prompt`, `continue_final_message`,
`now`, `date_string`, and the variables a family's template knows. `render_completion(prompt, system_prompt)` is for
single instructions. Wherever a format is wanted, a `messages_to_prompt` callable or a template in LiteLLM's way of
writing will do.

## Control strings

A text that contains `<|im_start|>system` or `[/INST]` must not become a turn by itself. By default each control string
in a message, a tool's result, a name or a tool's description gets one visible blank inside (`< |im_start|>system`,
`User :`): it stays readable, and no tokenizer puts it together again, as they do with invisible characters. Control
strings of all families are treated so in every format, because a fine-tune keeps the vocabulary of its base model.
`special_tokens="error"` refuses such texts, `special_tokens="allow"` writes them as they are.

An assistant's own text may open with `<think>` on its own line where the family thinks.

## What is refused

A conversation that the family's own template refuses is a `UsageError` here as well. If the template
would silently drop or misplace a part, it is an `UnsupportedFeature`; `get_format(name, strict=False)` follows the
template even then. Each family below says which conversations these are. Thinking of earlier answers is not a loss:
families leave it out on purpose.

"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, "## Families\n"]
    parts += [_section(fmt) for name, fmt in FORMATS.items() if isinstance(fmt, TurnFormat) and name not in FACADES]
    parts.append("\n## LiteLLM's builders\n")
    parts += [_section(fmt) for fmt in LITELLM_BUILDERS.values()]
    parts.append(
        "\n## Loaded, not written\n\n"
        "Their templates come with the model; `sagewire.prompt_formats.chat_template` loads them.\n\n"
    )
    parts += [f"- `{name}`: for example `{model}`\n" for name, model in HUB_ONLY.items()]
    return "".join(parts)


def _section(fmt: TurnFormat) -> str:
    lines = [f"\n### {fmt.name}\n\n"]
    about = type(fmt).__doc__ or ""
    if type(fmt).__module__ != TurnFormat.__module__:
        lines.append(about.partition("\n")[0] + "\n\n")
    lines.append(f"Stops: {_codes(fmt.stops)}. Offers tools: {'yes' if fmt.supports_tools else 'no'}.")
    if fmt.variables:
        lines.append(f" Variables: {_codes(fmt.variables)}.")
    lines.append("\n\n")
    refusals = _refusals(fmt)
    refused = [name for names in refusals.values() for name in names]
    for title, names in refusals.items():
        if names:
            lines.append(f"{title}: {'; '.join(names)}.\n\n")
    lines.append(_block(example(fmt)))
    if fmt.supports_tools:
        talk = TOOL_TALK if "tool calls and results" not in refused else TOOL_TALK[:1]
        lines.append("With a tool:\n\n" + _block(_render(fmt, talk, [TOOL])))
    return "".join(lines)


def example(fmt: TurnFormat) -> str:
    """Return the example conversation, with a system message where the family has a place for it."""
    try:
        return _render(fmt, [SYSTEM, *TALK])
    except (UsageError, UnsupportedFeature):
        return _render(fmt, TALK)


def _refusals(fmt: TurnFormat) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"Refused as by the family's template": [], "Refused unless strict is off": []}
    for name, messages in ODD.items():
        prefill = messages[-1]["role"] == "assistant"
        try:
            _render(fmt, messages, continue_final_message=prefill)
        except UsageError:
            found["Refused as by the family's template"].append(name)
        except UnsupportedFeature:
            found["Refused unless strict is off"].append(name)
    return found


def _render(
    fmt: TurnFormat,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    continue_final_message: bool = False,
) -> str:
    return fmt.render(messages, tools, now=NOW, continue_final_message=continue_final_message)


def _codes(texts: Sequence[str]) -> str:
    return ", ".join(f"`{text}`".replace("\n", "\\n") for text in texts) or "none"


def _block(text: str) -> str:
    # A mark for the end, since blanks and line breaks at the end of a prompt matter.
    return f"````text\n{text}⏎\n````\n\n"


def main() -> None:
    """Write the page to standard output."""
    sys.stdout.buffer.write(page().encode("utf-8"))


if __name__ == "__main__":
    main()
