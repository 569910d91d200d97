"""`sagewire ask` and `sagewire chat`: talking to an endpoint from the terminal."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from sagewire.cli._app import (
    AsJson,
    Endpoint,
    FormatName,
    HandlerName,
    Profile,
    Region,
    RoleArn,
    client_arguments,
    console,
    errors,
    friendly,
    prompt_or_stdin,
)
from sagewire.client import Client
from sagewire.errors import SagewireError
from sagewire.types import Message, Reply

System = Annotated[str | None, typer.Option("--system", help="System text.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="The most tokens to generate.")]
Temperature = Annotated[float | None, typer.Option("--temperature", help="Sampling temperature; 0 is greedy.")]

_COMMANDS = """/help          this list
/system TEXT   replace the system text and start over
/clear         start over
/quit          leave (also Ctrl-D)"""


@friendly
def ask(
    endpoint: Endpoint,
    question: Annotated[str | None, typer.Argument(help="The question; `-` or nothing reads standard input.")] = None,
    system: System = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = None,
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    handler: HandlerName = None,
    format: FormatName = None,
    as_json: AsJson = False,
) -> None:
    """Ask one question and stream the answer."""
    messages = [*_opening(system), Message("user", prompt_or_stdin(question))]
    with Client(**client_arguments(endpoint, region, profile, role_arn, handler, format)) as client:
        if as_json:
            reply = client.chat(messages, max_tokens=max_tokens, temperature=temperature)
            console.out(orjson.dumps(_as_dict(reply)).decode())
            return
        _stream(client, messages, max_tokens, temperature)


@friendly
def chat(
    endpoint: Endpoint,
    system: System = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = None,
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    handler: HandlerName = None,
    format: FormatName = None,
) -> None:
    """Chat in the terminal; `/help` lists the commands."""
    messages = _opening(system)
    with Client(**client_arguments(endpoint, region, profile, role_arn, handler, format)) as client:
        while True:
            try:
                line = console.input("[bold]you>[/] ").strip()
            except (EOFError, KeyboardInterrupt):
                console.print()
                return
            command, _, rest = line.partition(" ")
            if command in {"/quit", "/exit"}:
                return
            if command == "/help":
                console.print(_COMMANDS, markup=False)
            elif command == "/clear":
                messages = _opening(system)
            elif command == "/system":
                system = rest or None
                messages = _opening(system)
            elif command.startswith("/"):
                console.print(f"no command {command}; /help lists them", markup=False)
            elif line:
                messages = _turn(client, [*messages, Message("user", line)], max_tokens, temperature)


def _turn(client: Client, messages: list[Message], max_tokens: int, temperature: float | None) -> list[Message]:
    try:
        reply = _stream(client, messages, max_tokens, temperature)
    except SagewireError as error:
        # A failed turn is taken back, so that the conversation can go on.
        errors.print(f"{error}", style="red", markup=False)
        return messages[:-1]
    except KeyboardInterrupt:
        console.print()
        return messages[:-1]
    return [*messages, Message("assistant", reply.text)]


def _stream(client: Client, messages: list[Message], max_tokens: int, temperature: float | None) -> Reply:
    with client.stream(messages, max_tokens=max_tokens, temperature=temperature) as stream:
        for text in stream.text:
            console.out(text, end="", highlight=False)
        console.out("")
        return stream.reply


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
        "request_id": reply.info.request_id if reply.info else None,
    }
