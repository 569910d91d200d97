"""What a reader has understood, as deltas: text and thinking without outer blanks, calls with their arguments."""

from __future__ import annotations

import re

from sagewire.prompt_formats.output_parsers.engine.offered_tools import Offered
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source
from sagewire.types import Delta, TextDelta, ThinkingDelta, ToolCallDelta

__all__ = ["Calls", "Prose"]

BACKTICKS = re.compile(r"`+")

# Far more than any model means; also within what `fold` takes.
MAX_CALLS = 1000

# A model that starts so many calls and finishes none is not to be trusted with another beginning.
MAX_CANCELLED = 16


class Prose:
    """A run of text that is delivered without the blanks at both ends.

    Blanks inside are kept as they are, except around a block that was taken out: of the blanks before it and behind
    it only the first ones stay.

    Attributes:
        begun: Something other than blanks has been written.
        last: The last character, blanks included; empty at the beginning.
    """

    __slots__ = ("_backticks", "_blanks", "_fences", "_line_is_blank", "_pieces", "_skipping", "begun", "last")

    def __init__(self) -> None:
        self.begun = False
        self.last = ""
        self._line_is_blank = True
        self._pieces: list[str] = []
        self._blanks: list[str] = []
        self._skipping = False
        self._fences = 0
        self._backticks = ""

    def write(self, text: str) -> None:
        """Add text."""
        if not text:
            return
        self.last = text[-1]
        line = text.rpartition("\n")
        self._line_is_blank = (self._line_is_blank or bool(line[1])) and not line[2].strip()
        if "`" in text or self._backticks:
            self._count_fences(text)
        body = text.rstrip()
        if body:
            if not self.begun or self._skipping:
                body = body.lstrip()
            self._pieces += self._blanks
            self._pieces.append(body)
            self._blanks = []
            self.begun, self._skipping = True, False
        if self.begun and not self._skipping and text[-1].isspace():
            self._blanks.append(text[len(text.rstrip()) :])

    def join(self) -> None:
        """A block was taken out here."""
        self._skipping = self._skipping or bool(self._blanks)
        self.last = "\n"
        self._line_is_blank = True

    def separate(self) -> None:
        """Another part of the answer begins: keep it apart by an empty line."""
        if self.begun:
            self._blanks, self._skipping = ["\n\n"], True
        self.last = "\n"
        self._line_is_blank = True

    def restart(self) -> None:
        """Forget what has been written: it belongs elsewhere."""
        self.begun, self._skipping, self.last, self._line_is_blank = False, False, "", True
        self._blanks, self._fences, self._backticks = [], 0, ""

    @property
    def in_fence(self) -> bool:
        """Whether the text so far ends inside a fenced code block."""
        return (self._fences + (len(self._backticks) >= 3)) % 2 == 1

    @property
    def at_line_start(self) -> bool:
        """Whether nothing but blanks comes before the next character on its line."""
        return self._line_is_blank

    def take(self) -> str:
        """Return what can be delivered."""
        text = "".join(self._pieces)
        self._pieces = []
        return text

    def _count_fences(self, text: str) -> None:
        text = self._backticks + text
        runs = BACKTICKS.findall(text)
        self._backticks = runs.pop() if text.endswith("`") else ""
        self._fences += sum(len(run) >= 3 for run in runs)


class Calls:
    """The tool calls of one answer.

    A call is begun, its arguments are streamed or not, and then it is either committed or cancelled. What has been
    delivered of a cancelled call is taken back by a delta with `cancelled=True`.

    Attributes:
        offered: The tools the model was given.
        thinking: Where reasoning goes, for the families that write it in the same kind of block.
        text: Where text goes.
        count: How many calls were committed.
    """

    __slots__ = (
        "_cancelled", "_index", "_pieces", "_sent_id", "_source", "_started", "_streaming", "count", "offered", "out",
        "text", "thinking",
    )  # fmt: skip

    def __init__(self, source: Source, offered: Offered, *, streaming: bool) -> None:
        self.offered = offered
        self.text = Prose()
        self.thinking = Prose()
        self.out: list[Delta] = []
        self.count = 0
        self._source = source
        self._streaming = streaming
        self._index = 0
        self._cancelled = 0
        self._started = False
        self._sent_id: str | None = None
        self._pieces: list[str] = []  # of the arguments, not delivered yet

    def begin(self, name: str, id: str | None = None) -> None:
        """A call of `name` follows; it is delivered from here on if the tool was offered, or nobody said what was."""
        if self._streaming and self.offered.knows(name) is not False and self.count < MAX_CALLS:
            self.flush()
            self.out.append(ToolCallDelta(self._index, id, name))
            self._started, self._sent_id = True, id

    def write(self, text: str) -> None:
        """Add a piece of the arguments' JSON text."""
        if self._started and text:
            self._pieces.append(text)

    def commit(self, name: str, arguments: str, id: str | None = None) -> None:
        """The call is complete.

        Args:
            name: The function.
            arguments: The JSON text of an object; what `write` delivered already, if the call has begun to stream.
            id: The id the model gave.
        """
        if self.count >= MAX_CALLS:
            raise NotACall
        self.flush()
        if not self._started:
            self.out.append(ToolCallDelta(self._index, id, name, arguments))
        elif id is not None and id != self._sent_id:
            self.out.append(ToolCallDelta(self._index, id))
        self._index += 1
        self.count += 1
        self.done()

    def done(self) -> None:
        """What was read so far is settled: text from before a call can no longer come back."""
        self._started = False
        self._source.checkpoint()

    def cancel(self) -> None:
        """Take back the call that was begun: it is text."""
        if self._started:
            self.flush()
            self.out.append(ToolCallDelta(self._index, cancelled=True))
            self._index += 1
            self._cancelled += 1
            self._streaming = self._streaming and self._cancelled < MAX_CANCELLED
        self._started = False

    def flush(self) -> None:
        """Put what was written since the last time into deltas."""
        if thinking := self.thinking.take():
            self.out.append(ThinkingDelta(thinking))
        if text := self.text.take():
            self.out.append(TextDelta(text))
        if self._pieces:
            self.out.append(ToolCallDelta(self._index, arguments="".join(self._pieces)))
            self._pieces = []
