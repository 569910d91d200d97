"""Rendering a conversation, beside the same prompt made by a Jinja template in the sandbox, as model folders ship them.

python benchmarks/prompt_formats.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sagewire.prompt_formats import get_format

# Written for this comparison: the plainest template that makes the same ChatML prompt, and one that, like those in
# model folders, looks at each message for tools, results and thinking before it writes it.
PLAIN = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
USUAL = """
{%- set ns = namespace(asked=messages|length - 1) -%}
{%- for message in messages[::-1] -%}
  {%- set place = messages|length - 1 - loop.index0 -%}
  {%- if ns.asked == messages|length - 1 and message.role == 'user' and message.content is string -%}
    {%- set ns.asked = place -%}
  {%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
  {%- set text = message.content if message.content is string else '' -%}
  {%- if message.role == 'assistant' and '</think>' in text -%}
    {%- set text = text.split('</think>')[-1].lstrip('\n') -%}
  {%- endif -%}
  {%- if message.role == 'tool' -%}
    {{- '<|im_start|>user\n' + text + '<|im_end|>\n' -}}
  {%- elif message.role == 'assistant' and message.tool_calls -%}
    {%- for call in message.tool_calls -%}{{- call.function.name -}}{%- endfor -%}
  {%- else -%}
    {{- '<|im_start|>' + message.role + '\n' + text + '<|im_end|>\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
ROUNDS = 7


def conversation(turns: int) -> list[dict[str, Any]]:
    messages = [{"role": "system", "content": "You answer questions about cities in one short paragraph. " * 3}]
    for number in range(turns):
        messages.append({"role": "user", "content": f"Question {number}: what is the capital of France? " * 4})
        messages.append({"role": "assistant", "content": "Paris; it lies on the Seine, in the north. " * 6})
    return [*messages, {"role": "user", "content": "And who built the tower?"}]


def best(work: Callable[[], object]) -> float:
    """Return the seconds of one call: the best of several rounds, interleaved by the caller."""
    number, seconds = 1, 0.0
    while seconds < 0.02:
        number *= 2
        start = time.perf_counter()
        for _ in range(number):
            work()
        seconds = time.perf_counter() - start
    return seconds / number


def main() -> None:
    import jinja2.sandbox

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    plain, usual = environment.from_string(PLAIN), environment.from_string(USUAL)
    chatml, allowing = get_format("chatml"), get_format("chatml", special_tokens="allow")
    for turns in (1, 10, 100):
        messages = conversation(turns)
        works: dict[str, Callable[[], object]] = {
            "chatml": lambda messages=messages: chatml.render(messages),
            "chatml, control strings allowed": lambda messages=messages: allowing.render(messages),
            "Jinja sandbox, plainest template": lambda messages=messages: plain.render(
                messages=messages, add_generation_prompt=True
            ),
            "Jinja sandbox, usual template": lambda messages=messages: usual.render(
                messages=messages, add_generation_prompt=True
            ),
        }
        if turns == 10:
            for name in ("llama2", "llama3_1", "qwen3", "mistral_v3", "deepseek_r1", "gpt_oss", "vicuna"):
                fmt = get_format(name)
                works[name] = lambda fmt=fmt, messages=messages: fmt.render(messages)
        for template in (plain, usual):
            assert chatml.render(messages) == template.render(messages=messages, add_generation_prompt=True)
        characters = len(chatml.render(messages))
        print(f"\n{2 * turns + 2} messages, {characters} characters")
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(ROUNDS):
            for name, work in works.items():
                times[name].append(best(work))
        for name, seconds in times.items():
            print(f"  {name:34} {min(seconds) * 1e6:9.1f} us")


if __name__ == "__main__":
    main()
