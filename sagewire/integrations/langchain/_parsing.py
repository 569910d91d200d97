"""Reading structured answers, and asking once more if one cannot be read."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableLambda
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel, ValidationError

from sagewire.integrations.langchain._messages import REASONING

__all__ = ["ArgumentsOfCall", "CutOff", "InstanceOfAnswer", "InstanceOfCall", "JsonAnswer", "repairing", "reporting"]


# As LangChain finds it (`parse_json_markdown`).
_FENCE = re.compile(r"```(?:json)?(.*)", re.DOTALL)
_JSON = json.JSONDecoder(strict=False)


class CutOff(OutputParserException):
    """An answer that ended at its length limit, so whatever can be read of it is not the whole object."""


class _WholeAnswers(BaseOutputParser[Any]):
    """Refuses what is not the whole answer, where LangChain's parsers complete it; in a stream, at its end."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return what the answer holds."""
        if not partial:
            _check_whole(getattr(result[0], "message", None), result[0].text)
        return super().parse_result(result, partial=partial)

    def _transform(self, input: Iterator[Any]) -> Iterator[Any]:
        seen = _Seen()
        yield from super()._transform(seen.passing(input))  # type: ignore[misc]
        seen.check(self)

    async def _atransform(self, input: AsyncIterator[Any]) -> AsyncIterator[Any]:
        seen = _Seen()
        async for item in super()._atransform(seen.apassing(input)):  # type: ignore[misc]
            yield item
        seen.check(self)


class _WholeTexts(_WholeAnswers):
    """Refuses JSON that does not end, whatever the server says about why the answer ended."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return what the text holds."""
        text = result[0].text
        if not partial:
            _check_whole(getattr(result[0], "message", None), text)
            if text.strip() and not _is_whole_json(text):
                raise OutputParserException(f"Invalid json output, which does not end: {text}", llm_output=text)
        return super().parse_result(result, partial=partial)


class JsonAnswer(_WholeTexts, JsonOutputParser):
    """The JSON object that an answer's text holds."""


class InstanceOfAnswer(_WholeTexts, PydanticOutputParser[Any]):
    """The JSON object that an answer's text holds, as an instance of a pydantic class."""

    def _parse_obj(self, obj: Any) -> Any:
        try:
            return validated(self.pydantic_object, obj)
        except ValueError as error:
            # The ValidationError of pydantic v2, or that of v1.
            raise self._parser_exception(error, obj) from error


class ArgumentsOfCall(_WholeAnswers, JsonOutputKeyToolsParser):
    """The arguments of the first tool call, as a dictionary; no call is an error, not `None`."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the arguments."""
        return _present(super().parse_result(result, partial=partial), result, partial)


