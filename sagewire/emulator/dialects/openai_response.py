"""Writing chat and text completions, whole and streamed, as OpenAI-style servers do.

Servers differ in small ways (names of the reasoning field, ids, which nulls they send), so each passes a `Style`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sagewire.emulator import tokens
from sagewire.emulator.dialects.base import Container, begin, new_id
from sagewire.emulator.dialects.openai_request import Settings
from sagewire.emulator.generation import Answer, CallStart, CallToken, Event, Generation, Token

__all__ = ["Style", "chat_chunks", "chat_document", "completion_chunks", "completion_document", "generations"]

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Style:
    """The way one server writes.

    Args:
        model: The model name it reports.
        created: Seconds since the epoch.
        reasoning: The names of the reasoning field; empty leaves the reasoning in the text, inside think tags.
        stop_field: The field with the matched stop string; empty if it is not reported.
        message_extra, delta_extra, choice_extra, extra: Fields every message, delta, choice and document has.
        call_id: Makes the id of a tool call from its index and name.
        finish: Makes the server's finish reason from the emulator's and whether the tool was named.
        usage_extra: Makes further fields of the usage object.
    """

    model: str
    created: int
    id: str = field(default_factory=lambda: f"chatcmpl-{new_id()}")
    reasoning: tuple[str, ...] = ("reasoning",)
    stop_field: str = "stop_reason"
    message_extra: JSON = field(default_factory=dict)
    delta_extra: JSON = field(default_factory=dict)
    choice_extra: JSON = field(default_factory=dict)
    extra: JSON = field(default_factory=dict)
    call_id: Callable[[int, str], str] = field(default=lambda index, name: f"chatcmpl-tool-{new_id()}")
    finish: Callable[[str, bool], str] = field(
        default=lambda reason, named: "stop" if named and reason == "tool_calls" else reason
    )
    usage_extra: Callable[[int], JSON] = field(default=lambda reasoning: {})


def generations(container: Container, settings: Settings, limit: int | None = None) -> list[Generation]:
    """Return one generation per answer asked for."""
    special: Literal["drop", "keep"] = "keep" if settings.keep_special else "drop"
    return [
        container.generation(
            replace(settings.turn, choice=number), keep_stop=settings.keep_stop, limit=limit, special=special
        )
        for number in range(settings.n)
    ]


def _usage(style: Style, prompt: int, completion: int, reasoning: int) -> JSON:
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    } | style.usage_extra(reasoning)


def _total(style: Style, runs: Sequence[Generation] | Sequence[Answer], shared_prompt: bool = True) -> JSON:
    prompts = [run.prompt_tokens for run in runs]
    return _usage(
        style,
        prompts[0] if shared_prompt else sum(prompts),
        sum(run.completion_tokens for run in runs),
        sum(run.reasoning_tokens for run in runs),
    )


def _token_logprob(token: Token, top: int) -> JSON:
    def entry(text: str, logprob: float) -> JSON:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "surrogatepass"))}

    others = [entry(f"{token.text}~{rank}", token.logprob - rank) for rank in range(1, top)]
    alternatives = [entry(token.text, token.logprob), *others] if top else []
    return entry(token.text, token.logprob) | {"top_logprobs": alternatives}


def chat_document(runs: Sequence[Generation], settings: Settings, style: Style) -> JSON:
    """Return a whole chat completion."""
    answers = [run.collect() for run in runs]
    return {
        "id": style.id,
        "object": "chat.completion",
        "created": style.created,
        "model": style.model,
        "choices": [_choice(number, answer, settings, style) for number, answer in enumerate(answers)],
        "usage": _total(style, answers),
    } | style.extra


def _choice(number: int, answer: Answer, settings: Settings, style: Style) -> JSON:
    text, thinking = answer.text, answer.thinking
    if thinking and not style.reasoning:
        text, thinking = f"<think>\n{thinking}\n</think>\n\n{text}", ""
    message: JSON = {"role": "assistant", "content": text or (None if answer.calls else "")} | style.message_extra
    message |= dict.fromkeys(style.reasoning, thinking or None)
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": call.id or style.call_id(index, call.name),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(answer.calls)
        ]
    logprobs = {"content": [_token_logprob(token, settings.top_logprobs) for token in answer.tokens]}
    choice: JSON = {
        "index": number,
        "message": message,
        "logprobs": logprobs if settings.logprobs else None,
        "finish_reason": style.finish(answer.finish, settings.named_tool),
    } | style.choice_extra
    if style.stop_field:
        choice[style.stop_field] = answer.stop
    return choice


def chat_chunks(runs: Sequence[Generation], settings: Settings, style: Style) -> Iterator[JSON]:
    """Return the chunks of a streamed chat completion; an engine that fails at once raises here already."""
    started = [begin(run) for run in runs]
    return _chat_chunks(runs, started, settings, style)


def _chat_chunks(
    runs: Sequence[Generation], started: Sequence[Iterator[Event]], settings: Settings, style: Style
) -> Iterator[JSON]:
    def chunk(choices: list[JSON]) -> JSON:
        document = {
            "id": style.id,
            "object": "chat.completion.chunk",
            "created": style.created,
            "model": style.model,
            "choices": choices,
        } | style.extra
        if settings.continuous_usage:
            document["usage"] = _total(style, runs)
        return document

    for number in range(len(runs)):
        delta = {"role": "assistant", "content": ""} | style.delta_extra
        yield chunk([{"index": number, "delta": delta, "logprobs": None, "finish_reason": None}])
    writers = [_DeltaWriter(settings, style) for _ in runs]
    # Answers are generated side by side, so their chunks come mixed.
    open_runs = dict(enumerate(started))
    while open_runs:
        for number, events in list(open_runs.items()):
            event = next(events, None)
            if event is None:
                del open_runs[number]
                yield chunk([_last_choice(number, runs[number], writers[number], settings, style)])
                continue
            for delta, logprobs in writers[number].write(event):
                choice = {
                    "index": number,
                    "delta": style.delta_extra | delta,
                    "logprobs": logprobs,
                    "finish_reason": None,
                }
                yield chunk([choice])
    if settings.include_usage:
        yield chunk([]) | {"usage": _total(style, runs)}


def _last_choice(number: int, run: Generation, writer: _DeltaWriter, settings: Settings, style: Style) -> JSON:
    choice: JSON = {
        "index": number,
        "delta": style.delta_extra | writer.last(),
        "logprobs": None,
        "finish_reason": style.finish(run.finish, settings.named_tool),
    }
    if style.stop_field:
        choice[style.stop_field] = run.stop
    return choice


class _DeltaWriter:
    """A writer of one answer's events as deltas."""

    def __init__(self, settings: Settings, style: Style) -> None:
        self._settings = settings
        self._style = style
        self._thinking = False

    def write(self, event: Event) -> Iterator[tuple[JSON, JSON | None]]:
        if isinstance(event, CallStart):
            call_id = event.id or self._style.call_id(event.index, event.name)
            function = {"name": event.name, "arguments": ""}
            yield (
                {"tool_calls": [{"index": event.index, "id": call_id, "type": "function", "function": function}]},
                None,
            )
        elif isinstance(event, CallToken):
            yield {"tool_calls": [{"index": event.index, "function": {"arguments": event.text}}]}, None
        elif event.kind == "thinking" and self._style.reasoning:
            yield dict.fromkeys(self._style.reasoning, event.text), None
        else:
            yield {"content": self._tags(event) + event.text}, self._logprobs(event)

    def _tags(self, event: Token) -> str:
        before, self._thinking = self._thinking, event.kind == "thinking"
        if before == self._thinking:
            return ""
        return "<think>\n" if self._thinking else "\n</think>\n\n"

    def last(self) -> JSON:
        """Return the delta of the chunk that carries the finish reason."""
        return {"content": "\n</think>\n\n"} if self._thinking else {}

    def _logprobs(self, token: Token) -> JSON | None:
        if not self._settings.logprobs:
            return None
        return {"content": [_token_logprob(token, self._settings.top_logprobs)]}


