"""Prices and budgets: what requests cost, what keys may spend, and that it holds for calls at the same time."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sagewire.errors import UsageError
from sagewire.gateway.accounting.budgets import BudgetReservation, Budgets, SpendTable
from sagewire.gateway.accounting.costs import Prices, nanodollars
from sagewire.gateway.accounting.database import StoreError, open_store
from sagewire.gateway.accounting.report import report
from sagewire.gateway.accounting.tables import RESERVED
from sagewire.gateway.accounting.usage_writer import UsageWriter
from sagewire.gateway.config import parse_config
from sagewire.gateway.durations import after
from sagewire.gateway.errors import GatewayError
from sagewire.gateway.keys import Key
from sagewire.gateway.quota import estimated_answer
from sagewire.gateway.request_log import used_tokens
from sagewire.gateway.routes.chat import _InTurn
from sagewire.types import Reply, TextDelta, Usage, UsageDelta
from tests.cases import each
from tests.gateway.accounting.logs import ended

NOW = datetime(2027, 1, 31, 12, tzinfo=UTC)
DOLLAR = 10**9
MASTER = {"authorization": "Bearer sk-master-key"}
BOB = {"authorization": "Bearer sk-bob"}
HELLO = [{"role": "user", "content": "Hello"}]
NEVER = [{"role": "user", "content": "never"}]


def config(url: str, key: str = "max_budget: 0.001") -> str:
    prices = "input_cost_per_token: 0.00001, output_cost_per_token: 0.00002"
    return f"""
models: {{m: {{url: "{url}", handler: openai_chat, attempts: 1, {prices}}}}}
keys: [{{name: bob, key: sk-bob, {key}}}]
server: {{master_key: sk-master-key}}
"""


def ask(gateway, **more):
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Hello"}], **more}
    return gateway.post("/v1/chat/completions", body, **BOB)


def test_what_a_request_costs() -> None:
    assert Prices(1.5e-7, 6e-7).cost(1_000, 500, 3.0) == 450_000
    assert Prices(second=0.0004).cost(0, 0, 2.5) == 1_000_000
    # Whatever a server counts, the sum fits into 64 bits.
    assert Prices(1.0, 1.0).cost(10**30, -5, 0.0) == 2**62


def test_requests_are_charged_and_the_budget_ends(start, vllm, until) -> None:
    gateway = start(config(vllm.url))
    store = gateway.gateway.store
    key = next(iter(gateway.gateway.access._configured.values()))
    # 60 tokens at 1e-5 and 40 at 2e-5: $0.0014, more than the budget. One request that is too dear is served.
    assert ask(gateway).status == 200
    until(lambda: SpendTable(store).of(key).nanodollars == 1_400_000)
    refused = ask(gateway)
    assert (refused.status, refused.json()["error"]["code"]) == (429, "budget_exceeded")
    assert refused.headers["x-should-retry"] == "false"
    assert len(vllm.bodies) == 1
    text = gateway.get("/metrics", **MASTER).data.decode()
    assert 'sagewire_gateway_cost_dollars_total{key="bob",model="m"} 0.0014' in text
    until(lambda: sum(row.nanodollars for row in store.usage()) == 1_400_000)
    assert sum(sum(row.latencies) for row in store.usage()) == 1


def test_a_request_that_fails_costs_nothing(start, vllm, until) -> None:
    gateway = start(config(vllm.url))
    key = next(iter(gateway.gateway.access._configured.values()))
    vllm.answers["chat"] = 500, {"error": {"message": "broken"}}
    assert ask(gateway).status == 502
    assert ask(gateway, temperature="hot").status == 400
    until(lambda: SpendTable(gateway.gateway.store).of(key).nanodollars == 0)


@each(
    ("path", "more", "status", "spent"),
    [
        # The caller's own time limit is over: what was set aside stands, as for one who hangs up.
        ("chat/completions", {"messages": NEVER, "timeout": 0.1}, 504, 230_000),
        # The prompt was sent, and nothing came back.
        ("chat/completions", {"messages": NEVER, "timeout": 0.1, "stream": True}, 504, 30_000),
        # Of three prompts two are answered, at 60 and 40 tokens each, and one is refused.
        ("completions", {"prompt": ["a", "b", "refused"]}, 400, 2_800_000),
        ("completions", {"prompt": ["refused"]}, 400, 0),
        ("chat/completions", {"messages": [{"role": "user", "content": "refused"}]}, 400, 0),
    ],
)
def test_what_was_done_for_a_caller_is_not_free(
    start, vllm, until, path: str, more: dict[str, Any], status: int, spent: int
) -> None:
    ended = threading.Event()
    vllm.answers["never"] = lambda headers: (200, {"late": ended.wait(20)})
    vllm.answers["refused"] = 400, {"error": {"message": "too long"}}
    gateway = start(config(vllm.url, "max_budget: 1").replace("attempts: 1", "attempts: 1, max_concurrency: 1"))
    key = next(iter(gateway.gateway.access._configured.values()))
    assert gateway.post(f"/v1/{path}", {"model": "m", "max_tokens": 10, **more}, **BOB).status == status
    ended.set()
    until(lambda: SpendTable(gateway.gateway.store).of(key).nanodollars == spent)


def test_fallbacks_are_set_aside_at_their_own_price(start, vllm, until) -> None:
    vllm.answers['"cheap"'] = 500, {"error": {"message": "broken"}}
    one = f"url: '{vllm.url}', handler: openai_chat, attempts: 1"
    gateway = start(
        f"""
