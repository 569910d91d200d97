"""Keys over HTTP, for the master key, under the names of LiteLLM's routes: `/key/generate` and its siblings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from sagewire.errors import UsageError
from sagewire.gateway.accounting.budgets import Spend, SpendTable
from sagewire.gateway.accounting.costs import dollars, nanodollars
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.keys import MASTER, OPEN, Key, digest_of, from_config, new_key, new_secret
from sagewire.gateway.routes.base import log_of
from sagewire.gateway.routes.key_fields import KEPT, changed_key, checked_secret, name_of
from sagewire.gateway.routes.key_list import flag, page_of, status_of
from sagewire.gateway.server.http_exchange import headers_of, read_json, respond_json
from sagewire.openai_shapes.fields import BadRequest, Fields

__all__ = ["KeyManagement"]

JSON = dict[str, Any]
_log = logging.getLogger("sagewire.gateway")
P = ParamSpec("P")
T = TypeVar("T")
_MOST_KEYS = 100


class KeyManagement:
    """One of the routes that manage keys, such as `/key/generate`.

    Args:
        gateway: The gateway.
        action: What it does: `generate`, `info`, `infos`, `list`, `aliases`, `update`, `regenerate`,
            `reset_spend`, `block`, `unblock` or `delete`.
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
        named = scope.get("path_params", {}).get("key")
        if scope["method"] == "GET":
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            body: Any = {name: values[-1] for name, values in query.items()}
        elif named and "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            # As in LiteLLM: the path says all.
            body = {}
        else:
            body = await read_json(receive, headers, gateway.config.server.max_body_bytes, gateway.alarms)
        if named and isinstance(body, dict):
            if body.get("key") not in (None, named):
                raise BadRequest("'key' and the path name different keys", "key")
            body["key"] = named
        if key is not MASTER:
            # Everybody may look at their own.
            body = {"key": key.digest}
        answer = getattr(self, f"_{self._action}")
        await respond_json(send, 200, await answer(body), {"cache-control": "no-store"})

    async def _generate(self, body: Any) -> JSON:
        fields, gateway = Fields(body), self._gateway
        secret = self._new_secret(fields.text("key"))
        name = name_of(fields, gateway.config) or f"key-{digest_of(secret)[:12]}"
        key, ignored = changed_key(new_key(name, secret), fields, body, gateway.config)
        gateway.limits.check_countable(key)
        try:
            await self._stored(gateway.store.add_key, key)
        except UsageError as error:
            raise BadRequest(str(error), "key_alias") from None
        gateway.access.forget(key.digest)
        gateway.access.required = True
        return {"key": secret, **await self._described(key), **_noted(ignored)}

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
        return {"key": body.get("key"), "info": await self._described(key)}

    async def _infos(self, body: Any) -> JSON:
        wanted = Fields(body).items("keys") or []
        if len(wanted) > _MOST_KEYS:
            raise BadRequest(f"'keys' has {len(wanted)} entries; at most {_MOST_KEYS} are looked up at once", "keys")
        keys = [await self._found(one, configured=True) for one in wanted]
        return {"key": wanted, "info": await self._all_described(keys)}

    async def _aliases(self, body: Any) -> JSON:
        page = await self._stored(self._page, body)
        return {"aliases": [one["key_alias"] for one in page.pop("keys")], **page}

    async def _list(self, body: Any) -> JSON:
        # Unlike LiteLLM's, whole keys unless they are not wanted.
        whole = flag(body, "return_full_object", default=True) or "expand" in body
        page = await self._stored(self._page, body)
        return page if whole else {**page, "keys": [one["token"] for one in page["keys"]]}

    def _page(self, query: Any) -> JSON:
        """Return the keys that a query asks for; it blocks."""
        own, store = self._configured(), self._gateway.store
        keys = [*own, *store.all_keys()]
        spends = SpendTable(store).of_all(keys)
        described = [
            {**_described(key, configured=place < len(own)), **_spent(spend)}
            for place, (key, spend) in enumerate(zip(keys, spends, strict=True))
        ]
        return page_of(described, query)

    async def _update(self, body: Any) -> JSON:
        fields = Fields(body)
        if fields.take("spend") is not None:
            raise BadRequest("'spend' cannot be set here: POST /key/{key}/reset_spend with 'reset_to'", "spend")
        # As in LiteLLM, the name alone names it.
        key = await self._found(fields.text("key") or body.get("key_alias"))
        name = name_of(fields, self._gateway.config, key) or key.name
        changed, ignored = changed_key(replace(key, name=name), fields, body, self._gateway.config)
        self._gateway.limits.check_countable(changed)
        await self._change(changed, key)
        return {"key": body.get("key") or key.digest, **await self._described(changed), **_noted(ignored)}

    async def _regenerate(self, body: Any) -> JSON:
        fields, gateway = Fields(body), self._gateway
        key = await self._found(fields.text("key"))
        if fields.text("grace_period") not in (None, "", "0s"):
            raise BadRequest("'grace_period' is not supported: the old key ends at once; leave it out", "grace_period")
        secret = self._new_secret(fields.text("new_key"))
        name = name_of(fields, gateway.config, key) or key.name
        changed, ignored = changed_key(replace(key, name=name, digest=digest_of(secret)), fields, body, gateway.config)
        gateway.limits.check_countable(changed)
        await self._change(changed, key)
        try:
            await self._stored(gateway.store.move_responses, key.digest, changed.digest)
        except GatewayError:
            _log.warning("stored responses of key %r are not moved to its new secret", changed.name)
        return {"key": secret, **await self._described(changed), **_noted(ignored)}

    async def _reset_spend(self, body: Any) -> JSON:
        fields = Fields(body)
        key, amount = await self._found(fields.text("key")), fields.number("reset_to")
        spends = SpendTable(self._gateway.store)
        before = dollars((await self._stored(spends.of, key)).nanodollars)
        if amount is None or not 0 <= amount <= before:
            raise BadRequest(f"'reset_to' must be a number of dollars from 0 to what is spent, {before:g}", "reset_to")
        if fields.rest():
            raise BadRequest(f"'reset_to' is all that can be set here, not {min(fields.rest())[:100]!r}")
        await self._stored(spends.reset, key, nanodollars(amount))
        described = await self._described(key)
        return {"key_hash": key.digest, "previous_spend": before, **described}

    def _new_secret(self, given: str | None) -> str:
        secret = checked_secret(given or new_secret())
        if self._gateway.access.holds(digest_of(secret)):
            raise BadRequest("this key is in the configuration file already: choose another one", "key")
        return secret

    async def _change(self, changed: Key, before: Key) -> None:
        try:
            found = await self._stored(self._gateway.store.update_key, changed, before)
        except UsageError as error:
            raise BadRequest(str(error), "new_key" if changed.name == before.name else "key_alias") from None
        self._gateway.access.forget(before.digest)
        self._gateway.access.forget(changed.digest)
        if not found:
            raise _no_such_key()

    async def _block(self, body: Any) -> JSON:
        return await self._set_blocked(body, blocked=True)

    async def _unblock(self, body: Any) -> JSON:
        return await self._set_blocked(body, blocked=False)

    async def _set_blocked(self, body: Any, *, blocked: bool) -> JSON:
        key = await self._found(Fields(body).text("key"))
        changed = replace(key, blocked=blocked)
        await self._change(changed, key)
        return await self._described(changed)

    async def _delete(self, body: Any) -> JSON:
        fields = Fields(body)
        wanted = [*(fields.items("keys") or []), *(fields.items("key_aliases") or [])]
        if not wanted:
            raise BadRequest("'keys' or 'key_aliases' must name the keys to delete", "keys")
        keys = [await self._found(one) for one in wanted]
        for key in keys:
            await self._stored(self._gateway.store.remove_key, key.name, key.digest, responses=False)
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
        keys = await self._stored(self._gateway.store.keys_named, given)
        key = _naming(given, keys, self._configured())
        if key is None:
            raise _no_such_key()
        if configured or not self._gateway.access.holds(key.digest):
            return key
        raise BadRequest(f"key '{key.name}' is in the configuration file: change it there", "key")

    def _configured(self) -> list[Key]:
        return [from_config(key) for key in self._gateway.config.keys]

    async def _described(self, key: Key) -> JSON:
        return (await self._all_described([key]))[0]

    async def _all_described(self, keys: list[Key]) -> list[JSON]:
        spends = await self._stored(SpendTable(self._gateway.store).of_all, keys)
        holds = self._gateway.access.holds
        return [
            {**_described(key, configured=holds(key.digest)), **_spent(spend)}
            for key, spend in zip(keys, spends, strict=True)
        ]


