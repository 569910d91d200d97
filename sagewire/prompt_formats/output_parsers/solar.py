"""Solar Open: messages, of which one holds the calls, each with its id, name and arguments behind tokens.

    <|think|>...<|end|><|begin|>assistant<|content|>...<|end|>
    <|begin|>assistant<|tool_calls|><|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>f<|tool_call:args|>{}<|tool_call:end|>

Facts: the model's chat template.
"""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.json_calls import read_arguments
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import Source, Wait

__all__ = ["SOLAR_OPEN"]

NAME = re.compile(r"[^<>\n]*")


def _read_call(source: Source, calls: Calls) -> Wait[None]:
    id = (yield from source.read(NAME)).strip()
    yield from source.expect("<|tool_call:name|>")
    name = (yield from source.read(NAME)).strip()
    yield from source.expect("<|tool_call:args|>")
    yield from read_arguments(source, calls, name, id or None)


SOLAR_OPEN = OutputSyntax(
    name="solar_open",
    blocks={"<|tool_call:begin|>": _read_call},
    closers=("<|tool_call:end|>",),
    silent=("<|begin|>assistant", "<|content|>", "<|tool_calls|>", "<|calls|>", "<|end|>"),
    thinking=(ThinkingTags("<|think|>", "<|end|>", paired=True),),
)
