"""LiteLLM's parameters of a model and its settings: what becomes of each."""

import re

import pytest

from sagewire.errors import UsageError
from sagewire.gateway.config import DeploymentConfig, GatewayConfig, parse_config
from sagewire.gateway.routing.router import Router
from tests.cases import each


def loaded(params: str, more: str = "", environment: dict[str, str] | None = None) -> GatewayConfig:
    return parse_config(
        f"model_list:\n  - model_name: m\n    litellm_params: {{{params}}}\n{more}", "f", environment or {}
    )


def deployment(params: str, more: str = "", environment: dict[str, str] | None = None) -> DeploymentConfig:
    return loaded(params, more, environment).models["m"].deployments[0]


@pytest.mark.parametrize(
    "provider",
    [
        "ollama", "ollama_chat", "nvidia_nim", "xinference", "infinity", "litellm_proxy", "docker_model_runner",
        "lemonade", "hosted_vllm",
    ],
)  # fmt: skip
def test_servers_of_ones_own(provider: str) -> None:
    one = deployment(f"model: {provider}/org/q, api_base: 'http://h:1', api_key: key")
    assert (one.url, one.served_model, one.handler) == ("http://h:1", "org/q", "openai_chat")


@each("provider", ["deepseek", "mistral", "groq", "together_ai", "openrouter", "friendliai", "nebius"])
def test_services_are_served_at_an_api_base_of_ones_own(provider: str) -> None:
    one = deployment(f"model: {provider}/q, api_base: 'http://h:1/v1', api_key: key")
    assert (one.url, one.served_model, one.handler) == ("http://h:1/v1", "q", "openai_chat")
    by_name = deployment(
        f"model: {provider}/q, litellm_credential_name: c",
        "credential_list: [{credential_name: c, credential_values: {api_base: 'http://h:1/v1'}}]",
    )
    assert by_name.url == "http://h:1/v1"
    with pytest.raises(UsageError, match=f"not '{provider}' without an `api_base`"):
        loaded(f"model: {provider}/q")
    left_out = parse_config(
        ENTRIES.replace("sagemaker_chat/f", f"{provider}/q").replace(", MORE", ""), "f", {}
    ).not_served
    assert "without an `api_base`" in left_out["n"]


@pytest.mark.parametrize("base", ["", "/v1"])
def test_infinitys_routes_are_at_its_base(start, vllm, base: str) -> None:
    vllm.answers[f"{base}/embeddings"] = (
        200,
        {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 1}},
    )
    vllm.answers[f"{base}/rerank"] = 200, {"results": [{"index": 0, "relevance_score": 0.5}], "usage": {}}
    for path in ("/v1/embeddings", "/v1/rerank") if not base else ():
        vllm.answers = {path: (404, {"error": "Not Found"}), **vllm.answers}
    entry = f"model_list: [{{model_name: m, litellm_params: {{model: infinity/q, api_base: '{vllm.url}{base}'}}}}]"
    gateway = start(entry)
    assert gateway.post("/v1/embeddings", {"model": "m", "input": "a"}).status == 200
    assert gateway.post("/v1/rerank", {"model": "m", "query": "q", "documents": ["a"]}).status == 200


def test_what_litellm_reads_from_variables() -> None:
    environment = {
        "HOSTED_VLLM_API_BASE": "http://h/v1",
        "HOSTED_VLLM_API_KEY": "sk-there",
        "LITELLM_MASTER_KEY": "sk-1",
    }
    config = loaded("model: hosted_vllm/q", environment=environment)
    one = config.models["m"].deployments[0]
    assert one.token is not None
    assert (one.url, one.token.get_secret_value(), config.has_keys) == ("http://h/v1", "sk-there", True)
    assert deployment("model: sagemaker/e", environment={"AWS_REGION_NAME": "eu-west-1"}).region == "eu-west-1"
    assert deployment("model: sagemaker/e, aws_region_name: a", environment={"AWS_REGION_NAME": "b"}).region == "a"


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (
            "model: hosted_vllm/q, api_base: 'http://h', aws_region_name: eu-west-1",
            "aws_region_name has no effect: this",
        ),
        ("model: hosted_vllm/q, api_base: 'http://h', aws_role_name: r", "aws_role_name has no effect: this"),
        ("model: sagemaker/e, aws_external_id: x", "aws_external_id has no effect without aws_role_name"),
        ("model: sagemaker/e, aws_sts_endpoint: 'https://s'", "aws_sts_endpoint has no effect without aws_role_name"),
    ],
)
def test_aws_settings_without_effect_are_notes(params: str, says: str) -> None:
    assert says in " ".join(loaded(params).notes)


