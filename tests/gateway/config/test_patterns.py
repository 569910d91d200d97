"""Models whose names have a star: what fits, where it goes, who may use it, and what is kept of it."""

import asyncio
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from sagewire.emulator import Emulator
from sagewire.errors import EndpointNotFound, ModelError, UsageError
from sagewire.gateway.config import parse_config
from sagewire.gateway.config.patterns import Pattern
from sagewire.gateway.routing import model_cache
from sagewire.gateway.routing.deployments import Deployment
from sagewire.gateway.routing.router import Router
from tests.cases import each

HI = {"messages": [{"role": "user", "content": "Hello there"}]}
CHAT = "/v1/chat/completions"


def ask(model: str, **settings: object) -> dict[str, object]:
    return {"model": model, **HI, **settings}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


# What a star can stand for ------------------------------------------------------------------------------------------


def test_the_most_specific_wins() -> None:
    config = parse_config(
        "models:\n  'a-*': {endpoint: '*'}\n  '*': {endpoint: 'any-*'}\n  'a-b-*': {endpoint: 'deep-*'}\n"
        "  'a-b-c': {endpoint: exact}\n  '*-z': {endpoint: 'last-*'}\naliases: {short: a-b-x}\n"
    )
    places = {
        name: config.settings(name)[1].deployments[0].endpoint
        for name in ("a-b-c", "a-b-d", "a-d", "d", "yy-z", "short")
    }
    assert places == {
        "a-b-c": "exact",
        "a-b-d": "deep-d",
        "a-d": "d",
        "d": "any-d",
        "yy-z": "last-yy",
        "short": "deep-x",
    }
    assert (config.canonical("a-d"), config.canonical("short"), config.entry("short")) == ("a-d", "a-b-x", "a-b-*")
    assert config.canonical("a-*") is None


@given(
    st.text(alphabet="ab-*/", min_size=0, max_size=6), st.text(alphabet="ab-", max_size=4), st.text("ab-", max_size=4)
)
def test_what_the_star_stands_for_is_what_is_between(star: str, before: str, after: str) -> None:
    config = parse_config(f"models: {{'x{before}*{after}': {{url: 'http://h', served_model: 'y*'}}}}")
    found = config.settings(f"x{before}{star}{after}")
    if found is not None:
        assert found[1].deployments[0].served_model == f"y{star}"
        assert "*" not in star
    assert config.settings(f"z{before}{star}{after}") is None


HOSTILE = [
    "",
    "*",
    "-a",
    "a-",
    "a b",
    "a/b",
    "../a",
    "..",
    "a%2fb",
    "a?x=1",
    "a#b",
    "a\nb",
    "a\x00b",
    "a\r\nhost: x",
    "ünï",
    "a" * 64,
    "a" + "-" * 70 + "a",
    "\u0661",
    "arn:aws:sagemaker:us-east-1:1:endpoint/a",
    "http://169.254.169.254/latest",
    "${x}",
    "a\\b",
    "a@b",
    " a",
    "a\n",
    "x" * 1_000_000,
]
HOSTILE_MODELS = [
    "",
    "*",
    "..",
    ".",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    "a..b",
    "/a",
    "a/",
    "a//b",
    "http://x/y",
    ".hidden",
    "a/.git",
    "a%2e%2e",
    "a?b",
    "a#b",
    "a b",
    "a\\b",
    "a\nb",
    "a\n",
    "é",
    "a" * 201,
]


def test_hostile_names_are_no_models(start, upstream: Emulator) -> None:
    gateway = start(
        "models:\n  'team-*': {endpoint: '*', handler: openai_chat}\n"
        "  'part-*': {endpoint: chat, inference_component: '*'}\n"
        f"  'served-*': {{url: '{upstream.container_url('chat')}', handler: openai_chat, served_model: '*'}}\n"
    )
    named = [f"team-{star}" for star in HOSTILE] + [f"part-{star}" for star in HOSTILE]
    for name in (*named, *(f"served-{star}" for star in HOSTILE_MODELS)):
        answer = gateway.post(CHAT, ask(name))
        assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found"), name[:100]
        assert len(answer.data) < 1000
    assert not upstream.calls
    assert not list(gateway.gateway.router.remembered)


