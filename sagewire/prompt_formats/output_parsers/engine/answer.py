"""The decoder all styles share: text, thinking and blocks told apart by their markers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.prompt_formats.output_parsers.engine.endings import EndTrimmer
from sagewire.prompt_formats.output_parsers.engine.markers import Markers
from sagewire.prompt_formats.output_parsers.engine.offered_tools import Offered
from sagewire.prompt_formats.output_parsers.engine.output import Calls, Prose
from sagewire.prompt_formats.output_parsers.engine.output_syntax import BlockReader, OutputSyntax, ThinkingTags
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait
from sagewire.streaming.base import BaseDecoder
from sagewire.types import Delta, ThinkingDelta, Tool

__all__ = ["AnswerParser"]

# A turn ended or began: an opening tag before it is not this answer's.
TURN_TOKEN = re.compile(r"<[|｜][^<>|｜\s]{1,48}[|｜]>|\[/?INST\]|</s>|<(?:start|end)_of_turn>")


class AnswerParser(BaseDecoder[str, Delta]):
    """Raw model text in, text, thinking and tool-call deltas out; any split of the text folds into the same reply.

    Text is delivered as it comes, except what may still become a marker or the blanks at the end. A call is delivered
    as soon as its name and the beginning of its arguments are there; should it turn out to be none, a delta with
    `cancelled=True` takes it back and the block follows as text, verbatim.

    Args:
        style: How the family writes.
        tools: The tools that the model was given, which may be none; `None` if that is not known.
        stops: The stop strings in use: one at the very end is removed.
        prompt: The rendered prompt; the empty string where it is not known.
        prompt_opened_thinking: Whether the prompt ended inside reasoning; `None`: see `prompt`.
        stream_arguments: Deliver calls while they arrive. Otherwise each is delivered whole, once it is complete, and
            none is ever taken back.
    """

    def __init__(
        self,
        style: OutputSyntax,
        tools: Sequence[Tool | Mapping[str, Any]] | None = None,
        *,
        stops: Sequence[str] = (),
        prompt: str = "",
        prompt_opened_thinking: bool | None = None,
        stream_arguments: bool = True,
    ) -> None:
        if style.for_prompt is not None and prompt:
            style = style.for_prompt(style, prompt)
        self._style = style
        self._prompt = prompt
        self._trimmer = EndTrimmer(stops)
        self._source = Source()
        self._calls = Calls(self._source, Offered(tools), streaming=stream_arguments)
        self._opened = _opened(style.thinking, prompt, prompt_opened_thinking)
        # The prompt may or may not have opened the reasoning.
        self._unsure = self._opened is None and prompt_opened_thinking is None and not prompt
        self._thought = False
        self._unclosed = False  # no closing tag will come
        self._owed: set[str] = set()  # closing markers of blocks that were read
        self._opens = {tags.open: tags for tags in style.thinking}
        self._closes = tuple(tags.close for tags in style.thinking if not (tags.prose or tags.paired))
        self._closes_alone = any(tags.prefilled for tags in style.thinking)
        self._markers = Markers(
            (*self._opens, *self._closes, *style.blocks, *style.closers, *style.silent, *style.frames,
             *style.frames.values())
        )  # fmt: skip
        self._steps = self._read()

    def _decode(self, data: str, out: list[Delta]) -> None:
        text = self._trimmer.feed(data)
        if text:
            self._advance(text, out)

    def _finish(self, out: list[Delta]) -> None:
        rest = self._trimmer.close()
        self._source.ended, self._source.ending = True, self._trimmer.ending
        self._advance(rest, out)

    def _advance(self, text: str, out: list[Delta]) -> None:
        self._source.push(text)
        next(self._steps, None)
        self._calls.flush()
        out += self._calls.out
        self._calls.out.clear()

    def _read(self) -> Wait[None]:
        if self._opened is not None:
            begun = self._prompt[self._prompt.rfind(self._opened.open) + len(self._opened.open) :]
            if self._opened.prefilled:
                self._calls.thinking.write(begun)
            else:
                yield from self._source.skip_space()
                yield from self._source.accept(self._opened.open)
            yield from self._read_thinking(self._opened, labelled=begun.startswith(self._opened.label))
        elif self._closes_alone or (self._unsure and self._style.often_opened):
            yield from self._read_undecided()
        yield from self._read_start()
        source, markers, text = self._source, self._markers, self._calls.text
        while True:
            found = markers.find(source.buffer, source.position)
            if found is not None:
                text.write(source.buffer[source.position : found[0]])
                source.position = found[0]
                yield from self._read_marker(found[1])
                continue
            end = len(source.buffer) if source.ended else markers.certain_end(source.buffer, source.position)
            text.write(source.buffer[source.position : end])
            source.position = end
            if source.ended:
                return
            yield

    def _read_marker(self, marker: str) -> Wait[None]:
        style = self._style
        if marker in style.blocks:
            yield from self._read_block(marker, style.blocks[marker], self._calls.text)
        elif marker in self._opens and self._may_open(self._opens[marker]):
            self._skip(marker)
            yield from self._read_thinking(self._opens[marker])
            yield from self._read_start()
        elif marker in self._closes and self._may_close():
            self._take_text()
            self._skip(marker)
            yield from self._read_start()
        elif marker in self._owed or marker in style.silent:
            self._owed.discard(marker)
            self._skip(marker)
        elif marker in style.frames and self._thought and not self._calls.text.begun:
            self._owed.add(style.frames[marker])
            self._skip(marker)
        else:
            self._calls.text.write(marker)
            self._source.position += len(marker)

    def _skip(self, marker: str) -> None:
        self._source.position += len(marker)
        self._calls.text.join()

    def _read_start(self) -> Wait[None]:
        """Try what may stand at the beginning of the answer only."""
        start = self._style.start
        if start is None or self._calls.text.begun or self._calls.count:
            return

        def reader(source: Source, calls: Calls) -> Wait[None]:
            yield from start(source, calls, self._prompt)

        yield from self._read_block("", reader, self._calls.text)

    def _read_block(self, marker: str, reader: BlockReader, otherwise: Prose) -> Wait[bool]:
        """Read a block; one that is none goes to `otherwise`, as far as it cannot be anything else."""
        source, calls = self._source, self._calls
        start, count = source.checkpoint(), calls.count
        source.position += len(marker)
        source.opened()
        try:
            yield from reader(source, calls)
        except NotACall as reason:
            calls.cancel()
            settled = source.settled != start
            literal = max(len(marker), (source.place if reason.here else source.opening) - start)
            source.rewind()
            if not settled:
                end = source.position + literal
                otherwise.write(source.buffer[source.position : end])
                source.position = end
                return False
        source.release()
        calls.text.join()
        if calls.count > count:
            self._owed.update(self._style.closers)
        return True

    def _may_open(self, tags: ThinkingTags) -> bool:
        text = self._calls.text
        if tags.prose:
            return not (text.begun or self._thought or self._calls.count)
        if not text.begun:
            return True
        # A tag that is spoken about, in code or in quotation marks, opens nothing.
        return not (self._thought or text.in_fence or text.last in ("`", "'", '"'))

    def _may_close(self) -> bool:
        text = self._calls.text
        if self._thought or self._calls.count or text.in_fence or text.last in ("`", "'", '"'):
            return False
        return self._unsure

    def _take_text(self) -> None:
        """The text so far turns out to be the reasoning."""
        self._thought = True
        self._calls.flush()
        if self._calls.text.begun:
            self._calls.out.append(ThinkingDelta("", takes_text=True))
            self._calls.text.restart()

    def _read_thinking(self, tags: ThinkingTags, *, labelled: bool = False) -> Wait[None]:
        """Read reasoning whose opening tag has been read; `labelled`: its label as well."""
        source, thinking = self._source, self._calls.thinking
        self._thought = True
        if tags.label and not labelled:
            # Models also write the opening tag twice.
            while (yield from source.accept(tags.open)):
                pass
            yield from source.accept(tags.label)
        if not tags.prefilled:
            thinking.separate()
        close = Markers((tags.close,))
        blocks = () if self._style.unmarked else self._style.blocks
        markers = Markers((tags.close, *self._style.thinking_ends, *blocks))
        while True:
            found = markers.find(source.buffer, source.position)
            if found is None:
                end = len(source.buffer) if source.ended else markers.certain_end(source.buffer, source.position)
                thinking.write(source.buffer[source.position : end])
                source.position = end
                if source.ended:
                    return
                yield
                continue
            thinking.write(source.buffer[source.position : found[0]])
            source.position = found[0]
            if found[1] == tags.close:
                self._skip(tags.close)
                return
            if found[1] in self._style.thinking_ends:
                return
            if (yield from self._read_call_in_thinking(close, found[1])):
                return

    def _read_call_in_thinking(self, close: Markers, marker: str) -> Wait[bool]:
        """Decide about a marker inside reasoning; return whether the reasoning is over.

        If the closing tag still comes, the call was only thought about. If it does not, the call ended the reasoning.
        """
        source = self._source
        start = source.checkpoint()
        while not self._unclosed:
            found = close.find(source.buffer, source.position)
            if found is not None:
                source.position = found[0]
                self._calls.thinking.write(source.since(start))
                source.release()
                self._skip(found[1])
                return True
            source.position = close.certain_end(source.buffer, source.position)
            if source.ended:
                self._unclosed = True
            else:
                yield
        source.rewind()
        return (yield from self._read_block(marker, self._style.blocks[marker], self._calls.thinking))

    def _read_undecided(self) -> Wait[None]:
        """Hold text back until a tag or the end says whether it is reasoning."""
        source = self._source
        ends = (*self._closes, *self._style.thinking_ends)
        markers = Markers((*(tags.open for tags in self._style.thinking if not tags.prose), *ends))
        start = source.checkpoint()
        while (found := markers.find(source.buffer, source.position)) is None:
            source.position = markers.certain_end(source.buffer, source.position)
            if source.ended:
                break
            yield
        else:
            source.position = found[0]
            if found[1] in ends:
                self._thought = True
                self._calls.thinking.write(source.since(start))
                source.release()
                if found[1] in self._closes:
                    self._skip(found[1])
                return
        self._unsure = False
        source.rewind()


def _opened(thinking: tuple[ThinkingTags, ...], prompt: str, declared: bool | None) -> ThinkingTags | None:
    """Return the tags of the reasoning that the prompt ends in."""
    if declared is False or not thinking:
        return None
    for tags in thinking:
        place = prompt.rfind(tags.open)
        if tags.prose or place < 0 or prompt.rfind(tags.close) > place:
            continue
        if tags.prefilled and not prompt[place + len(tags.open) :].strip():
            continue
        if TURN_TOKEN.search(prompt, place + len(tags.open)) is None:
            return tags
    return thinking[0] if declared else None
