"""Calls as elements with a name: `<invoke name="f"><parameter name="a">1</parameter></invoke>`, mostly in a section.

MiniMax M2, DeepSeek V3.2 and V4 (every tag begins with `｜DSML｜`, since V4.1 with a blank behind it), GigaChat 3.5
(`｜GCML｜`), Step 3, Dots and MiniCPM 5 (`<function name="f"><param name="a">`). DeepSeek and GigaChat say
`string="true"` for a raw text and `string="false"` for JSON; the others leave the types to the schema. MiniCPM 5
writes XML, with CDATA and entities (vLLM parser/minimax_m2.py, deepseek_v32.py, deepseek_v41.py,
step3_tool_parser.py, dots_tool_parser.py, minicpm5xml_tool_parser.py; SGLang gigachat35_detector.py; the models' chat
templates).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sagewire.prompt_formats.output_parsers.engine.json_text import from_json
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.output import Calls
from sagewire.prompt_formats.output_parsers.engine.output_syntax import BlockReader, OutputSyntax
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.prompt_formats.output_parsers.qwen_xml import Arguments

__all__ = ["DEEPSEEK_V32", "DOTS", "GIGACHAT35", "MINICPM5", "MINIMAX", "STEP3", "Tags", "read_name"]

NAMES = {'"': re.compile(r"[^\"<>\n]*"), "'": re.compile(r"[^'<>\n]*"), "": re.compile(r"[^\"'<>\s]*")}
CDATA = re.compile(r"\s*<!\[CDATA\[(.*)\]\]>\s*", re.DOTALL)
ENTITY = re.compile(r"&(lt|gt|quot|apos|amp);")
ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&"}


@dataclass(frozen=True, slots=True)
class Tags:
    """The elements of one family.

    Args:
        call: The name of a call's element.
        parameter: The name of a parameter's element.
        xml: Texts are XML: `<![CDATA[...]]>` and the five entities mean what they mean there.
    """

    call: str = "invoke"
    parameter: str = "parameter"
    xml: bool = False

    @property
    def opening(self) -> str:
        """What a call begins with."""
        return f"<{self.call} name="

    def reader(self, before: tuple[str, ...] = ()) -> BlockReader:
        """Return the reader of a call; `before`: what stands between the marker and the call's own tag."""

        def read(source: Source, calls: Calls) -> Wait[None]:
            yield from source.skip_space()
            for text in before:
                yield from source.expect(text)
                yield from source.skip_space()
            yield from source.expect(self.opening)
            source.opened()
            yield from self.read_call(source, calls)

        return read

    def read_call(self, source: Source, calls: Calls) -> Wait[None]:
        """Read a call of which `opening` has been read."""
        value_end = Markers((f"</{self.parameter}>",))
        name = yield from read_name(source)
        yield from source.expect(">")
        if not name.strip():
            raise NotACall
        arguments = Arguments(calls, name)
        yield from source.skip_space()
        while not (yield from source.accept(f"</{self.call}>")):
            yield from source.expect(f"<{self.parameter} name=")
            key = yield from read_name(source)
            kind = yield from _read_kind(source)
            text, _ = yield from source.until(value_end)
            text = _unwrap(text) if self.xml else text
            arguments.add(key, text, _value(calls, name, key, text, kind))
            yield from source.skip_space()
        arguments.commit()


def read_name(source: Source) -> Wait[str]:
    """Read the value of an attribute: between quotation marks of either kind, or without any."""
    quote = '"' if (yield from source.accept('"')) else "'" if (yield from source.accept("'")) else ""
    name = yield from source.read(NAMES[quote])
    yield from source.expect(quote)
    return name


def _read_kind(source: Source) -> Wait[str]:
    for kind in ("true", "false"):
        if (yield from source.accept(f' string="{kind}">')):
            return kind
    yield from source.expect(">")
    return ""


def _value(calls: Calls, name: str, key: str, text: str, kind: str) -> object:
    if kind == "true":
        return text
    if kind == "false":
        try:
            return from_json(text)
        except ValueError:
            # The model said JSON and wrote a text: the schema decides, and what does not fit it stays text.
            return calls.offered.value(name, key, text)
    return calls.offered.value(name, key, text.removeprefix("\n").removesuffix("\n"))


def _unwrap(text: str) -> str:
    found = CDATA.fullmatch(text)
    return found[1] if found is not None else ENTITY.sub(lambda entity: ENTITIES[entity[1]], text)


DSML = Tags("｜DSML｜invoke", "｜DSML｜parameter")
SPACED_DSML = Tags("｜DSML｜ invoke", "｜DSML｜ parameter")
DEEPSEEK_V32 = OutputSyntax(
    name="deepseek_v32",
    blocks={
        "<｜DSML｜function_calls>": DSML.reader(),
        "<｜DSML｜tool_calls>": DSML.reader(),
        DSML.opening: DSML.read_call,
        "<｜DSML｜ calls>": SPACED_DSML.reader(),
        SPACED_DSML.opening: SPACED_DSML.read_call,
    },
    closers=("</｜DSML｜function_calls>", "</｜DSML｜tool_calls>", "</｜DSML｜ calls>"),
    often_opened=True,
)

GCML = Tags("｜GCML｜invoke", "｜GCML｜parameter")
GIGACHAT35 = OutputSyntax(
    name="gigachat35",
    blocks={"<｜GCML｜tool_calls>": GCML.reader(), GCML.opening: GCML.read_call},
    closers=("</｜GCML｜tool_calls>",),
    often_opened=True,
)

INVOKE = Tags()
MINIMAX = OutputSyntax(
    name="minimax",
    blocks={"<minimax:tool_call>": INVOKE.reader(), INVOKE.opening: INVOKE.read_call},
    closers=("</minimax:tool_call>",),
    often_opened=True,
)
DOTS = OutputSyntax(
    name="dots",
    blocks={"<dots_function_call>": INVOKE.reader(), INVOKE.opening: INVOKE.read_call},
    closers=("</dots_function_call>",),
)

STEP = Tags("steptml:invoke", "steptml:parameter")
STEP_CALL = "<｜tool_call_begin｜>"
STEP3 = OutputSyntax(
    name="step3",
    blocks={
        "<｜tool_calls_begin｜>": STEP.reader((STEP_CALL, "function", "<｜tool_sep｜>")),
        STEP_CALL: STEP.reader(("function", "<｜tool_sep｜>")),
    },
    closers=("<｜tool_call_end｜>", "<｜tool_calls_end｜>"),
    often_opened=True,
)

FUNCTION = Tags("function", "param", xml=True)
MINICPM5 = OutputSyntax(name="minicpm5", blocks={FUNCTION.opening: FUNCTION.read_call}, often_opened=True)
