"""A model's own chat template as a prompt format: from its folder, a file, a dict, or the Hugging Face Hub.

    fmt = load_format("Qwen/Qwen3-8B")
    fmt.render([{"role": "user", "content": "Hello"}])

The template is foreign code, so it runs in Jinja's sandbox with limits on time and size, and foreign text in the
messages is guarded as in every other format. Needs the extra `huggingface`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sagewire._extras import require
from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.prompt_formats.base import PromptFormat
from sagewire.prompt_formats.chat_template.files import TemplateFiles, read_files
from sagewire.prompt_formats.chat_template.messages import MessageWriter, plain, tool_dicts
from sagewire.prompt_formats.chat_template.parser_choice import PARSER_SIGNS, ParserChoice, choose_parser
from sagewire.prompt_formats.chat_template.probe import TemplateProbe
from sagewire.prompt_formats.chat_template.speakers import SpeakerCheck
from sagewire.prompt_formats.engine.guard import Policy, make_guard
from sagewire.prompt_formats.output_parsers import OUTPUT_PARSERS, get_output_parser
from sagewire.prompt_formats.output_parsers.engine.endings import END_TOKENS
from sagewire.streaming.base import Decoder
from sagewire.types import Delta, Message, Tool

if TYPE_CHECKING:
    from sagewire.prompt_formats.chat_template.budget import TemplateLimits

__all__ = ["PARSER_SIGNS", "HubFormat", "load_format"]

# Strings of the template itself that nobody else may write: tags, and the words that stand before a turn.
TOKENS_IN_TEMPLATE = re.compile(r"(?<!\w)<\|?/?[A-Za-z_][\w./:-]{0,40}\|?>|\[/?[A-Z_]{2,40}\]|\[\|\w{2,40}\|\]")
WORDS_IN_TEMPLATE = re.compile(
    r"#{2,3} ?[A-Z][A-Za-z ]{1,30}:|\b(?:GPT4 Correct )?"
    r"(?:USER|HUMAN|ASSISTANT|SYSTEM|User|Human|Assistant|System|Bot|Question|Answer|Instruct|Output|Response):"
)
# Families whose answers have several messages: a sign of them, and what ends a message but not the answer.
MESSAGE_ENDS = (
    ("<atem:", ("<|eom|>",)),
    ("<|tool_call:begin|>", ("<|end|>",)),
    ("<|role_sep|>", ("<|message_sep|>",)),
)
# Characters of a prompt of a few words; the longest of published models have 20,000.
MAX_PROBE = 1024 * 1024
# Tags around the thoughts in a text.
THOUGHTS = (
    ("<think>", "</think>"), ("<thought>", "</thought>"), ("<|channel>", "<channel|>"), ("[THINK]", "[/THINK]"),
    ("<mm:think>", "</mm:think>"), ("<seed:think>", "</seed:think>"), ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
)  # fmt: skip
UNFINISHED = "SAGEWIRE_CONTINUES_HERE "


class HubFormat(PromptFormat):
    """A chat template as a prompt format; made by `load_format`.

    Attributes:
        name: Where the template came from.
        stops: The tokens that end an answer, as far as the model's files tell.
        special_tokens: The control strings that are guarded, besides those of all families.
    """

    def __init__(
        self,
        files: TemplateFiles,
        template_name: str | None,
        policy: Policy,
        strict: bool,
        limits: TemplateLimits,
        output_parser: str | None,
    ) -> None:
        self._files = files
        self._template_name = template_name
        self._strict = strict
        self._limits = limits
        self._compiled: dict[str, Any] = {}
        self._refused: dict[str, str] = {}
        for source in (self._choose(tools=False), *files.templates.values()):
            if len(source) > limits.template:
                raise UsageError(f"The chat template of {files.name!r} is longer than {limits.template} characters.")
        everything = "\n".join(files.templates.values())
        self.name = files.name
        if output_parser is not None and output_parser not in OUTPUT_PARSERS:
            get_output_parser(output_parser)  # says what there is
        self._parser = None if output_parser is None else ParserChoice(output_parser, True)
        self._probes: dict[str, TemplateProbe] = {}
        self.special_tokens = tuple(dict.fromkeys((*files.special_tokens, *TOKENS_IN_TEMPLATE.findall(everything))))
        self.stops = _stops(files, everything)
        bos = files.tokens.get("bos_token")
        if files.adds_bos is not None:
            self.tokenizer_bos = (bos,) if files.adds_bos and bos else ()
        words = tuple(dict.fromkeys(WORDS_IN_TEMPLATE.findall(everything)))
        tokens = (*self.special_tokens, *files.marks, *self.stops)
        self._speakers = SpeakerCheck(tokens, make_guard(tokens, words, policy), policy)

    def render(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        tools: Sequence[Tool | Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        now: datetime | None = None,
        date_string: str | None = None,
        **template_kwargs: Any,
    ) -> str:
        """Return the prompt text of a conversation.

        Args:
            messages: sagewire messages or OpenAI-shaped dicts.
            tools: sagewire tools or OpenAI-shaped dicts.
            add_generation_prompt: End with the opening of the assistant's turn.
            continue_final_message: The last message is an answer to be continued: end right after its text.
            now: The time the template sees.
            date_string: The date as text, for templates that take it as a variable.
            **template_kwargs: Further variables of the template, for example `enable_thinking` or `documents`.

        Raises:
            UsageError: The template refuses the conversation (its own words), or does not work.
            UnsupportedFeature: The template has no place for something that was given, or tools were given and no
                output parser is known for the way its model writes calls.
        """
        if isinstance(messages, str | Mapping | Message):
            raise UsageError("render takes a list of messages; for a single text use render_completion.")
        source = self._choose(tools=bool(tools))
        if tools:
            self._check_tools(source)
        probe = self._probe(source)

        def write(guard: Callable[[str], str]) -> tuple[str, list[dict[str, Any]]]:
            writer = MessageWriter(source, probe.shape, guard)
            written = [writer.message(message) for message in messages]
            if continue_final_message:
                _mark_end(messages, written)
            variables = {
                **self._files.tokens,
                **({"date_string": guard(date_string)} if date_string is not None else {}),
                **plain(template_kwargs, guard, "template_kwargs"),
                "messages": written,
                "tools": tool_dicts(tools, guard) if tools else None,
                "documents": plain(template_kwargs.get("documents"), guard, "documents"),
                "add_generation_prompt": add_generation_prompt and not continue_final_message,
            }
            prompt = self._run(source, variables, now)
            return _cut_at_mark(prompt) if continue_final_message else prompt, written

        prompt, written = self._speakers.render(write)
        if self._strict:
            self._check_nothing_lost(written, prompt)
        return prompt

    def render_completion(self, prompt: str, system_prompt: str | None = None) -> str:
        """Return the prompt text of a single instruction, with the opening of the answer."""
        messages = [] if system_prompt is None else [Message("system", system_prompt)]
        return self.render([*messages, Message("user", prompt)])

    @cached_property
    def output_parser(self) -> str:  # type: ignore[override]  # found out when it is needed, and then kept
        """The key of `OUTPUT_PARSERS` that reads the answers."""
        return self._parser_choice().name

    def make_parser(self, tools: Sequence[Tool] | None = None, *, prompt: str = "") -> Decoder[str, Delta]:
        """Return a fresh decoder from raw model text to text, thinking and tool-call deltas."""
        return get_output_parser(self.output_parser, tools, stops=self.stops, prompt=prompt)

    def _choose(self, *, tools: bool) -> str:
        """Return the source of the template to use."""
        templates = self._files.templates
        name = self._template_name
        if name is None:
            name = "tool_use" if tools and "tool_use" in templates else "default"
            if name not in templates and len(templates) == 1:
                name = next(iter(templates))
        if name not in templates:
            known = ", ".join(sorted(templates))
            raise UsageError(f"{self._files.name!r} has no chat template named {name!r}. Known names: {known}.")
        return templates[name]

    def _parser_choice(self) -> ParserChoice:
        if self._parser is None:
            everything = "\n".join(self._files.templates.values())
            self._parser = choose_parser(everything, self._probe(self._choose(tools=True)), self.stops)
        return self._parser

    def _check_tools(self, source: str) -> None:
        """Refuse tools that the model would not be told of, or whose calls would come back as text."""
        where = f"the chat template of {self.name!r}"
        if re.search(r"\btools\b", source) is None:
            raise UnsupportedFeature("tools", where, "It never mentions them.")
        if not self._parser_choice().reads_calls:
            cure = "No output parser is known for the way its model writes calls. Name one with output_parser='...'."
            raise UnsupportedFeature("tools", where, cure)

    def _probe(self, source: str) -> TemplateProbe:
        probe = self._probes.get(source)
        if probe is None:

            def render(messages: Sequence[dict[str, Any]], tools: list[dict[str, Any]] | None, opened: bool) -> str:
                given = {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": opened}
                now = datetime(2025, 1, 15, 12)
                return self._run(source, {**self._files.tokens, **given}, now, probing=True)

            probe = self._probes[source] = TemplateProbe(render)
        return probe

    def _run(self, source: str, variables: dict[str, Any], now: datetime | None, *, probing: bool = False) -> str:
        from sagewire.prompt_formats.chat_template.budget import TemplateLimit
        from sagewire.prompt_formats.chat_template.sandbox import compile_template, render_template

        refused = self._refused.get(source)
        if refused is not None:
            raise UsageError(refused)
        try:
            template = self._compiled.get(source)
            if template is None:
                template = self._compiled[source] = compile_template(source, self._limits)
            limits = replace(self._limits, value=min(self._limits.value, MAX_PROBE)) if probing else self._limits
            return render_template(template, variables, limits, now)
        except Exception as error:
            words = self._explained(error)
            if probing and isinstance(error, TemplateLimit):
                # What is too much for two words is not tried again, in a dozen ways, for the limit's time each.
                self._refused[source] = words
        # Here and not above, because an error keeps all that was alive where it was raised.
        raise UsageError(words)

    def _explained(self, error: Exception) -> str:
        """Return why a template failed; it is a foreign program, which may raise anything."""
        import jinja2

        if isinstance(error, jinja2.UndefinedError):
            return f"The chat template of {self.name!r} needs something that is not there: {error}."
        if isinstance(error, jinja2.TemplateSyntaxError):
            return f"The chat template of {self.name!r} is not valid: {error.message}."
        if isinstance(error, jinja2.TemplateError):
            # The template's own words, which its publisher's documentation explains.
            return str(error)
        return f"The chat template of {self.name!r} does not work with this: {type(error).__name__}: {error}."

    def _check_nothing_lost(self, written: Sequence[Mapping[str, Any]], prompt: str) -> None:
        where, cure = f"the chat template of {self.name!r}", "strict=False follows the template, which leaves it out."
        for message in written:
            for call in message.get("tool_calls") or ():
                if not _is_in(call["function"]["name"], prompt):
                    raise UnsupportedFeature("tool calls in the conversation", where, cure)
            content = message.get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            for part in parts:
                text = part.get("text")
                if isinstance(text, str) and message["role"] == "assistant":
                    text = _without_thoughts(text.partition(UNFINISHED.strip())[0])
                if isinstance(text, str) and not _is_in(text.strip(), prompt):
                    raise UnsupportedFeature(f"a message of role {message['role']!r} at this place", where, cure)


def load_format(
    source: str | Path | Mapping[str, Any],
    *,
    template_name: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    special_tokens: Policy = "neutralise",
    strict: bool = True,
    limits: Mapping[str, float] | None = None,
    output_parser: str | None = None,
    s3_client: Any = None,
) -> HubFormat:
    """Load a model's own chat template.

    Args:
        source: A model's folder; a `tokenizer_config.json`, `chat_template.json` or `.jinja` file; the content of
            such a JSON file as a dict; a folder on S3 (`s3://bucket/folder`); or an id on the Hugging Face Hub, with a
            revision as in `me/model@v2` or without.
        template_name: Which of several templates; by default `tool_use` if there is one and tools are given, and
            `default` otherwise.
        revision: A branch, tag or commit on the Hub; goes before that of the id.
        token: A Hub token; `None`: the one huggingface_hub knows, `False`: none.
        local_files_only: Use what huggingface_hub has cached and do not ask the Hub. Its environment variables, such
            as `HF_HUB_OFFLINE` and `HF_HOME`, count as well.
        special_tokens: What happens to control strings in foreign text: `neutralise`, `allow` or `error`.
        strict: Refuse messages whose text the template leaves out.
        limits: The most that the template may cost: `template` and `value` in characters, `work` in bytes and steps,
            `seconds`; see `TemplateLimits`.
        output_parser: How the model writes calls and thinking; by default what reads back the calls that the template
            writes into the history.
        s3_client: A boto3 client for S3, with whose credentials a folder there is read; by default those that boto3
            finds.

    Raises:
        UsageError: There is no such model or file, it has no chat template, or the template is not valid.
        AccessDenied: The folder on S3 may not be read.
        MissingExtra: Jinja2, or for ids on the Hub huggingface_hub, is not installed.

    Example:
        >>> fmt = load_format({"chat_template": "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"})
        >>> fmt.render([{"role": "user", "content": "Hello"}])
        '[user] Hello'
    """
    jinja2 = require("jinja2", "huggingface")
    if tuple(map(int, re.findall(r"\d+", jinja2.__version__)[:3])) < (3, 1, 6):
        raise UsageError(f"Jinja2 {jinja2.__version__} has a leaky sandbox: pip install 'jinja2>=3.1.6'.")
    from sagewire.prompt_formats.chat_template.budget import TemplateLimits

    try:
        limits_value = replace(TemplateLimits(), **cast(Any, limits or {}))
    except TypeError:
        raise UsageError(f"limits are template, value, work and seconds, not {', '.join(limits or ())}.") from None
    files = read_files(source, template_name, revision, token, local_files_only, s3_client)
    return HubFormat(files, template_name, special_tokens, strict, limits_value, output_parser)


def _stops(files: TemplateFiles, template: str) -> tuple[str, ...]:
    if "<|channel|>" in template:
        # In harmony `<|end|>` only ends a message, and the answer goes on.
        return tuple(dict.fromkeys((*files.stops, "<|return|>", "<|call|>")))
    goes_on = next((tokens for sign, tokens in MESSAGE_ENDS if sign in template), ())
    ends = (token for token in END_TOKENS if token in template and token not in goes_on)
    return tuple(dict.fromkeys((*files.stops, *ends)))


def _mark_end(messages: Sequence[Message | Mapping[str, Any]], written: list[dict[str, Any]]) -> None:
    if not written or written[-1]["role"] != "assistant":
        raise UsageError("continue_final_message needs a conversation that ends with an assistant message.")
    last = messages[-1]
    if isinstance(last, Mapping) and last.get("content") is None:
        raise UsageError("continue_final_message needs a last message with text.")
    content = written[-1].get("content")
    if isinstance(content, str):
        written[-1]["content"] = content + UNFINISHED
    elif isinstance(content, list) and content:
        content[-1]["text"] += UNFINISHED
    else:
        raise UsageError("continue_final_message needs a last message with text.")


def _cut_at_mark(prompt: str) -> str:
    place = prompt.rfind(UNFINISHED.strip())
    if place < 0:
        raise UsageError("The last message cannot be continued: the chat template does not write its text.")
    # The blank behind the mark is gone if the template trims, and then the text's own blanks go as well.
    return prompt[:place] if prompt.startswith(UNFINISHED, place) else prompt[:place].rstrip()


def _without_thoughts(text: str) -> str:
    """Return an answer without its thoughts, which templates may leave out."""
    for opening, closing in THOUGHTS:
        text = text[text.rfind(closing) + len(closing) :] if closing in text else text
        text = text.partition(opening)[0]
    return text


def _is_in(text: str, prompt: str) -> bool:
    if text in prompt:
        return True
    import json

    return json.dumps(text, ensure_ascii=False)[1:-1] in prompt or json.dumps(text)[1:-1] in prompt
