"""The command-line application object, its consoles, and what all commands share: errors and standard input."""

from __future__ import annotations

import difflib
import functools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
import typer.core
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sagewire import __version__
from sagewire.cli._options import AccountOptions, is_url, spread
from sagewire.errors import EndpointNotFound, MissingExtra, SagewireError, UnsupportedFeature, UsageError

__all__ = ["app", "console", "errors", "friendly"]

# Rich honours NO_COLOR and leaves colours out if the output is not a terminal.
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

# Commands that people look for, and those that do it.
_COMMANDS_MEANT = {
    **dict.fromkeys(("describe", "info", "show", "profile"), "inspect"),
    **dict.fromkeys(("check", "status", "test", "diagnose"), "doctor"),
    **dict.fromkeys(("complete", "generate", "invoke", "predict", "query"), "ask"),
    **dict.fromkeys(("serve", "proxy", "server"), "gateway"),
    **dict.fromkeys(("batch", "run"), "bulk run"),
    **dict.fromkeys(("embeddings", "encode"), "embed"),
    **dict.fromkeys(("templates", "models"), "formats"),
    "key": "keys",
    "mock": "emulator",
}


class _Commands(typer.core.TyperGroup):
    """The commands; one of another library's name is answered with ours."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is meant."""
        meant = _COMMANDS_MEANT.get(args[0]) if args and args[0] not in self.commands else None
        if meant is not None:
            ctx.fail(f"No such command {args[0]!r}. Did you mean '{meant}'?")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # Of a bug's traceback: variables may hold credentials.
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Name a SageMaker or Hugging Face endpoint, and it is a first-class model.",
)

# The library's messages name arguments as Python code would give them.
_OPTIONS = {
    "region_name": "--region",
    "profile_name": "--profile",
    "session": "--role-arn",
    "role_arn": "--role-arn",
    "handler": "--handler",
    "format": "--format",
    "inference_component_name": "--component",
}
_SHOWN_NAMES = 10
_ARGUMENT = re.compile(rf"\b({'|'.join(_OPTIONS)})=(?!\w)(?=(['\"])?)")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        console.print(f"sagewire {__version__}")
        raise typer.Exit


def friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Spread the options of a command, and turn sagewire's errors into one line and an exit code.

    The code is 2 for the caller's mistakes, 130 after Ctrl-C, 1 for everything else.
    """
    spread_command = spread(command)

    @functools.wraps(spread_command)
    def run(**arguments: Any) -> None:
        try:
            spread_command(**arguments)
        except (UsageError, UnsupportedFeature, MissingExtra) as error:
            complain(error)
            raise typer.Exit(2) from None
        except SagewireError as error:
            complain(error, close_names(error, arguments))
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            errors.print("interrupted")
            raise typer.Exit(130) from None

    return run


def complain(error: Exception, hint: str = "") -> None:
    """Print an error in one line, on standard error."""
    errors.print(f"[bold red]sagewire:[/] {escape(in_options(error))}{escape(hint)}", soft_wrap=True)


def in_options(error: Exception) -> str:
    """Return an error's message, with the options of the command line instead of Python's arguments."""
    return _ARGUMENT.sub(lambda found: _OPTIONS[found[1]] + (" " if found[2] else ""), str(error))


def close_names(error: Exception, arguments: Mapping[str, Any]) -> str:
    """Return a hint if an endpoint does not exist: the names nearest to it, else those that there are."""
    endpoint = arguments.get("endpoint")
    if not isinstance(error, EndpointNotFound) or not isinstance(endpoint, str) or is_url(endpoint):
        return ""
    account = AccountOptions(**{name: arguments.get(name) for name in ("region", "profile", "role_arn")})
    try:
        client = account.session().client("sagemaker", region_name=account.region)
        pages = client.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 100, "MaxItems": 1000})
        names = [found["EndpointName"] for page in pages for found in page["Endpoints"]]
    except Exception:
        # Listing may be forbidden, and a hint must not hide the error.
        return ""
    close = difflib.get_close_matches(endpoint, names)
    if close:
        return f" Did you mean {' or '.join(close)}?"
    if not names:
        return " There are no endpoints in this region and account: check --region, --profile and --role-arn."
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f" Endpoints in this region and account: {', '.join(names[:_SHOWN_NAMES])}{more}."


def show_table(table: Table) -> None:
    """Print a table; in a pipe each row is one line, however long, which is what grep and cut want."""
    wide = console if console.is_terminal else Console(highlight=False, width=100_000)
    wide.print(table)


def text_of(words: Sequence[str] | None) -> str:
    """Return the words of an argument, standard input for a `-` or for no words at all.

    Raises:
        UsageError: There is nothing to read, or no text in it.
    """
    text = "\n\n".join(read_input() if word == "-" else word for word in words or ["-"])
    if not text.strip():
        raise UsageError("the text is empty; give it as an argument or pipe it in")
    return text


def read_input() -> str:
    """Return standard input, without the line break at its end.

    Raises:
        UsageError: It is a terminal, or not text.
    """
    if sys.stdin.isatty():
        raise UsageError("no text: give it as an argument or pipe it in")
    try:
        return sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not text in {error.encoding}: {error.reason}") from None
