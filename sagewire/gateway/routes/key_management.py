"""Keys over HTTP, for the master key, under the names of LiteLLM's routes: `/key/generate` and its siblings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from sagewire.errors import UsageError
from sagewire.gateway.accounting.budgets import Spend, SpendTable
from sagewire.gateway.accounting.costs import dollars
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.config.server import MAX_BUDGET
from sagewire.gateway.durations import after
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.keys import MASTER, OPEN, Key, digest_of, from_config, new_secret
from sagewire.gateway.routes.base import log_of
from sagewire.gateway.server.http_exchange import headers_of, read_json, respond_json
from sagewire.openai_shapes.fields import BadRequest, Fields

__all__ = ["KeyManagement"]

JSON = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")
_LIFTED = {
    "duration": "expires",
    "rpm_limit": "requests_per_minute",
    "tpm_limit": "tokens_per_minute",
    "max_budget": "max_budget",
    "budget_duration": "budget_duration",
}
# Fields of LiteLLM's that change nothing here; all others that are not read are refused.
_IDLE = frozenset({
    "config", "default_estimated_output_tokens", "enable_prompt_caching", "key_type", "metadata", "permissions",
    "rpm_limit_type", "send_invite_email", "soft_budget", "tags", "team_id", "tpm_limit_type", "user_id",
})  # fmt: skip
# Values of fields that allow what every key may do here.
_USUAL: Mapping[str, tuple[Any, ...]] = {
    "key_type": ("default", "llm_api"),
    "allowed_routes": (["llm_api_routes"],),
    "spend": (0,),
}
# Fields that LiteLLM also reads in `metadata`, and that restrict a key.
_IN_METADATA = frozenset({
    "allowed_cache_controls", "allowed_passthrough_routes", "allowed_routes", "allowed_vector_store_indexes",
    "denied_passthrough_routes", "enforced_batch_output_expires_after", "enforced_file_expires_after",
    "enforced_params", "guardrails", "model_itpm_limit", "model_max_budget", "model_otpm_limit", "model_rpm_limit",
    "model_tpm_limit", "policies", "require_trace_id", "service_account_id", "tag_rpm_limit",
})  # fmt: skip
_MOST_KEYS = 100
# Names that stand for all models, and the length of time that never ends.
_ALL_MODELS = frozenset({"*", "all-proxy-models"})
_NEVER = "-1"

# LiteLLM's words for lengths of time.
_WORDS = {"hourly": "1h", "daily": "24h", "weekly": "7d", "monthly": "30d"}
# Owners of keys that there are in LiteLLM and not here.
_NOBODY = ("user_id", "team_id", "organization_id", "project_id")


class KeyManagement:
    """One of the routes that manage keys, such as `/key/generate`.

    Args:
        gateway: The gateway.
        action: What it does: `generate`, `info`, `infos`, `list`, `aliases`, `update` or `delete`.
    """

    def __init__(self, gateway: Gateway, action: str) -> None:
        self._gateway = gateway
        self._action = action

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        gateway, log, headers = self._gateway, log_of(scope), headers_of(scope)
        log.route = "keys"
        log.key = key = await gateway.access.authenticate(headers)
        if key is OPEN or (key is not MASTER and self._action != "info"):
            raise GatewayError(403, "master_key_needed", "keys are managed with the master key (`server.master_key`)")
        if scope["method"] == "GET":
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            body: Any = {name: values[-1] for name, values in query.items()}
        else:
            body = await read_json(receive, headers, gateway.config.server.max_body_bytes, gateway.alarms)
        if key is not MASTER:
            # Everybody may look at their own.
            body = {"key": key.digest}
        answer = getattr(self, f"_{self._action}")
        await respond_json(send, 200, await answer(body), {"cache-control": "no-store"})

    async def _generate(self, body: Any) -> JSON:
        fields = Fields(body)
        secret = fields.text("key") or new_secret()
        name = fields.text("key_alias") or f"key-{digest_of(secret)[:12]}"
        if any(name == one.name for one in self._configured()):
            # They would share their limits and what they have spent.
            raise BadRequest(f"there is a key '{name}' in the configuration file: choose another name", "key_alias")
        key = self._changed(Key(name, digest_of(secret)), fields)
        self._gateway.check_countable(key)
        try:
            await self._stored(self._gateway.store.add_key, key)
        except UsageError as error:
            raise BadRequest(str(error), "key_alias") from None
        self._gateway.access.required = True
        return {"key": secret, **await self._described(key)}

    async def _stored(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of a call of the database."""
        try:
            return await self._gateway.management.run(work, *args, **kwargs)
        except (StoreError, TimeoutError):
            raise GatewayError(
                503,
                "database_unavailable",
                "the database does not answer, and may or may not have made the change; look with /key/list",
                headers={"retry-after": "5"},
            ) from None

    async def _info(self, body: Any) -> JSON:
        key = await self._found(body.get("key"), configured=True)
        return {"key": key.digest, "info": await self._described(key)}

    async def _infos(self, body: Any) -> JSON:
        wanted = Fields(body).items("keys") or []
        if len(wanted) > _MOST_KEYS:
            raise BadRequest(f"'keys' has {len(wanted)} entries; at most {_MOST_KEYS} are looked up at once", "keys")
        keys = [await self._found(one, configured=True) for one in wanted]
        return {"key": wanted, "info": [await self._described(key) for key in keys]}

    async def _aliases(self, body: Any) -> JSON:
        listed = await self._list(body)
        return {"aliases": [one["key_alias"] for one in listed["keys"]]} | {
            name: listed[name] for name in ("total_count", "current_page", "total_pages")
        }

    async def _list(self, body: Any) -> JSON:
        spends = SpendTable(self._gateway.store)

        def read() -> list[JSON]:
            kept = self._gateway.store.all_keys()
            own = [_described(key, spends.of(key), configured=True) for key in self._configured()]
            return own + [_described(key, spends.of(key)) for key in kept]

        pages = Fields({name: _whole(value) for name, value in body.items() if name in ("page", "size")})
        page, size = pages.count("page", 1) or 1, pages.count("size", 1)
        found = [key for key in await self._stored(read) if _is_asked_for(key, body)]
        size = size or max(1, len(found))
        return {
            "keys": found[(page - 1) * size : page * size],
            "total_count": len(found),
            "current_page": page,
            "total_pages": max(1, math.ceil(len(found) / size)),
        }

    async def _update(self, body: Any) -> JSON:
        fields = Fields(body)
        if fields.take("spend") is not None:
            raise BadRequest("'spend' cannot be set: it is the sum of what the key has spent", "spend")
        key = await self._found(fields.text("key"))
        name = fields.text("key_alias") or key.name
        # As in LiteLLM, an explicit null takes a limit away.
        lifted: JSON = {ours: None for theirs, ours in _LIFTED.items() if body.get(theirs, "") is None}
        changed = self._changed(replace(key, name=name, **lifted), fields)
        self._gateway.check_countable(changed)
        await self._stored(self._gateway.store.update_key, changed)
        self._gateway.access.forget(key.digest)
        return {"key": key.digest, **await self._described(changed)}

    async def _delete(self, body: Any) -> JSON:
        fields = Fields(body)
        wanted = [*(fields.items("keys") or []), *(fields.items("key_aliases") or [])]
        if not wanted:
            raise BadRequest("'keys' or 'key_aliases' must name the keys to delete", "keys")
        keys = [await self._found(one) for one in wanted]
        for key in keys:
            await self._stored(self._gateway.store.remove_key, key.name, responses=False)
            self._gateway.access.forget(key.digest)
            # These may take long, and the key is gone already.
            self._gateway.in_background(self._gateway.responses.forget(key))
        return {"deleted_keys": wanted}

    async def _found(self, given: Any, *, configured: bool = False) -> Key:
        """Return the key that is given as itself, as its hash or by its name.

        Args:
            given: The key, its hash or its name.
            configured: Also one of the configuration file, which cannot be changed here.

        Raises:
            BadRequest: It is a key of the file.
            GatewayError: No key has this name or hash.
        """
        if not isinstance(given, str) or not given:
            raise BadRequest("'key' must be a key, its hash or its alias", "key")
        for key in await self._stored(self._gateway.store.all_keys):
            if _names(given, key):
                return key
        for key in self._configured():
            if _names(given, key):
                if configured:
                    return key
                raise BadRequest(f"key '{key.name}' is in the configuration file: change it there", "key")
        raise GatewayError(404, "key_not_found", "there is no such key", param="key")

    def _configured(self) -> list[Key]:
        return [from_config(key) for key in self._gateway.config.keys]

    async def _described(self, key: Key) -> JSON:
        configured = any(key.digest == one.digest for one in self._configured())
        spend = await self._stored(SpendTable(self._gateway.store).of, key)
        return _described(key, spend, configured=configured)

    def _changed(self, key: Key, fields: Fields) -> Key:
        changes: JSON = {}
        models = fields.items("models")
        if models is not None:
            changes["models"] = self._models(models)
        for theirs in ("duration", "budget_duration"):
            duration = fields.text(theirs)
            if theirs == "duration" and duration == _NEVER:
                changes["expires"] = None
            elif duration is not None:
                duration = _WORDS.get(duration, duration)
                ends = _ends(duration, theirs)
                changes |= {"expires": ends} if theirs == "duration" else {theirs: duration}
        budget = fields.number("max_budget")
        if budget is not None:
            if not 0 <= budget <= MAX_BUDGET:
                raise BadRequest(f"'max_budget' must be between 0 and {MAX_BUDGET:g} dollars", "max_budget")
            changes["max_budget"] = float(budget)
        for theirs, ours in (("rpm_limit", "requests_per_minute"), ("tpm_limit", "tokens_per_minute")):
            limit = fields.count(theirs, 1)
            if limit is not None:
                changes[ours] = limit
        _check_rest(fields.rest(), limited=changes.get("models", key.models) is not None)
        changed = replace(key, **changes)
        if changed.budget_duration and changed.max_budget is None:
            raise BadRequest("'budget_duration' needs 'max_budget'", "budget_duration")
        return changed

    def _models(self, given: list[Any]) -> tuple[str, ...] | None:
        """Return the models that a key may use; as in LiteLLM, none named means all."""
        config = self._gateway.config
        if _ALL_MODELS.intersection(one for one in given if isinstance(one, str)):
            return None
        for one in given:
            if not isinstance(one, str) or (config.entry(one) is None and one not in config.access_groups):
                raise BadRequest(f"there is no model {str(one)[:100]!r}", "models")
        return tuple(given) or None


