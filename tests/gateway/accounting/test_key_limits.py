"""What a key may spend and use: from when it was made, at a time, and by model."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sagewire.errors import UsageError
from sagewire.gateway.accounting import usage_writer
from sagewire.gateway.accounting.budgets import SpendTable
from sagewire.gateway.accounting.database import Store, open_store
from sagewire.gateway.accounting.response_table import ResponseTable, StoredResponse
from sagewire.gateway.accounting.usage_writer import UsageWriter
from sagewire.gateway.config import parse_config
from sagewire.gateway.key_limits import KeyLimits
from sagewire.gateway.keys import Key, from_config, new_key
from sagewire.gateway.rate_limits import require_shared_counts
from sagewire.types import Usage
from tests.cases import each

MASTER = {"authorization": "Bearer sk-master-key"}


@pytest.fixture(autouse=True)
def _written_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_writer, "INTERVAL", 0.05)


def config(url: str, more: str = "") -> str:
    one = f'url: "{url}", handler: openai_chat, attempts: 1, input_cost_per_token: 0.00001'
    return f"""
models:
  m: {{{one}}}
  other: {{{one}, served_model: other}}
  "lora/*": {{{one}, served_model: "*"}}
aliases: {{gpt: m}}
server: {{master_key: sk-master-key}}
{more}
"""


@pytest.fixture
def gateway(start, vllm):
    return start(config(vllm.url))


def ask(gateway, secret: str, model: str = "m", **more: Any):
    body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "Hello"}], **more}
    return gateway.post("/v1/chat/completions", body, authorization=f"Bearer {secret}")


def make(gateway, **fields: Any) -> str:
    made = gateway.post("/key/generate", fields, **MASTER)
    assert made.status == 200, made.json()
    return str(made.json()["key"])


def spend_of(gateway, name: str) -> float:
    return float(gateway.get(f"/key/info?key={name}", **MASTER).json()["info"]["spend"])


def requests_of(gateway, headers: dict[str, str], key: str = "") -> list[int]:
    found = gateway.get(f"/status/requests?key={key}" if key else "/status/requests", **headers).json()["requests"]
    return sorted(one["status"] for one in found if one["route"] == "chat")


@each("limit", [{"max_budget": 0.0005}, {"max_budget": 0.0005, "budget_duration": "30d"}, {"rpm_limit": 1}])
def test_a_new_key_with_an_old_name_starts_at_nothing(gateway, until, limit: dict[str, Any]) -> None:
    name = "-".join(limit)
    secret = make(gateway, key_alias=name, **limit)
    assert ask(gateway, secret).status == 200
    until(lambda: spend_of(gateway, name) == 0.0006)
    assert ask(gateway, secret).status == 429
    gateway.post("/key/delete", {"key_aliases": [name]}, **MASTER)
    again = make(gateway, key_alias=name, **limit)
    assert spend_of(gateway, name) == 0
    until(lambda: requests_of(gateway, MASTER, name) == [200, 429])
    assert requests_of(gateway, {"authorization": f"Bearer {again}"}) == []
    assert ask(gateway, again).status == 200
    assert ask(gateway, again).status == 429
    assert ask(gateway, secret).status == 401


def test_what_a_key_has_spent_goes_with_it(start, vllm, until) -> None:
    gateway = start(config(vllm.url))
    secret = make(gateway, key_alias="a")
    assert ask(gateway, secret).status == 200
    until(lambda: spend_of(gateway, "a") == 0.0006)
    gateway.post("/key/update", {"key": secret, "key_alias": "b"}, **MASTER)
    make(gateway, key_alias="a")
    assert (spend_of(gateway, "a"), spend_of(gateway, "b")) == (0, 0.0006)
    # A budget that comes later holds for all of it.
    gateway.post("/key/update", {"key": secret, "max_budget": 0.0005}, **MASTER)
    assert ask(gateway, secret).status == 429
    gateway.post("/key/update", {"key": secret, "max_budget": None}, **MASTER)
    assert ask(gateway, secret).status == 200
    until(lambda: spend_of(gateway, "b") == 0.0012)
    changed = gateway.post("/key/update", {"key": secret, "max_budget": 0.001}, **MASTER)
    assert changed.json()["spend"] == 0.0012
    assert ask(gateway, secret).status == 429


@each("limit", [{}, {"max_budget": 0.0015}, {"max_budget": 0.0015, "budget_duration": "1d"}])
def test_what_is_spent_survives_a_new_secret_and_can_be_reset(gateway, until, limit: dict[str, Any]) -> None:
    secret = make(gateway, **limit)
    name = gateway.get(f"/key/info?key={secret}", **MASTER).json()["info"]["key_alias"]
    assert ask(gateway, secret).status == 200
    until(lambda: spend_of(gateway, name) == 0.0006)
    secret = gateway.post(f"/key/{secret}/regenerate", {}, **MASTER).json()["key"]
    assert spend_of(gateway, name) == 0.0006
    for wrong in ({"reset_to": 1}, {"reset_to": -1}, {"reset_to": True}, {}, {"reset_to": 0, "max_budget": 5}):
        assert gateway.post(f"/key/{name}/reset_spend", wrong, **MASTER).status == 400, wrong
    found = gateway.post(f"/key/{secret}/reset_spend", {"reset_to": 0.0001}, **MASTER).json()
    assert (found["previous_spend"], found["spend"], spend_of(gateway, name)) == (0.0006, 0.0001, 0.0001)
    assert ask(gateway, secret).status == 200
    until(lambda: spend_of(gateway, name) == 0.0007)


def test_what_is_set_aside_survives_a_reset(stores) -> None:
    one, two = stores
    key = replace(new_key("bob", "sk-a"), max_budget=1.0)
    one.add_key(key)
    running = SpendTable(one).reserve(key, 500)
    SpendTable(two).reset(key, 70)
    assert SpendTable(one).of(key).nanodollars == 570
    SpendTable(one).settle(running, 30)
    assert SpendTable(two).of(key).nanodollars == 100


def test_stored_responses_go_to_the_new_secret(stores) -> None:
    one, two = stores
    table = ResponseTable(one)
    stored = StoredResponse("resp_1", {"id": "resp_1"}, [])
    table.add("old", stored, datetime.now(UTC) + timedelta(days=1), 10**6)
    two.move_responses("old", "new")
    assert (table.get("old", "resp_1"), (table.get("new", "resp_1") or {})["id"]) == (None, "resp_1")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def stores(request: pytest.FixtureRequest, tmp_path) -> list[Store]:
    """The stores of two workers."""
    url = f"sqlite:///{tmp_path}/keys.db" if request.param == "sqlite" else request.getfixturevalue("database")
    return [open_store(url) for _ in range(2)]


async def test_a_worker_that_still_knows_the_old_key_charges_the_old_key(stores) -> None:
    one, two = stores
    old, new = (replace(new_key("bob", secret), max_budget=1.0) for secret in ("sk-a", "sk-b"))
    one.add_key(old)
    writer = UsageWriter(two)
    assert one.remove_key("bob")
    one.add_key(new)
    running = SpendTable(two).reserve(old, 500)
    SpendTable(two).settle(running, 700)
    writer.note("bob", "m", Usage(1, 1), failed=False, cost=900, account=old.account)
    await writer.flush()
    assert SpendTable(one).of(new).nanodollars == 0
    assert SpendTable(one).of(replace(new, max_budget=None)).nanodollars == 0
    # With another name, a worker that does not know it yet still counts to the same budget.
    renamed = replace(new, name="eve")
    assert one.update_key(renamed, new)
    SpendTable(two).settle(SpendTable(two).reserve(new, 300), 200)
    assert SpendTable(one).of(renamed).nanodollars == 200
    assert two.key(new.digest) == renamed


def test_changes_at_the_same_time_do_not_undo_each_other(stores) -> None:
    one, two = stores
    key = replace(new_key("bob", "sk-a"), notes={"metadata": {"a": 1}})
    one.add_key(key)
    assert one.update_key(replace(key, blocked=True), key)
    assert two.update_key(replace(key, requests_per_minute=5, model_limits={"m": (1, None)}), key)
    (found,) = one.all_keys()
    for named in ("bob", "sk-a", key.digest):
        assert two.keys_named(named) == [found]
    for nobody in ("sk-b", "a\0b", "\udc00", "é"):
        assert two.keys_named(nobody) == []
    assert found == replace(key, blocked=True, requests_per_minute=5, model_limits={"m": (1, None)})
    assert two.update_key(replace(found, name="eve"), found)
    one.add_key(new_key("bob", "sk-b"))
    assert one.remove_key("bob", key.digest)
    assert not one.remove_key("eve")
    assert two.remove_key("bob")
    assert not one.update_key(replace(key, blocked=False), found)
    assert one.all_keys() == []


def test_requests_at_a_time(start, vllm, until) -> None:
    goes_on, arrived = threading.Event(), threading.Semaphore(0)

    def wait(headers: dict[str, str]) -> tuple[int, Any]:
        arrived.release()
        goes_on.wait(20)
        return 400, {"error": {"message": "over"}}

    vllm.answers["wait"] = wait
    gateway = start(config(vllm.url))
    secret, free = make(gateway, key_alias="two", max_parallel_requests=2), make(gateway)
    waiting = [{"role": "user", "content": "wait"}]
    threads = [threading.Thread(target=ask, args=(gateway, secret), kwargs={"messages": waiting}) for _ in range(2)]
    for one in threads:
        one.start()
        assert arrived.acquire(timeout=20)
    refused = ask(gateway, secret)
    assert (refused.status, refused.json()["error"]["code"]) == (429, "too_many_parallel_requests")
    assert (refused.headers["retry-after"], "has 2" in refused.json()["error"]["message"]) == ("1", True)
    assert ask(gateway, free).status == 200
    goes_on.set()
    for one in threads:
        one.join()
    until(lambda: ask(gateway, secret).status == 200)
    # Each prompt counts; more than there may ever be are never served.
    body = {"model": "m", "prompt": ["a", "b", "c"]}
    many = gateway.post("/v1/completions", body, authorization=f"Bearer {secret}")
    assert (many.status, many.json()["error"]["code"]) == (400, "too_many_prompts")
    assert ask(gateway, secret, "none").status == 404
    until(lambda: gateway.gateway.limits._in_flight == {})


def test_requests_at_a_time_are_counted_in_one_process(start, vllm) -> None:
    gateway = start(config(vllm.url), workers=2)
    refused = gateway.post("/key/generate", {"max_parallel_requests": 2}, **MASTER)
    assert (refused.status, refused.json()["error"]["code"]) == (400, "limits_not_shared")
    key = Key("k", max_parallel_requests=1)
    for workers, alone in ((2, True), (1, False)):
        with pytest.raises(UsageError, match="k have `max_parallel_requests`"):
            require_shared_counts(parse_config(config(vllm.url)), workers, [key], shared=True, alone=alone)
    require_shared_counts(parse_config(config(vllm.url)), 1, [key])


@each(
    ("limits", "asked", "statuses"),
    [
        ({"m": 1}, ["m", "other", "m"], [200, 200, 429]),
        # Under whatever name it is asked for, or limited.
        ({"m": 1}, ["gpt", "m"], [200, 429]),
        ({"gpt": 1}, ["m", "gpt"], [200, 429]),
        ({"lora/*": 1}, ["lora/a", "lora/b"], [200, 429]),
        ({"lora/a": 1}, ["lora/a", "lora/b", "lora/a"], [200, 200, 429]),
        ({"m": 1, "other": 2}, ["other", "m", "m", "other", "other"], [200, 200, 429, 200, 429]),
    ],
)
def test_limits_by_model(gateway, limits: dict[str, int], asked: list[str], statuses: list[int]) -> None:
    secret = make(gateway, model_rpm_limit=limits, rpm_limit=50)
    assert [ask(gateway, secret, model).status for model in asked] == statuses
    # A model that is asked for too often takes nothing of the others.
    assert ask(gateway, secret, "lora/z").status == (429 if "lora/*" in limits else 200)


def test_tokens_by_model_and_the_callers_own_fallbacks(start, vllm, until) -> None:
    vllm.answers['"other"'] = 500, {"error": {"message": "broken"}}
    gateway = start(config(vllm.url))
    secret = make(gateway, model_tpm_limit={"m": 150})
    assert ask(gateway, secret, "other", fallbacks=["m"]).status == 200
    # The 12 that were set aside are replaced by the 100 that were used.
    until(lambda: ask(gateway, secret).headers.get("x-ratelimit-remaining-tokens") == "0")
    refused = ask(gateway, secret, "other", fallbacks=["m"])
    assert (refused.status, "tokens of model 'm' per minute" in refused.json()["error"]["message"]) == (429, True)
    changed = gateway.post("/key/update", {"key": secret, "model_tpm_limit": None}, **MASTER).json()
    assert changed["model_tpm_limit"] == {}
    assert ask(gateway, secret).status == 200


def test_no_two_limits_share_a_count() -> None:
    keys = [Key("a", model_limits={"b/c": (1, 1)}), Key("a/b", model_limits={"c": (1, 1)}), Key("a/b/c")]
    names = [one.quota_of(model).name for one in keys for model in one.model_limits]
    assert len({*names, *(one.quota.name for one in keys)}) == 5


async def test_a_key_of_the_file_with_a_long_name_is_charged(stores) -> None:
    one, two = stores
    name = "n" * 250
    (config,) = parse_config(f"models: {{m: {{endpoint: e}}}}\nkeys: [{{name: {name}, key: a, max_budget: 1}}]").keys
    key = from_config(config)
    SpendTable(one).settle(SpendTable(one).reserve(key, 500), 300)
    writer = UsageWriter(two)
    writer.note(key.name, "m", Usage(1, 1), failed=False, cost=300, account=key.account)
    await writer.flush()
    assert SpendTable(two).of(key).nanodollars == SpendTable(two).of(replace(key, max_budget=None)).nanodollars == 300


def test_a_key_does_not_see_the_requests_of_the_key_whose_name_it_gets(start, vllm, until) -> None:
    gateway = start(config(vllm.url))
    bob, eve = make(gateway, key_alias="bob"), make(gateway, key_alias="eve")
    assert ask(gateway, bob).status == 200
    until(lambda: requests_of(gateway, MASTER, "bob") == [200])
    gateway.post("/key/delete", {"keys": [bob]}, **MASTER)
    assert gateway.post("/key/update", {"key": eve, "key_alias": "bob"}, **MASTER).status == 200
    assert ask(gateway, eve).status == 200
    until(lambda: requests_of(gateway, MASTER, "bob") == [200, 200])
    assert requests_of(gateway, {"authorization": f"Bearer {eve}"}) == [200]


def test_keys_of_the_file(start, vllm) -> None:
    keys = """
keys:
  - {name: a, key: sk-a, model_limits: {gpt: {requests_per_minute: 1}}, metadata: {owner: me}}
  - {name: b, key: sk-b, blocked: true, max_parallel_requests: 3}
"""
    gateway = start(config(vllm.url, keys))
    assert [ask(gateway, "sk-a").status, ask(gateway, "sk-a").status, ask(gateway, "sk-b").status] == [200, 429, 401]
    info = gateway.get("/key/info", authorization="Bearer sk-a").json()["info"]
    assert (info["metadata"], info["model_rpm_limit"], info["blocked"]) == ({"owner": "me"}, {"gpt": 1}, False)
    assert from_config(gateway.gateway.config.keys[1]).max_parallel_requests == 3
    with pytest.raises(UsageError, match=r"model_limits of the key 'a'.*'none'"):
        parse_config(config(vllm.url, keys.replace("gpt:", "none:")))
    assert isinstance(gateway.gateway.limits, KeyLimits)
