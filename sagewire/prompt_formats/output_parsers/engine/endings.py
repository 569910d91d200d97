"""What models leave at the very end of an answer: stop strings, end-of-turn tokens, blanks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sagewire.prompt_formats.output_parsers.engine.markers import Beginnings

__all__ = ["END_TOKENS", "EndTrimmer"]

# End-of-turn tokens that servers leave in the text when they do not skip special tokens (TGI's `generated_text` does
# with some tokenizers, LMI with `skip_special_tokens=false`). They are removed at the very end only: a model that
# explains `</s>` in the middle of its answer keeps it.
END_TOKENS = (
    "</s>", "<eos>", "<end_of_turn>", "<EOS_TOKEN>",
    "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|eom|>", "<|end|>",
    "<|return|>", "<|call|>", "<|calls|>", "<|message_sep|>", "<|role_end|>", "<|end_of_msg|>", "<turn|>",
    "<|tool_response>", "<|observation|>", "[e~[", "<seed:eos>", "<|END_OF_TURN_TOKEN|>",
    "<|end_of_turn|>", "<｜end▁of▁sentence｜>", "[|endofturn|]",
)  # fmt: skip


@lru_cache(maxsize=256)
def _compile(stops: tuple[str, ...]) -> tuple[tuple[str, ...], Beginnings]:
    tokens = {token for token in (*stops, *END_TOKENS) if token.strip()}
    ordered = tuple(sorted(sorted(tokens), key=len, reverse=True))
    return ordered, Beginnings(ordered)


class EndTrimmer:
    """Passes text on, without the blanks, stop strings and end-of-turn tokens at its very end.

    Args:
        stops: The stop strings in use.

    Attributes:
        ending: The stop strings and end-of-turn tokens with which the text ended; empty before `close`.

    Example:
        >>> trimmer = EndTrimmer(["Human:"])
        >>> trimmer.feed("Yes. Hum"), trimmer.feed("an:</s>"), trimmer.close()
        ('Yes.', '', '')
    """

    __slots__ = ("_begun", "_held", "_run", "_tokens", "ending")

    def __init__(self, stops: Iterable[str] = ()) -> None:
        self._tokens, self._begun = _compile(tuple(stops))
        self._run: list[str] = []  # blanks and tokens, which are dropped if nothing else follows
        self._held = ""  # the beginning of a token
        self.ending = ""

    def feed(self, text: str) -> str:
        """Take the next piece; return what is certainly not at the end."""
        text = self._held + text
        begun = self._begun.find(text, 0)
        kept, boundary = self._strip(text, len(text), begun)
        # The end may also become the end of a token, in more than one way: `</s>>` with the stop string `>>>`.
        start = begun
        while start < len(text):
            kept, boundary = min((kept, boundary), self._strip(text, start, begun))
            start = self._begun.find(text, start + 1)
        self._held = text[boundary:]
        if not kept:
            self._run.append(text[:boundary])
            return ""
        passed = "".join(self._run) + text[:kept]
        self._run = [text[kept:boundary]]
        return passed

    def close(self) -> str:
        """Return the rest."""
        rest = "".join(self._run) + self._held
        self._run, self._held = [], ""
        end = self._strip(rest, len(rest), len(rest))[0]
        self.ending = rest[end:].strip()
        return rest[:end]

    def _strip(self, text: str, end: int, certain: int) -> tuple[int, int]:
        """Return where `text[:end]` ends without blanks and tokens, and their last boundary up to `certain`."""
        boundary = end
        while end:
            if text.endswith(self._tokens, 0, end):
                end -= next(len(token) for token in self._tokens if text.endswith(token, 0, end))
            elif text[end - 1].isspace():
                end -= 1
            else:
                break
            if boundary > certain:
                boundary = end
        return end, min(boundary, certain)
