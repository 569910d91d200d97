"""`sagewire keys`: who may use the gateway."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.table import Table

from sagewire._extras import require
from sagewire.cli._app import console, errors, friendly, show_table
from sagewire.cli._options import AsJson
from sagewire.errors import UsageError

if TYPE_CHECKING:
    from sagewire.gateway.accounting.database import Store
    from sagewire.gateway.config import GatewayConfig

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="A configuration file, sagewire's or LiteLLM's.")
]
# Columns of limits have 32 bits.
MOST = 2**31 - 1
keys = typer.Typer(
    no_args_is_help=True, help="Make, list, block and revoke the gateway's API keys; show what they used."
)


@keys.command("add")
@friendly
def add(
    name: Annotated[str, typer.Argument(help="Name of the key, in logs and accounts.")],
    config: ConfigFile = None,
    models: Annotated[str, typer.Option(help="Models it may use, separated by commas. Default: all.")] = "",
    expires: Annotated[
        str, typer.Option(help="How long it is valid: 90d, 12h; or to the end of a date, 2027-01-31.")
    ] = "",
    requests_per_minute: Annotated[
        int | None, typer.Option("--rpm", min=1, max=MOST, help="Maximum requests per minute.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option("--tpm", min=1, max=MOST, help="Maximum tokens per minute.")
    ] = None,
    max_budget: Annotated[float | None, typer.Option(min=0, max=1e9, help="Maximum cost in dollars.")] = None,
    budget_duration: Annotated[str, typer.Option(help="When the budget starts anew: 30d, 1mo. Default: never.")] = "",
    max_parallel: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Maximum requests at a time; needs one worker and SQLite.")
    ] = None,
) -> None:
    """Make a key. It is shown once; the database keeps its hash.

    Example: sagewire keys add bob --max-budget 20 --expires 90d
    """
    store, settings = _open(config)
    from sagewire.gateway.durations import after
    from sagewire.gateway.keys import new_key, new_secret

    if budget_duration:
        after(budget_duration)
        if max_budget is None:
            raise UsageError("--budget-duration needs --max-budget: the amount it is for")

    if max_parallel is not None and store.on_network:
        raise UsageError(
            "--max-parallel is counted in one process, and gateways with this database may be several: use --rpm"
        )
    if settings is not None and any(name == one.name for one in settings.keys):
        raise UsageError(f"there is a key {name!r} in {config}: choose another name, or change it there")
    chosen = tuple(model.strip() for model in models.split(",") if model.strip()) or None
    if settings is not None:
        for model in chosen or ():
            if model not in settings.models and settings.canonical(model) is None:
                reason = settings.why_not(model)
                if reason is not None:
                    raise UsageError(f"model {model!r} is not served: {reason}")
                raise UsageError(f"there is no model {model!r}; known: {', '.join(settings.models)}")
    secret = new_secret()
    store.add_key(
        replace(
            new_key(name, secret),
            models=chosen,
            expires=_moment(expires),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            max_budget=max_budget,
            budget_duration=budget_duration or None,
            max_parallel_requests=max_parallel,
        )
    )
    console.print(secret, markup=False, highlight=False, soft_wrap=True)
    errors.print(f"{name} is in {store.place}; running gateways with this database accept it at once.", markup=False)
    if (requests_per_minute or tokens_per_minute) and (settings is None or settings.server.redis_url is None):
        errors.print(
            "Several machines count its limits each for itself; set `server.redis_url` to count them together."
        )


@keys.command("list")
@friendly
def list_keys(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the keys in the database, with what they have spent.

    Example: sagewire keys list --config gateway.yaml
    """
    store, _ = _open(config)
    from sagewire.gateway.accounting.budgets import SpendTable
    from sagewire.gateway.accounting.costs import dollars

    found = store.all_keys()
    rows = [
        {
            "name": key.name,
            "models": list(key.models) if key.models is not None else None,
            "expires": key.expires.isoformat() if key.expires else None,
            "expired": key.expired(),
            "blocked": key.blocked,
            "requests_per_minute": key.requests_per_minute,
            "tokens_per_minute": key.tokens_per_minute,
            "max_parallel_requests": key.max_parallel_requests,
            "max_budget": key.max_budget,
            "budget_duration": key.budget_duration,
            "spend": dollars(spend.nanodollars),
        }
        for key, spend in zip(found, SpendTable(store).of_all(found), strict=True)
    ]
    _show(rows, as_json)


