"""One call, from a typed request to bytes and back to values. Pure: the clients around it do the waiting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sagewire.client.answer_tools import AnswerFromCall, with_answer_tool
from sagewire.client.enforcement import (
    OneToolCall,
    check_tool_choice,
    enforce,
    refuse_media,
    without_further_fields,
)
from sagewire.client.forced_tools import RequireToolCall, force_call
from sagewire.client.simpler_turns import rendered
from sagewire.content_handlers.base import ContentHandler, Request
from sagewire.errors import SagewireError, UnsupportedFeature, UsageError
from sagewire.streaming.accumulate import Accumulator, fold, unfold
from sagewire.streaming.base import Decoder, Pipeline, decode, finish
from sagewire.streaming.call_ids import CallIdStage
from sagewire.streaming.eventstream import EventStreamDecoder
from sagewire.streaming.text import AnswerStopStage, EchoStage, ParserStage, StopStage
from sagewire.types import (
    ChatRequest,
    Delta,
    Invocation,
    Message,
    Options,
    PromptRequest,
    Reply,
    ResponseInfo,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)

if TYPE_CHECKING:
    from sagewire.prompt_formats.base import PromptFormat

__all__ = ["PreparedCall", "ResponseReader", "prepare"]

_log = logging.getLogger("sagewire")
# As many bytes as the first events of an answer take, a little more or less.
_FIRST_BYTES = 1024


@dataclass(slots=True)
class PreparedCall:
    """A prepared call: the request to send, and the reader of its answer.

    Args:
        invocation: The request as bytes.
        handler: Reads the answer's bytes.
        prompt: The prompt text, if the container takes text.
        stops: Strings that end the answer: not the thinking before it, and not a tool call.
        format_stops: The prompt format's own, which end everything the model writes.
        make_parser: Makes the parsers of the answer's text, if a prompt format wrote the prompt.
        must_call: The tools of which one has to be called, if the request format has no field for that.
        answer_tool: The tool whose call is the answer, if both tools and a schema are requested.
        one_call: The answer may hold one tool call only, if the request format has no field for that.
        request: The request as the handler saw it.
        chat: The chat request before it became a prompt.
        may_think: The text of the answer may open with thinking, which stop strings do not end.
    """

    invocation: Invocation
    handler: ContentHandler
    request: Request
    prompt: str = ""
    stops: tuple[str, ...] = ()
    format_stops: tuple[str, ...] = ()
    make_parser: Callable[[], Decoder[str, Delta]] | None = None
    must_call: tuple[str, ...] = ()
    one_call: bool = False
    answer_tool: str = ""
    chat: ChatRequest | None = None
    may_think: bool = False

    @property
    def streams(self) -> bool:
        """Whether the container was asked to stream."""
        return self.request.stream

    def read_whole(self, body: bytes, info: ResponseInfo) -> Reply:
        """Return the reply in a whole response body.

        Raises:
            WireError: The body cannot be read as the handler's response format.
        """
        reply = self.handler.transform_output(body)
        stages = self._text_stages()
        if not stages:
            return Reply(reply.choices, reply.usage, reply.id, reply.model, reply.extra, info)
        try:
            return fold(decode(Pipeline(*stages), unfold(reply)), info)
        except SagewireError as error:
            error.partial = error.partial or replace(reply, info=info)
            raise

    def reading(self, info: ResponseInfo, *, keep_reply: bool = True) -> ResponseReader:
        """Return a fresh reading of a streamed response; see `ResponseReader`."""
        stages: list[Decoder[Any, Any]] = [EventStreamDecoder()] if info.event_stream else []
        text_stages = self._text_stages()
        # The server does not stop by itself at strings it was not sent.
        told = self.request.options.stop if "stop" in self.handler.option_names else ()
        cut_short = tuple(
            stage for stage in text_stages if isinstance(stage, StopStage) and not stage.stops.issubset(told)
        )
        stages += [self.handler.stream_decoder(info.content_type), *text_stages]
        return ResponseReader(Pipeline(*stages) if len(stages) > 1 else stages[0], info, cut_short, keep_reply)

    def _text_stages(self) -> list[Decoder[Any, Any]]:
        stages: list[Decoder[Any, Any]] = []
        if self.prompt and self.handler.echoes_prompt:
            stages.append(EchoStage(self.prompt))
        choices = self.request.options.n or 1
        if self.format_stops:
            stages.append(StopStage(self.format_stops, choices=choices))
        if self.make_parser is not None:
            stages.append(ParserStage(self.make_parser))
        if self.stops:
            stages.append((AnswerStopStage if self.may_think else StopStage)(self.stops, choices=choices))
        if self.must_call:
            stages.append(RequireToolCall(self.must_call))
        if self.answer_tool:
            stages.append(AnswerFromCall(self.answer_tool))
        if self.one_call:
            stages.append(OneToolCall())
        chat = self.chat or self.request
        if isinstance(chat, ChatRequest):
            for message in chat.messages:
                if message.tool_calls:
                    taken = [call.id for turn in chat.messages for call in turn.tool_calls if call.id]
                    stages.append(CallIdStage(taken))
                    break
        return stages


class ResponseReader:
    """The reader of a streamed answer: feed it bytes, take deltas, get the reply so far at any time.

    Args:
        decoder: Reads the bytes.
        info: The service's facts about the response.
        cut_short: The stages that end the answer although the container would go on.
        keep_reply: Keep the content of the answer. Without it the reply has only the usage and the like, and reading
            takes the same memory however long the answer is.

    Attributes:
        begun: A delta was handed on.
    """

    def __init__(
        self,
        decoder: Decoder[bytes, Delta],
        info: ResponseInfo,
        cut_short: tuple[StopStage, ...] = (),
        keep_reply: bool = True,
    ) -> None:
        self._decoder = decoder
        self._cut_short = cut_short
        self._accumulator = Accumulator()
        self._keeps = keep_reply
        self._opens = True
        self.begun = False
        self.info = info

    def feed(self, chunk: bytes) -> Iterator[Delta]:
        """Yield the deltas this chunk completes; the first of an answer before the rest of the chunk is decoded."""
        if self._opens and len(chunk) > _FIRST_BYTES:
            return self._keep_in_pieces(chunk)
        return self._keep(self._decoder.feed(chunk))

    def close(self) -> Iterator[Delta]:
        """Yield the deltas held back; raise `StreamTruncated` after them if the answer was not finished."""
        if self.stopped:
            return
        held_back, error = finish(self._decoder)
        yield from self._keep(held_back)
        if error is not None:
            raise error

    @property
    def stopped(self) -> bool:
        """Whether a stop string ended the answer although the container would go on generating: stop reading then."""
        return any(stage.stopped for stage in self._cut_short)

    @property
    def reply(self) -> Reply:
        """The answer as far as it was read."""
        return self._accumulator.reply(self.info)

    def _keep(self, deltas: list[Delta]) -> Iterator[Delta]:
        add = self._accumulator.add if self._keeps else self._accumulator.add_facts
        self.begun = self.begun or bool(deltas)
        for delta in deltas:
            # Only now: deltas not handed on yet do not belong to the reply so far.
            add(delta)
            if self._opens and isinstance(delta, TextDelta | ThinkingDelta | ToolCallDelta):
                self._opens = False
            yield delta

    def _keep_in_pieces(self, chunk: bytes) -> Iterator[Delta]:
        # A burst may hold hundreds of events, which take milliseconds to decode.
        start, size = 0, _FIRST_BYTES
        while start < len(chunk):
            yield from self._keep(self._decoder.feed(chunk[start : start + size]))
            start, size = start + size, 4 * size

    @contextmanager
    def attaching_partial(self) -> Iterator[None]:
        """Add the reply so far to every error that passes."""
        try:
            yield
        except SagewireError as error:
            if error.partial is None and self._keeps:
                # The beginning of a stop string, for example, that did not continue as one.
                for delta in finish(self._decoder)[0]:
                    self._accumulator.add(delta)
                error.partial = self.reply
            raise


def prepare(
    request: Request,
    handler: ContentHandler,
    prompt_format: PromptFormat | None = None,
    parameters: Mapping[str, str] | None = None,
    *,
    may_think: Callable[[str | None], bool] | None = None,
) -> PreparedCall:
    """Return the call for a request: choose between messages and prompt, render, transform.

    Args:
        request: The chat or prompt request.
        handler: The container's handler.
        prompt_format: The model family's prompt format; needed for chat if the container takes text only.
        parameters: InvokeEndpoint parameters of this call; they win over the handler's own.
        may_think: Tells whether the model, or the one of this name, may reason without being asked to.

    Raises:
        UsageError: The container takes text, the request is a conversation, and no format is given.
        UnsupportedFeature: The request needs something the handler does not declare or the format cannot express.
    """
    if request.stream and not handler.can.streaming:
        request = replace(request, stream=False)
    if isinstance(request, ChatRequest) and request.tools and request.options.response_format:
        request, answer_tool = with_answer_tool(request, handler)
        if answer_tool:
            prepared = prepare(request, handler, prompt_format, parameters, may_think=may_think)
            return replace(prepared, answer_tool=answer_tool)
    if isinstance(request, ChatRequest) and handler.speaks == "prompt":
        return _prepare_rendered(request, handler, prompt_format, parameters)
    if isinstance(request, PromptRequest) and handler.speaks == "messages":
        request = ChatRequest(
            (Message("user", request.prompt),),
            request.options,
            stream=request.stream,
            include_usage=request.include_usage,
        )
    stops = request.options.stop
    thinks = bool(stops) and isinstance(request, ChatRequest) and _thinks(request.options, may_think)
    if thinks:
        # As on text routes: the server would stop inside the thinking, too.
        request = replace(request, options=replace(request.options, stop=()))
    return PreparedCall(
        invocation=_invocation(enforce(request, handler), handler, parameters),
        handler=handler,
        request=request,
        prompt=request.prompt if isinstance(request, PromptRequest) else "",
        stops=stops,
        may_think=thinks,
        one_call=isinstance(request, ChatRequest)
        and request.parallel_tool_calls is False
        and bool(request.tools)
        and not handler.can.parallel_tool_calls,
    )


def _thinks(options: Options, may_think: Callable[[str | None], bool] | None) -> bool:
    """Whether the answer may open with reasoning: the caller asks for it, or the model is one that reasons unasked."""
    if options.reasoning_effort is not None:
        return options.reasoning_effort != "none"
    template = options.extra.get("chat_template_kwargs")
    if isinstance(template, Mapping):
        for switch in ("enable_thinking", "thinking"):
            if switch in template:
                return bool(template[switch])
    return may_think is not None and may_think(options.model)


def _prepare_rendered(
    chat: ChatRequest,
    handler: ContentHandler,
    prompt_format: PromptFormat | None,
    parameters: Mapping[str, str] | None,
) -> PreparedCall:
    if prompt_format is None:
        raise UsageError(
            f"handler '{handler.name}' sends text, so a conversation needs a prompt format: name the model's family, "
            "for example format='llama3_1' (`sagewire formats` lists them), or send plain text with `complete`"
        )
    make_parser: Callable[[], Decoder[str, Delta]] | None = None
    must_call: tuple[str, ...] = ()
    check_tool_choice(chat)
    if chat.options.extra.get("return_full_text"):
        # Its first stop string is in the prompt, so nothing would be left of the answer.
        cure = "Leave it out, or send the prompt as text with `complete`."
        raise UnsupportedFeature("return_full_text=True", "a conversation, whose answer is a message", cure)
    refuse_media(chat.messages, handler)
    chat = without_further_fields(chat, handler)
    if chat.tool_choice == "none":
        chat = replace(chat, tools=())
    elif chat.tools and chat.tool_choice not in (None, "auto"):
        chat, make_parser = force_call(chat, handler)
        must_call = tuple(tool.name for tool in chat.tools)
    tools = chat.tools
    prompt = rendered(prompt_format, chat.messages, chat.tools)
    if handler.adds_bos:
        # Here, for it loads all formats, which most containers do not need; this one has been loaded already.
        from sagewire.prompt_formats.base import without_bos

        prompt = without_bos(prompt, prompt_format.tokenizer_bos)
    if prompt_format.needs_special_tokens(tools):
        handler = handler.with_special_tokens(prompt_format.special_tokens)
    # Servers stop wherever a stop string appears, inside thinking and tool calls, too; sagewire does not.
    asked = () if tools or prompt_format.may_think else chat.options.stop
    options = replace(chat.options, stop=_stops_for_wire(asked, prompt_format.stops, handler))
    request = PromptRequest(prompt, options, chat.stream, chat.include_usage)
    return PreparedCall(
        invocation=_invocation(enforce(request, handler), handler, parameters),
        handler=handler,
        request=request,
        prompt=prompt,
        stops=chat.options.stop,
        format_stops=prompt_format.stops,
        make_parser=make_parser or (lambda: prompt_format.make_parser(tools, prompt=prompt)),
        must_call=must_call,
        one_call=chat.parallel_tool_calls is False and bool(chat.tools),
        chat=chat,
    )


def _stops_for_wire(asked: tuple[str, ...], own: tuple[str, ...], handler: ContentHandler) -> tuple[str, ...]:
    """Return the stop strings to send: all of the caller's, then the format's own while there is room.

    The rest is not lost: sagewire enforces all of them itself.
    """
    stops = tuple(dict.fromkeys((*asked, *own)))
    limit = handler.can.max_stops
    return stops if limit is None else stops[: max(limit, len(asked))]


def _invocation(request: Request, handler: ContentHandler, parameters: Mapping[str, str] | None) -> Invocation:
    needed = handler.parameters(request)
    return Invocation(
        body=handler.transform_input(request),
        content_type=handler.content_type,
        accept=handler.accept,
        path=(request.stream and handler.stream_path) or handler.path,
        parameters=_merge_parameters(needed, parameters or {}) if needed else parameters or {},
    )


def _merge_parameters(needed: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    merged = {**needed, **given}
    attributes = [given.get("CustomAttributes"), needed.get("CustomAttributes")]
    if all(attributes) and attributes[0] != attributes[1]:
        # `key=value` pairs separated by semicolons; the last of a key wins, so the caller's go last.
        merged["CustomAttributes"] = f"{attributes[1]};{attributes[0]}"
    return merged
