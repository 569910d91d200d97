"""Text that is still arriving, read as if it were all there.

The readers are written as generators: where the next character is needed and has not arrived, they `yield`, and go on
when `Source.push` has brought more. So each way of writing is read by a few straight lines, from whole texts and from
single characters alike. What was read is dropped, except after `checkpoint`: a block that turns out not to be one is
put back with `rewind` and read again as text.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TypeAlias, TypeVar

from sagewire.prompt_formats.output_parsers.engine.markers import Markers

__all__ = ["NotACall", "Source", "Wait"]

T = TypeVar("T")
Wait: TypeAlias = Generator[None, None, T]

SPACE = re.compile(r"\s*")

# A call longer than this is not one; bounds the memory that a block which never ends can take.
MAX_BLOCK_CHARACTERS = 16 * 1024 * 1024


class NotACall(Exception):
    """What looked like a tool call is none: it stays text.

    Args:
        here: Everything read so far is text, and reading goes on from here. Otherwise only the block's opening is, and
            what follows it is searched for markers again.
    """

    def __init__(self, here: bool = False) -> None:
        super().__init__()
        self.here = here


class Source:
    """The text not read yet.

    Attributes:
        buffer: The text that has arrived; before `position` it has been read.
        position: The place of the next character in `buffer`.
        ended: Nothing more will arrive.
        ending: What said that the model ended its turn: tokens or stop strings, which are not in `buffer`. Empty if
            nothing did, and until `ended`.
        opening: The place behind the opening of the block that is being read; a block that is none stays text up to
            here, and what follows is searched for markers again.
    """

    __slots__ = (
        "_kept", "_kept_from", "_kept_size", "_offset", "buffer", "ended", "ending", "opening",
        "position",
    )  # fmt: skip

    def __init__(self) -> None:
        self.buffer = ""
        self.position = 0
        self.ended = False
        self.ending = ""
        self.opening = 0
        self._offset = 0  # how many characters came before `buffer`
        self._kept: list[str] | None = None  # what was read since the checkpoint and is no longer in `buffer`
        self._kept_from = 0
        self._kept_size = 0

    def push(self, text: str) -> None:
        """Add text that arrived."""
        if self._kept is not None:
            read = self.buffer[max(0, self._kept_from - self._offset) : self.position]
            self._kept.append(read)
            self._kept_size += len(read)
        self._offset += self.position
        self.buffer = self.buffer[self.position :] + text
        self.position = 0

    @property
    def stopped(self) -> bool:
        """Nothing more will arrive, because the model ended its turn."""
        return bool(self.ending)

    @property
    def place(self) -> int:
        """How many characters have been read since the beginning."""
        return self._offset + self.position

    @property
    def settled(self) -> int:
        """The place of the checkpoint."""
        return self._kept_from

    def opened(self) -> None:
        """The opening of the block ends here."""
        self.opening = self.place

    def checkpoint(self) -> int:
        """Keep what is read from here on, for `rewind` and `since`; return the place. Forgets the last checkpoint."""
        self._kept, self._kept_from, self._kept_size = [], self.place, 0
        return self._kept_from

    def release(self) -> None:
        """Forget the checkpoint."""
        self._kept, self._kept_size = None, 0

    def since(self, place: int) -> str:
        """Return the text read since `place`, which is not before the checkpoint."""
        read = self.buffer[max(0, self._kept_from - self._offset) : self.position]
        return ("".join(self._kept or ()) + read)[place - self._kept_from :]

    def rewind(self) -> None:
        """Go back to the checkpoint, and forget it."""
        start = self._kept_from - self._offset
        if start < 0:
            self.buffer = "".join(self._kept or ()) + self.buffer
            self._offset = self._kept_from
            start = 0
        self.position = start
        self.release()

    def more(self) -> Wait[bool]:
        """Wait for more text; return `False` at its end."""
        if self.ended:
            return False
        if self._kept_size > MAX_BLOCK_CHARACTERS:
            raise NotACall(here=True)
        yield
        return True

    def peek(self) -> Wait[str]:
        """Return the next character without reading it, or the empty string at the end."""
        while self.position >= len(self.buffer):
            if not (yield from self.more()):
                return ""
        return self.buffer[self.position]

    def skip_space(self) -> Wait[str]:
        """Read blanks; return the next character without reading it, or the empty string at the end."""
        while True:
            found = SPACE.match(self.buffer, self.position)
            self.position = found.end() if found else self.position
            if self.position < len(self.buffer):
                return self.buffer[self.position]
            if not (yield from self.more()):
                return ""

    def accept(self, token: str) -> Wait[bool]:
        """Read `token` if it is next."""
        while True:
            if self.buffer.startswith(token, self.position):
                self.position += len(token)
                return True
            rest = len(self.buffer) - self.position
            if rest >= len(token) or not token.startswith(self.buffer[self.position :]):
                return False
            if not (yield from self.more()):
                return False

    def expect(self, token: str) -> Wait[None]:
        """Read `token`, which has to be next."""
        if not (yield from self.accept(token)):
            raise NotACall

    def read(self, pattern: re.Pattern[str], limit: int = 256) -> Wait[str]:
        """Read what matches a pattern of one kind of character, such as `[a-z]*`; at most `limit` of them."""
        while True:
            found = pattern.match(self.buffer, self.position)
            end = found.end() if found else self.position
            if end - self.position > limit:
                raise NotACall
            if end < len(self.buffer) or not (yield from self.more()):
                text = self.buffer[self.position : end]
                self.position = end
                return text

    def until(self, markers: Markers) -> Wait[tuple[str, str]]:
        """Read to the first of the markers; return the text before it, and the marker, which is read too.

        Both become part of the block's opening: were they searched for markers again after a failure, a text full of
        openings would be read once for each of them.
        """
        pieces: list[str] = []
        while True:
            found = markers.find(self.buffer, self.position)
            if found is not None:
                pieces.append(self.buffer[self.position : found[0]])
                self.position = found[0] + len(found[1])
                self.opened()
                return "".join(pieces), found[1]
            end = markers.certain_end(self.buffer, self.position)
            pieces.append(self.buffer[self.position : end])
            self.position = end
            if not (yield from self.more()):
                raise NotACall(here=True)
