"""Options that several commands take, in groups: a command takes a group as one argument."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import typer

from sagewire.errors import UsageError

__all__ = ["AccountOptions", "AsJson", "Endpoint", "HandlerOptions", "ModelOptions", "Options", "spread"]


def _handler_names(typed: str) -> list[str]:
    from sagewire.content_handlers import handler_names

    return _beginning(typed, handler_names())


def format_names(typed: str) -> list[str]:
    """Return the names of prompt formats that begin with what was typed, for the shell."""
    from sagewire.prompt_formats import known_formats

    return _beginning(typed, known_formats())


def _beginning(typed: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(typed))


Endpoint = Annotated[str, typer.Argument(help="Endpoint name, or the URL of an HTTP server.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Region = Annotated[str | None, typer.Option("--region", help="AWS region. Default: as boto3 finds it.")]
Profile = Annotated[str | None, typer.Option("--profile", help="Profile in the AWS configuration.")]
RoleArn = Annotated[
    str | None, typer.Option("--role-arn", help="ARN of a role to assume, for an endpoint in another account.")
]
Component = Annotated[str | None, typer.Option("--component", help="Inference component.")]
HandlerName = Annotated[
    str | None,
    typer.Option(
        "--handler",
        help="Content handler (request format of the container); see `sagewire handlers`. Default: detected.",
        autocompletion=_handler_names,
    ),
]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format", help="Prompt format; see `sagewire formats`. Default: detected.", autocompletion=format_names
    ),
]


@dataclass(frozen=True, kw_only=True)
class Options:
    """A group of options: every field is one, annotated as an argument of a command would be."""

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class AccountOptions(Options):
    """Credentials, region and component of an endpoint."""

    region: Region = None
    profile: Profile = None
    role_arn: RoleArn = None
    component: Component = None

    def session(self) -> Any:
        """Return the session these options name."""
        from sagewire.aws.session import as_session, assume_role_session

        if self.role_arn:
            return assume_role_session(self.role_arn, region_name=self.region, source=self.profile)
        return as_session(self.profile, region_name=self.region)

    def client_arguments(self, endpoint: str) -> dict[str, Any]:
        """Return the arguments of `Client` for an endpoint's name, with or without `sagemaker/` before it, or a URL.

        Raises:
            UsageError: A URL was given, and AWS options that would do nothing there.
        """
        given = self.given()
        # As `sagewire bulk`, the gateway's configuration and LiteLLM write it.
        endpoint = endpoint.removeprefix("sagemaker/")
        spoken: dict[str, Any] = {name: given.pop(name) for name in ("handler", "format") if name in given}
        if is_url(endpoint):
            if given:
                flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
                raise UsageError(f"{flags}: {endpoint} is not an AWS endpoint; leave it out")
            return {**spoken, "url": endpoint}
        if self.role_arn:
            spoken["session"] = self.session()
        else:
            spoken["profile_name"] = self.profile
        if self.component:
            spoken["inference_component_name"] = self.component
        return {**spoken, "endpoint": endpoint, "region_name": self.region}


@dataclass(frozen=True, kw_only=True)
class HandlerOptions(AccountOptions):
    """An endpoint and its content handler."""

    handler: HandlerName = None


@dataclass(frozen=True, kw_only=True)
class ModelOptions(HandlerOptions):
    """An endpoint, its content handler and its prompt format."""

    format: FormatName = None


def is_url(endpoint: str) -> bool:
    """Return whether an endpoint is named by a URL."""
    return endpoint.startswith(("http://", "https://"))


def spread(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the command with the options of its groups as its own arguments, which typer reads."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Options]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if not (isinstance(kind, type) and issubclass(kind, Options)):
            parameters.append(_keyword(parameter.name, kind, parameter.default))
            continue
        groups[parameter.name] = kind
        annotated = get_type_hints(kind, include_extras=True)
        parameters += [_keyword(field.name, annotated[field.name], field.default) for field in dataclasses.fields(kind)]

    def run(**arguments: Any) -> Any:
        for name, kind in groups.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            arguments[name] = kind(**{field: arguments.pop(field) for field in fields})
        return command(**arguments)

    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _keyword(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
