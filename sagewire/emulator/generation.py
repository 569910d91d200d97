"""An engine's answer as the tokens a serving container sees: cut, counted, and ended in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from sagewire.emulator import tokens
from sagewire.emulator.engines.base import Call, Counts, Engine, Raw, Stop, Text, Thinking, Turn
from sagewire.emulator.vocabulary import NO_SPECIAL_TOKENS, Vocabulary
from sagewire.types import ImagePart, MediaPart, TextPart, ToolCall

__all__ = ["Answer", "CallStart", "CallToken", "Event", "Generation", "RawAnswer", "Token", "prompt_tokens"]

IMAGE_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the answer's text or of the reasoning before it; a special one is not part of either."""

    text: str
    kind: Literal["text", "thinking", "special"] = "text"
    measured: bool = True

    @property
    def id(self) -> int:
        """The token's number in the vocabulary."""
        return tokens.token_id(self.text)

    @property
    def logprob(self) -> float:
        """The token's log probability."""
        return tokens.logprob(self.text)

    @property
    def known_logprob(self) -> float | None:
        """The token's log probability; `None` if the text is another server's, which did not tell it."""
        return self.logprob if self.measured else None


@dataclass(frozen=True, slots=True)
class CallStart:
    """The beginning of a tool call."""

    index: int
    name: str
    id: str | None


@dataclass(frozen=True, slots=True)
class CallToken:
    """A token of a tool call's arguments."""

    index: int
    text: str


Event: TypeAlias = Token | CallStart | CallToken


