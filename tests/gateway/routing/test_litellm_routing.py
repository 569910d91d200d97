"""Rates, strategies and reliability settings of LiteLLM's configuration files, as its own router takes them."""

from collections import Counter

import pytest

from sagewire.emulator import Emulator
from sagewire.errors import UsageError
from sagewire.gateway.config import GatewayConfig, parse_config

HI = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}
TWO = """
model_list:
  - model_name: m
    litellm_params: {{model: sagemaker_chat/chat, rpm: 2, tpm: 1000}}
  - model_name: m
    litellm_params: {{model: sagemaker_chat/facts, rpm: 1, tpm: 1000}}
  - model_name: spare
    litellm_params: {{model: sagemaker_chat/schema}}
router_settings:
  num_retries: 0
  {settings}
"""
ENFORCED = "optional_pre_call_checks: [enforce_model_rate_limits]"


def config(settings: str) -> GatewayConfig:
    return parse_config(TWO.format(settings=settings), "proxy.yaml")


def rates(parsed: GatewayConfig) -> list[tuple[int | None, int | None]]:
    return [(one.requests_per_minute, one.tokens_per_minute) for one in parsed.models["m"].deployments]


@pytest.mark.parametrize(
    ("settings", "routing", "limits"),
    [
        ("routing_strategy: simple-shuffle", "weighted", [(None, None), (None, None)]),
        ("routing_strategy: least-busy", "least_busy", [(None, None), (None, None)]),
        ("routing_strategy: usage-based-routing", "lowest_usage", [(2, 1000), (1, 1000)]),
        ("routing_strategy: usage-based-routing-v2", "lowest_usage", [(2, 1000), (1, 1000)]),
        ("routing_strategy: latency-based-routing", "fastest", [(2, 1000), (1, 1000)]),
        (ENFORCED, "weighted", [(2, 1000), (1, 1000)]),
        ("enable_pre_call_checks: true", "weighted", [(2, None), (1, None)]),
    ],
)
def test_rates_are_limits_where_they_are_for_litellm(settings: str, routing: str, limits: list[object]) -> None:
    parsed = config(settings)
    assert parsed.models["m"].routing == routing
    assert rates(parsed) == limits
    weights = [one.weight for one in parsed.models["m"].deployments]
    assert weights == ([2, 1] if routing == "weighted" else [1, 1])
    # What does not limit is said, with its line.
    told = [note for note in parsed.notes if "model_list.0.litellm_params.rpm" in note]
    assert bool(told) == (limits[0] == (None, None))
    assert all("proxy.yaml, line 4" in note and "enforce_model_rate_limits" in note for note in told)