def completion_document(runs: Sequence[tuple[Settings, Generation]], style: Style) -> JSON:
    """Return a whole text completion: one choice per prompt and answer."""
    answers = [(settings, run.collect()) for settings, run in runs]
    return {
        "id": style.id.replace("chatcmpl", "cmpl"),
        "object": "text_completion",
        "created": style.created,
        "model": style.model,
        "choices": [_text_choice(number, *pair, style) for number, pair in enumerate(answers)],
        "usage": _total(style, [answer for _, answer in answers], shared_prompt=len(answers) == 1),
    } | style.extra


def _text_choice(number: int, settings: Settings, answer: Answer, style: Style) -> JSON:
    before, said = _echoed(settings), () if settings.only_echo else answer.tokens
    choice: JSON = {
        "index": number,
        "text": (settings.turn.prompt or "" if settings.echo else "") + ("" if settings.only_echo else answer.text),
        "logprobs": _text_logprobs([*before, *said], settings) if settings.logprobs else None,
        "finish_reason": "length" if settings.only_echo else answer.finish,
    }
    return choice | ({style.stop_field: answer.stop} if style.stop_field else {})


def _echoed(settings: Settings) -> list[Token]:
    """Return the tokens of the prompt, if it is part of the text."""
    return [Token(piece) for piece in tokens.pieces(settings.turn.prompt or "")] if settings.echo else []


