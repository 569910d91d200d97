"""What happens to control strings in people's text: neutralised, refused, or left alone.

A user who writes `<|im_start|>system` must not speak as the system. In a neutralised text one space is put inside each
control string: after the first character of a token (`< |im_start|>`), before the colon of a role word (`User :`). A
visible ASCII space, and not an invisible character, because tokenizers normalise: SentencePiece's `nmt_nfkc` rules
delete or fold zero-width characters and would put the token together again, but no tokenizer joins text over a space.

Tokens of *all* families are neutralised in every format, since a fine-tune keeps the vocabulary of its base model: a
ChatML model made from Mistral still knows `[INST]`. Strings that are common in ordinary text (`>>>`) and role words
(`User:`) are neutralised only by the formats that are made of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from sagewire.errors import UsageError

__all__ = ["COMMON_TOKENS", "Policy", "guard_parts", "make_guard", "token_pattern"]

Policy: TypeAlias = Literal["neutralise", "allow", "error"]

# Control strings of the families in this package, by shape. `<|...|>` and DeepSeek's full-width form are open sets.
PIPED = (r"<\|[^\s<>|]{1,48}\|>", r"<｜[^\s<>｜]{1,48}｜>")
COMMON_TOKENS = (
    "<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>",
    "<|turn>", "<turn|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|tool>", "<tool|>",
    "<|channel>", "<channel|>", "<|think|>", '<|"|>',
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
    "<tool_calls>", "</tool_calls>", "<step>", "<sop>", "[gMASK]", "<BOS_TOKEN>", "<EOS_TOKEN>",
    "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[CALL_ID]", "[ARGS]",
    "<tool_sep>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "<function_calls>", "</function_calls>",
    "<functions>", "</functions>",
    "<start_function_call>", "<end_function_call>", "<start_function_response>", "<end_function_response>",
    "<start_function_declaration>", "<end_function_declaration>", "<escape>",
    "<TOOLCALL>", "</TOOLCALL>", "<AVAILABLE_TOOLS>", "</AVAILABLE_TOOLS>", "<TOOL_RESPONSE>", "</TOOL_RESPONSE>",
    "<longcat_tool_call>", "</longcat_tool_call>", "<dots_function_call>", "</dots_function_call>",
    "<iquest_tool_call>", "</iquest_tool_call>",
    # Beginnings: Hy3 ends its tags with a suffix of the checkpoint, the others begin them with a name of the family.
    "<think:", "</think:", "<tool_call:", "</tool_call:", "<tool_calls:", "</tool_calls:", "<tool_sep:", "<arg_key:",
    "</arg_key:", "<arg_value:", "</arg_value:", "<tool_response:", "</tool_response:", "<tool_responses:",
    "</tool_responses:", "<seed:", "</seed:", "<minimax:", "</minimax:", "<mm:", "</mm:", "<atem:", "</atem:",
    "<steptml:", "</steptml:", "<｜DSML｜", "</｜DSML｜", "<｜GCML｜", "</｜GCML｜", "<ifm|", "</ifm|", "<SPECIAL_",
    "]~!b[", "]~b]", "[e~[", "]!p~[", "]!d~[", "]<]minimax[>[", "[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]",
    "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]",
    "[THINK]", "[/THINK]", "[BOS]", "[|system|]", "[|user|]", "[|assistant|]", "[|tool|]", "[|endofturn|]",
)  # fmt: skip


def guard_parts(texts: Sequence[str], guard: Callable[[str], str]) -> list[str]:
    """Guard the parts of one message, which a template may write without anything between, and without their blanks.

    Parts over which a control string is split become one, where it can be broken up.
    """
    guarded = [guard(text) for text in texts]
    for joined in ("".join(guarded), "".join(text.strip() for text in guarded)):
        if guard(joined) != joined:
            return [guard(joined)]
    return guarded


def _identity(text: str) -> str:
    return text


@lru_cache(maxsize=512)
def make_guard(tokens: tuple[str, ...], words: tuple[str, ...], policy: str) -> Callable[[str], str]:
    """Return the function every foreign text goes through before it is written into a prompt.

    Args:
        tokens: The format's own control strings; those of the other families are added.
        words: The format's role words, for example `USER:`; with a leading newline they count only at the start of a
            line.
        policy: `neutralise`, `error` (raise `UsageError`) or `allow`.
    """
    if policy == "allow":
        return _identity
    if policy not in ("neutralise", "error"):
        raise UsageError(f"special_tokens is 'neutralise', 'allow' or 'error', not {policy!r}.")
    starts = re.compile(_starts(tokens))
    word_pattern = re.compile(_words(words)) if words else None

    def neutralise(text: str) -> str:
        # Breaking a token after its first character also breaks the tokens that overlap it; a loop, because a token
        # may itself contain a space and so be formed by an inserted one.
        while starts.search(text) is not None:
            text = starts.sub(r"\g<0> ", text)
        if word_pattern is not None:
            text = word_pattern.sub(r"\g<0> ", text)
        return text

    def refuse(text: str) -> str:
        found = starts.search(text) or (word_pattern.search(text) if word_pattern is not None else None)
        if found is not None:
            near = text[max(0, found.start() - 10) : found.start() + 40]
            raise UsageError(
                f"A message contains a control string of a prompt format, near {near!r}. Remove it, or get the format "
                "with special_tokens='neutralise'."
            )
        return text

    return neutralise if policy == "neutralise" else refuse


@lru_cache(maxsize=512)
def token_pattern(tokens: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of whole control strings: the given ones and those of all families."""
    return re.compile("|".join(f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in _branches(tokens)))


def _starts(tokens: Iterable[str]) -> str:
    """Return a pattern for the first character of any of the tokens, followed by the rest of that token."""
    return "|".join(f"{re.escape(first)}(?={'|'.join(rest)})" for first, rest in _branches(tokens))


def _branches(tokens: Iterable[str]) -> Iterable[tuple[str, list[str]]]:
    """Return the first characters of control strings, and patterns of what may follow each."""
    rests: dict[str, dict[str, Any]] = {}
    for token in (*tokens, *COMMON_TOKENS):
        node = rests
        for character in token:
            node = node.setdefault(character, {})
        node[""] = {}
    branches = {first: [_trie(node)] for first, node in rests.items()}
    branches.setdefault("<", []).extend(shape.removeprefix("<") for shape in PIPED)
    return branches.items()


def _trie(node: dict[str, Any]) -> str:
    # A trie, so that a text full of "<" is not tried against a hundred tokens one after the other.
    if "" in node:
        return ""
    options = [re.escape(character) + _trie(child) for character, child in node.items()]
    return options[0] if len(options) == 1 else f"(?:{'|'.join(options)})"


def _words(words: Iterable[str]) -> str:
    # Longest first: "GPT4 Correct User:" before "User:".
    return "|".join(
        (r"(?m:^)[ \t]*" if word.startswith("\n") else "") + f"{re.escape(word.lstrip()[:-1])}(?={re.escape(word[-1])})"
        for word in sorted(words, key=len, reverse=True)
    )
