"""`sagewire gateway`: an OpenAI server in front of endpoints."""

from __future__ import annotations

import re
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import urlsplit

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from sagewire.cli._app import console, errors, friendly, show_table
from sagewire.cli._options import AsJson, ModelOptions, is_url
from sagewire.cli.keys import ConfigFile, require_gateway
from sagewire.errors import UsageError

if TYPE_CHECKING:
    from sagewire.gateway.config import GatewayConfig
    from sagewire.gateway.server.run import Plan


@friendly
def gateway(
    context: typer.Context,
    config: ConfigFile = None,
    endpoint: Annotated[
        list[str] | None, typer.Option("--endpoint", "-e", help="[MODEL=]ENDPOINT or [MODEL=]URL; any number of times.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 4000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes; about one per core.")] = 1,
    insecure: Annotated[bool, typer.Option("--insecure", help="Let every caller in if no key is configured.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Serve models of the local emulator.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check the configuration.")] = False,
    *,
    options: ModelOptions,
) -> None:
    """Serve endpoints to any OpenAI client: chat, completions, embeddings, rerank, responses.

    Example: sagewire gateway --endpoint my-endpoint --port 4000
    """
    if context.invoked_subcommand is not None:
        return
    require_gateway()
    from sagewire.gateway.config import GatewayConfig
    from sagewire.gateway.server.run import Plan, load_plan

    if sum((config is not None, bool(endpoint), demo)) != 1:
        raise UsageError("give one of --config FILE, --endpoint NAME (any number of times), or --demo")
    if config is not None and options.given():
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in options.given())
        raise UsageError(f"{flags}: not valid with --config; set it in {config}, for each model")
    if demo and (workers > 1 or options.given()):
        raise UsageError(
            "--demo serves its own models with one worker, and takes no other option than --host and --port"
        )
    if config is not None:
        plan = load_plan(config, host, port, workers, insecure)
    elif endpoint:
        models = _models(endpoint, options.given())
        plan = Plan(GatewayConfig.model_validate({"models": models}), None, host, port, workers, insecure)
    else:
        _serve_demo(host, port)
        return
    if check:
        for note in plan.config.warnings:
            console.print(note, markup=False, soft_wrap=True)
        good = f"{config or 'The configuration'} is good: {', '.join(_listed(plan.config))}"
        console.print(good, markup=False, soft_wrap=True)
        return
    _serve(plan)


@friendly
def check_litellm(
    file: Annotated[Path, typer.Argument(help="LiteLLM's configuration file of its proxy.")],
    as_json: AsJson = False,
) -> None:
    """Show what each key of a LiteLLM proxy file does here, and the same in sagewire's own form.

    A key works, has no effect, or is refused, because without it the gateway would be open to more. A model of another
    provider is not served, and its name gets a 404. Variables of the
    environment need not be set, and secrets are not printed.

    The exit code is 0 if the gateway starts with the file as it is, 1 if it does not.

    Example: sagewire gateway check litellm.yaml
    """
    require_gateway()
    from sagewire.gateway.config.litellm_report import explain_litellm

    report = explain_litellm(file)
    if as_json:
        shown = {"starts": report.starts, "error": report.error, "keys": [asdict(one) for one in report.keys]}
        console.out(orjson.dumps(shown | {"own": report.own}).decode(), highlight=False)
    else:
        table = Table("line", "key", "effect", "reason", box=None, header_style="bold")
        for one in report.keys:
            table.add_row(str(one.line), escape(one.key), one.effect, escape(one.reason))
        show_table(table)
        if report.own is not None:
            console.out(f"\n# The same in sagewire's own form:\n{report.own}", end="", highlight=False)
    if report.error:
        errors.print(report.error, markup=False, soft_wrap=True)
    if not report.starts:
        raise typer.Exit(1)


def _models(endpoints: list[str], settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    models: dict[str, dict[str, Any]] = {}
    for given in endpoints:
        name, deployment = _deployment(given, settings)
        if name in models:
            raise UsageError(
                f"two of the --endpoint are called {name!r}: write MODEL=ENDPOINT or MODEL=URL to name them apart, or "
                "make them deployments of one model in a --config file"
            )
        models[name] = deployment
    return models


def _deployment(given: str, settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, equals, target = given.partition("=")
    # A URL may contain an equals sign itself.
    if not equals or "/" in name:
        name, target = _name_of(given), given
    if not (name and target):
        raise UsageError(f"--endpoint {given!r} should be ENDPOINT or MODEL=ENDPOINT")
    if is_url(target):
        return name, {"url": target} | {key: settings[key] for key in ("handler", "format") if key in settings}
    named = {"inference_component" if key == "component" else key: value for key, value in settings.items()}
    return name, {"endpoint": target} | named


def _name_of(target: str) -> str:
    """Return the model's name for an endpoint, or for a URL: the last part of its path that says something."""
    if not is_url(target):
        return target.rstrip("/").rsplit("/", 1)[-1]
    parts = urlsplit(target)
    path = [part for part in parts.path.split("/") if part and not re.fullmatch(r"v\d+\w*|api|openai", part)]
    return path[-1] if path else parts.hostname or ""


def _serve_demo(host: str, port: int) -> None:
    from sagewire.emulator import Emulator
    from sagewire.gateway.config import GatewayConfig
    from sagewire.gateway.server.run import Plan

    with Emulator(
        {
            "demo-chat": "openai_chat:extractive",
            "demo-tgi": "tgi:extractive",
            "demo-embedding": "tei",
            "demo-rerank": "tei_rerank",
        }
    ) as emulator:
        where = {
            "endpoint_url": emulator.url,
            "region": emulator.region,
            "aws_access_key_id": emulator.credentials.access_key,
            "aws_secret_access_key": emulator.credentials.secret_key,
        }
        models = {
            name.removeprefix("demo-"): {"endpoint": name, **where, **settings}
            for name, settings in (
                ("demo-chat", {"handler": "openai_chat"}),
                ("demo-tgi", {"handler": "tgi", "format": "llama3_1"}),
                ("demo-embedding", {"handler": "openai_chat", "embedding_handler": "tei"}),
                ("demo-rerank", {"handler": "openai_chat", "rerank_handler": "tei_rerank"}),
            )
        }
        # Also for questions about what an endpoint runs, which go to another service than calls.
        environment = {"AWS_ENDPOINT_URL_SAGEMAKER": emulator.url}
        _serve(Plan(GatewayConfig.model_validate({"models": models, "environment": environment}), None, host, port))


def _serve(plan: Plan) -> None:
    from sagewire.gateway.server.run import serve

    # Told to end before it serves, it has nothing to drain, and ended as it should, too: 0, as after draining.
    told = False

    def end(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal told
        told = True
        sys.exit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        code = serve(plan, ready=lambda url: _announce(url, plan.config))
    except Exception:
        # In the middle of a statement the exit leaves SQLAlchemy in a state that is an error of its own.
        if not told:
            raise
        code = 0
    finally:
        signal.signal(signal.SIGTERM, before)
    raise typer.Exit(code)


def _listed(config: GatewayConfig) -> list[str]:
    return [name for name, model in config.models.items() if model.part_of is None]


def _announce(url: str, config: GatewayConfig) -> None:
    console.print(f"Models: {', '.join([*_listed(config), *config.aliases])}", markup=False)
    key = "your key" if config.has_keys else "anything"
    console.print(f"OpenAI clients: base_url={url}/v1, api_key={key}", markup=False)
    console.print(f"In a browser: {url}", markup=False)
    sys.stdout.flush()