def _check_rest(rest: Mapping[str, Any], *, limited: bool) -> None:
    """Raise `BadRequest` for a field that is not read, and without which a key would allow more.

    Args:
        rest: The fields that are not read.
        limited: The key has a list of models.
    """
    for name, value in rest.items():
        if _is_nothing(value) or value in _USUAL.get(name, ()):
            continue
        if name not in _IDLE or name in _USUAL:
            raise _would_allow_more(name)
        if name == "metadata" and isinstance(value, dict):
            for inner in sorted(_IN_METADATA & value.keys()):
                if not _is_nothing(value[inner]):
                    raise _would_allow_more(f"metadata.{inner}")
        if name == "team_id" and not limited:
            raise BadRequest(
                "'team_id' without 'models' means the models of the team, and there are no teams: list the models",
                name,
            )


def _is_nothing(value: Any) -> bool:
    """Return whether a field asks for nothing; a limit of 0 does."""
    return value is None or value is False or value in ({}, [])


def _would_allow_more(name: str) -> BadRequest:
    return BadRequest(f"{name!r} is not supported: without it the key would allow more; leave it out", name)


def _described(key: Key, spend: Spend, *, configured: bool = False) -> JSON:
    return {
        "token": key.digest,
        "key_alias": key.name,
        "in_configuration_file": configured,
        "models": list(key.models or ()),
        "expires": key.expires.isoformat() if key.expires else None,
        "rpm_limit": key.requests_per_minute,
        "tpm_limit": key.tokens_per_minute,
        "max_budget": key.max_budget,
        "budget_duration": key.budget_duration,
        "budget_reset_at": spend.resets_at.isoformat() if spend.resets_at else None,
        "spend": dollars(spend.nanodollars),
    }


def _is_asked_for(key: JSON, query: JSON) -> bool:
    """Return whether `/key/list` lists a key: a script may delete what it gets."""
    if any(query.get(name) for name in _NOBODY):
        return False
    wanted = {"key_alias": query.get("key_alias"), "token": query.get("key_hash")}
    return all(not value or key[name] == value for name, value in wanted.items())


def _whole(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _names(given: str, key: Key) -> bool:
    return given in (key.digest, key.name) or digest_of(given) == key.digest


def _ends(duration: str, field: str) -> datetime:
    try:
        return after(duration)
    except UsageError as error:
        raise BadRequest(f"{field!r}: {error}", field) from None
