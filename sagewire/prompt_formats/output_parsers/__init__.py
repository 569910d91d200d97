"""How model families write thinking and tool calls into their answers, read back while they arrive.

`OUTPUT_PARSERS` is a plain dict of `OutputSyntax` values; add your own to it. One file per way of writing.

Rules every style follows:

1. Arguments are the JSON text of an object: missing, null and empty ones are `{}`, a JSON string that holds an object
   is decoded. A call has an id only where the model wrote one.
2. Text is everything outside recognised blocks, without blanks at both ends. Stop strings and end-of-turn tokens at
   the very end are removed.
3. An opening thinking tag without a closing one makes the rest thinking; a closing tag without an opening one makes
   everything before it thinking, unless the prompt is known and did not open any. Calls inside closed thinking are
   not calls.
4. Nothing is lost and nothing is guessed: a block that is cut off or cannot be parsed stays text, verbatim.
5. A call whose JSON is complete counts even when the closing marker is missing.
6. Nothing is evaluated.

>>> from sagewire.prompt_formats.output_parsers import get_output_parser
>>> reader = get_output_parser("hermes")
>>> reader.feed("I look. <tool_call>")
[TextDelta(text='I look.', choice=0)]
>>> [call] = reader.feed('{"arguments": {"a": 1}, "name": "f"}</tool_call>')
>>> call.name, call.arguments
('f', '{"a": 1}')
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.errors import UsageError
from sagewire.prompt_formats.output_parsers.apertus import APERTUS
from sagewire.prompt_formats.output_parsers.cohere import COMMAND_R
from sagewire.prompt_formats.output_parsers.deepseek import DEEPSEEK
from sagewire.prompt_formats.output_parsers.engine.answer import AnswerParser
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.functionary import FUNCTIONARY
from sagewire.prompt_formats.output_parsers.gemma import FUNCTION_GEMMA, GEMMA4
from sagewire.prompt_formats.output_parsers.glm import GLM, GLM4, HY3, HY4, IQUEST_Q1
from sagewire.prompt_formats.output_parsers.granite import GRANITE
from sagewire.prompt_formats.output_parsers.harmony import GPT_OSS
from sagewire.prompt_formats.output_parsers.inkling import INKLING
from sagewire.prompt_formats.output_parsers.invoke import DEEPSEEK_V32, DOTS, GIGACHAT35, MINICPM5, MINIMAX, STEP3
from sagewire.prompt_formats.output_parsers.json_lists import (
    APRIEL,
    ERNIE45,
    GIGACHAT3,
    HERMES,
    HUNYUAN_A13B,
    INTERNLM2,
    JAMBA,
    LONGCAT,
    NEMOTRON_V2,
    PHI4_MINI,
    XLAM,
)
from sagewire.prompt_formats.output_parsers.k2_horizon import K2_HORIZON
from sagewire.prompt_formats.output_parsers.kimi import KIMI_K2
from sagewire.prompt_formats.output_parsers.kimi_k3 import KIMI_K3
from sagewire.prompt_formats.output_parsers.llama import LLAMA3_JSON
from sagewire.prompt_formats.output_parsers.minimax_m3 import MINIMAX_M3
from sagewire.prompt_formats.output_parsers.mistral import MISTRAL
from sagewire.prompt_formats.output_parsers.muse import MUSE
from sagewire.prompt_formats.output_parsers.plamo3 import PLAMO3
from sagewire.prompt_formats.output_parsers.pythonic import LFM2, OLMO3, PYTHONIC
from sagewire.prompt_formats.output_parsers.qwen_xml import MIMO, QWEN3_CODER, SEED_OSS
from sagewire.prompt_formats.output_parsers.solar import SOLAR_OPEN
from sagewire.types import Tool

__all__ = ["OUTPUT_PARSERS", "AnswerParser", "ThinkingTags", "get_output_parser"]

PLAIN = OutputSyntax(name="plain", thinking=())
THINKING = OutputSyntax(name="thinking", often_opened=True)
EXAONE_DEEP = OutputSyntax(name="exaone_deep", thinking=(ThinkingTags("<thought>", "</thought>"),), often_opened=True)

OUTPUT_PARSERS: dict[str, OutputSyntax] = {
    "apertus": APERTUS,
    "apriel": APRIEL,
    "command_r": COMMAND_R,
    "deepseek": DEEPSEEK,
    "deepseek_v3": DEEPSEEK,
    "deepseek_v31": DEEPSEEK,
    "deepseek_v32": DEEPSEEK_V32,
    "dots": DOTS,
    "ernie45": ERNIE45,
    "exaone_deep": EXAONE_DEEP,
    "function_gemma": FUNCTION_GEMMA,
    "functionary": FUNCTIONARY,
    "gemma4": GEMMA4,
    "gigachat3": GIGACHAT3,
    "gigachat35": GIGACHAT35,
    "glm": GLM,
    "glm4": GLM4,
    "gpt_oss": GPT_OSS,
    "granite": GRANITE,
    "hermes": HERMES,
    "hunyuan_a13b": HUNYUAN_A13B,
    "hy3": HY3,
    "hy4": HY4,
    "inkling": INKLING,
    "internlm2": INTERNLM2,
    "iquest_q1": IQUEST_Q1,
    "jamba": JAMBA,
    "k2_horizon": K2_HORIZON,
    "kimi_k2": KIMI_K2,
    "kimi_k3": KIMI_K3,
    "lfm2": LFM2,
    "llama3_json": LLAMA3_JSON,
    "longcat": LONGCAT,
    "mimo": MIMO,
    "minicpm5": MINICPM5,
    "minimax": MINIMAX,
    "minimax_m3": MINIMAX_M3,
    "mistral": MISTRAL,
    "muse": MUSE,
    "nemotron_v2": NEMOTRON_V2,
    "olmo3": OLMO3,
    "phi4_mini": PHI4_MINI,
    "plain": PLAIN,
    "plamo3": PLAMO3,
    "pythonic": PYTHONIC,
    "qwen3_coder": QWEN3_CODER,
    "seed_oss": SEED_OSS,
    "solar_open": SOLAR_OPEN,
    "step3": STEP3,
    "thinking": THINKING,
    "xlam": XLAM,
}


def get_output_parser(
    style: str | OutputSyntax,
    tools: Sequence[Tool | Mapping[str, Any]] | None = None,
    *,
    stops: Sequence[str] = (),
    prompt: str = "",
    prompt_opened_thinking: bool | None = None,
    stream_arguments: bool = True,
) -> AnswerParser:
    """Return a fresh decoder from raw model text to text, thinking and tool-call deltas.

    Args:
        style: A key of `OUTPUT_PARSERS`, or an `OutputSyntax` of your own.
        tools: sagewire tools or OpenAI-shaped dicts. Formats without types in their calls need the schemas, and a call
            that no marker announces counts only if it names one of them. `None` if it is not known what was
            offered; an empty sequence says that nothing was.
        stops: The stop strings in use: one at the very end is removed.
        prompt: The rendered prompt. It tells whether thinking was opened already; without it, the styles of families
            that often do so hold text back until that is clear.
        prompt_opened_thinking: Says so where the prompt itself is not known; `None`: see `prompt`.
        stream_arguments: Deliver calls while they arrive; a call that turns out to be none is taken back by a delta
            with `cancelled=True`. Otherwise calls are delivered whole and never taken back.

    Raises:
        UsageError: There is no such style, or something in `tools` is not a tool.

    Example:
        >>> [delta.text for delta in get_output_parser("thinking").feed("<think>Two and two.</think>Four.")]
        ['Two and two.', 'Four.']
    """
    found = style if isinstance(style, OutputSyntax) else OUTPUT_PARSERS.get(style)
    if found is None:
        close = difflib.get_close_matches(str(style), OUTPUT_PARSERS, n=4, cutoff=0.4)
        raise UsageError(
            f"There is no output parser {style!r}. "
            + (f"Close names: {', '.join(close)}." if close else f"Known ones: {', '.join(sorted(OUTPUT_PARSERS))}.")
        )
    return AnswerParser(
        found,
        tools,
        stops=stops,
        prompt=prompt,
        prompt_opened_thinking=prompt_opened_thinking,
        stream_arguments=stream_arguments,
    )
