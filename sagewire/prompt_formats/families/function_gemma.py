"""Google's FunctionGemma."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from sagewire.errors import UsageError
from sagewire.prompt_formats.engine.conversation import Call, Conversation, Turn
from sagewire.prompt_formats.engine.turns import PromptBuilder
from sagewire.prompt_formats.families.gemma4 import Gemma4

__all__ = ["FUNCTION_GEMMA"]

ESCAPE = "<escape>"
RESULT = "<start_function_response>"


class FunctionGemma(Gemma4):
    """FunctionGemma: the notation of Gemma 4 with other marks; the answer behind results stays in the model's turn.

    A result without a name gets that of its call, which the published template refuses.
    """

    quote: ClassVar[str] = ESCAPE

    def write(self, conversation: Conversation, page: PromptBuilder) -> None:
        """Write the whole conversation."""
        turns = conversation.turns
        system = turns[0] if turns[0].role in ("system", "developer") else None
        page.add(self.bos)
        if system or conversation.tools:
            page.add("<start_of_turn>developer\n", "" if system is None else system.text.strip())
            for tool in conversation.tools:
                declared = self._declaration(conversation, tool["function"])
                page.add(f"<start_function_declaration>{declared}<end_function_declaration>")
            page.add("<end_of_turn>\n")
        turns = turns[1:] if system else turns
        before = ""
        for place, turn in enumerate(turns):
            if turn.role == "tool":
                self._write_result(conversation, page, turns, place)
                before = "result"
                continue
            self.check_role(turn)
            if before == "result" and turn.role != "assistant":
                # The template goes on in the model's turn, whoever speaks.
                conversation.lost_turn(turn)
            if before != "result":
                page.add(f"<start_of_turn>{'model' if turn.role == 'assistant' else turn.role}\n")
            page.say(turn, turn.text.strip())
            page.add(*(self._call(conversation, call) for call in turn.calls))
            page.add(RESULT if turn.calls and place == len(turns) - 1 else "", "" if turn.calls else "<end_of_turn>\n")
            before = "call" if turn.calls else "text"
        if conversation.generate and before != "result":
            page.add(self.generation)

    def _write_result(self, conversation: Conversation, page: PromptBuilder, turns: Sequence[Turn], place: int) -> None:
        turn = turns[place]
        named = (call.name for other in turns[:place] for call in other.calls if call.id == turn.call_id)
        name = turn.name or next(named, None)
        if not name:
            raise UsageError("Invalid tool response: 'name' must be provided.")
        if not turn.text and turn.value is None:
            conversation.lost_turn(turn)
            return
        page.add(f"{RESULT}response:{name.strip()}{{{self._shown(conversation, turn)}}}<end_function_response>")

    def _shown(self, conversation: Conversation, result: Turn) -> str:
        if isinstance(result.value, Mapping):
            return self._fields(conversation, result.value)
        return f"value:{ESCAPE}{result.text}{ESCAPE}"

    def _call(self, conversation: Conversation, call: Call) -> str:
        return (
            f"<start_function_call>call:{call.name}{{{self._fields(conversation, call.fields())}}}<end_function_call>"
        )

    def _schema(self, conversation: Conversation, schema: Mapping[str, Any]) -> Iterable[str]:
        about = schema.get("description", "")
        yield f"description:{ESCAPE}{conversation.guard(str(about))}{ESCAPE}"
        for part in super()._schema(conversation, {key: value for key, value in schema.items() if key != "nullable"}):
            if not part.startswith("description:"):
                yield part


FUNCTION_GEMMA = FunctionGemma(
    name="function_gemma",
    bos="<bos>",
    generation="<start_of_turn>model\n",
    stops=("<end_of_turn>", RESULT, "<eos>"),
    special_tokens=(
        *("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", ESCAPE, RESULT, "<end_function_response>"),
        *("<start_function_declaration>", "<end_function_declaration>", "<start_function_call>", "<end_function_call>"),
    ),
    supports_tools=True,
    output_parser="function_gemma",
)