class InstanceOfCall(ArgumentsOfCall):
    """The arguments of the first tool call, as an instance of a pydantic class.

    Args:
        model: The class; LangChain's own parser looks it up by its name, which may not be a tool's (`Box[int]`).
    """

    model: type[Any]

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the instance; while the answer is growing, `None` until it fits."""
        arguments = super().parse_result(result, partial=partial)
        if arguments is None:
            return None
        try:
            return validated(self.model, arguments)
        except ValueError:
            if partial:
                return None
            raise


def validated(model: type[Any], value: Any) -> Any:
    """Return an instance of a class, read as the JSON that it was.

    A strict class (`ConfigDict(strict=True)`) takes a date, a UUID or a tuple from JSON, which has no other way to
    write them, and not from Python objects, which has.
    """
    if not issubclass(model, BaseModel):
        return model.parse_obj(value)
    try:
        return model.model_validate(value)
    except ValidationError:
        return model.model_validate_json(json.dumps(value))


class _Seen:
    """The pieces of a streamed answer."""

    def __init__(self) -> None:
        self._messages: list[AIMessageChunk] = []
        self._whole: AIMessage | None = None
        self._texts: list[str] = []

    def passing(self, pieces: Iterator[Any]) -> Iterator[Any]:
        for piece in pieces:
            self._add(piece)
            yield piece

    async def apassing(self, pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for piece in pieces:
            self._add(piece)
            yield piece

    def _add(self, piece: Any) -> None:
        if isinstance(piece, AIMessageChunk):
            self._messages.append(piece)
        elif isinstance(piece, AIMessage):
            self._whole = piece
        elif isinstance(piece, str):
            self._texts.append(piece)

    def check(self, parser: BaseOutputParser[Any]) -> None:
        """Raise what the parser has against the answer as a whole."""
        message: BaseMessage | None = self._whole
        if self._messages:
            first, *rest = self._messages
            message = message_chunk_to_message(first + rest if rest else first)
        if message is not None:
            parser.parse_result([ChatGeneration(message=message)])
        elif self._texts:
            parser.parse_result([Generation(text="".join(self._texts))])


def reporting(bound: Runnable[LanguageModelInput, Any], parser: BaseOutputParser[Any]) -> Runnable[Any, Any]:
    """Return a runnable that gives the raw answer, what was read of it, and the error if it cannot be read.

    The raw answer is streamed as it arrives.
    """

    def read(raw: Any, config: RunnableConfig) -> AddableDict:
        if isinstance(raw, AIMessageChunk):
            raw = message_chunk_to_message(raw)
        parsed, error = _read(parser, raw, config)
        return AddableDict(parsed=parsed, parsing_error=error)

    def report(pieces: Iterator[Any], config: RunnableConfig) -> Iterator[AddableDict]:
        raw: Any = None
        for piece in pieces:
            raw = piece if raw is None else raw + piece
            yield AddableDict(raw=piece)
        yield read(raw, config)

    async def areport(pieces: AsyncIterator[Any], config: RunnableConfig) -> AsyncIterator[AddableDict]:
        raw: Any = None
        async for piece in pieces:
            raw = piece if raw is None else raw + piece
            yield AddableDict(raw=piece)
        yield read(raw, config)

    return bound | RunnableGenerator(report, areport, name="structured_output")  # type: ignore[arg-type]  # with config


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
        if error is not None and not isinstance(error, CutOff):
            raw = bound.invoke(again(given, raw, error), config)
            parsed, error = _read(parser, raw, config)
        return finish(raw, parsed, error)

    async def ask_awaited(given: LanguageModelInput, config: RunnableConfig) -> Any:
        raw = await bound.ainvoke(given, config)
        parsed, error = _read(parser, raw, config)
        # One that was cut off would be cut off again.
        if error is not None and not isinstance(error, CutOff):
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


def _check_whole(message: Any, text: str) -> None:
    metadata = getattr(message, "response_metadata", None) or {}
    if metadata.get("finish_reason") == "length":
        calls = getattr(message, "tool_calls", ()) or getattr(message, "invalid_tool_calls", ())
        raise _cut_off(text or ("call" if calls else ""), REASONING in getattr(message, "additional_kwargs", {}))


def _is_whole_json(text: str) -> bool:
    """Return whether a text begins with a JSON value that ends, bare or in a fence; what follows does not count."""
    fenced = _FENCE.search(text)
    for body in (text, fenced.group(1) if fenced else ""):
        try:
            _JSON.raw_decode(body.strip(" \n\r\t`"))
        except (ValueError, RecursionError):
            continue
        return True
    return False


def _cut_off(text: str, thought: bool) -> CutOff:
    spent = " The model's reasoning used up all of it." if thought and not text.strip() else ""
    return CutOff(
        f"the answer was cut off at its length limit; allow more with max_tokens.{spent}",
        llm_output="" if text == "call" else text,
    )


def _present(parsed: Any, result: list[Generation], partial: bool) -> Any:
    if parsed is not None or partial:
        return parsed
    broken = getattr(getattr(result[0], "message", None), "invalid_tool_calls", None)
    why = f" {broken[0].get('error') or 'The arguments of a tool call could not be read.'}" if broken else ""
    raise OutputParserException(f"the answer has no tool call that can be read.{why}", llm_output=result[0].text)