def test_time_limits_of_streams_are_for_streams() -> None:
    limits = deployment("model: sagemaker/e, timeout: 300, stream_timeout: 30").timeouts
    assert (limits.first_byte, limits.stream_first_byte, limits.idle) == (300, 30, 300)


def test_headers_and_comments() -> None:
    config = loaded("model: hosted_vllm/q, api_base: 'http://h', extra_headers: {X-Key: abc}, keepalive_seconds: 3")
    assert config.models["m"].keepalive_seconds == 3
    assert config.models["m"].deployments[0].headers["X-Key"].get_secret_value() == "abc"
    assert "signed" in loaded("model: sagemaker/e, extra_headers: {a: b}").notes[0]
    one = deployment(
        "model: openai/q, api_base: 'http://h', organization: org-1, stream_options: {include_usage: true}"
    )
    assert one.headers["OpenAI-Organization"].get_secret_value() == "org-1"
    # Servers refuse it of requests that are not streams, and every stream is asked for its usage anyway.
    assert one.options == {}


@pytest.mark.parametrize(
    "name",
    [
        "langsmith_api_key", "gcs_path_service_account", "dd_api_key", "rpd", "stream_chunk_size",
        "s3_secret_access_key", "azure_password", "client_secret", "vertex_credentials",
        "input_cost_per_character", "my_service_api_key", "signoz_ingestion_key", "github_copilot_user_session",
        "_websearch_interception_stream_options", "model_alias_map", "client", "vertex_ai_project", "aws_workspace_id",
    ],
)  # fmt: skip
def test_what_is_litellms_own_goes_to_no_server(name: str) -> None:
    config = loaded(f"model: sagemaker_chat/e, {name}: something")
    assert config.models["m"].deployments[0].options == {}
    assert f"{name}: has no effect" in config.notes[0]


def test_what_is_not_litellms_goes_to_the_server() -> None:
    given = "model: sagemaker_chat/e, guided_json: {a: 1}, add_bos_token: true, top_k: 5"
    assert deployment(given).options == {"extra": {"guided_json": {"a": 1}, "add_bos_token": True}, "top_k": 5}


@pytest.mark.parametrize(
    "more",
    [
        *(f"litellm_settings: {{callbacks: [{name}]}}" for name in ("presidio", "hide_secrets", "banned_keywords")),
        "litellm_settings: {callbacks: llamaguard_moderations}",
        "litellm_settings: {max_budget: 10}",
        "general_settings: {enforce_user_param: true}",
        "general_settings: {enforced_params: [user]}",
        "router_settings: {enable_tag_filtering: true}",
        "policies: {p: {guardrails: {add: [g]}}}",
        "general_settings: {enforce_rbac: true}",
        "general_settings: {custom_key_generate: hooks.generate}",
        "general_settings: {disable_custom_api_keys: true}",
        "general_settings: {service_account_settings: {enforced_params: [user]}}",
        "general_settings: {fail_closed_rate_limit_enforcement: true}",
        "litellm_settings: {validate_end_user_id_in_db: true}",
        "litellm_settings: {max_end_user_budget_id: small}",
        "litellm_settings: {callbacks: [prometheus, dynamic_rate_limiter_v3]}",
    ],
)
def test_what_keeps_something_out_is_refused(more: str) -> None:
    with pytest.raises(UsageError, match=r"line 4: .*(keeps something out|would be open to more)"):
        loaded("model: sagemaker/e", more)
    with pytest.raises(UsageError, match="open to more"):
        loaded("model: sagemaker/e, guardrails: [pii]")


