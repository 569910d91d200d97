"""Which output parser belongs to a chat template: never a guess, since a wrong one turns calls into text.

A template names its family by markers of its own. Whether the family's parser is the right one shows where the template
writes a call into the history: what it writes has to be read back as that call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagewire.prompt_formats.chat_template.probe import PROBE_CALL, PROBE_TOOL, TemplateProbe, WrittenCall
from sagewire.prompt_formats.output_parsers import OUTPUT_PARSERS, get_output_parser
from sagewire.streaming.accumulate import fold

__all__ = ["PARSER_SIGNS", "ParserChoice", "choose_parser"]

# What in a template tells how its model writes calls; the first sign comes first.
PARSER_SIGNS: tuple[tuple[str, str], ...] = (
    ("｜DSML｜", "deepseek_v32"),
    ("｜GCML｜", "gigachat35"),
    ("<ifm|tool_call", "k2_horizon"),
    ("<|plamo:begin_tool_", "plamo3"),
    ("<|content_invoke_tool_json|>", "inkling"),
    ("<iquest_tool_call>", "iquest_q1"),
    ("<｜tool▁calls▁begin｜>", "deepseek"),
    ("<｜tool_calls_begin｜>", "step3"),
    ("<|channel|>", "gpt_oss"),
    ("<atem:", "muse"),
    ("<|tool_calls_section_begin|>", "kimi_k2"),
    ("<|open|>", "kimi_k3"),
    ("]<]minimax[>[", "minimax_m3"),
    ("<minimax:tool_call>", "minimax"),
    ("<seed:tool_call>", "seed_oss"),
    ("<dots_function_call>", "dots"),
    ("<longcat_tool_call>", "longcat"),
    ("<tool_sep", "hy3"),
    ("<arg_key:", "hy4"),
    ("<tool_calls><tool_call>", "hy4"),
    ("<arg_key>", "glm"),
    ("<param name=", "minicpm5"),
    ("<parameter=", "qwen3_coder"),
    ("[TOOL_CALLS]", "mistral"),
    ("<|START_ACTION|>", "command_r"),
    ("<|CHATBOT_TOKEN|>", "command_r"),
    ("<|tools_prefix|>", "apertus"),
    ("<|tool_call>", "gemma4"),
    ("<start_function_call>", "function_gemma"),
    ("<|function_call|>", "gigachat3"),
    ("<|role_sep|>", "gigachat3"),
    ("<|tool_call_start|>", "lfm2"),
    ("<|tool_list_start|>", "lfm2"),
    ("List of tools: [", "lfm2"),
    ("<|tool_call:begin|>", "solar_open"),
    ("<TOOLCALL>", "nemotron_v2"),
    ("<function_calls>", "olmo3"),
    ("[BEGIN FINAL RESPONSE]", "apriel"),
    ("<|extra_0|>", "hunyuan_a13b"),
    ("functools[", "phi4_mini"),
    ("<|/tool|>", "phi4_mini"),
    ("<|start_of_role|>", "granite"),
    ("<function_call>", "granite"),
    ("<|plugin|>", "internlm2"),
    ("<|python_start|>", "pythonic"),
    ("[func_name1(", "pythonic"),
    ("<|python_tag|>", "llama3_json"),
    ('{"name": function name', "llama3_json"),
    ("请使用 Json 格式表示调用的参数", "glm4"),
)

# Signs that other families share: the parser has to prove itself.
COMMON_SIGNS: tuple[tuple[str, str], ...] = (
    (">>>", "functionary"),
    ("<function=", "functionary"),
    ("<answer>", "hunyuan_a13b"),
    ("<tool_calls>", "jamba"),
    ("<response>", "ernie45"),
    ("<tool_call>", "hermes"),
    ("[{", "xlam"),
    ("{", "llama3_json"),
    ("[", "pythonic"),
)

TURN_END = re.compile(r"</?([^<>/\s]{1,40})>(?=\s*\Z)")

# MiMo writes the values of Qwen3-Coder's tags without line breaks around them, and means them to the letter.
EXACT_VALUE = re.compile(r"<parameter=[^<>\n]+>[^\n]")

# Families whose history is written otherwise than the model writes.
OTHER_HISTORY = frozenset(("command_r", "phi4_mini", "pythonic"))

# Parsers of common signs whose markers cannot be mistaken.
MARKED = frozenset(("hermes", "jamba"))

THINKING_SIGNS: tuple[tuple[str, str], ...] = (
    ("<|channel>", "gemma4"),
    ("[THINK]", "mistral"),
    ("<think>", "thinking"),
    ("</think>", "thinking"),
    ("<thought>", "exaone_deep"),
)


@dataclass(frozen=True, slots=True)
class ParserChoice:
    """The parser of a template.

    Args:
        name: The key of `OUTPUT_PARSERS`.
        reads_calls: It is known to read the calls of the template's model.
    """

    name: str
    reads_calls: bool


def choose_parser(template: str, probe: TemplateProbe, stops: Sequence[str]) -> ParserChoice:
    """Return the parser of a template.

    Args:
        template: The template's source.
        probe: Renders it.
        stops: The tokens that end an answer.
    """
    written = probe.written_calls
    everything = "\n".join((template, *(call.text for call in written)))
    named, common = _signed(PARSER_SIGNS, everything), _signed(COMMON_SIGNS, everything)
    if any(EXACT_VALUE.search(call.text) for call in written):
        named = ["mimo" if name == "qwen3_coder" else name for name in named]
    for name in named:
        if any(_reads_back(name, call, stops) for call in written):
            return ParserChoice(name, True)
    for name in named:
        if not written or name in OTHER_HISTORY:
            return ParserChoice(name, True)
    for name in common:
        if any(_reads_back(name, call, stops) for call in written):
            return ParserChoice(name, True)
    # Calls that come all the same are read, if their markers are in the template.
    marked = [name for name in common if name in MARKED and not written]
    return ParserChoice(next(iter((*marked, *_signed(THINKING_SIGNS, template))), "plain"), False)


def _signed(signs: Iterable[tuple[str, str]], text: str) -> list[str]:
    return list(dict.fromkeys(name for sign, name in signs if sign in text))


def _reads_back(name: str, call: WrittenCall, stops: Sequence[str]) -> bool:
    """Return whether a parser reads what the template writes, and leaves none of it as text."""
    stops = (*stops, *_turn_end(call.text))
    parser = get_output_parser(name, [PROBE_TOOL], stops=stops, prompt=call.prompt, stream_arguments=False)
    reply = fold([*parser.feed(call.text), *parser.close()])
    found, rest = reply.tool_calls, reply.text
    for tags in OUTPUT_PARSERS[name].thinking:
        # Of reasoning that is not there, some templates write the end all the same.
        rest = rest.replace(tags.close, "")
    if len(found) != 1 or found[0].name != PROBE_CALL[0] or rest.strip():
        return False
    # Not every template writes all the arguments; those that it writes have to be right.
    arguments, (_, wanted) = json.loads(found[0].arguments), PROBE_CALL
    return all(arguments.get(key) == value for key, value in wanted.items() if str(value) in call.text)


def _turn_end(text: str) -> tuple[str, ...]:
    """Return what ends the turn, where the model's files do not tell: a token that closes nothing of the call."""
    found = TURN_END.search(text)
    return () if found is None or (found[0].startswith("</") and f"<{found[1]}" in text) else (found[0],)
