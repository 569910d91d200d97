"""What the rest of the package makes of calls that are taken back, and of text that turns out to be thinking."""

import pytest

from sagewire.prompt_formats.output_parsers import get_output_parser
from sagewire.streaming.accumulate import Accumulator, fold
from sagewire.streaming.text import ParserStage
from sagewire.types import FinishDelta, TextDelta, ThinkingDelta, ToolCallDelta

CUT_OFF = '[TOOL_CALLS]f{"a": "b'
WHOLE = '[TOOL_CALLS]f{"a": "b"}'


def test_a_cancelled_call_is_dropped():
    accumulator = Accumulator()
    accumulator.add(ToolCallDelta(0, None, "f", '{"a'))
    assert accumulator.reply().tool_calls[0].name == "f"
    accumulator.add(ToolCallDelta(0, cancelled=True))
    accumulator.add(ToolCallDelta(1, None, "g", "{}"))
    assert [call.name for call in accumulator.reply().tool_calls] == ["g"]


def test_text_that_turns_out_to_be_thinking_moves():
    reply = fold([TextDelta("a"), TextDelta("b"), ThinkingDelta("", takes_text=True), TextDelta("c")])
    assert (reply.text, reply.thinking) == ("c", "ab")
    second = fold([TextDelta("a"), TextDelta("b", choice=1), ThinkingDelta("", choice=1, takes_text=True)])
    assert [(choice.text, choice.thinking) for choice in second.choices] == [("a", None), ("", "b")]


@pytest.mark.parametrize(
    ("text", "reason"), [(CUT_OFF, "stop"), (WHOLE, "tool_calls"), (WHOLE + CUT_OFF, "tool_calls")]
)
def test_the_reason_to_finish_speaks_of_calls_that_stayed(text, reason):
    stage = ParserStage(lambda: get_output_parser("mistral"))
    deltas = stage.feed(TextDelta(text)) + stage.feed(FinishDelta("stop")) + stage.close()
    assert fold(deltas).finish_reason == reason


def test_each_answer_has_a_reader_of_its_own():
    stage = ParserStage(lambda: get_output_parser("mistral"))
    deltas = []
    for piece in (CUT_OFF[:15], CUT_OFF[15:]):
        for choice in (0, 1):
            deltas += stage.feed(TextDelta(piece, choice))
    deltas += stage.feed(TextDelta('"}', 1)) + stage.close()
    first, second = fold(deltas).choices
    assert (first.text, first.tool_calls) == (CUT_OFF, ())
    assert (second.text, second.tool_calls[0].arguments) == ("", '{"a": "b"}')
