"""What happens to answer text on its way: UTF-8, stop strings, an echoed prompt, and the model family's parser."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from sagewire.errors import FrameError, SagewireError, UsageError, excerpt
from sagewire.streaming.base import BaseDecoder, Decoder, finish, owed
from sagewire.types import (
    Delta,
    FinishDelta,
    MetadataDelta,
    TextDelta,
    ToolCallDelta,
    UsageDelta,
)

__all__ = ["AnswerStopStage", "EchoStage", "ParserStage", "StopStage", "Utf8Decoder"]

DeltaStage: TypeAlias = BaseDecoder[Delta, Delta]


class Utf8Decoder(BaseDecoder[bytes, str]):
    """Bytes to text; a character cut over two pieces is held back until it is whole.

    Raises:
        FrameError: The bytes are not UTF-8, or end inside a character.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def _decode(self, data: bytes, out: list[str]) -> None:
        self._take(data, False, out)

    def _finish(self, out: list[str]) -> None:
        self._take(b"", True, out)

    def _take(self, data: bytes, final: bool, out: list[str]) -> None:
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            if error.start:
                out.append(error.object[: error.start].decode())
            shown = excerpt(error.object[error.start :])
            raise FrameError(f"the answer is not UTF-8 ({error.reason}): {shown}") from None
        if text:
            out.append(text)


class StopStage(DeltaStage):
    """Ends each answer at the first stop string in its text, wherever the pieces are cut.

    The stop string that begins first wins; of several that begin together, the longest. Text is held back only
    while it could still be the beginning of a stop string. Everything after a stop string is dropped: text, thinking,
    tool calls, log probabilities and the server's own `FinishDelta` of that answer. Token counts and metadata pass.

    Args:
        stops: The stop strings, taken literally. With none, everything passes unchanged.
        choices: How many answers were asked for; `stopped` waits for all of them.

    Attributes:
        stops: The stop strings.

    Raises:
        UsageError: A stop string is empty.
    """

    def __init__(self, stops: Sequence[str], *, choices: int = 1) -> None:
        stops = (stops,) if isinstance(stops, str) else tuple(dict.fromkeys(stops))
        if "" in stops:
            raise UsageError("an empty stop string would end every answer before it begins; leave it out")
        self.stops = frozenset(stops)
        self._choices = choices
        self._held: dict[int, str] = {}
        self._over: set[int] = set()  # answers that ended, here or by the server
        self._cut: set[int] = set()  # answers that a stop string ended here
        self._longest = max(map(len, stops), default=0)
        self._any_first = re.compile("[" + "".join(re.escape(stop[0]) for stop in stops) + "]" if stops else "(?!)")
        # No pattern and no list of their beginnings: both take far more than long stop strings themselves.
        self._longest_first = sorted(stops, key=len, reverse=True)

    @property
    def stopped(self) -> bool:
        """Whether every answer is over, at least one of them by a stop string: the connection may be closed."""
        return bool(self._cut) and len(self._over) >= self._choices and not self._held.keys() - self._over

    def _decode(self, delta: Delta, out: list[Delta]) -> None:
        if not self.stops or isinstance(delta, UsageDelta | MetadataDelta):
            out.append(delta)
        elif delta.choice in self._cut:
            return
        elif isinstance(delta, TextDelta):
            self._take(delta, out)
        else:
            self._held.setdefault(delta.choice, "")
            if isinstance(delta, FinishDelta):
                self._release(delta.choice, out)
                if delta.choice in self._cut:
                    return
                self._over.add(delta.choice)
            out.append(delta)

    def _finish(self, out: list[Delta]) -> None:
        for choice in sorted(self._held):
            self._release(choice, out)

    def _take(self, delta: TextDelta, out: list[Delta]) -> None:
        held = self._held.get(delta.choice, "")
        if not held and not self._any_first.search(delta.text):
            self._held[delta.choice] = ""
            out.append(delta)
            return
        text = held + delta.text
        certain = self._first_beginning(text)
        place, stop = self._first_stop(text)
        if stop and place < certain:
            self._cut_at(delta.choice, text, place, stop, out)
            return
        if certain:
            out.append(TextDelta(text[:certain], delta.choice))
        self._held[delta.choice] = text[certain:]

    def _first_beginning(self, text: str) -> int:
        """Return the end of the text that can no longer be part of a stop string."""
        position = max(0, len(text) - self._longest + 1)
        while found := self._any_first.search(text, position):
            position = found.start()
            rest = text[position:]
            for stop in self._longest_first:
                if len(stop) <= len(rest):
                    break
                if stop.startswith(rest):
                    return position
            position += 1
        return len(text)

    def _first_stop(self, text: str) -> tuple[int, str]:
        """Return the place of the stop string that begins first, the longest of those there; nothing if none is."""
        place, first = len(text), ""
        for stop in self._longest_first:
            found = text.find(stop, 0, place + len(stop) - 1) if first else text.find(stop)
            if found != -1 and found < place:
                place, first = found, stop
        return place, first

    def _release(self, choice: int, out: list[Delta]) -> None:
        text = self._held.get(choice, "")
        self._held[choice] = ""
        place, stop = self._first_stop(text)
        if stop:
            self._cut_at(choice, text, place, stop, out)
        elif text:
            out.append(TextDelta(text, choice))

    def _cut_at(self, choice: int, text: str, place: int, stop: str, out: list[Delta]) -> None:
        if place:
            out.append(TextDelta(text[:place], choice))
        out.append(FinishDelta("stop", stop, choice))
        self._held[choice] = ""
        self._over.add(choice)
        self._cut.add(choice)


_OPEN, _CLOSE = "<think>", "</think>"