class RawAnswer(Exception):
    """An engine's answer in bytes: the container sends these and nothing else."""

    def __init__(self, raw: Raw) -> None:
        super().__init__("raw answer")
        self.raw = raw


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole generation."""

    text: str
    thinking: str
    calls: tuple[ToolCall, ...]
    tokens: tuple[Token, ...]
    finish: str
    stop: str | None
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int


class Generation:
    """One answer, token by token; iterate it once, then ask why and after how many tokens it ended.

    Args:
        engine: The model.
        turn: The request; `max_tokens` and `stop` are enforced here, not by the engine.
        keep_stop: The stop string stays in the text, as TGI has it; vLLM cuts it off.
        limit: Maximum tokens if the turn does not set one.
        vocabulary: The special tokens of the model.
        special: The treatment of special tokens in the answer: dropped as servers do by default, kept as text, or
            flagged as TGI does.

    Attributes:
        finish: `stop`, `length`, `tool_calls`, or what the engine said.
        stop: The stop string that ended the answer.
        measured: The log probabilities of the tokens are the model's.
        prompt_tokens, completion_tokens, reasoning_tokens: Counted by the emulator unless the engine counted.
    """

    def __init__(
        self,
        engine: Engine,
        turn: Turn,
        *,
        keep_stop: bool = False,
        limit: int | None = None,
        vocabulary: Vocabulary = NO_SPECIAL_TOKENS,
        special: Literal["drop", "keep", "flag"] = "drop",
    ) -> None:
        self._engine = engine
        self._turn = turn
        self._keep_stop = keep_stop
        self._limit = turn.max_tokens if turn.max_tokens is not None else limit
        self.measured = not getattr(engine, "counts_tokens", False)
        if not self.measured:
            # Its tokens are others than the emulator's: it is told the limit, and keeps it itself.
            self._turn, self._limit = replace(turn, max_tokens=self._limit), None
        self._vocabulary = vocabulary
        self._special = special
        self._held: list[Token] = []
        self.finish = "stop"
        self.stop: str | None = None
        self.prompt_tokens = prompt_tokens(turn, vocabulary)
        self.completion_tokens = 0
        self.reasoning_tokens = 0

    def __iter__(self) -> Iterator[Event]:
        counts: Counts | None = None
        reason: str | None = None
        calls = 0
        for piece in self._engine.generate(self._turn):
            if isinstance(piece, Raw):
                raise RawAnswer(piece)
            if isinstance(piece, Counts):
                counts = piece
            elif isinstance(piece, Stop):
                reason = piece.reason
            else:
                if isinstance(piece, Call):
                    yield from self._release()
                    yield CallStart(calls, piece.name, piece.id)
                    calls += 1
                yield from self._cut(piece, calls - 1)
                if self.stop is not None or self.finish == "length":
                    break
        yield from self._release()
        self._end(calls, reason)
        if counts is not None:
            self.prompt_tokens, self.completion_tokens = counts.prompt_tokens, counts.completion_tokens

    def _end(self, calls: int, reason: str | None) -> None:
        if reason is not None:
            self.finish = reason
        elif self.finish != "length" and self.stop is None:
            if self._spent():
                self.finish = "length"
            else:
                self.completion_tokens += 1  # the end-of-sequence token
                self.finish = "tool_calls" if calls else "stop"

    def _spent(self) -> bool:
        return self._limit is not None and self.completion_tokens >= self._limit

    def _cut(self, piece: Text | Thinking | Call, index: int) -> Iterator[Event]:
        text = piece.arguments if isinstance(piece, Call) else piece.text
        # Inside of arguments, nothing is special: they are JSON already.
        vocabulary = NO_SPECIAL_TOKENS if isinstance(piece, Call) else self._vocabulary
        for part, special in vocabulary.pieces(text):
            if self._spent():
                self.finish = "length"
                return
            self.completion_tokens += 1
            if special and self._special == "drop":
                continue
            if isinstance(piece, Call):
                yield CallToken(index, part)
            elif isinstance(piece, Thinking):
                self.reasoning_tokens += 1
                yield Token(part, "thinking", self.measured)
            else:
                token = Token(part, "special" if special and self._special == "flag" else "text", self.measured)
                yield from self._hold(token) if self._turn.stop else (token,)
                if self.stop is not None:
                    return

    def _hold(self, token: Token) -> Iterator[Token]:
        """Hold back what may be the beginning of a stop string."""
        self._held.append(token)
        text = "".join(held.text for held in self._held)
        found = [(position, stop) for stop in self._turn.stop if (position := text.find(stop)) >= 0]
        if found:
            position, self.stop = min(found)
            yield from self._release(position + len(self.stop) if self._keep_stop else position)
            return
        keep = max(_overlap(text, stop) for stop in self._turn.stop)
        while self._held and len(text) - len(self._held[0].text) >= keep:
            text = text[len(self._held[0].text) :]
            yield self._held.pop(0)

    def _release(self, length: int | None = None) -> Iterator[Token]:
        held, self._held = self._held, []
        for token in held:
            if length is not None:
                size = len(token.text)
                token, length = replace(token, text=token.text[:length]), length - min(length, size)
            if token.text:
                yield token

    def collect(self) -> Answer:
        """Run to the end and return the whole answer."""
        text: list[Token] = []
        thinking: list[str] = []
        calls: list[tuple[CallStart, list[str]]] = []
        for event in self:
            if isinstance(event, Token):
                if event.kind == "thinking":
                    thinking.append(event.text)
                else:
                    text.append(event)
            elif isinstance(event, CallStart):
                calls.append((event, []))
            else:
                calls[-1][1].append(event.text)
        return Answer(
            text="".join(token.text for token in text if token.kind == "text"),
            thinking="".join(thinking),
            calls=tuple(ToolCall(start.id or "", start.name, "".join(parts)) for start, parts in calls),
            tokens=tuple(text),
            finish=self.finish,
            stop=self.stop,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            reasoning_tokens=self.reasoning_tokens,
        )


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` may be the beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0


def _text(part: str | TextPart) -> str:
    return part if isinstance(part, str) else part.text


def prompt_tokens(turn: Turn, vocabulary: Vocabulary = NO_SPECIAL_TOKENS) -> int:
    """Count the tokens of what was asked: the text, four per message for its frame, and the tools."""
    if turn.prompt is not None:
        return vocabulary.count_prompt(turn.prompt)
    total = 0
    for message in turn.messages:
        total += 4
        parts = [message.content] if isinstance(message.content, str) else message.content
        for part in parts:
            total += IMAGE_TOKENS if isinstance(part, ImagePart | MediaPart) else tokens.count(_text(part))
        total += sum(tokens.count(call.arguments) + 4 for call in message.tool_calls)
    return total + sum(tokens.count(tool.description) + tokens.count(str(tool.parameters)) for tool in turn.tools)
