"""`sagewire ask` and `sagewire chat`: talking to an endpoint from the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
import typer
from rich.text import Text

from sagewire.cli._app import complain, console, errors, friendly, text_of
from sagewire.cli._options import AsJson, Endpoint, ModelOptions, Options
from sagewire.client import Client
from sagewire.errors import SagewireError
from sagewire.types import Message, Reply, TextDelta, ThinkingDelta

_COMMANDS = """/help          this list
/history       show the conversation so far
/system TEXT   replace the system text and start over
/clear         start over
/quit          leave (also Ctrl-D); Ctrl-C stops an answer"""


@dataclass(frozen=True, kw_only=True)
class Sampling(Options):
    """The generation settings of a chat."""

    system: Annotated[str | None, typer.Option("--system", help="System text.")] = None
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Maximum tokens to generate.")] = 512
    temperature: Annotated[float | None, typer.Option("--temperature", help="Sampling temperature; 0 is greedy.")] = (
        None
    )

    def generation(self) -> dict[str, Any]:
        """Return the options of `Client.chat`."""
        return {"max_tokens": self.max_tokens, "temperature": self.temperature}


@friendly
def ask(
    endpoint: Endpoint,
    question: Annotated[
        list[str] | None,
        typer.Argument(help="The question. Use - (or nothing) to read standard input."),
    ] = None,
    *,
    sampling: Sampling,
    options: ModelOptions,
    as_json: AsJson = False,
) -> None:
    """Ask one question and stream the answer.

    Example: sagewire ask my-endpoint "Summarise:" - < report.txt
    """
    messages = [*_opening(sampling.system), Message("user", text_of(question))]
    with Client(**options.client_arguments(endpoint)) as client:
        if as_json:
            reply = client.chat(messages, **sampling.generation())
            console.out(orjson.dumps(_as_dict(reply)).decode(), highlight=False)
            return
        _stream(client, messages, sampling)


@friendly
def chat(endpoint: Endpoint, *, sampling: Sampling, options: ModelOptions) -> None:
    """Chat in the terminal; /help lists the commands.

    Example: sagewire chat my-endpoint --system "Answer briefly."
    """
    with Client(**options.client_arguments(endpoint)) as client:
        conversation = _Conversation(client, sampling, _opening(sampling.system))
        if sys.stdin.isatty():
            console.print(f"{_model_of(client, endpoint)}; /help lists the commands", markup=False, style="dim")
        for line in _lines():
            if line in {"/quit", "/exit"}:
                break
            if line.startswith("/"):
                conversation.obey(line)
            elif line:
                conversation.say(line)
    # Someone at the keyboard has seen what failed; a script sees only this.
    if conversation.failed and not sys.stdin.isatty():
        raise typer.Exit(1)


def _model_of(client: Client, endpoint: str) -> str:
    """Return the endpoint and, as far as it can be found out, its model."""
    try:
        model = client.profile().model_id
    except SagewireError:
        # The first question will say what is wrong.
        model = None
    return f"{endpoint} ({model})" if model else endpoint


def _lines() -> Iterator[str]:
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.strip()
        return
    with contextlib.suppress(ImportError):
        # Gives `input` the arrow keys and a history, if Python was built with it.
        import readline  # noqa: F401
    plain = console.no_color or not console.is_terminal
    # The marks tell readline which characters take no room.
    prompt = "you> " if plain else "\001\033[1m\002you>\001\033[0m\002 "
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            yield input(prompt).strip()
    console.print()


@dataclass
class _Conversation:
    client: Client
    sampling: Sampling
    messages: list[Message] = field(default_factory=list)
    failed: bool = False

    def obey(self, line: str) -> None:
        """Do what a line that begins with a slash says."""
        command, _, rest = line.partition(" ")
        opening = self.messages[:1] if self.messages and self.messages[0].role == "system" else []
        if command == "/help":
            console.print(_COMMANDS, markup=False)
        elif command == "/history":
            for message in self.messages:
                console.print(Text.assemble((f"{message.role}> ", "bold"), message.text), soft_wrap=True)
        elif command == "/clear":
            self.messages = opening
        elif command == "/system":
            self.messages = _opening(rest.strip() or None)
        else:
            console.print(f"no command {command}; /help lists them", markup=False)

    def say(self, line: str) -> None:
        """Say something and show the answer; a turn that fails or is stopped is taken back."""
        asked = [*self.messages, Message("user", line)]
        try:
            reply = _stream(self.client, asked, self.sampling)
        except SagewireError as error:
            complain(error)
            self.failed = True
        except KeyboardInterrupt:
            console.print()
            errors.print("stopped, and taken back")
        else:
            self.messages = [*asked, reply.message]
            self.failed = False


def _stream(client: Client, messages: list[Message], sampling: Sampling) -> Reply:
    thinking = False
    with client.stream(messages, **sampling.generation()) as stream:
        for delta in stream:
            if isinstance(delta, ThinkingDelta) and console.is_terminal:
                console.print(Text(delta.text, style="dim"), end="", soft_wrap=True)
                thinking = True
            elif isinstance(delta, TextDelta) and delta.text:
                console.out("\n" if thinking else "", delta.text, sep="", end="", highlight=False)
                thinking = False
        console.out("")
        reply = stream.reply
    if reply.finish_reason == "length":
        errors.print(f"(cut off after {sampling.max_tokens} tokens; --max-tokens allows more)", style="dim")
    return reply


def _opening(system: str | None) -> list[Message]:
    return [Message("system", system)] if system else []


def _as_dict(reply: Reply) -> dict[str, object]:
    usage = reply.usage
    return {
        "text": reply.text,
        "thinking": reply.thinking,
        "finish_reason": reply.finish_reason,
        "model": reply.model,
        "usage": None
        if usage is None
        else {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens},
        "request_id": reply.info.request_id,
    }
