"""What LiteLLM's clients send beside a request: it acts where it asks for less, and is refused where it cannot."""

import pytest

from tests.cases import each

HELLO = [{"role": "user", "content": "Hello"}]
CHAT = "/v1/chat/completions"


def config(url: str) -> str:
    return f"""
models:
  m: {{url: "{url}/broken", handler: openai_chat, attempts: 3, fallbacks: [spare], breaker_failures: 100}}
  spare: {{url: "{url}/spare", handler: openai_chat}}
  other: {{url: "{url}/other", handler: openai_chat}}
  secret: {{url: "{url}/secret", handler: openai_chat}}
  never: {{endpoint: chat--never-answer, handler: openai_chat, breaker_failures: 1}}
keys: [{{name: k, key: sk-k, models: [m, spare, other, never]}}]
"""


@pytest.fixture
def ask(start, vllm):
    vllm.answers["broken"] = 503, {"error": {"message": "busy"}}
    gateway = start(config(vllm.url))

    def ask(model: str = "m", **more):
        vllm.bodies.clear()
        body = {"model": model, "messages": HELLO, **more}
        return gateway.post(CHAT, body, authorization="Bearer sk-k")

    ask.gateway = gateway
    return ask


def test_fallbacks_and_retries_of_a_request(ask, vllm) -> None:
    assert ask().headers["x-sagewire-model"] == "spare"
    assert len(vllm.bodies) == 4
    chosen = ask(fallbacks=["other"], num_retries=0)
    assert chosen.headers["x-sagewire-model"] == "other"
    # None of it is a field for a server, and there are no more attempts than configured.
    assert [set(body) & {"fallbacks", "num_retries"} for body in vllm.bodies] == [set(), set()]
    assert ask(disable_fallbacks=True, num_retries=50).status == 503
    assert len(vllm.bodies) == 3


def test_fallbacks_are_models_that_the_key_may_use(ask, vllm) -> None:
    for wanted, status in ((["secret"], 403), (["unknown"], 404), ([{"model": "other"}], 400), ("other", 400)):
        assert ask(fallbacks=wanted).status == status
    assert vllm.bodies == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_timeout_of_a_request(ask, stream: bool) -> None:
    for seconds in (0.2, 0.1):
        late = ask("never", timeout=seconds, stream=stream)
        assert (late.status, late.json()["error"]["code"]) == (504, "request_timeout")
    (deployment,) = ask.gateway.gateway.router.models["never"].deployments
    # Who cannot wait says nothing about the deployment.
    assert (deployment.in_flight, deployment.breaker.state) == (0, "closed")


def test_caches_and_guardrails(ask) -> None:
    assert ask("other", cache={"no-cache": True}, caching=False, guardrails=[], timeout=30, max_retries=2).status == 200
    for name, value in (("cache", {"ttl": 60}), ("caching", True), ("guardrails", ["pii"]), ("timeout", 0),
                        ("num_retries", -1), ("timeout", "soon")):  # fmt: skip
        refused = ask("other", **{name: value}).json()["error"]
        assert refused["param"] in (name, "cache"), refused


TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
PROXY = """
model_list:
  - {{model_name: long, litellm_params: {{model: hosted_vllm/broken, api_base: "{url}/broken"}}}}
  - {{model_name: spare, litellm_params: {{model: hosted_vllm/spare, api_base: "{url}/spare"}}}}
  - {{model_name: other, litellm_params: {{model: hosted_vllm/other, api_base: "{url}/other"}}}}
litellm_settings:
  num_retries: 0
  context_window_fallbacks: [{{long: [spare]}}]
  content_policy_fallbacks: [{{long: [other]}}]
"""


@each(
    ("error", "answers"),
    [
        ({"message": TOO_LONG, "code": 400}, "spare"),
        ({"message": "the request exceeds the available context size", "type": "exceed_context_size_error"}, "spare"),
        ({"message": "rejected", "code": "content_policy_violation"}, "other"),
        ({"message": "filtered", "code": "content_filter"}, "other"),
        ({"message": "top_k must be positive", "code": 400}, None),
    ],
)
def test_fallbacks_for_what_a_server_refuses(start, vllm, error: dict[str, object], answers: str | None) -> None:
    vllm.answers["broken"] = 400, {"error": error}
    answer = start(PROXY.format(url=vllm.url)).post(CHAT, {"model": "long", "messages": HELLO})
    assert answer.headers.get("x-sagewire-model") == answers
    assert answer.status == (400 if answers is None else 200)


def test_what_is_litellms_own_goes_to_no_server(ask, vllm) -> None:
    own = {
        "drop_params": True, "litellm_session_id": "s", "no-log": True, "tags": ["a"], "prompt_variables": {"a": "b"},
        "litellm_metadata": {"a": "b"}, "input_cost_per_token": 0, "router_settings_override": {"num_retries": 9},
    }  # fmt: skip
    given = {"seed": 1, "top_k": 3, "metadata": {"guardrails": []}}
    assert ask("other", **own, **given, additional_drop_params=["seed"]).status == 200
    assert vllm.bodies[0].keys() == {"messages", "top_k"}


@each(
    "more",
    [
        {"policies": ["p"]},
        {"metadata": {"guardrails": ["pii"]}},
        {"litellm_metadata": {"policies": ["p"]}},
        {"extra": {"policies": ["p"]}},
        {"mock_testing_fallbacks": True},
    ],
)
def test_guards_are_refused_wherever_they_stand(ask, vllm, more: dict[str, object]) -> None:
    refused = ask("other", **more)
    assert (refused.status, vllm.bodies) == (400, [])