@keys.command("revoke")
@friendly
def revoke(name: Annotated[str, typer.Argument(help="The key's name.")], config: ConfigFile = None) -> None:
    """Revoke a key; running gateways notice within 15 seconds.

    Example: sagewire keys revoke bob
    """
    store, _ = _open(config)
    if not store.remove_key(name):
        raise _no_such_key(store, name)
    console.print(f"{name} is revoked.", markup=False)


@keys.command("block")
@friendly
def block(name: Annotated[str, typer.Argument(help="The key's name.")], config: ConfigFile = None) -> None:
    """Refuse a key until it is unblocked; running gateways notice within 15 seconds.

    Example: sagewire keys block bob
    """
    _set_blocked(name, config, blocked=True)


@keys.command("unblock")
@friendly
def unblock(name: Annotated[str, typer.Argument(help="The key's name.")], config: ConfigFile = None) -> None:
    """Accept a blocked key again, with what it has spent.

    Example: sagewire keys unblock bob
    """
    _set_blocked(name, config, blocked=False)


@keys.command("usage")
@friendly
def usage(
    config: ConfigFile = None,
    key: Annotated[str | None, typer.Option(help="Only the usage of this key.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Number of days to look back.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Show requests, tokens and dollars by key and model.

    Example: sagewire keys usage
    """
    store, _ = _open(config)
    from sagewire.gateway.accounting.costs import dollars

    sums: dict[tuple[str, str], dict[str, Any]] = {}
    counts = ("requests", "failures", "unmetered", "prompt_tokens", "completion_tokens", "nanodollars")
    for row in store.usage(datetime.now(UTC) - timedelta(days=days), key):
        total = sums.setdefault(
            (row.key_name, row.model), {"key": row.key_name, "model": row.model, **dict.fromkeys(counts, 0)}
        )
        for name in counts:
            total[name] += getattr(row, name)
    for total in sums.values():
        total["cost"] = dollars(total.pop("nanodollars"))
    _show([sums[key] for key in sorted(sums)], as_json)


def _set_blocked(name: str, config: Path | None, *, blocked: bool) -> None:
    store, _ = _open(config)
    key = next((key for key in store.keys_named(name) if key.name == name), None)
    if key is None or not store.update_key(replace(key, blocked=blocked), key):
        raise _no_such_key(store, name)
    console.print(f"{name} is {'blocked' if blocked else 'no longer blocked'}.", markup=False)


def _no_such_key(store: Store, name: str) -> UsageError:
    known = ", ".join(key.name for key in store.all_keys(notes=False)) or "none"
    return UsageError(f"there is no key named {name!r}; known: {known}")


def require_gateway() -> None:
    """Raise `MissingExtra` if a package of the gateway is not installed."""
    for module in ("starlette", "uvicorn", "pydantic", "yaml", "prometheus_client", "limits", "sqlalchemy"):
        require(module, "gateway")


def _open(config: Path | None) -> tuple[Store, GatewayConfig | None]:
    require_gateway()
    from sagewire.gateway.accounting.database import open_store
    from sagewire.gateway.config import load_config

    if config is None:
        return open_store(), None
    settings = load_config(config)
    url = settings.server.database_url
    return open_store(url.get_secret_value() if url else None), settings


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    span = re.fullmatch(r"(\d+)([dhm])", text)
    if span:
        unit = {"d": "days", "h": "hours", "m": "minutes"}[span[2]]
        return datetime.now(UTC) + timedelta(**{unit: int(span[1])})
    # As in the file: a key with a date is good through that day.
    from sagewire.gateway.config.server import as_moment

    try:
        moment = as_moment(text)
    except ValueError:
        raise UsageError(f"--expires {text!r} should be like 90d, 12h, or a date such as 2027-01-31") from None
    assert isinstance(moment, datetime)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        console.out(orjson.dumps(rows).decode(), highlight=False)
        return
    if not rows:
        console.print("Nothing yet.")
        return
    table = Table(*[name.replace("_", " ") for name in rows[0]], box=None, header_style="bold")
    for row in rows:
        table.add_row(*["" if value is None else str(value) for value in row.values()])
    show_table(table)