@given(st.text(max_size=80))
def test_no_other_names_reach_a_url(name: str) -> None:

    config = parse_config("models: {'*': {endpoint: '*'}, 'm/*': {url: 'http://h', served_model: '*'}}")
    found = config.settings(name)
    if found is not None and not name.startswith("m/"):
        assert re.fullmatch("[a-zA-Z0-9-]{1,63}", found[1].deployments[0].endpoint)
    served = config.settings(f"m/{name}")
    if served is not None:
        assert all(part.strip(".") for part in name.split("/"))
        assert name.isascii()
        assert name.isprintable()


# Configuration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "models:\n  a: {endpoint: b}\n  m:\n    endpoint: '*'",
            "line 3: models.m.*a star needs one in the model's name",
        ),
        (
            "models:\n  'a-*-*':\n    endpoint: '*'",
            "line 3: .*`endpoint` .* has 1 stars, and the model's name 2",
        ),
        (
            "models:\n  'a-*':\n    endpoint: '*-*'",
            "line 3: .*`endpoint` .* has 2 stars, and the model's name 1",
        ),
        ("models:\n  'a-*':\n    endpoint: '*/x'", "line 3: .*cannot become a valid name"),
        ("models:\n  'a-*':\n    url: 'http://h'\n    served_model: '../*'", "line 4: .*cannot become a valid name"),
        ("models:\n  'a-*':\n    url: 'http://*.example.com'", "line 3: .*`url` cannot have a star.*served_model"),
        (
            "models:\n  'a-*':\n    deployments:\n      - endpoint: '*'\n      - endpoint: b",
            "line 5: .*either all have a star or none",
        ),
        ("models:\n  m: {endpoint: a, format: '*'}", "line 2: .*for the deployments of a pattern"),
        ("models:\n  'a-*': {endpoint: '*'}\naliases:\n  x: 'a-*'", "line 4: .*'a-\\*' is a pattern; say a name"),
        ("models:\n  'a-*': {endpoint: '*'}\naliases:\n  'x-*': a-b", "line 4: .*an alias cannot have a star"),
        ("models:\n  'a-*': {endpoint: '*'}\naliases:\n  x: 'a-b!'", "line 4: .*unknown model 'a-b!'"),
        ("models:\n  m: {endpoint: m}\naliases:\n  x: m\n  y: x", "line 5: .*'x' is an alias, too"),
        (
            "models:\n  'a-*': {endpoint: '*'}\n  m:\n    endpoint: m\n    fallbacks:\n      - 'a-*'",
            "line 6: .*is a pattern; say a name that fits it",
        ),
        (
            "models:\n  m: {endpoint: m}\nkeys:\n  - {name: k, key: x, models: ['b-*']}",
            "line 4: .*unknown model 'b-\\*'",
        ),
    ],
)
def test_mistakes_name_their_line(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_config(text, "gateway.yaml", {})


LITELLM = """
model_list:
  - model_name: "sagemaker_chat/*"
    litellm_params: {model: "sagemaker_chat/*", aws_region_name: us-east-1}
  - model_name: "team-*"
    litellm_params: {model: "sagemaker_chat/prod-*", rpm: 3}
  - model_name: "text/*"
    litellm_params: {model: "sagemaker/*"}
  - model_name: "huggingface/*"
    litellm_params: {model: "huggingface/*", api_key: hf_x}
  - model_name: "together/*"
    litellm_params: {model: "huggingface/together/*", api_key: hf_x}
  - model_name: "vllm/*"
    litellm_params: {model: "hosted_vllm/*", api_base: "http://localhost:8000/v1"}
  - model_name: "gpt-*"
    litellm_params: {model: sagemaker_chat/one}
  - model_name: "gpt-*"
    litellm_params: {model: sagemaker_chat/two}
"""


def test_litellms_wildcards() -> None:
    config = parse_config(LITELLM, "proxy.yaml", {})

    def place(name: str) -> tuple[str | None, str | None, object]:
        one = config.settings(name)[1].deployments[0]
        return one.endpoint or one.url, one.served_model, one.format

    router = "https://router.huggingface.co/v1"
    assert place("sagemaker_chat/llama") == ("llama", None, None)
    assert place("team-llama") == ("prod-llama", None, None)
    assert place("text/zephyr-7b-beta")[::2] == ("zephyr-7b-beta", "zephyr")
    assert place("text/unknown-family")[::2] == ("unknown-family", "default_pt")
    assert place("huggingface/org/model") == (router, "org/model", None)
    assert place("huggingface/together/org/model") == (router, "org/model:together", None)
    assert place("huggingface/conversational/org/model") == (router, "org/model", None)
    assert place("together/org/model") == (router, "org/model:together", None)
    assert place("vllm/org/model") == ("http://localhost:8000/v1", "org/model", None)
    # Without a star in the model, all names that fit are one and the same.
    assert config.canonical("gpt-4o") == config.canonical("gpt-4") == "gpt-*"
    assert [one.endpoint for one in config.settings("gpt-4o")[1].deployments] == ["one", "two"]


@each(
    ("name", "model", "asked", "served"),
    [
        ("fo::*:static::*", "openai/fo::*:static::*", "fo::hi::static::hi", "fo::hi::static::hi"),
        ("*-at-*", "hosted_vllm/*/*", "qwen-at-home", "qwen/home"),
        # As in LiteLLM, the first star takes as much as it can.
        ("*-*", "hosted_vllm/*/*", "a-b-c", "a-b/c"),
        ("*a*a", "hosted_vllm/x*y*", "aaaa", "xaay"),
        ("*/*", "hosted_vllm/*/*", "org/model", "org/model"),
        ("*/*", "hosted_vllm/one", "org/model", "one"),
        ("*/*", "hosted_vllm/*/*", "model", None),
        ("a*b*c", "hosted_vllm/*-*", "abc", None),
        ("a*b*c", "hosted_vllm/*-*", "a1b2c3", None),
        ("a*b*b", "hosted_vllm/*-*", "axb", None),
        ("x*" * 40, "hosted_vllm/" + "y*" * 40, "x" * 100_000, None),
    ],
)
def test_several_stars(name: str, model: str, asked: str, served: str | None) -> None:
    litellm = {"model_name": name, "litellm_params": {"model": model, "api_base": "http://h/v1"}}
    config = parse_config(json.dumps({"model_list": [litellm]}), "proxy.yaml", {})
    found = config.settings(asked)
    assert (found[1].deployments[0].served_model if found else None) == served


@given(st.lists(st.text("ab", max_size=2), min_size=2, max_size=4), st.text("ab", max_size=8))
def test_stars_stand_for_what_litellms_regular_expressions_find(texts: list[str], name: str) -> None:
    found = re.fullmatch("(.*)".join(texts), name)
    assert Pattern("*".join(texts)).stars(name) == (found.groups() if found else None)


def test_litellms_catch_all_with_a_slash() -> None:
    text = "model_list:\n  - {model_name: '*/*', litellm_params: {model: '*', aws_region_name: eu-west-1}}\n"
    config = parse_config(text, "proxy.yaml", {})
    assert config.settings("sagemaker_chat/llama")[1].deployments[0].endpoint == "llama"
    assert config.settings("llama") is None


def test_litellms_catch_all() -> None:
    text = "model_list:\n  - {model_name: '*', litellm_params: {model: '*', aws_region_name: eu-west-1}}\n"
    text += "  - {model_name: 'sagemaker/*', litellm_params: {model: 'sagemaker_chat/my-*'}}\n"
    config = parse_config(text, "proxy.yaml", {})
    assert set(config.models) == {"sagemaker_chat/*", "sagemaker_nova/*", "huggingface/*", "sagemaker/*"}
    (one,) = config.settings("sagemaker_chat/llama")[1].deployments
    assert (one.endpoint, one.region, one.handler) == ("llama", "eu-west-1", "openai_chat")
    # What has an entry of its own is not caught.
    (own,) = config.settings("sagemaker/llama")[1].deployments
    assert own.endpoint == "my-llama"
    assert any("line 2: " in note and "no other providers" in note for note in config.notes)


@pytest.mark.parametrize(
    ("name", "model", "says"),
    [
        ("m", "sagemaker_chat/*", "line 3: model_list.1.litellm_params: a star needs one in the model's name"),
        ("m", "'*'", "line 3: .*a star needs one"),
        ("'a-*-*'", "sagemaker_chat/*", "line 3: .*has 1 stars, and the model's name 2: write"),
        ("'a-*-*'", "'*'", "line 3: .*has one star, and the model's name 2: write one"),
        ("'*'", "azur/*", "line 3: .*not 'azur'"),
        ("'*'", "'openai/*', api_base: null", "line 3: .*openai/\\* needs `api_base`"),
        ("'*'", "'*', api_base: 'http://h'", "line 3: .*needs its provider, for example hosted_vllm/"),
        ("'*'", "'huggingface/http://*'", "line 3: .*`url` cannot have a star"),
    ],
)
def test_litellms_mistakes_name_their_line(name: str, model: str, says: str) -> None:
    text = "model_list:\n  - {{model_name: first, litellm_params: {{model: sagemaker_chat/a}}}}\n"
    text += "  - {{model_name: {0}, litellm_params: {{model: {1}}}}}\n"
    with pytest.raises(UsageError, match=says):
        parse_config(text.format(name, model), "proxy.yaml", {})


# Requests -----------------------------------------------------------------------------------------------------------

ALL = """
models:
  'any-*': {endpoint: '*', handler: openai_chat, attempts: 1, breaker_failures: 2}
  'one-*': {endpoint: chat, handler: openai_chat}
  exact: {endpoint: facts, handler: openai_chat, fallbacks: [any-chat]}
  broken: {endpoint: chat--container-error-500, handler: openai_chat, fallbacks: [any-chat], attempts: 1}
  'any-secret': {endpoint: schema, handler: openai_chat}
aliases: {friendly: any-facts}
server: {master_key: sk-master-key}
keys:
  - {name: all, key: sk-all}
  - {name: pattern, key: sk-pattern, models: ['any-*']}
  - {name: named, key: sk-named, models: [any-chat, exact]}
  - {name: alias, key: sk-alias, models: [friendly]}
  - {name: exact, key: sk-exact, models: [exact, broken]}
"""


def test_requests_reach_the_endpoint_that_is_named(start, upstream: Emulator) -> None:
    gateway = start(ALL)
    for stream in (False, True):
        for name, endpoint in (("any-chat", "chat"), ("any-facts", "facts"), ("friendly", "facts"), ("one-x", "chat")):
            answer = gateway.post(CHAT, ask(name, stream=stream), **bearer("sk-all"))
            assert (answer.status, upstream.calls[-1].endpoint) == (200, endpoint)
    whole = gateway.post(CHAT, ask("any-chat"), **bearer("sk-all"))
    assert whole.json()["model"] == "any-chat"
    assert gateway.post(CHAT, ask("nothing"), **bearer("sk-all")).status == 404
    # A fallback may be a name that fits a pattern.
    fallen = gateway.post(CHAT, ask("broken"), **bearer("sk-all"))
    assert (fallen.status, fallen.headers["x-sagewire-model"]) == (200, "any-chat")


def test_served_models(start, upstream: Emulator) -> None:
    from sagewire.emulator import EndpointSpec

    upstream.add("lora", EndpointSpec("openai_chat", "echo", model_id="org/adapter-1"))
    url = upstream.container_url("lora")
    gateway = start(f"models: {{'lora/*': {{url: '{url}', handler: openai_chat, served_model: 'org/*'}}}}")
    assert gateway.post(CHAT, ask("lora/adapter-1")).status == 200
    assert upstream.calls[-1].json["model"] == "org/adapter-1"
    assert gateway.post(CHAT, ask("lora/adapter-2")).status == 502
    assert [one.name for one in gateway.gateway.router.remembered] == ["lora/adapter-1"]


@pytest.mark.parametrize(
    ("key", "allowed", "refused"),
    [
        ("sk-pattern", ["any-chat", "any-facts"], ["any-secret", "exact", "one-x"]),
        ("sk-named", ["any-chat", "exact"], ["any-facts", "friendly", "any-secret", "one-x"]),
        ("sk-alias", ["friendly"], ["any-facts", "any-chat"]),
        ("sk-exact", ["exact"], ["any-chat", "any-facts", "any-*"]),
    ],
)
def test_what_a_key_reaches(start, upstream: Emulator, key: str, allowed: list[str], refused: list[str]) -> None:
    gateway = start(ALL)
    assert {name: gateway.post(CHAT, ask(name), **bearer(key)).status for name in allowed} == dict.fromkeys(
        allowed, 200
    )
    before = len(upstream.calls)
    assert {name: gateway.post(CHAT, ask(name), **bearer(key)).status for name in refused} == dict.fromkeys(
        refused, 403
    )
    assert len(upstream.calls) == before
    assert {one.name for one in gateway.gateway.router.remembered} <= {"any-chat", "any-facts"}
    # Nor by a fallback.
    if key == "sk-exact":
        assert gateway.post(CHAT, ask("broken"), **bearer(key)).status == 502


def test_lists_and_status(start, upstream: Emulator) -> None:
    gateway = start(ALL)

    def listed(key: str) -> list[str]:
        return [model["id"] for model in gateway.get("/v1/models", **bearer(key)).json()["data"]]

    assert listed("sk-all") == ["any-*", "any-secret", "broken", "exact", "friendly", "one-*"]
    assert listed("sk-pattern") == ["any-*", "friendly"]
    assert listed("sk-named") == ["any-chat", "exact"]
    for name, key, status in (
        ("any-chat", "sk-all", 200),
        ("any-*", "sk-all", 200),
        ("any-chat", "sk-named", 200),
        ("any-facts", "sk-named", 404),
        ("any-a!", "sk-all", 404),
    ):
        assert gateway.get(f"/v1/models/{name}", **bearer(key)).status == status, name
    gateway.post(CHAT, ask("any-chat"), **bearer("sk-all"))
    for key, names in (
        ("sk-master-key", ["any-*", "one-*", "exact", "broken", "any-secret", "any-chat"]),
        ("sk-pattern", ["any-*", "any-chat"]),
        ("sk-named", ["exact", "any-chat"]),
        ("sk-exact", ["exact", "broken"]),
    ):
        models = gateway.get("/status", **bearer(key)).json()["models"]
        assert [model["name"] for model in models] == names
        assert {model["name"]: len(model["deployments"]) for model in models} == {
            name: int(name != "any-*") for name in names
        }


def test_made_up_names_leave_nothing_behind(start, upstream: Emulator, until) -> None:
    gateway = start(ALL)
    assert gateway.post(CHAT, ask("any-chat"), **bearer("sk-all")).status == 200
    assert gateway.get("/v1/models", **bearer("sk-all")).status == 200
    for number in range(40):
        answer = gateway.post(CHAT, ask(f"any-made-up-{number}"), **bearer("sk-all"))
        assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_not_found")
    assert [one.name for one in gateway.gateway.router.remembered] == ["any-chat"]

    def labels() -> list[dict[str, str]]:
        families = text_string_to_metric_families(gateway.get("/metrics", **bearer("sk-all")).data.decode())
        return [sample.labels for family in families for sample in family.samples if "model" in sample.labels]

    until(lambda: any(one.get("status") == "502" for one in labels()))
    # Requests for lists and the like are for no model.
    assert {one["model"] for one in labels()} == {"", "any-*", "one-*", "exact", "broken", "any-secret"}
    assert not any("made-up" in value or value == "any-chat" for one in labels() for value in one.values())
    assert {one["deployment"] for one in labels() if "deployment" in one and one["model"] == "any-*"} == {"*"}
    # Accounts are kept by the pattern, too; the log has the name.
    until(lambda: {row.model for row in gateway.gateway.store.usage()} == {"any-*"})


def test_each_name_has_its_own_health_and_limits(start, upstream: Emulator) -> None:
    gateway = start(
        "models: {'m-*': {endpoint: '*', handler: openai_chat, attempts: 1, breaker_failures: 2,"
        " requests_per_minute: 3}}"
    )
    failing = [gateway.post(CHAT, ask("m-chat--container-error-500")).status for _ in range(3)]
    assert failing == [502, 502, 503]
    assert [gateway.post(CHAT, ask("m-chat")).status for _ in range(4)] == [200, 200, 200, 429]
    assert gateway.post(CHAT, ask("m-facts")).status == 200


# What is remembered -------------------------------------------------------------------------------------------------

ANY = "models: {'*': {endpoint: '*', handler: openai_chat}}"


async def works(deployment: Deployment) -> str:
    return deployment.label


async def serve(router: Router, name: str, work=works) -> None:
    served = await router.serve(router.find(name), work)
    served.lease.succeeded()


async def test_the_last_ones_used_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router(parse_config(ANY))
    router.remembered = model_cache.ModelCache(3)
    first = router.find("a")
    assert router.find("a") is first
    closed: list[str] = []

    async def close(deployment: Deployment) -> None:
        closed.append(deployment.label)

    monkeypatch.setattr(Deployment, "close", close)
    lease = await first.lease()
    for name in "bcdef":
        await serve(router, name)
    # The one at work stays, and is not closed under its request.
    assert {one.name for one in router.remembered} == {"a", "e", "f"}
    await asyncio.sleep(0)
    assert sorted(closed) == ["b", "c", "d"]
    router.remembered.drop(first)
    await asyncio.sleep(0)
    assert "a" not in closed
    lease.succeeded()
    await asyncio.sleep(0)
    assert closed[-1] == "a"
    assert router.find("a") is not first


async def test_what_is_not_there_is_forgotten_and_what_fails_is_not() -> None:
    router = Router(parse_config(ANY.replace("openai_chat", "openai_chat, attempts: 1")))

    async def missing(deployment: Deployment) -> str:
        raise EndpointNotFound("no such endpoint")

    async def failing(deployment: Deployment) -> str:
        raise ModelError("boom", status=500)

    for name, work, kept in (("gone", missing, False), ("ill", failing, True)):
        with pytest.raises((EndpointNotFound, ModelError)):
            await serve(router, name, work)
        assert (name in [one.name for one in router.remembered]) == kept
    # One that has answered before is not made up.
    await serve(router, "known")
    with pytest.raises(EndpointNotFound):
        await serve(router, "known", missing)
    assert {one.name for one in router.remembered} == {"ill", "known"}


async def test_reloading_takes_over_what_did_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    async def close(deployment: Deployment) -> None:
        closed.append(deployment.label)

    monkeypatch.setattr(Deployment, "close", close)
    text = "models: {{'a-*': {{endpoint: '*'}}, 'b-*': {{endpoint: '*', weight: {weight}}}, exact: {{endpoint: e}}}}"
    before = Router(parse_config(text.format(weight=1)))
    a, b = before.find("a-1"), before.find("b-1")
    lease = await b.lease()
    after = Router(parse_config(text.format(weight=2)), before)
    before.retire(after)
    assert after.find("a-1").deployments[0] is a.deployments[0]
    assert after.find("b-1").deployments[0] is not b.deployments[0]
    assert after.find("exact").deployments[0] is before.find("exact").deployments[0]
    await asyncio.sleep(0)
    assert closed == []
    lease.succeeded()
    await asyncio.sleep(0)
    assert closed == ["1"]
    # A request that began before may still fall back to a name that is new to the old router; nobody else keeps it.
    late = before.find("a-2")
    await asyncio.sleep(0)
    lease = await late.lease()
    lease.succeeded()
    await asyncio.sleep(0)
    assert closed == ["1", "2", "2"]
    assert [one.name for one in before.remembered] == ["a-1", "b-1"]


def test_a_name_keeps_its_connections_across_a_reload(start, upstream: Emulator, until) -> None:
    gateway = start(ANY)
    assert gateway.post(CHAT, ask("chat")).status == 200
    (model,) = gateway.gateway.router.remembered
    done: list[bool] = []
    new = parse_config(ANY.replace("models: {", "models: {more: {endpoint: facts, handler: openai_chat}, "))
    gateway.loop_call(lambda: (gateway.gateway.reload(new), done.append(True)))
    until(lambda: done)
    assert gateway.post(CHAT, ask("chat")).status == 200
    (again,) = gateway.gateway.router.remembered
    assert again.deployments[0] is model.deployments[0]