models:
  cheap: {{{one}, served_model: cheap, fallbacks: [dear], input_cost_per_token: 0.0000001}}
  free: {{{one}, served_model: cheap}}
  dear: {{{one}, served_model: dear, input_cost_per_token: 0.001, output_cost_per_token: 0.001}}
keys: [{{name: bob, key: sk-bob, max_budget: 1}}, {{name: eve, key: sk-eve, max_budget: 1, models: [cheap]}}]
"""
    )
    parts: list[int] = []
    reserve = SpendTable.reserve

    def remembered(table: SpendTable, key: Key, wanted: int) -> BudgetReservation:
        parts.append(wanted)
        return reserve(table, key, wanted)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SpendTable, "reserve", remembered)
        assert ask(gateway, model="cheap").status == 200
        assert ask(gateway, model="free", fallbacks=["dear"]).status == 200
        assert ask(gateway, model="cheap", fallbacks=[]).status == 502
        # Fallbacks that a key may not use do not answer.
        body = {"model": "cheap", "max_tokens": 10, "messages": HELLO}
        assert gateway.post("/v1/chat/completions", body, authorization="Bearer sk-eve").status == 502
    assert parts == [13_000_000, 13_000_000, 300, 300]


def test_tokens_of_an_answer_that_is_cut_short() -> None:
    log = ended(body={"prompt": ["aaaa", "bbbb"]}, stream=True, error="client_gone")
    log.answered("x" * 40)
    assert used_tokens(log) == (2, 10)
    log.counted(Usage(7, 12))
    assert used_tokens(log) == (7, 12)
    # The second prompt, and what has come of its answer.
    log.answered("y" * 400)
    assert used_tokens(log) == (8, 112)
    log.error = None
    assert used_tokens(log) == (7, 12)


async def test_counts_of_several_streams_are_summed_up_on_the_way() -> None:
    class One:
        reply = Reply(usage=Usage(5, 6))

        async def __aiter__(self):
            yield TextDelta("a")
            yield UsageDelta(Usage(5, 6))

    log = ended(body={"prompt": ["aaaa", "bbbb"]})
    found, sent = [], []
    async for delta in _InTurn([One(), One()], log):
        found.append(delta)
        sent.append((log.begun_prompts, log.counted_prompts))
    assert sent == [(1, 0), (1, 1), (2, 1), (2, 2)]
    assert [delta.usage for delta in found if isinstance(delta, UsageDelta)] == [Usage(5, 6), Usage(10, 12)]


def test_estimates_count_every_spelling() -> None:
    body = {"prompt": "a", "max_tokens": 1, "max_completion_tokens": 9, "n": 2, "best_of": 5}
    assert estimated_answer(body) == 45


def test_keys_with_budgets_over_http(start, vllm, until) -> None:
    gateway = start(config(vllm.url))
    body = {"key_alias": "eve", "max_budget": 2, "budget_duration": "1mo"}
    made = gateway.post("/key/generate", body, **MASTER).json()
    assert (made["max_budget"], made["budget_duration"], made["spend"]) == (2, "1mo", 0)
    eve = {"authorization": f"Bearer {made['key']}"}
    hello = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    assert gateway.post("/v1/chat/completions", hello, **eve).status == 200
    until(lambda: gateway.get("/key/info?key=eve", **MASTER).json()["info"]["spend"] == 0.0014)
    info = gateway.get("/key/info?key=eve", **MASTER).json()["info"]
    assert datetime.fromisoformat(info["budget_reset_at"]) > datetime.now(UTC) + timedelta(days=27)
    # What was spent goes with the key when its name or its budget changes.
    changed = {"key": "eve", "key_alias": "eva", "max_budget": 0.001}
    assert gateway.post("/key/update", changed, **MASTER).json()["spend"] == 0.0014
    assert gateway.post("/v1/chat/completions", hello, **eve).status == 429
    lifted = {"key": "eva", "max_budget": None, "budget_duration": None}
    assert gateway.post("/key/update", lifted, **MASTER).json()["max_budget"] is None
    assert gateway.post("/v1/chat/completions", hello, **eve).status == 200
    for wrong in ({"max_budget": -1}, {"max_budget": "x"}, {"max_budget": 1, "budget_duration": "soon"},
                  {"budget_duration": "1d"}):  # fmt: skip
        assert gateway.post("/key/generate", wrong, **MASTER).status == 400
    prices = gateway.get("/model/info", **MASTER).json()["data"][0]["model_info"]
    assert (prices["input_cost_per_token"], prices["output_cost_per_token"]) == (1e-5, 2e-5)


def test_parallel_requests_of_several_workers_share_a_budget(tmp_path: Path) -> None:
    key = Key("k", max_budget=1.0)
    tables = [SpendTable(open_store(f"sqlite:///{tmp_path}/keys.db")) for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda number: tables[number % 3].reserve(key, DOLLAR // 10), range(30)))
    # Ten go in, twenty get nothing; settled at a cent each, all of the rest is free again.
    good = [one for one in found if one.nanodollars]
    assert len(good) == 10
    assert tables[0].of(key).nanodollars == DOLLAR
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: tables[0].settle(one, DOLLAR // 100), good))
    assert tables[1].of(key).nanodollars == DOLLAR // 10


def test_what_a_killed_process_has_set_aside_is_given_back(tmp_path: Path) -> None:
    now = [NOW]
    store = open_store(f"sqlite:///{tmp_path}/keys.db")
    table = SpendTable(store, lambda: now[0])
    key = Key("k", "digest", max_budget=1.0)
    store.add_key(key)
    lost = table.reserve(key, 2 * DOLLAR)
    assert (lost.nanodollars, table.reserve(key, 1).nanodollars) == (DOLLAR, 0)
    now[0] += timedelta(minutes=16)
    late = table.reserve(key, DOLLAR // 2)
    assert late.nanodollars == DOLLAR // 2
    # One that was only slow pays what it cost, and takes nothing else away.
    table.settle(lost, DOLLAR // 10)
    assert table.of(key).nanodollars == DOLLAR * 6 // 10
    # The key has another name before its request has ended.
    renamed = replace(key, name="renamed")
    store.update_key(renamed)
    table.settle(late, DOLLAR // 5)
    assert table.of(renamed).nanodollars == DOLLAR * 3 // 10
    with store.transaction("count rows of") as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(RESERVED)).scalar() == 0


async def test_a_server_that_counts_far_too_much_harms_nobody_else(tmp_path: Path, caplog) -> None:
    store = open_store(f"sqlite:///{tmp_path}/keys.db")
    budgets, writer = Budgets(store, lambda: NOW), UsageWriter(store, lambda: NOW)
    one, other = Key("one", "1", max_budget=1e9), Key("other", "2", max_budget=5.0)
    for reservation in [await budgets.reserve(one, DOLLAR) for _ in range(3)]:
        await budgets.settle(reservation, 2**62)
    for model in "abc":
        for _ in range(3):
            writer.note("one", model, Usage(2**50, 2**50), failed=False, cost=2**62, account="one")
        await writer.flush()
    assert (await budgets.reserve(other, 7)).nanodollars == 7
    with pytest.raises(GatewayError, match="has spent its budget"):
        await budgets.reserve(one, 1)
    # Sums over several rows fit, too.
    assert report(store, 24, now=NOW)["total"]["cost"] >= 2**62 / DOLLAR
    assert SpendTable(store).of(Key("one", "1")).nanodollars == 2**62 - 1
    assert "not" not in caplog.text


async def test_a_cost_that_cannot_be_counted_stops_no_other(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    budgets = Budgets(open_store("sqlite://"))
    key = Key("bob", "1", max_budget=5.0)
    reservations = [await budgets.reserve(key, 3) for _ in range(2)]
    settle = SpendTable.settle

    def failing(table: SpendTable, reservation: BudgetReservation, cost: int) -> None:
        if cost == 1:
            raise OverflowError
        settle(table, reservation, cost)

    monkeypatch.setattr(SpendTable, "settle", failing)
    for number, reservation in enumerate(reservations, 1):
        await budgets.settle(reservation, number)
    assert "'bob' is not counted: OverflowError" in caplog.text
    assert budgets._table.of(key).nanodollars == 3 + 2


def test_a_budget_starts_anew() -> None:
    now = [NOW]
    table = SpendTable(open_store("sqlite://"), lambda: now[0])
    key = Key("k", max_budget=1.0, budget_duration="1mo")
    before = table.reserve(key, DOLLAR)
    assert before.spend.resets_at == datetime(2027, 2, 28, 12, tzinfo=UTC)
    assert table.reserve(key, 1).nanodollars == 0
    now[0] += timedelta(days=40)
    late = table.reserve(key, DOLLAR // 2)
    # What was set aside before counts no more; what it cost in the end does.
    table.settle(before, DOLLAR // 4)
    assert table.of(key).nanodollars == DOLLAR * 3 // 4
    table.settle(late, 0)
    # A shorter duration holds at once.
    shorter = Key("k", max_budget=1.0, budget_duration="1h")
    assert table.of(shorter).resets_at == now[0] + timedelta(hours=1)


async def test_without_a_database_budgets_are_refused_and_settled_later() -> None:
    store = open_store("sqlite://")
    key = Key("k", max_budget=1.0)
    budgets = Budgets(store)
    first = await budgets.reserve(key, DOLLAR // 2)

    def down(doing: str):
        raise StoreError("down")

    works, store.transaction = store.transaction, down  # type: ignore[method-assign]
    await budgets.settle(first, DOLLAR // 10)
    with pytest.raises(GatewayError, match="cannot be checked") as caught:
        await budgets.reserve(key, 1)
    assert caught.value.status == 503
    store.transaction = works  # type: ignore[method-assign]
    budgets._calls._paused_until = 0.0
    await budgets.close()
    assert SpendTable(store).of(key).nanodollars == DOLLAR // 10


async def test_a_caller_who_leaves_while_the_budget_is_checked_gives_it_back(until) -> None:
    store = open_store("sqlite://")
    key = Key("k", max_budget=1.0)
    budgets = Budgets(store)
    with store._lock:
        asking = asyncio.create_task(budgets.reserve(key, DOLLAR))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    until(lambda: not any(one.name == "sagewire-blocking" for one in threading.enumerate()))
    assert (await budgets.reserve(key, DOLLAR)).nanodollars == DOLLAR


def test_prices_in_files() -> None:
    text = """