class AnswerStopStage(StopStage):
    """Ends each answer at the first stop string behind its thinking, for servers that leave thinking in the text.

    Args:
        stops: The stop strings, taken literally.
        choices: How many answers were asked for.

    Example:
        >>> AnswerStopStage(["2"]).feed(TextDelta("<think>1 2</think>1 2 3"))[:2]
        [TextDelta(text='<think>1 2</think>', choice=0), TextDelta(text='1 ', choice=0)]
    """

    def __init__(self, stops: Sequence[str], *, choices: int = 1) -> None:
        super().__init__(stops, choices=choices)
        self._early: dict[int, str] = {}
        self._inside: set[int] = set()
        self._answers: set[int] = set()

    def _take(self, delta: TextDelta, out: list[Delta]) -> None:
        choice = delta.choice
        if choice in self._answers:
            super()._take(delta, out)
            return
        text = self._early.pop(choice, "") + delta.text
        self._held.setdefault(choice, "")
        if choice not in self._inside:
            start = text.lstrip()
            if len(start) < len(_OPEN) and _OPEN.startswith(start):
                self._early[choice] = text
                return
            if not start.startswith(_OPEN):
                self._answers.add(choice)
                super()._take(TextDelta(text, choice), out)
                return
            self._inside.add(choice)
        end = text.find(_CLOSE)
        if end >= 0:
            self._answers.add(choice)
            end += len(_CLOSE)
        else:
            end = len(text) - next((n for n in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:n])), 0)
        if end:
            out.append(TextDelta(text[:end], choice))
        if choice not in self._answers:
            self._early[choice] = text[end:]
        elif text[end:]:
            super()._take(TextDelta(text[end:], choice), out)

    def _release(self, choice: int, out: list[Delta]) -> None:
        text = self._early.pop(choice, "")
        if choice in self._inside and text:
            out.append(TextDelta(text, choice))
        elif text:
            self._held[choice] = text
        super()._release(choice, out)


class EchoStage(DeltaStage):
    """Removes the prompt from the beginning of each answer, for servers that return it with the answer.

    Text that does not begin with the whole prompt is delivered untouched; until then it is held back.

    Args:
        prompt: The text that was sent.
    """

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._matched: dict[int, int] = {}  # characters of the prompt seen, by undecided answer
        self._decided: set[int] = set()

    def _decode(self, delta: Delta, out: list[Delta]) -> None:
        if isinstance(delta, TextDelta) and self._prompt and delta.choice not in self._decided:
            self._take(delta, out)
            return
        if isinstance(delta, FinishDelta):
            self._release(delta.choice, out)
        out.append(delta)

    def _finish(self, out: list[Delta]) -> None:
        for choice in sorted(self._matched):
            self._release(choice, out)

    def _take(self, delta: TextDelta, out: list[Delta]) -> None:
        matched = self._matched.get(delta.choice, 0)
        expected = len(self._prompt) - matched
        if self._prompt.startswith(delta.text[:expected], matched):
            matched += min(len(delta.text), expected)
            self._matched[delta.choice] = matched
            if matched < len(self._prompt):
                return
            rest = delta.text[expected:]
        else:
            rest = self._prompt[:matched] + delta.text
        self._decided.add(delta.choice)
        self._matched.pop(delta.choice, None)
        if rest:
            out.append(TextDelta(rest, delta.choice))

    def _release(self, choice: int, out: list[Delta]) -> None:
        self._decided.add(choice)
        if matched := self._matched.pop(choice, 0):
            out.append(TextDelta(self._prompt[:matched], choice))


class ParserStage(DeltaStage):
    """Turns each answer's text into text, thinking and tool calls with a model family's parser.

    An answer's parser is closed before its `FinishDelta`, or at `close`; if tool calls came out of it, the reason
    `stop` becomes `tool_calls`. Text after an answer's end passes unread.

    Args:
        make_parser: Returns a fresh parser; called once for each answer. The `choice` of what it returns is set here.
    """

    def __init__(self, make_parser: Callable[[], Decoder[str, Delta]]) -> None:
        self._make_parser = make_parser
        self._parsers: dict[int, Decoder[str, Delta]] = {}
        self._closed_choices: set[int] = set()
        self._calls: dict[int, set[int]] = {}  # indexes of the tool calls, by answer

    def _decode(self, delta: Delta, out: list[Delta]) -> None:
        if isinstance(delta, TextDelta) and delta.choice not in self._closed_choices:
            parser = self._parsers.get(delta.choice)
            if parser is None:
                parser = self._parsers[delta.choice] = self._make_parser()
            self._deliver(parser.feed(delta.text), delta.choice, out)
            if error := owed(parser):
                raise error
            return
        if isinstance(delta, FinishDelta):
            self._close_parser(delta.choice, out)
            if self._calls.get(delta.choice) and delta.reason == "stop":
                delta = replace(delta, reason="tool_calls")
        out.append(delta)

    def _finish(self, out: list[Delta]) -> None:
        first_error: SagewireError | None = None
        for choice in sorted(self._parsers):
            try:
                self._close_parser(choice, out)
            except SagewireError as error:
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    def _close_parser(self, choice: int, out: list[Delta]) -> None:
        self._closed_choices.add(choice)
        parser = self._parsers.pop(choice, None)
        if parser is not None:
            read, error = finish(parser)
            self._deliver(read, choice, out)
            if error is not None:
                raise error

    def _deliver(self, deltas: list[Delta], choice: int, out: list[Delta]) -> None:
        for delta in deltas:
            if isinstance(delta, ToolCallDelta):
                calls = self._calls.setdefault(choice, set())
                (calls.discard if delta.cancelled else calls.add)(delta.index)
            if choice and not isinstance(delta, UsageDelta | MetadataDelta):
                delta = replace(delta, choice=choice)
            out.append(delta)
