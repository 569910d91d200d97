"""Google's Gemma family."""

from __future__ import annotations

from collections.abc import Sequence

from sagewire.prompt_formats.engine.turns import ALTERNATE, Block, FoldedFormat, TurnFormat

__all__ = ["GEMMA", "GEMMA2", "GEMMA3"]

TOKENS = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
TURN = Block("<start_of_turn>{role}\n", "<end_of_turn>\n", trim=True)
MODEL = Block("<start_of_turn>model\n", "<end_of_turn>\n", trim=True)

GEMMA = TurnFormat(
    name="gemma",
    bos="<bos>",
    roles={"assistant": MODEL},
    other=TURN,
    system="never",
    system_error="System role not supported",
    alternate=ALTERNATE,
    generation="<start_of_turn>model\n",
    stops=("<end_of_turn>", "<eos>"),
    special_tokens=TOKENS,
)
GEMMA2 = TurnFormat(
    name="gemma2",
    bos="<bos>",
    roles={"assistant": MODEL},
    other=TURN,
    system="never",
    system_error="System role not supported",
    alternate=ALTERNATE,
    generation="<start_of_turn>model\n",
    stops=("<end_of_turn>", "<eos>"),
    special_tokens=TOKENS,
)


class Gemma3(FoldedFormat):
    """Gemma 3: a system text at the head of the first user turn, each text part trimmed by itself."""

    def join_parts(self, parts: Sequence[str]) -> str:
        """Return the text of a message that was given in parts."""
        return "".join(part.strip() for part in parts)


GEMMA3 = Gemma3(
    name="gemma3",
    bos="<bos>",
    lead=Block("", "\n\n"),
    roles={"assistant": MODEL},
    other=TURN,
    generation="<start_of_turn>model\n",
    stops=("<end_of_turn>", "<eos>"),
    special_tokens=(*TOKENS, "<start_of_image>"),
)