def _described(key: Key, *, configured: bool = False) -> JSON:
    notes = dict(key.notes)
    return {
        "token": key.digest,
        "key_alias": key.name,
        "in_configuration_file": configured,
        "blocked": key.blocked,
        "status": status_of(key),
        # In LiteLLM's words no models would be all models.
        "models": ["no-default-models"] if key.models == () else list(key.models or ()),
        "expires": key.expires.isoformat() if key.expires else None,
        "rpm_limit": key.requests_per_minute,
        "tpm_limit": key.tokens_per_minute,
        "max_parallel_requests": key.max_parallel_requests,
        "model_rpm_limit": {name: limits[0] for name, limits in key.model_limits.items() if limits[0] is not None},
        "model_tpm_limit": {name: limits[1] for name, limits in key.model_limits.items() if limits[1] is not None},
        "max_budget": key.max_budget,
        "budget_duration": key.budget_duration,
        "created_at": key.created.isoformat() if key.created else None,
        "metadata": notes.pop("metadata", {}),
        **{name: notes.get(name) for name in KEPT if name != "metadata"},
    }


def _spent(spend: Spend) -> JSON:
    resets_at = spend.resets_at.isoformat() if spend.resets_at else None
    return {"budget_reset_at": resets_at, "spend": dollars(spend.nanodollars)}


def _noted(ignored: list[str]) -> JSON:
    """Return the part of an answer about fields that have no effect."""
    return {"fields_without_effect": ignored} if ignored else {}


def _no_such_key() -> GatewayError:
    return GatewayError(404, "key_not_found", "there is no such key", param="key")


def _naming(given: str, stored: list[Key], configured: list[Key]) -> Key | None:
    """Return the key that a text is, or the hash of; else the one with this name, which may look like another key."""
    digest = digest_of(given)
    # Of a key that is in both places, that of the file counts; by a name, the other one can be changed.
    exact = (key for key in (*configured, *stored) if key.digest in (given, digest))
    return next(exact, None) or next((key for key in (*stored, *configured) if key.name == given), None)