@pytest.mark.parametrize("settings", [ENFORCED, "routing_strategy: usage-based-routing-v2"])
def test_used_up_deployments_are_passed_over_until_none_is_left(start, upstream: Emulator, settings: str) -> None:
    gateway, before = start(TWO.format(settings=settings)), len(upstream.calls)
    answers = [gateway.post("/v1/chat/completions", HI) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert Counter(call.endpoint for call in upstream.calls[before:]) == {"chat": 2, "facts": 1}
    refused = answers[-1]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert all(one.in_flight == 0 for one in gateway.gateway.router.deployments())


@pytest.mark.parametrize("stream", [False, True])
def test_fallbacks_come_before_a_429(start, stream: bool) -> None:
    gateway = start(TWO.format(settings=f"{ENFORCED}\n  fallbacks: [{{m: [spare]}}]"))
    answers = [gateway.post("/v1/chat/completions", HI | {"stream": stream}) for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert answers[-1].headers["x-sagewire-model"] == "spare"


def test_tokens_of_a_deployment(start, upstream: Emulator, until) -> None:
    text = TWO.format(settings=ENFORCED).replace("rpm: 2, ", "").replace("rpm: 1, ", "").replace("tpm: 1000", "tpm: 1")
    gateway = start(text)
    deployments = gateway.gateway.router.models["m"].deployments
    for number in (1, 2):
        assert gateway.post("/v1/chat/completions", HI).status == 200
        # They are counted when the answer has gone out.
        until(lambda number=number: sum(one.latency.tokens > 0 for one in deployments) == number)
    assert gateway.post("/v1/chat/completions", HI).status == 429
    assert Counter(call.endpoint for call in upstream.calls) == {"chat": 1, "facts": 1}


def test_tokens_of_a_deployment_are_set_aside_before_the_call(start, vllm, until) -> None:
    deployment = f"{{url: '{vllm.url}', handler: openai_chat, tokens_per_minute: 1000}}"
    gateway = start(f"models: {{m: {{attempts: 1, deployments: [{deployment}]}}}}")
    (one,) = gateway.gateway.router.models["m"].deployments
    refused = []

    def in_the_meantime(headers):
        body = HI | {"max_tokens": 500}
        refused.append(gateway.post("/v1/chat/completions", body).status)
        return 503, {"error": {"message": "busy"}}

    vllm.answers["v1"] = in_the_meantime
    # What the first request may use is all there is, until it has failed.
    assert gateway.post("/v1/chat/completions", HI | {"max_tokens": 2000}).status == 503
    assert refused == [429]
    vllm.answers.clear()
    assert gateway.post("/v1/chat/completions", HI | {"max_tokens": 900}).status == 200
    # It used 100 tokens, and gives the others back.
    until(lambda: one.latency.tokens == 100)
    assert gateway.post("/v1/chat/completions", HI | {"max_tokens": 850}).status == 200


def test_the_fastest_is_found_by_its_answers(start, upstream: Emulator) -> None:
    text = """
model_list:
  - {model_name: m, litellm_params: {model: sagemaker_chat/slow}}
  - {model_name: m, litellm_params: {model: sagemaker_chat/chat}}
router_settings: {routing_strategy: latency-based-routing, routing_strategy_args: {ttl: 60, lowest_latency_buffer: 0.5}}
"""
    gateway = start(text)
    model = gateway.gateway.router.models["m"]
    assert (model.config.speed_seconds, model.config.speed_slack) == (60, 0.5)
    for deployment in model.deployments:
        deployment.latency.took(5.0 if deployment.label == "slow" else 0.01, stream=True)
    for _ in range(5):
        assert gateway.post("/v1/chat/completions", HI | {"stream": True}).status == 200
    assert {call.endpoint for call in upstream.calls} == {"chat"}


def test_reliability_settings_are_taken() -> None:
    text = """
model_list:
  - {model_name: m, litellm_params: {model: sagemaker_chat/a, temperature: 0.3, max_tokens: 7}}
  - {model_name: n, litellm_params: {model: sagemaker_chat/b, timeout: 9, num_retries: 5, cooldown_time: 3}}
litellm_settings:
  drop_params: true
  request_timeout: 33
  num_retries: 4
  set_verbose: true
  ssl_verify: false
  context_window_fallbacks: [{m: [n]}]
  fallbacks: [{m: [n]}, {"*": [m]}]
router_settings:
  num_retries: 1
  allowed_fails: 2
  cooldown_time: 11
  default_litellm_params: {top_p: 0.5}
  model_group_alias: {shown: m, hidden: {model: n, hidden: true}}
"""
    parsed = parse_config(text, "proxy.yaml")
    m, n = parsed.models["m"], parsed.models["n"]
    (a,), (b,) = m.deployments, n.deployments
    assert (m.attempts, n.attempts) == (2, 6)
    assert (m.fallbacks, m.context_fallbacks, parsed.default_fallbacks) == (["n"], ["n"], ["m"])
    assert (a.breaker_failures, a.breaker_seconds, b.breaker_seconds) == (3, 11, 3)
    assert (a.timeouts.first_byte, b.timeouts.first_byte, a.drop_unsupported) == (33, 9, True)
    assert a.options == {"top_p": 0.5, "temperature": 0.3, "max_tokens": 7}
    assert (parsed.canonical("hidden"), parsed.hidden_aliases) == ("n", ["hidden"])
    # What has no effect says so, with its line.
    for line, key in ((9, "set_verbose"), (10, "ssl_verify")):
        assert any(f"proxy.yaml, line {line}: litellm_settings.{key}: has no effect" in note for note in parsed.notes)


def test_hidden_aliases_work_and_are_not_listed(start) -> None:
    gateway = start(TWO.format(settings="model_group_alias: {shown: m, quiet: {model: m, hidden: true}}"))
    listed = [model["id"] for model in gateway.get("/v1/models").json()["data"]]
    assert listed == ["m", "shown", "spare"]
    assert gateway.post("/v1/chat/completions", HI | {"model": "quiet"}).status == 200


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("routing_strategy: usage-base", "line 11: .*did you mean 'usage-based-routing'"),
        ("cooldown_tme: 3", "line 11: .*did you mean 'cooldown_time'"),
        ("guardrail_list: [{guardrail_name: pii}]", "line 11: .*open to more"),
        ("fallbacks: [{m: spare}]", "line 11: .*should be a mapping"),
        ("fallbacks: [{m: [spar]}]", "spar"),
        ("model_group_alias: {x: {hidden: true}}", "line 11: .*should name a `model`"),
    ],
)
def test_what_is_wrong_names_its_line(settings: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        config(settings)


def test_what_was_ignored_names_its_line() -> None:
    parsed = config("retry_policy: {TimeoutErrorRetries: 3}")
    assert any("line 11: router_settings.retry_policy: has no effect" in note for note in parsed.notes)
    assert config("optional_pre_call_checks: [prompt_caching]").models["m"].affinity == "conversation"
