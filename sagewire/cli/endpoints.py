"""`sagewire inspect` and `sagewire doctor`: an endpoint's facts, and the cure if it cannot be called."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from sagewire import __version__
from sagewire.cli._app import close_names, console, friendly, in_options, show_table
from sagewire.cli._options import AccountOptions, AsJson, Endpoint, is_url
from sagewire.client import Client
from sagewire.content_handlers import get_handler
from sagewire.discovery.container_rules import ContainerProfile, detect
from sagewire.discovery.describe import Description
from sagewire.errors import SagewireError, UsageError
from sagewire.prompt_formats import get_format

_PACKAGES = ("botocore", "boto3", "urllib3", "aiohttp", "langchain-core", "llama-index-core", "openai")


@friendly
def inspect(
    endpoint: Endpoint,
    *,
    account: AccountOptions,
    as_json: AsJson = False,
) -> None:
    """Show an endpoint's container, model, handler and format, and the facts behind them.

    Example: sagewire inspect my-endpoint --json
    """
    with Client(**account.client_arguments(endpoint)) as client:
        if is_url(endpoint):
            facts = {"server": endpoint} | _spoken(client.profile())
        else:
            found = client.describe()
            facts = _facts(found, detect(found))
    if as_json:
        console.out(orjson.dumps(facts).decode(), highlight=False)
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(shown, bool):
            shown = "yes" if shown else "no"
        if shown not in (None, ""):
            table.add_row(name.replace("_", " "), escape(str(shown)))
    show_table(table)


def _facts(found: Description, profile: ContainerProfile) -> dict[str, Any]:
    return {
        "endpoint": found.endpoint,
        "status": found.status,
        "component": found.inference_component,
        "copies": found.copies,
        "instance_type": found.instance_type,
        "image": found.containers[-1].image if found.containers else None,
        **_spoken(profile),
        "asynchronous": found.asynchronous,
        "serverless": found.serverless,
        "not_readable": list(found.incomplete),
    }


def _spoken(profile: ContainerProfile) -> dict[str, Any]:
    return {
        "container": profile.container,
        "chat": profile.chat,
        "complete": profile.complete,
        "embed": profile.embed,
        "rerank": profile.rerank,
        "model": profile.model_id,
        **_manner(profile),
        "tools": profile.tools,
        "reasoning": profile.reasoning,
        "context_window": profile.limits.context_window,
        "because": list(profile.reasons),
    }


def _manner(profile: ContainerProfile) -> dict[str, Any]:
    """Return how conversations are written, and whether answers come piece by piece."""
    name = profile.chat or profile.complete
    if name is None:
        return {}
    handler = get_handler(name)
    if handler.speaks == "messages":
        return {"format": "the server's own chat template", "streaming": handler.can.streaming}
    try:
        written = get_format(model_id=profile.model_id).name if profile.model_id else None
    except UsageError:
        written = None
    return {"format": written or "not known: name one to chat", "streaming": handler.can.streaming}


@friendly
def doctor(
    endpoint: Annotated[str | None, typer.Argument(help="Endpoint name or server URL to check, too.")] = None,
    *,
    call: Annotated[bool, typer.Option("--call", help="Also call it, for one token or one vector.")] = False,
    account: AccountOptions,
    as_json: AsJson = False,
) -> None:
    """Check versions, credentials, region and an endpoint; say what is wrong and how to fix it.

    Example: sagewire doctor my-endpoint --call
    """
    if call and not endpoint:
        raise UsageError("--call needs an endpoint: sagewire doctor ENDPOINT --call")
    # A server that is not SageMaker's asks for no AWS credentials.
    checks = [_versions(), *([] if endpoint and is_url(endpoint) else _account(account))]
    if endpoint:
        checks += _endpoint(endpoint, account, call)
    if as_json:
        rows = [{"check": name, "ok": ok, "says": says} for name, ok, says in checks]
        console.out(orjson.dumps(rows).decode(), highlight=False)
    else:
        for name, ok, says in checks:
            mark = "[green]ok[/]    " if ok else "[red]wrong[/] "
            console.print(f"{mark} [bold]{name}[/] {escape(says)}", soft_wrap=True)
    if not all(ok for _, ok, _ in checks):
        raise typer.Exit(1)


Check = tuple[str, bool, str]


def _versions() -> Check:
    found = [f"sagewire {__version__}", f"Python {sys.version.split()[0]}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return "versions", True, ", ".join(found)


def _account(account: AccountOptions) -> list[Check]:
    from sagewire.aws.lookup_errors import credential_errors

    checks: list[Check] = []
    try:
        with credential_errors():
            session = account.session()
            found = session.region_name
            checks.append(_region(found))
        with credential_errors():
            told = session.client("sts", region_name=found or "us-east-1").get_caller_identity()
        checks.append(("credentials", True, told["Arn"]))
    except SagewireError as error:
        checks.append(("credentials", False, in_options(error)))
    return checks


def _region(name: str | None) -> Check:
    from botocore.session import get_session

    if not name:
        return "region", False, "none; pass --region or set AWS_REGION"
    botocore = get_session()
    known = [
        region
        for partition in botocore.get_available_partitions()
        for region in botocore.get_available_regions("sagemaker", partition)
    ]
    close = difflib.get_close_matches(name, known)
    if name in known or not close:
        return "region", True, name
    return "region", False, f"{name} has no SageMaker that this botocore knows; did you mean {' or '.join(close)}?"


def _endpoint(name: str, account: AccountOptions, call: bool) -> list[Check]:
    with Client(**account.client_arguments(name)) as client:
        checks = _server(client) if is_url(name) else _described(client, name, account)
        if call and all(ok for _, ok, _ in checks):
            checks.append(_called(client))
    return checks


def _server(client: Client) -> list[Check]:
    try:
        return [("server", True, _tasks(client.profile()))]
    except SagewireError as error:
        return [("server", False, in_options(error))]


def _described(client: Client, name: str, account: AccountOptions) -> list[Check]:
    try:
        found = client.describe()
    except SagewireError as error:
        hint = close_names(error, {"endpoint": name, **account.given()})
        # The advice to run this command is for everyone else.
        told = in_options(error).replace(f": `sagewire doctor {name}`", "")
        return [("endpoint", False, told + hint)]
    checks: list[Check] = [("endpoint", found.serving, f"{name} is {found.status}")]
    try:
        checks.append(("container", True, _tasks(detect(found))))
    except SagewireError as error:
        checks.append(("container", False, in_options(error)))
    checks += [("permission", False, missing) for missing in found.incomplete]
    return checks


def _called(client: Client) -> Check:
    calls: dict[str, Callable[[], object]] = {
        "chat": lambda: client.chat("Hi", max_tokens=1),
        "complete": lambda: client.complete("Hi", max_tokens=1),
        "embed": lambda: client.embed(["Hi"]),
        "rerank": lambda: client.rerank("Hi", ["Hi"]),
    }
    says = "the container supports no known task"
    # A container that could do several things runs a model that does one: TEI embeds or reranks.
    for task in calls:
        try:
            if getattr(client.profile(), task):
                calls[task]()
                return "call", True, f"{task}: it answered"
        except SagewireError as error:
            says = f"{task}: {in_options(error)}"
    return "call", False, says


def _tasks(profile: ContainerProfile) -> str:
    spoken = [task for task in ("chat", "complete", "embed", "rerank") if getattr(profile, task)]
    return f"{profile.container}: {', '.join(spoken)}"
