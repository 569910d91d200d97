"""Reading structured answers, and asking once more where one cannot be read."""

from __future__ import annotations

from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

__all__ = ["ArgumentsOfCall", "InstanceOfCall", "repairing"]


class InstanceOfCall(PydanticToolsParser):
    """The arguments of the first tool call, as an instance of a pydantic class; no call is an error, not `None`."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the instance."""
        return _present(super().parse_result(result, partial=partial), result, partial)


class ArgumentsOfCall(JsonOutputKeyToolsParser):
    """The arguments of the first tool call, as a dictionary; no call is an error, not `None`."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the arguments."""
        return _present(super().parse_result(result, partial=partial), result, partial)


def repairing(
    bound: Runnable[LanguageModelInput, Any],
    parser: BaseOutputParser[Any],
    model: BaseChatModel,
    *,
    include_raw: bool,
) -> Runnable[LanguageModelInput, Any]:
    """Return a runnable that asks once more, with the complaint, where an answer cannot be read.

    Args:
        bound: The model with what it was told about the schema.
        parser: Reads its answers.
        model: The model itself, which knows how to make messages of any input.
        include_raw: Return `{"raw": ..., "parsed": ..., "parsing_error": ...}` instead of raising.
    """

    def again(given: LanguageModelInput, raw: AIMessage, error: ValueError) -> list[BaseMessage]:
        return [*model._convert_input(given).to_messages(), raw, *_complaint(raw, error)]

    def finish(raw: AIMessage, parsed: Any, error: ValueError | None) -> Any:
        if include_raw:
            return {"raw": raw, "parsed": parsed, "parsing_error": error}
        if error is not None:
            raise error
        return parsed

    def ask(given: LanguageModelInput, config: RunnableConfig) -> Any:
        raw = bound.invoke(given, config)
        parsed, error = _read(parser, raw, config)
        if error is not None:
            raw = bound.invoke(again(given, raw, error), config)
            parsed, error = _read(parser, raw, config)
        return finish(raw, parsed, error)

    async def ask_awaited(given: LanguageModelInput, config: RunnableConfig) -> Any:
        raw = await bound.ainvoke(given, config)
        parsed, error = _read(parser, raw, config)
        if error is not None:
            raw = await bound.ainvoke(again(given, raw, error), config)
            parsed, error = _read(parser, raw, config)
        return finish(raw, parsed, error)

    return RunnableLambda(ask, afunc=ask_awaited, name="structured_output")


def _read(parser: BaseOutputParser[Any], raw: AIMessage, config: RunnableConfig) -> tuple[Any, ValueError | None]:
    try:
        return parser.invoke(raw, config), None
    except ValueError as error:
        # Both LangChain's OutputParserException and pydantic's ValidationError are ValueErrors.
        return None, error


def _complaint(raw: AIMessage, error: ValueError) -> list[BaseMessage]:
    text = f"That does not fit: {error}\nAnswer again, in the form that was asked for."
    calls = [call["id"] for call in (*raw.tool_calls, *raw.invalid_tool_calls)]
    if not calls:
        return [HumanMessage(text)]
    # Every call needs a result, or the conversation is not well-formed.
    return [ToolMessage(text, tool_call_id=call or "", status="error") for call in calls]


def _present(parsed: Any, result: list[Generation], partial: bool) -> Any:
    if parsed is not None or partial:
        return parsed
    message = getattr(result[0], "message", None)
    metadata = getattr(message, "response_metadata", None) or {}
    why = ""
    if metadata.get("finish_reason") == "length":
        why = " It was cut off at its length limit; allow more with max_tokens."
    broken = getattr(message, "invalid_tool_calls", None)
    if broken:
        why += f" {broken[0].get('error') or 'The arguments of a tool call could not be read.'}"
    raise OutputParserException(f"the answer has no tool call that can be read.{why}", llm_output=result[0].text)
