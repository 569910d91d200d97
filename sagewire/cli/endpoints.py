"""`sagewire inspect` and `sagewire doctor`: what an endpoint is, and what stands in the way of calling it."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from sagewire import __version__
from sagewire.aws.discovery import Description
from sagewire.aws.recognise import Dialect, recognise
from sagewire.cli._app import AsJson, Endpoint, Profile, Region, RoleArn, client_arguments, console, friendly
from sagewire.client import Client
from sagewire.errors import SagewireError

_PACKAGES = ("botocore", "boto3", "urllib3", "aiohttp", "langchain-core", "llama-index-core", "openai")


@friendly
def inspect(
    endpoint: Endpoint,
    component: str | None = typer.Option(None, "--component", help="The inference component."),
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    as_json: AsJson = False,
) -> None:
    """Show what an endpoint runs, what it speaks, and how that is known."""
    client = Client(
        **client_arguments(endpoint, region, profile, role_arn, None, None), inference_component_name=component
    )
    found = client.describe()
    dialect = recognise(found)
    facts = _facts(found, dialect)
    if as_json:
        console.out(orjson.dumps(facts).decode())
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if shown not in (None, ""):
            table.add_row(name.replace("_", " "), escape(str(shown)))
    console.print(table)


def _facts(found: Description, dialect: Dialect) -> dict[str, Any]:
    return {
        "endpoint": found.endpoint,
        "status": found.status,
        "component": found.inference_component,
        "copies": found.copies,
        "instance_type": found.instance_type,
        "image": found.containers[-1].image if found.containers else None,
        "container": dialect.container,
        "chat": dialect.chat,
        "complete": dialect.complete,
        "embed": dialect.embed,
        "rerank": dialect.rerank,
        "model": dialect.model_id,
        "tools": dialect.tools,
        "reasoning": dialect.reasoning,
        "context_window": dialect.limits.context_window,
        "asynchronous": found.asynchronous,
        "serverless": found.serverless,
        "because": list(dialect.reasons),
        "not_readable": list(found.incomplete),
    }


@friendly
def doctor(
    endpoint: str | None = typer.Argument(None, help="An endpoint to check as well."),
    region: Region = None,
    profile: Profile = None,
    role_arn: RoleArn = None,
    as_json: AsJson = False,
) -> None:
    """Check versions, credentials, region and an endpoint; say what is wrong and how to fix it."""
    checks = [_versions(), *_account(region, profile, role_arn)]
    if endpoint:
        checks += _endpoint(endpoint, region, profile, role_arn)
    if as_json:
        console.out(orjson.dumps([{"check": name, "ok": ok, "says": says} for name, ok, says in checks]).decode())
    else:
        for name, ok, says in checks:
            mark = "[green]ok[/]    " if ok else "[red]wrong[/] "
            console.print(f"{mark} [bold]{name}[/] {escape(says)}")
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


def _account(region: str | None, profile: str | None, role_arn: str | None) -> list[Check]:
    from sagewire.aws.failures import credential_errors
    from sagewire.aws.session import as_session, assume_role_session

    session = (
        assume_role_session(role_arn, region_name=region, source=profile)
        if role_arn
        else as_session(profile, region_name=region)
    )
    checks: list[Check] = []
    try:
        with credential_errors():
            found = session.region_name
        checks.append(("region", bool(found), found or "none; pass --region or set AWS_REGION"))
        with credential_errors():
            told = session.client("sts", region_name=found or "us-east-1").get_caller_identity()
        checks.append(("credentials", True, told["Arn"]))
    except SagewireError as error:
        checks.append(("credentials", False, str(error)))
    return checks


def _endpoint(name: str, region: str | None, profile: str | None, role_arn: str | None) -> list[Check]:
    client = Client(**client_arguments(name, region, profile, role_arn, None, None))
    try:
        found = client.describe()
    except SagewireError as error:
        return [("endpoint", False, str(error))]
    checks: list[Check] = [("endpoint", found.serving, f"{name} is {found.status}")]
    try:
        dialect = recognise(found)
        spoken = [task for task in ("chat", "complete", "embed", "rerank") if getattr(dialect, task)]
        checks.append(("container", True, f"{dialect.container}: {', '.join(spoken)}"))
    except SagewireError as error:
        checks.append(("container", False, str(error)))
    checks += [("permission", False, missing) for missing in found.incomplete]
    return checks
