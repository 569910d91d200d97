"""Models of providers that sagewire does not serve: left out by name, so that nothing else answers in their place."""

import pytest

from sagewire.errors import UsageError
from sagewire.gateway.config import GatewayConfig, parse_config
from tests.cases import each

FILE = """
model_list:
  - {model_name: gpt-4, litellm_params: {model: azure/gpt-4, api_base: "https://azure.example"}}
  - {model_name: gpt-4o, litellm_params: {model: gpt-4o}}
  - {model_name: "anthropic/*", litellm_params: {model: "anthropic/*"}}
  - {model_name: anthropic/mine, litellm_params: {model: sagemaker_chat/chat}}
  - {model_name: "*", litellm_params: {model: sagemaker_chat/chat}}
  - {model_name: both, litellm_params: {model: bedrock/anthropic.claude-v2}}
  - {model_name: both, litellm_params: {model: sagemaker_chat/chat}}
  - {model_name: claude, litellm_params: {model: claude-3-5-sonnet}, model_info: {id: deployment-7}}
router_settings:
  model_group_alias: {a-gpt: gpt-4, {hidden}: {model: gpt-4o, hidden: true}, a-both: both}
  fallbacks: [{gpt-4: [both]}, {both: [gpt-4o, deployment-7, anthropic/claude, anthropic/mine]}]
  context_window_fallbacks: [{both: [gpt-4]}]
  default_fallbacks: [gpt-4, both]
general_settings: {master_key: sk-1234}
""".replace("{hidden}", "hidden-gpt")
NOT_SERVED = ("gpt-4", "gpt-4o", "anthropic/claude", "claude", "a-gpt", "hidden-gpt", "deployment-7")
SERVED = {"anthropic/mine": "anthropic/mine", "gpt-5": "*", "both": "both", "a-both": "both"}


@pytest.fixture(scope="module")
def config() -> GatewayConfig:
    return parse_config(FILE, "proxy.yaml", {})


def test_nothing_stands_in_for_them(config: GatewayConfig) -> None:
    for name in NOT_SERVED:
        assert config.entry(name) is config.canonical(name) is None, name
        assert "provider" in config.why_not(name) or "api_base" in config.why_not(name), name
    assert {name: config.entry(name) for name in SERVED} == SERVED
    assert not any(config.why_not(name) for name in SERVED)
    assert config.models["both"].fallbacks == ["anthropic/mine"]
    assert config.models["both"].context_fallbacks == []
    assert config.default_fallbacks == ["both"]
    assert len(config.models["both"].deployments) == 1


@each(
    ("line", "says"),
    [
        (3, "not 'azure'; left out"),
        (4, "openai/gpt-4o needs `api_base`"),
        (5, "not 'anthropic'"),
        (8, "not 'bedrock'"),
        (10, "not 'anthropic'"),
        (12, "'gpt-4' is not served"),
        (13, "fallbacks of 'gpt-4' have no effect"),
        (13, "'deployment-7' is no fallback"),
        (15, "'gpt-4' is no fallback"),
    ],
)
def test_each_is_a_note_with_its_line(config: GatewayConfig, line: int, says: str) -> None:
    assert any(f"line {line}: " in note and says in note for note in config.warnings)


@each(
    ("text", "says"),
    [
        # Nothing is left.
        ("model_list: [{model_name: a, litellm_params: {model: azure/x}}]", "not 'azure'"),
        ("model_list: [{model_name: a, litellm_params: {model: gemini-1.5-pro}}]", "not 'vertex_ai'"),
        # LiteLLM does not know them either: misspelt.
        (FILE.replace("azure/", "azzure/"), "not 'azzure'"),
        (FILE.replace("bedrock/", "bedrok/"), "not 'bedrok'"),
        # A server that was meant.
        (FILE.replace("model: gpt-4o}", "model: gpt-4o, api_base: os.environ/NOT_SET}"), "needs `api_base`"),
        (FILE.replace('azure/gpt-4, api_base: "https://azure.example"', "hosted_vllm/x"), "needs `api_base`"),
        # What would open the gateway is refused as before.
        (FILE + "litellm_settings: {callbacks: [presidio]}", "keeps something out"),
        (FILE.replace("router_settings:", "router_settings:\n  enable_tag_filtering: true"), "open to more"),
        # An alias and a model of one name.
        (FILE.replace("a-gpt: gpt-4,", "gpt-4: both,"), "line 12: .*'gpt-4' is served, too"),
    ],
)
def test_what_stays_an_error(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_config(text, "proxy.yaml", {})


def test_requests_for_them_are_told_why(start) -> None:
    gateway = start(FILE)
    asked = {"messages": [{"role": "user", "content": "Hello there"}]}
    for name in NOT_SERVED:
        answer = gateway.post("/v1/chat/completions", {**asked, "model": name}, authorization="Bearer sk-1234")
        assert answer.status == 404, name
        assert "is not served here: " in answer.json()["error"]["message"]
    with_fallback = {**asked, "model": "both", "fallbacks": ["gpt-4"]}
    refused = gateway.post("/v1/chat/completions", with_fallback, authorization="Bearer sk-1234")
    assert (refused.status, "not served here" in refused.json()["error"]["message"]) == (404, True)
    assert (
        gateway.post("/v1/chat/completions", {**asked, "model": "gpt-5"}, authorization="Bearer sk-1234").status == 200
    )
    listed = {one["id"] for one in gateway.get("/v1/models", authorization="Bearer sk-1234").json()["data"]}
    assert listed.isdisjoint(NOT_SERVED)
    shown = gateway.get("/status", authorization="Bearer sk-1234").json()
    assert "'azure'" in shown["not_served"]["gpt-4"]
    # A key that does not have the name learns nothing of it.
    made = gateway.post("/key/generate", {"models": ["both"]}, authorization="Bearer sk-1234").json()["key"]
    told = gateway.post("/v1/chat/completions", {**asked, "model": "gpt-4"}, authorization=f"Bearer {made}")
    assert (told.status, "not served" in told.json()["error"]["message"]) == (404, False)
    assert gateway.get("/status", authorization=f"Bearer {made}").json()["not_served"] == {}


@each(
    ("text", "says"),
    [
        ("not_served: {m: gone}", "line 2: not_served.m: 'm' is served, too"),
        ("not_served: {x: [1]}", "should be a text"),
        ("aliases: {x: y}\nnot_served: {y: gone}", "alias 'x'"),
    ],
)
def test_own_form(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_config("models: {m: {endpoint: e}}\n" + text, "own.yaml", {})