ENTRIES = """
model_list:
  - {model_name: m, litellm_params: {model: sagemaker_chat/e}}
  - {model_name: n, litellm_params: {model: sagemaker_chat/f}, MORE}
"""


@each(
    ("more", "says"),
    [
        ("model_info: {access_windows: [{start: '9:00', end: '17:00', team_ids: [a]}]}", "windows: .*at some hours"),
        ("model_info: {enable_tag_filtering: true}", "line 4: .*enable_tag_filtering: .*by tags"),
        ("model_info: {access_groups: beta}", "line 4: .*access_groups: should be a list"),
        ("model_info: {supported_environments: production}", "line 4: .*should be a list"),
        ("model_inf: {team_id: a}", "line 4: .*model_inf: unknown key; did you mean 'model_info'"),
        ("api_base: 'http://h'", "line 4: .*api_base: belongs in litellm_params"),
    ],
)
def test_entries_that_cannot_be_kept(more: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_config(ENTRIES.replace("MORE", more), "f", {})


@each(
    ("info", "environment", "reason"),
    [
        ("blocked: true", {}, "it is blocked"),
        ("blocked: false, enable_tag_filtering: false", {}, None),
        ("supported_environments: [production, staging]", {}, "LITELLM_ENVIRONMENT is not set"),
        (
            "supported_environments: [production]",
            {"LITELLM_ENVIRONMENT": "staging"},
            "for production, and .* is staging",
        ),
        ("supported_environments: [production]", {"LITELLM_ENVIRONMENT": "production"}, None),
    ],
)
def test_deployments_that_litellm_does_not_serve_either(info: str, environment: dict[str, str], reason: str) -> None:
    config = parse_config(ENTRIES.replace("MORE", f"model_info: {{{info}}}"), "f", environment)
    assert (config.canonical("n") is None) == (reason is not None)
    assert reason is None or re.search(reason, config.not_served["n"])


def test_a_key_that_the_router_does_not_know_is_a_mistake_if_it_looks_like_one_it_does() -> None:
    notes = loaded("model: sagemaker/e", "router_settings: {enable_some_new_thing: true}").notes
    assert "enable_some_new_thing: has no effect" in notes[0]
    with pytest.raises(UsageError, match="did you mean 'fallbacks'"):
        loaded("model: sagemaker/e", "router_settings: {falbacks: []}")
    with pytest.raises(UsageError, match="did you mean 'guardrails'"):
        loaded("model: sagemaker/e", "litellm_settings: {guardrial: [g]}")
    with pytest.raises(UsageError, match="unknown key"):
        loaded("model: sagemaker/e", "general_settings: {enable_some_new_thing: true}")


def test_groups_of_models_and_models_that_are_not_listed(start) -> None:
    text = """
model_list:
  - {model_name: a, litellm_params: {model: sagemaker_chat/chat}, model_info: {access_groups: [beta]}}
  - model_name: b
    litellm_params: {model: sagemaker_chat/chat}
    model_info: {access_groups: [beta], discoverable: false}
  - {model_name: "c-*", litellm_params: {model: "sagemaker_chat/*"}, model_info: {access_groups: [beta]}}
  - {model_name: d, litellm_params: {model: sagemaker_chat/chat}}
general_settings: {master_key: sk-master-key}
"""
    gateway = start(text)
    made = gateway.post("/key/generate", {"models": ["beta"]}, authorization="Bearer sk-master-key").json()
    key = {"authorization": f"Bearer {made['key']}"}
    assert [one["id"] for one in gateway.get("/v1/models", **key).json()["data"]] == ["a", "c-*"]
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    found = [
        gateway.post("/v1/chat/completions", body | {"model": name}, **key).status for name in ("a", "b", "c-chat", "d")
    ]
    assert found == [200, 200, 200, 403]


@pytest.mark.parametrize("name", ["callbacks: [langfuse]", "drop_params: true", "telemetry: false", "http2: true"])
def test_other_settings_are_read_or_noted(name: str) -> None:
    loaded("model: sagemaker/e", f"litellm_settings: {{{name}}}")


@pytest.mark.parametrize(
    ("params", "more", "says"),
    [
        ("model: sagemaker/e, timeout: soon", "", "line 3: .*timeout: should be a number"),
        ("model: sagemaker/e, rpm: [1]", "", "line 3: .*rpm: should be a number"),
        ("model: 'hosted_vllm/e', api_base: 'http://h', headers: 5", "", "line 3: .*headers: should be a mapping"),
        ("model: sagemaker/e", "router_settings: {allowed_fails: many}", "line 4: .*should be a number"),
        ("model: sagemaker/e", "router_settings: {model_group_alias: [a]}", "line 4: .*should be a mapping"),
        ("model: sagemaker/e", "environment_variables: [a]", "line 4: .*should be a mapping"),
    ],
)
def test_a_wrong_type_is_a_sentence_with_its_line(params: str, more: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        loaded(params, more)


def test_a_fallback_may_be_one_deployment() -> None:
    text = """
model_list:
  - {model_name: m, litellm_params: {model: sagemaker_chat/a}, model_info: {id: first}}
  - {model_name: m, litellm_params: {model: sagemaker_chat/b, rpm: 5}, model_info: {id: second}}
  - {model_name: n, litellm_params: {model: sagemaker_chat/c}}
litellm_settings: {fallbacks: [{n: [second]}], default_fallbacks: [first]}
"""
    config = parse_config(text, environment={})
    assert config.models["second"].part_of == "m"
    router = Router(config)
    # The same deployment, with its limits and its health.
    assert router.models["second"].deployments == [router.models["m"].deployments[1]]
    assert len(list(router.deployments())) == 3
    with pytest.raises(UsageError, match="thrid"):
        parse_config(text.replace("[second]", "[thrid]"), environment={})


FALLBACKS = """
model_list:
  - {model_name: m, litellm_params: {model: sagemaker_chat/chat--container-error-500}}
  - {model_name: "p-*", litellm_params: {model: "sagemaker_chat/*"}}
  - {model_name: spare, litellm_params: {model: sagemaker_chat/facts}}
router_settings:
  num_retries: 0
  model_group_alias: {gpt-4: m}
  fallbacks: [{gpt-4: [spare]}, {p-chat--container-error-500: [spare]}]
general_settings: {master_key: sk-master-key}
"""


def test_fallbacks_of_an_alias_and_of_a_name_that_fits_a_pattern(start) -> None:
    gateway = start(FALLBACKS)
    made = gateway.post("/key/generate", {"models": ["m", "p-*", "spare"]}, authorization="Bearer sk-master-key").json()
    key = {"authorization": f"Bearer {made['key']}"}
    answers = {}
    for name in ("gpt-4", "p-chat--container-error-500", "p-chat"):
        body = {"model": name, "messages": [{"role": "user", "content": "Hello"}]}
        answers[name] = gateway.post("/v1/chat/completions", body, **key)
    assert [one.status for one in answers.values()] == [200, 200, 200]
    assert [one.headers.get("x-sagewire-model") for one in answers.values()] == ["spare", "spare", None]


def test_fallbacks_of_an_alias_are_those_of_its_model() -> None:
    config = parse_config(FALLBACKS, environment={})
    assert any("'gpt-4' hold for 'm'" in note for note in config.notes)
    both = parse_config(FALLBACKS.replace("{gpt-4: [spare]}", "{gpt-4: [spare]}, {m: [p-a]}"), environment={})
    assert both.models["m"].fallbacks == ["p-a"]
    assert any("'gpt-4' have no effect: 'm' has others" in note for note in both.notes)
    with pytest.raises(UsageError, match="no model 'q-chat'"):
        parse_config(FALLBACKS.replace("p-chat--", "q-chat: [spare]}, {p-chat--"), environment={})


def test_limits_that_litellm_lists_and_does_not_read() -> None:
    told = loaded("model: sagemaker/e", "general_settings: {max_parallel_requests: 5}").notes[0]
    assert "nor in LiteLLM" in told


def test_a_part_is_not_listed_and_needs_the_key_of_the_whole(start, upstream) -> None:
    text = """
model_list:
  - {model_name: m, litellm_params: {model: sagemaker_chat/chat}, model_info: {id: one}}
  - {model_name: n, litellm_params: {model: sagemaker_chat/chat--container-error-500}}
router_settings: {fallbacks: [{n: [one]}], num_retries: 0}
general_settings: {master_key: sk-master-key}
"""
    gateway = start(text)
    master = {"authorization": "Bearer sk-master-key"}
    keys = {}
    for models in ("n", "n,m"):
        made = gateway.post("/key/generate", {"models": models.split(",")}, **master).json()
        keys[models] = {"authorization": f"Bearer {made['key']}"}
    hello = {"model": "n", "messages": [{"role": "user", "content": "Hello"}]}
    assert gateway.post("/v1/chat/completions", hello, **keys["n"]).status == 502
    assert gateway.post("/v1/chat/completions", hello, **keys["n,m"]).status == 200
    assert [one["id"] for one in gateway.get("/v1/models", **master).json()["data"]] == ["m", "n"]


def test_certificates() -> None:
    text = """
model_list:
  - {model_name: a, litellm_params: {model: hosted_vllm/q, api_base: "https://h"}}
  - {model_name: b, litellm_params: {model: hosted_vllm/q, api_base: "https://h", ssl_verify: true}}
  - {model_name: c, litellm_params: {model: sagemaker_chat/e, ssl_verify: "False"}}
litellm_settings: {ssl_verify: /etc/ca.pem}
"""
    config = parse_config(text, environment={})
    assert [config.models[name].deployments[0].ssl_verify for name in "abc"] == ["/etc/ca.pem", None, None]
    assert ["line 5: " in note or "line 6: " in note for note in config.notes] == [True, True]
    assert all("AWS_CA_BUNDLE" in note for note in config.notes)
    unsafe = parse_config(text.replace("/etc/ca.pem", "false"), environment={})
    assert unsafe.models["a"].deployments[0].ssl_verify is False


def test_servers_where_litellm_looks_for_them() -> None:
    assert deployment("model: ollama/llama3").url == "http://localhost:11434"
    assert deployment("model: ollama/llama3", environment={"OLLAMA_API_BASE": "http://h"}).url == "http://h"
    # OpenAI's models need no provider, but a server of one's own.
    one = deployment("model: gpt-4o-mini, api_base: 'http://h'")
    assert (one.url, one.served_model) == ("http://h", "gpt-4o-mini")
    for model in ("gpt-4o-mini", "hosted_vllm/q", "nvidia_nim/q", "litellm_proxy/q"):
        with pytest.raises(UsageError, match="needs `api_base`"):
            loaded(f"model: {model}")
    with pytest.raises(UsageError, match="names no provider"):
        loaded("model: my-endpoint, api_base: 'http://h'")


def test_a_variable_that_is_not_set_matters_where_it_is_used() -> None:
    config = loaded("model: sagemaker_chat/e", "general_settings: {coordination_redis: {host: os.environ/NOT_THERE}}")
    assert "NOT_THERE is not set" in config.notes[0]
    with pytest.raises(UsageError, match="NOT_THERE is not set"):
        loaded("model: sagemaker_chat/e", "general_settings: {master_key: os.environ/NOT_THERE}")
