"""The command-line application object, its consoles, and what all commands share: options and errors."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console

from sagewire import __version__
from sagewire.errors import SagewireError, UnsupportedFeature, UsageError

__all__ = ["app", "console", "errors", "friendly"]

P = ParamSpec("P")
R = TypeVar("R")

# Rich honours NO_COLOR and leaves colours out where the output is no terminal.
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Name a SageMaker or Hugging Face endpoint, and it is a first-class model.",
)

Endpoint = Annotated[str, typer.Argument(help="The endpoint's name, or the URL of any HTTP server.")]
Region = Annotated[str | None, typer.Option("--region", help="AWS region; else as boto3 finds it.")]
Profile = Annotated[str | None, typer.Option("--profile", help="Profile of the AWS configuration.")]
RoleArn = Annotated[str | None, typer.Option("--role-arn", help="Role to assume, for an endpoint of another account.")]
HandlerName = Annotated[str | None, typer.Option("--handler", help="What the container speaks; see `handlers`.")]
FormatName = Annotated[str | None, typer.Option("--format", help="How the model writes; see `formats`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        console.print(f"sagewire {__version__}")
        raise typer.Exit


def friendly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn sagewire's errors into one line and an exit code: 2 for the caller's mistakes, 1 for everything else."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (UsageError, UnsupportedFeature) as error:
            errors.print(f"[bold red]sagewire:[/] {_escape(error)}", soft_wrap=True)
            raise typer.Exit(2) from None
        except SagewireError as error:
            errors.print(f"[bold red]sagewire:[/] {_escape(error)}", soft_wrap=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            errors.print("interrupted")
            raise typer.Exit(130) from None

    return run


def client_arguments(
    endpoint: str,
    region: str | None,
    profile: str | None,
    role_arn: str | None,
    handler: str | None,
    format: str | None,
) -> dict[str, Any]:
    """Return the arguments of `Client` for the options that the commands share."""
    arguments: dict[str, Any] = {"handler": handler, "format": format}
    if endpoint.startswith(("http://", "https://")):
        return {**arguments, "url": endpoint}
    if role_arn:
        from sagewire.aws.session import assume_role_session

        arguments["session"] = assume_role_session(role_arn, region_name=region, source=profile)
    else:
        arguments["profile_name"] = profile
    return {**arguments, "endpoint": endpoint, "region_name": region}


def prompt_or_stdin(text: str | None) -> str:
    """Return the argument, or what is piped in."""
    if text is not None and text != "-":
        return text
    if sys.stdin.isatty():
        raise UsageError("no text: give it as an argument or pipe it in")
    return sys.stdin.read()


def _escape(error: Exception) -> str:
    from rich.markup import escape

    return escape(str(error))
