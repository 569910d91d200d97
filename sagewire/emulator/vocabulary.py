"""The special tokens of model families: servers leave them out of answers, and put the first one before prompts.

The tokens are those that `tokenizer_config.json` of the family's models marks as special; `<tool_call>` and `<think>`
of Qwen, for instance, are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sagewire.emulator import tokens

__all__ = ["NO_SPECIAL_TOKENS", "Vocabulary", "vocabulary_of"]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The special tokens of one tokenizer.

    Args:
        bos: The token that servers put before the text of a prompt; empty if the tokenizer adds none.
        special: Matches a special token; `None` if there are none.
    """

    bos: str = ""
    special: re.Pattern[str] | None = None

    def pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        """Cut a text into tokens, each with whether it is a special one.

        Example:
            >>> list(vocabulary_of("meta-llama/Llama-3.1-8B-Instruct").pieces("Hi<|eot_id|>"))
            [('Hi', False), ('<|eot_id|>', True)]
        """
        position = 0
        numbered = isinstance(text, tokens.TokenPrompt)
        for match in self.special.finditer(text) if self.special is not None and not numbered else ():
            yield from ((piece, False) for piece in tokens.pieces(text[position : match.start()]))
            yield match[0], True
            position = match.end()
        yield from ((piece, False) for piece in tokens.pieces(text if numbered else text[position:]))

    def count_prompt(self, text: str) -> int:
        """Return how many tokens a server counts for a prompt: with the one it adds to text, even if it is there.

        Example:
            >>> mistral = vocabulary_of("mistralai/Mistral-7B-Instruct-v0.3")
            >>> mistral.count_prompt("Hello"), mistral.count_prompt("<s>Hello")
            (2, 3)
        """
        added = bool(self.bos) and not isinstance(text, tokens.TokenPrompt)
        return sum(1 for _ in self.pieces(text)) + added


NO_SPECIAL_TOKENS = Vocabulary()

_MISTRAL = (
    r"</?s>|<unk>|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT|THINK)\]|\[(?:TOOL_CALLS|ARGS|CALL_ID)\]"
)
# The first whose pattern a model's id contains counts.
_FAMILIES = [
    (re.compile(name), Vocabulary(bos, re.compile(special)))
    for name, bos, special in (
        ("deepseek", "<｜begin▁of▁sentence｜>", r"<｜(?:begin|end)▁of▁sentence｜>"),
        ("gpt-oss", "", r"<\|(?:start|end|message|channel|constrain|call|return|endoftext|startoftext)\|>"),
        (
            r"llama-?[34]",
            "<|begin_of_text|>",
            r"<\|(?:(?:begin|end)_of_text|(?:start|end)_header_id|header_(?:start|end)|eo[tm]_id|eo[tm]|python_tag)\|>",
        ),
        (r"mistral-7b.*v0\.3|mistral-(?:nemo|small|large)|(?:mini|dev|magi|code)stral|8x22b", "<s>", _MISTRAL),
        ("mistral|mixtral|llama-?2|codellama|vicuna|zephyr|tinyllama", "<s>", r"</?s>|<unk>"),
        ("gemma", "<bos>", r"<(?:bos|eos|pad|start_of_turn|end_of_turn)>"),
        (r"qwen|qwq", "", r"<\|(?:im_start|im_end|endoftext|vision_(?:start|end)|image_pad)\|>"),
        ("granite", "", r"<\|(?:start_of_role|end_of_role|end_of_text|tool_call)\|>"),
        (r"command-r|command-a|aya-", "<BOS_TOKEN>", r"<BOS_TOKEN>|<\|[A-Z_]+\|>"),
        (r"phi-?[34]", "", r"<\|(?:system|user|assistant|end|endoftext|im_start|im_sep|im_end)\|>"),
    )
]


def vocabulary_of(model_id: str) -> Vocabulary:
    """Return the special tokens of a model's tokenizer, by its hub id; none for an unknown family."""
    lower = model_id.lower()
    return next((found for name, found in _FAMILIES if name.search(lower)), NO_SPECIAL_TOKENS)