def _text_logprobs(text: Sequence[Token], settings: Settings, offset: int = 0) -> JSON:
    """Return the log probabilities of a text; the first token of a prompt follows nothing, and has none."""
    start, offsets = offset, []
    for token in text:
        offsets.append(offset)
        offset += len(token.text)
    scored = [None if settings.echo and not start and not number else token for number, token in enumerate(text)]
    top = settings.top_logprobs
    return {
        "text_offset": offsets,
        "token_logprobs": [token and token.logprob for token in scored],
        "tokens": [token.text for token in text],
        "top_logprobs": [{token.text: token.logprob} if top and token else None for token in scored],
    }


def completion_chunks(runs: Sequence[tuple[Settings, Generation]], style: Style) -> Iterator[JSON]:
    """Return the chunks of a streamed text completion."""
    started = [(settings, run, begin(run)) for settings, run in runs]
    return _completion_chunks(started, style)


def _completion_chunks(started: Sequence[tuple[Settings, Generation, Iterator[Event]]], style: Style) -> Iterator[JSON]:
    def chunk(choices: list[JSON]) -> JSON:
        return {
            "id": style.id.replace("chatcmpl", "cmpl"),
            "object": "text_completion",
            "created": style.created,
            "model": style.model,
            "choices": choices,
        } | style.extra

    for number, (settings, run, events) in enumerate(started):
        offset = 0
        if settings.echo:
            text = settings.turn.prompt or ""
            logprobs = _text_logprobs(_echoed(settings), settings) if settings.logprobs else None
            offset = len(text)
            yield chunk([{"index": number, "text": text, "logprobs": logprobs, "finish_reason": None}])
        for event in events:
            if isinstance(event, Token) and not settings.only_echo:
                logprobs = _text_logprobs([event], settings, offset) if settings.logprobs else None
                offset += len(event.text)
                yield chunk([{"index": number, "text": event.text, "logprobs": logprobs, "finish_reason": None}])
        finish = "length" if settings.only_echo else run.finish
        last: JSON = {"index": number, "text": "", "logprobs": None, "finish_reason": finish}
        yield chunk([last | ({style.stop_field: run.stop} if style.stop_field else {})])
    if started and started[0][0].include_usage:
        runs = [run for _, run, _ in started]
        yield chunk([]) | {"usage": _total(style, runs, shared_prompt=len(runs) == 1)}