model_list:
  - model_name: a
    litellm_params: {model: sagemaker_chat/e, input_cost_per_token: 1e-6, output_cost_per_token: 2.0e-06}
  - {model_name: b, litellm_params: {model: sagemaker_chat/e}, model_info: {input_cost_per_second: 0.0004}}
  - {model_name: c, litellm_params: {model: sagemaker_chat/e}}
router_settings: {routing_strategy: cost-based-routing}
"""
    found = parse_config(text)
    assert found.models["a"].deployments[0].prices == Prices(1e-6, 2e-6)
    assert found.models["b"].deployments[0].prices == Prices(second=0.0004)
    assert found.models["c"].deployments[0].prices is None
    assert found.models["a"].routing == "cheapest"
    with pytest.raises(UsageError, match=r"line 4: .*input_cost_per_token: should be a number"):
        parse_config(text.replace("1e-6", "cheap"))
    own = parse_config("models: {m: {endpoint: e}}\nkeys: [{name: k, key: s, max_budget: 5, budget_duration: 30d}]")
    # A budget that nothing counts towards is pointed out.
    assert "requests of m cost nothing" in own.warnings[0]
    for wrong in ("max_budget: -1", "budget_duration: 30d", "max_budget: 1, budget_duration: 30 days"):
        with pytest.raises(UsageError, match="budget"):
            parse_config(f"models: {{m: {{endpoint: e}}}}\nkeys: [{{name: k, key: s, {wrong}}}]")


def test_durations() -> None:
    assert after("2w", NOW) == NOW + timedelta(days=14)
    assert after("13mo", NOW) == datetime(2028, 2, 29, 12, tzinfo=UTC)
    for wrong in ("", "0d", "1y", "999999w", "-1d"):
        with pytest.raises(UsageError):
            after(wrong, NOW)


def test_dollars_are_exact() -> None:
    assert nanodollars(0.1) + nanodollars(0.2) == nanodollars(0.3)
