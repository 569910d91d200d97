"""The limits of keys, as requests meet them: rates, budgets, and requests at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sagewire.gateway.accounting.budgets import Budgets
from sagewire.gateway.accounting.costs import USUAL_SECONDS, Prices, dearest
from sagewire.gateway.config import GatewayConfig
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key
from sagewire.gateway.rate_limits import RateLimits
from sagewire.gateway.request_log import RequestLog, used_tokens
from sagewire.gateway.turn import Turn

__all__ = ["KeyLimits"]

# Whether a key may use a model.
Allows = Callable[[Key, str], bool]


class KeyLimits:
    """What keys may use, reserved before a request is served and settled when it has ended.

    Args:
        rates: Counts requests and tokens per minute.
        budgets: Counts dollars.
        workers: Worker processes.
        alone: No other process can serve requests of the same keys, as far as can be told.

    Attributes:
        alone: The same.
    """

    def __init__(self, rates: RateLimits, budgets: Budgets, workers: int, *, alone: bool) -> None:
        self._rates = rates
        self._budgets = budgets
        self._workers = workers
        self.alone = alone
        # Prompts being answered, by account.
        self._in_flight: dict[str, int] = {}

    def check_countable(self, key: Key, status: int = 400) -> None:
        """Raise `GatewayError` if a key has limits that the workers could not count together."""
        if key.limited and self._workers > 1 and not self._rates.shared:
            raise GatewayError(
                status,
                "limits_not_shared",
                f"key '{key.name}' has rate limits, which {self._workers} workers can only count together in Redis: "
                "set `server.redis_url`, or run one worker; a budget (`max_budget`) holds without",
            )
        if key.max_parallel_requests is not None and not self.alone:
            raise GatewayError(
                status,
                "limits_not_shared",
                f"key '{key.name}' has 'max_parallel_requests', which is counted in one process: run one worker, "
                "without PostgreSQL, or limit requests per minute instead",
            )

    async def reserve(self, turn: Turn, config: GatewayConfig, allows: Allows) -> None:
        """Set aside what a request of a key with limits may use.

        Args:
            turn: The request.
            config: The configuration.
            allows: Says which fallbacks may answer.

        Raises:
            GatewayError: 429 for a limit reached, 400 for a request that could never be served.
        """
        key, log = turn.key, turn.log
        # One that was made with `keys add` while this process ran.
        self.check_countable(key, 503)
        if key.max_parallel_requests is not None:
            self._enter(turn, key.max_parallel_requests)
        prompt, answer = 0, 0
        if key.tokens_per_minute is not None or key.max_budget is not None or key.model_limits:
            prompt, answer = turn.expected()
        for name in _limits_for(turn, config) if key.model_limits else ():
            # Before the key's own: who asks too often for one model may go on with others.
            headers, found = await self._rates.admit(key, requests=turn.calls, tokens=prompt + answer, model=name)
            log.headers |= headers
            log.model_reservations = (*log.model_reservations, found)
        if key.requests_per_minute is not None or key.tokens_per_minute is not None:
            headers, log.reservation = await self._rates.admit(key, requests=turn.calls, tokens=prompt + answer)
            log.headers |= headers
        if key.max_budget is not None:
            prices = dearest(_prices(turn, config, allows))
            log.budget = await self._budgets.reserve(key, prices.cost(prompt, answer, USUAL_SECONDS))

    async def settle(self, log: RequestLog) -> None:
        """Count what a request has used in place of what was set aside for it."""
        if log.parallel:
            self._leave(log)
        tokens = _tokens_of(log)
        for reservation in log.model_reservations:
            await self._rates.settle(reservation, tokens)
        if log.reservation is not None:
            await self._rates.settle(log.reservation, tokens)
        log.cost = _cost_of(log)
        if log.budget is not None:
            await self._budgets.settle(log.budget, log.cost)
        if log.lease is not None:
            completion = (log.usage and log.usage.completion_tokens) or log.answer_tokens
            log.lease.ended(tokens, completion, stream=log.stream)
            if log.lease.reservation is not None:
                await self._rates.settle(log.lease.reservation, tokens)

    def _enter(self, turn: Turn, most: int) -> None:
        key = turn.key
        if turn.calls > most:
            raise GatewayError(
                400,
                "too_many_prompts",
                f"the request has {turn.calls} prompts, each of which counts as a request, and key '{key.name}' may "
                f"make {most} at a time: send at most so many prompts at a time",
                param="prompt",
            )
        busy = self._in_flight.get(key.account, 0)
        if busy + turn.calls > most:
            raise GatewayError(
                429,
                "too_many_parallel_requests",
                f"key '{key.name}' may have {most} requests at a time, and has {busy}; try again when one has ended",
                headers={"retry-after": "1"},
            )
        self._in_flight[key.account] = busy + turn.calls
        turn.log.parallel = turn.calls

    def _leave(self, log: RequestLog) -> None:
        assert log.key is not None, "only requests of keys are counted"
        left = self._in_flight[log.key.account] - log.parallel
        log.parallel = 0
        if left:
            self._in_flight[log.key.account] = left
        else:
            del self._in_flight[log.key.account]


def _limits_for(turn: Turn, config: GatewayConfig) -> list[str]:
    """Return the names in the key's `model_limits` that a request counts towards, under whatever name it asks."""
    wanted: set[str] = set()
    # A fallback that the caller has chosen may be the only model that answers.
    for asked in (turn.model.name, *(turn.settings.fallbacks or ())):
        entry = config.entry(asked)
        if entry is not None:
            wanted |= {config.aliases.get(asked, asked), entry, config.models[entry].part_of or entry}
    return [name for name in turn.key.model_limits if config.aliases.get(name, name) in wanted]


def _prices(turn: Turn, config: GatewayConfig, allows: Allows) -> Iterator[Prices]:
    """Yield the prices of all deployments that may answer: those of fallbacks, too, may be the highest."""
    waiting, seen = [turn.model.name], set[str]()
    while waiting:
        found = config.settings(waiting.pop())
        if found is None or found[0] in seen or (seen and not allows(turn.key, found[0])):
            continue
        name, model = found
        seen.add(name)
        yield from (one.prices for one in model.deployments if one.prices is not None)
        if turn.settings.fallbacks is None:
            waiting += model.fallbacks or config.default_fallbacks
            waiting += [*model.context_fallbacks, *model.content_fallbacks]
        else:
            waiting += turn.settings.fallbacks


def _tokens_of(log: RequestLog) -> int:
    """Return the tokens to charge to the limits of the key and the deployment."""
    reserved = log.model_reservations if log.reservation is None else (log.reservation, *log.model_reservations)
    if not (log.lease or reserved) or not log.is_charged:
        return 0
    if log.is_cut_short:
        return max(sum(used_tokens(log)), *(one.tokens for one in reserved), 0)
    return sum(used_tokens(log))


def _cost_of(log: RequestLog) -> int:
    """Return the nanodollars of a request, by the same rules as its tokens."""
    if log.prices is None or not log.is_charged:
        return 0
    cost = log.prices.cost(*used_tokens(log), log.seconds)
    return max(log.budget.nanodollars, cost) if log.is_cut_short and log.budget is not None else cost
